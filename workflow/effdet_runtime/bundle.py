"""A bundle: a folder with networks, and with everything that is needed to run them.

`bundle.json` says what the networks are and how they were measured, and `MANIFEST.sha256` has the
digest of every file.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from effdet_runtime.boxes import Rules
from effdet_runtime.errors import BundleError
from effdet_runtime.pipeline import Model, Serves, open_pipeline

FORMAT = 1
RECORD, MANIFEST, EXPECTED = "bundle.json", "MANIFEST.sha256", "expected.json"
PHOTOS, NETWORKS, ANCHORS, WEIGHTS = "photos", "networks", "anchors.npy", "weights.pth"
BENCHMARK = "effdet_bench"  # the library of modes that need PyTorch, or another engine of its own


@dataclass(frozen=True)
class Bundle:
    """A bundle in the folder `root`, whose files are those of its manifest.

    `record` is bundle.json; `effdet_bench.deploy.bundle.describe` makes it.
    """

    root: Path
    record: dict[str, Any]

    def open(self, threads: int | None = None) -> Serves:
        """The pipeline of this bundle, on `threads` threads; by default as many as were measured.

        Raises:
            BundleError: this machine or environment cannot run the networks.
        """
        record = self.record
        threads = record["threads"] if threads is None else threads
        if record["library"] == BENCHMARK:
            return self._of_benchmark(threads)
        return open_pipeline(
            [self._model(entry) for entry in record["models"]],
            [self.folder(entry["name"]) for entry in record["models"]],
            record["library"],
            record["precision"],
            threads,
            record["parallel"],
        )

    def _of_benchmark(self, threads: int) -> Serves:
        try:
            opened = import_module("effdet_bench.deploy.opened")
        except ImportError as error:
            raise BundleError(
                f"the package {error.name} is not installed: `pip install` the bundle's folder."
            ) from None
        pipeline: Serves = opened.open_bundle(self, threads)
        return pipeline

    def folder(self, model: str) -> Path:
        """The folder of the network of `model`."""
        return self.root / NETWORKS / model

    def names(self) -> dict[int, str]:
        """Names of classes by class id."""
        return {int(number): name for number, name in self.record["class_names"].items()}

    def expected(self) -> dict[str, dict[str, np.ndarray]]:
        """For each photo in `photos/`, the table of each model in the measurement."""
        written = json.loads((self.root / EXPECTED).read_text())
        return {
            photo: {model: np.array(rows, np.float32).reshape(-1, 6) for model, rows in of.items()}
            for photo, of in written.items()
        }

    def _model(self, entry: dict[str, Any]) -> Model:
        height, width = entry["input_size"]
        return Model(
            entry["name"],
            (height, width),
            tuple(entry["mean"]),
            tuple(entry["std"]),
            np.load(self.folder(entry["name"]) / ANCHORS, allow_pickle=False),
            Rules(entry["detections"], entry["candidates"], entry["anchors_per_cell"]),
        )


def read_bundle(root: Path) -> Bundle:
    """The bundle in the folder `root`, after a check of every digest.

    Raises:
        BundleError: there is no bundle, a file is missing or has changed, or another version of
            effdet_runtime made the bundle. The text names the file.
    """
    if not (root / MANIFEST).is_file():
        raise BundleError(
            f"{root} is no bundle, because it has no {MANIFEST}: give the folder of a bundle, not "
            "its zip file."
        )
    _check_digests(root)
    record = json.loads((root / RECORD).read_text())
    if record["format"] != FORMAT:
        raise BundleError(
            f"{root / RECORD} has format {record['format']}, but this effdet_runtime reads format "
            f"{FORMAT}: install the effdet_runtime that is in the bundle."
        )
    return Bundle(root, record)


def write_manifest(root: Path) -> None:
    """Writes the digest of every file in `root`, as sha256sum does."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    lines = [f"{_digest(path)}  {path.relative_to(root).as_posix()}\n" for path in files]
    (root / MANIFEST).write_text("".join(lines))


def _check_digests(root: Path) -> None:
    lines = (root / MANIFEST).read_text(errors="replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if "" in listed or RECORD not in listed:
        raise BundleError(f"{root / MANIFEST} is damaged: copy the bundle again.")
    for name, digest in listed.items():
        path = root / name
        if not path.is_file():
            raise BundleError(f"{path} is missing: copy the bundle again.")
        if _digest(path) != digest:
            raise BundleError(f"{path} is not the file that was bundled: copy the bundle again.")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
