"""effdet-bench: how fast EfficientDet detectors serve one request, and whether they are right."""

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# importing effdet compiles its NMS loop with torch.jit.script, which torch warns is deprecated;
# users cannot change effdet
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")


def open_mode(name: str, device: str = "cpu", settings: str | Sequence[str] = ()) -> Any:
    """An `effdet_runtime.Detector` that serves as the mode `name` does, from files of a run here.

    `settings` are the files that the run got by --configfile, if any: they replace settings of
    config.yaml. docs/deployment.md shows how to use a detector.

    Raises:
        BenchError: there is no such mode, or it was not timed in this folder.
        UnavailableError: this machine lacks `device`, or what the mode's engine needs.
    """
    files = [settings] if isinstance(settings, str) else settings
    # not imported in the usual way, because every step would then depend on all that it imports
    return import_module("effdet_bench.deploy.opened").open_mode(name, device, files)
