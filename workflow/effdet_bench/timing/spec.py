"""What one mode is to do in one round: made once, by the step `timing`, and read by its worker."""

from dataclasses import dataclass, field
from pathlib import Path

from effdet_bench.config.modes import Options
from effdet_bench.records import Record


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model of the ensemble.

    `record` is what `verify` found of the checkpoint `file`; `reference` is the record of its
    reference, and `export` that of its export, for modes that run on one.
    """

    record: Record
    file: str
    reference: str
    export: str | None = None


@dataclass(frozen=True)
class Environment:
    """What the process of a mode is started with.

    `python` is its interpreter, `None` for the one that runs the step, and `env` are variables that
    are set beside those that are there.
    """

    python: str | None = None
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JobSpec:
    """One mode on one device, in one round of timing or under load, which leaves out the rounds.

    It serves for at least `seconds`, and at least `requests`, after `warmup` requests; they carry
    the files `photos` in turn. Of `stages` requests, stages are timed in a separate pass. `threads`
    is what an engine may use of the CPU. Raw data go to `folder`. `unseen` is a folder for the
    photo of the round that no mode is sent before, see `timing.unseen`.
    """

    device: str
    mode: str
    engine: str
    options: Options
    models: tuple[ModelFiles, ...]
    photos: tuple[str, ...]
    warmup: int
    threads: int
    folder: Path
    round: int = 0
    seconds: float = 0
    requests: int = 1
    stages: int = 0
    unseen: Path | None = None
    environment: Environment = field(default_factory=Environment)
