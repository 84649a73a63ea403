"""What one mode is to do in one round: made once, by the step `timing`, and read by its worker."""

from dataclasses import dataclass
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
class JobSpec:
    """One timing job: one mode in one round on one device.

    `requests` and `warmup` are counts; requests carry the files `photos` in turn. Raw data go to
    `folder`. `threads` is what an engine may use of the CPU.
    """

    device: str
    mode: str
    round: int
    engine: str
    options: Options
    models: tuple[ModelFiles, ...]
    photos: tuple[str, ...]
    requests: int
    warmup: int
    threads: int
    folder: Path
