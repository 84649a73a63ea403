"""What one mode does in one round: a step makes it once, and the mode's worker reads it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effdet_bench.config.modes import Options
    from effdet_bench.records import Record


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model of the ensemble.

    `record` is the record of `verify` for the checkpoint `file`. `reference` is the path of its
    reference's record. `export` is the path of its export's record, for modes that run on one.
    """

    record: "Record"
    file: str
    reference: str
    export: str | None = None


@dataclass(frozen=True)
class Environment:
    """What the process of a mode is started with.

    `python` is its interpreter; `None` is the one that runs the step. `env` are variables to set in
    addition to the step's own.
    """

    python: str | None = None
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JobSpec:
    """One mode on one device, in one round of timing, or under load, where there are no rounds.

    After `warmup` requests, the mode serves in as many turns as take the slowest mode `seconds`,
    and at least `requests` requests, which send the files `photos` in turn. A separate pass of
    `stages` requests times the stages. `threads` is the number of CPU threads that an engine may
    use. Raw data go to `folder`.
    `unseen` is a folder for the photo of the round that no mode was sent before: see
    `timing.variant`.
    """

    device: str
    mode: str
    engine: str
    options: "Options"
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
