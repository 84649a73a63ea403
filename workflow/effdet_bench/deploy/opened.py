"""Modes opened for use, outside of any measurement: of a working copy, and of a bundle."""

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from effdet_bench import layout, records
from effdet_bench.checkpoints import sources
from effdet_bench.config import settings
from effdet_bench.config.modes import Mode, export_of, read_modes, shipped_modes
from effdet_bench.config.names import class_names
from effdet_bench.detector.devices import open_device
from effdet_bench.detector.ensemble import Model, describe_model, load_model
from effdet_bench.engines.base import Engine
from effdet_bench.engines.lean import Lean
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import BenchError, did_you_mean, in_one_line
from effdet_bench.worker.networks import load_networks
from effdet_bench.worker.spec import ModelFiles
from effdet_runtime.bundle import WEIGHTS, Bundle
from effdet_runtime.detector import Detector
from effdet_runtime.errors import BundleError
from effdet_runtime.pipeline import Serves


class EnginePipeline:
    """A pipeline of effdet_runtime whose stages are those of an `engine` of the benchmark."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.models = engine.models

    def answer(self, image: Image.Image) -> list[np.ndarray]:
        """The table of each model for `image`: see `effdet_runtime.boxes.detect`."""
        photo = image if type(self._engine).decode is Engine.decode else self._decoded(image)
        self._engine.begin_request()
        with torch.inference_mode():
            return self._engine.each_model(lambda index: self._table(index, photo))

    def close(self) -> None:
        """Nothing: the engine ends with its process."""

    def _decoded(self, image: Image.Image) -> Any:
        """`image` as an engine decodes it that has a decoder of its own."""
        file = io.BytesIO()
        image.save(file, "BMP")
        return self._engine.decode(file.getvalue())

    def _table(self, index: int, photo: Any) -> np.ndarray:
        given = self._engine.preprocess(index, photo)
        outputs = self._engine.forward(index, given.pixels)
        table = self._engine.postprocess(index, outputs, given.scale, given.size)
        return table.cpu().numpy().copy()


def open_mode(name: str, device: str, files: Sequence[str]) -> Detector:
    """`effdet_bench.open_mode`."""
    config = settings.resolve(_merged(["config.yaml", *files]))
    mode = _mode(name, config["modes"])
    _warn_of(mode["env"])
    torch.set_num_threads(config["threads"])
    models = _models(mode, device, sources.choose(config))
    engine = load_engine(mode["engine"], models, open_device(device), mode["options"])
    names = class_names(entry["classes"] for entry in config["ensemble"])
    return Detector.of(_pipeline(engine), names)


def _merged(files: Sequence[str]) -> dict[str, Any]:
    """The settings in `files`, of which later ones replace earlier ones, as in Snakemake."""
    given: dict[str, Any] = {}
    for file in files:
        try:
            more = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BenchError(
                f"{file} cannot be read ({in_one_line(error)}): give the settings of the run."
            ) from None
        _update(given, more)
    return given


def _update(given: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(given.get(key), dict):
            _update(given[key], value)
        else:
            given[key] = value


def _pipeline(engine: Engine) -> Serves:
    return engine.pipeline if isinstance(engine, Lean) else EnginePipeline(engine)


def open_bundle(bundle: Bundle, threads: int) -> EnginePipeline:
    """The pipeline of a bundle whose mode needs the engines of the benchmark.

    Raises:
        BundleError: this machine or environment cannot run the mode.
    """
    try:
        return _open_bundle(bundle, threads)
    except BenchError as error:
        raise BundleError(str(error)) from None


def _open_bundle(bundle: Bundle, threads: int) -> EnginePipeline:
    record = bundle.record
    _warn_of(record["env"])
    torch.set_num_threads(threads)
    models = [_bundled(bundle.folder(entry["name"]), entry) for entry in record["models"]]
    device = open_device(record["device"])
    return EnginePipeline(load_engine(record["engine"], models, device, record["options"]))


def _mode(name: str, configured: list[Mode]) -> Mode:
    for mode in configured:
        if mode["name"] == name:
            return mode
    known = [*shipped_modes(), *(mode["name"] for mode in configured)]
    if name not in known:
        raise BenchError(f"there is no mode {name!r}{did_you_mean(name, known)}: see config.yaml.")
    return read_modes([name])[0]


def _models(mode: Mode, device: str, chosen: list[sources.Source]) -> list[Model]:
    """The models that `mode` runs, from the files that a run has left.

    Raises:
        BenchError: a file is missing, because the mode was not timed in this folder.
    """
    export = export_of(mode, device)
    files = []
    for one in chosen:
        checkpoint = layout.checkpoint_record(one.model, one.weights)
        made = layout.export_record(export["name"], one.model, one.weights) if export else None
        for path in filter(None, (checkpoint, made)):
            if not path.exists():
                raise BenchError(
                    f"{path} is missing: first time the mode {mode['name']!r} in this folder, "
                    "with the same settings."
                )
        record = records.read_json(checkpoint, "checkpoint")
        files.append(ModelFiles(record, one.path, "", str(made) if made else None))
    networks = load_networks(files)
    return [networks.model(one) for one in files]


def _bundled(folder: Path, entry: dict[str, Any]) -> Model:
    model = {"model": entry["name"]} | {key: entry[key] for key in ("architecture", "classes")}
    weights = folder / WEIGHTS
    if weights.exists():
        return load_model(model, weights.read_bytes(), str(weights))
    described = describe_model(entry["architecture"], entry["classes"], entry["name"])
    return replace(described, export=folder)


def _warn_of(env: dict[str, str]) -> None:
    missing = {name: value for name, value in env.items() if os.environ.get(name) != value}
    if missing:
        shown = " ".join(f"{name}={value}" for name, value in missing.items())
        warnings.warn(f"the mode was measured with {shown}, set before Python starts", stacklevel=3)
