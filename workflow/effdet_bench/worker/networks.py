"""The models of a round: networks that are read once for all modes, or exports of engines."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.detector.ensemble import Model, describe_model, load_model
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.worker.spec import ModelFiles


@dataclass(frozen=True)
class Networks:
    """Networks by the name of their model, or the error of one; and seconds of loading.

    Processes that are forked later share the memory of the weights.
    """

    loaded: dict[str, Model | BenchError]
    seconds: dict[str, float]

    def model(self, files: ModelFiles) -> Model:
        """The model of `files`: with its network, or with its export where it has one.

        Raises:
            UnavailableError: the mode's engine could not export the model.
            BenchError: the checkpoint is not the verified one, or the export or its check failed.
        """
        if files.export is not None:
            return _exported(files, files.export)
        found = self.loaded[files.record["model"]]
        if isinstance(found, BenchError):
            raise found
        return found


def load_networks(models: Iterable[ModelFiles]) -> Networks:
    """The networks of `models` that modes run in PyTorch, each read and checked once."""
    wanted = {files.record["model"]: files for files in models if not files.export}
    loaded: dict[str, Model | BenchError] = {}
    seconds: dict[str, float] = {}
    # one thread, because children of a process that has had several torch threads would hang
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, files in wanted.items():
        begin = time.monotonic()
        try:
            data = check_file(files.file, files.record["sha256"])
            loaded[name] = load_model(files.record, data, files.file)
        except BenchError as error:
            loaded[name] = error
        seconds[name] = time.monotonic() - begin
    torch.set_num_threads(threads)
    return Networks(loaded, seconds)


def _exported(files: ModelFiles, export: str) -> Model:
    """The model of `files` with its `export` instead of a network, after a look at its records."""
    for path, schema in ((export, "export"), (layout.export_check(export), "export_check")):
        record = records.read_json(path, schema)
        if record["outcome"] == "unavailable":
            raise UnavailableError(record["reason"])
        if record["outcome"] == "failed":
            raise BenchError(record["reason"])
        if record["sha256"] != files.record["sha256"]:
            raise BenchError(f"{path} is of another checkpoint: delete it and run snakemake again.")
    entry = files.record
    model = describe_model(entry["architecture"], entry["classes"], entry["model"])
    return replace(model, export=layout.export_folder(export))
