"""ExecuTorch with XNNPACK on the CPU: PyTorch's library for phones and Arm."""

from importlib.metadata import version
from pathlib import Path

import torch
from executorch.extension.pybindings.portable_lib import (
    _load_for_executorch,
    _threadpool_get_thread_count,
    _unsafe_reset_threadpool,
)

from effdet_bench.config.modes import Options
from effdet_bench.detector.ensemble import Model
from effdet_bench.detector.rewrite import Flat, mean_by_blocks
from effdet_bench.engines.base import ExportedEngine, check_threads, refuse_gpus
from effdet_bench.errors import UnavailableError

OPTIONS = {"rewritten": [False, True], "sparse_postprocess": [False, True]}
EXPORTS = {"fp32": "fp32"}
PACKAGES = ["executorch"]
FILE = "model.pte"


class ExecuTorch(ExportedEngine):
    version = f"executorch {version('executorch')}"

    def __init__(self, models: list[Model], device: torch.device, options: Options) -> None:
        super().__init__(models, device, options)
        refuse_gpus("ExecuTorch", device)
        # the process has one pool of threads, which by default takes every core of the machine
        _unsafe_reset_threadpool(self.threads)
        check_threads("ExecuTorch", _threadpool_get_thread_count(), self.threads)
        self._networks = [_load_for_executorch(str(model.exported / FILE)) for model in models]

    def run(self, index: int, pixels: torch.Tensor) -> list[torch.Tensor]:
        # not copied: valid until this network runs again, and the harness reads answers before that
        outputs: list[torch.Tensor] = self._networks[index].forward([pixels], clone_outputs=False)
        return outputs


def export(
    model: Model, device: torch.device, options: Options, samples: list[torch.Tensor], folder: Path
) -> None:
    """Writes the network of `model` to `folder`; XNNPACK runs the layers that it supports.

    Raises:
        UnavailableError: the network is not rewritten. In effdet's heads, all levels share a
            convolution, and each level has a BatchNorm. ExecuTorch 1.5 folds each BatchNorm into
            the shared weights, which gives wrong answers.
    """
    # here, because both import the exporter, which no timing needs
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    refuse_gpus("ExecuTorch", device)
    if not options.get("rewritten"):
        raise UnavailableError(
            "ExecuTorch folds each level's BatchNorm into weights that all levels share, and "
            "answers wrongly: set `rewritten: true` for this mode."
        )
    with torch.no_grad():
        exported = torch.export.export(Flat(mean_by_blocks(model.network)).eval(), (samples[0],))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    (folder / FILE).write_bytes(lowered.to_executorch().buffer)


def load(models: list[Model], device: torch.device, options: Options) -> ExportedEngine:
    return ExecuTorch(models, device, options)
