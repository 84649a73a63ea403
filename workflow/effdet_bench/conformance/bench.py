"""A small ensemble to try an engine on: the steps of a run make weights, photos and references."""

import argparse
import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from effdet_bench import layout, records
from effdet_bench.checkpoints import synthetic, verify
from effdet_bench.config.modes import Mode, export_of
from effdet_bench.export import check, export
from effdet_bench.facts import photos
from effdet_bench.facts.cores import physical_cores
from effdet_bench.processes import Worker, process_context
from effdet_bench.reference import reference, rounding
from effdet_bench.validity.answers import read_captured
from effdet_bench.validity.gate import Standards, judge, standards
from effdet_bench.worker.networks import load_networks
from effdet_bench.worker.spec import JobSpec, ModelFiles

# two networks of equal shapes, so that no shape gives away networks that are mixed up
ENSEMBLE = [
    {"model": name, "architecture": "tf_efficientdet_lite0", "classes": 90}
    for name in ("first", "second")
]
# what the record of `verify` says besides
SOURCE: records.Record = {"weights": "synthetic", "why": "a trial", "sha256": None, "bytes": None}
USUAL, SHAPES = "usual", "shapes"  # folders of photos, each with references
PHOTOS = 2  # usual photos
# (width, height): flat, tall, tiny, of the network's own size, and large
SIZES = ((640, 64), (64, 640), (9, 7), (320, 320), (1600, 1067))
COLOURS = ("L", "CMYK")  # Pillow's names of grey and of four colours


class Bench:
    """What trials of engines on `device` need, made in `folder`; takes some seconds.

    `threads` is the number of threads of all trials but that of the check `threads`. `networks`
    are the loaded networks, which forked processes share.
    """

    def __init__(self, device: str, folder: Path) -> None:
        self.device, self.folder = device, folder
        self.threads = min(2, len(physical_cores()))
        self._limits: dict[tuple[str, str], Standards] = {}
        self._weights = [folder / f"{entry['model']}.pth" for entry in ENSEMBLE]
        self._records = [folder / f"{entry['model']}.json" for entry in ENSEMBLE]
        for name, contents in ((USUAL, _usual()), (SHAPES, _shapes())):
            (folder / name).mkdir()
            for photo, content in contents.items():
                (folder / name / photo).write_bytes(content)
        files = [str(path) for path in self._weights]
        given = {"photos": layout.SHIPPED_PHOTOS, "seed": 0}
        run(synthetic, ensemble=ENSEMBLE, outputs=files, **given)
        known = [entry | SOURCE for entry in ENSEMBLE]
        run(verify, ensemble=known, files=files, outputs=self._records)
        for name in (USUAL, SHAPES):
            self._refer(folder / name)
        self.networks = load_networks(self._files(USUAL, [None] * len(ENSEMBLE)))

    def spec(
        self, mode: Mode, photos: str = USUAL, threads: int | None = None, models: int | None = None
    ) -> JobSpec:
        """The job of `mode`, which serves `photos`: `USUAL` or `SHAPES`.

        The first `models` of the ensemble serve, or all, with `threads` or else the usual number of
        them. Exports the networks first, if the mode runs exports that are not there yet.
        """
        paths = sorted((self.folder / photos).glob("*.jpg"))
        return JobSpec(
            device=self.device,
            mode=mode["name"],
            engine=mode["engine"],
            options=mode["options"],
            models=tuple(self._files(photos, self._exports(mode))[:models]),
            photos=tuple(map(str, paths)),
            warmup=1,
            threads=threads or self.threads,
            folder=self.folder / "answers",
        )

    def judge(self, precision: str, photos: str) -> str | None:
        """Why the captured answers to `photos` are INVALID; `None` if they are valid.

        `precision` is that in which the engine says that it computed. Errors of int8 are not
        judged, because synthetic weights do not show how large errors of trained networks are.
        """
        if (precision, photos) not in self._limits:
            self._limits[precision, photos] = self._standards(precision, photos)
        limits = self._limits[precision, photos]
        answers = [read_captured(self.folder / "answers")]
        found = judge(answers, limits.expected, limits.tolerance, limits.roundings)
        return None if found["verdict"] == "valid" else str(found["reason"])

    def _standards(self, precision: str, photos: str) -> Standards:
        references = self._references(photos)
        if precision != "int8":
            given: records.Record = {"records": self._records, "checkpoints": self._weights}
            given |= {"references": references, "folder": self.folder / photos}
            run(rounding, **given, precisions=[precision], threads=self.threads)
        roundings = [layout.reference_rounding(path) for path in references]
        limits = standards(precision, references, roundings, old=False)
        if precision == "int8":
            return limits._replace(tolerance={"wrong": limits.tolerance["wrong"]})
        return limits

    def _references(self, photos: str) -> list[Path]:
        return [self.folder / photos / f"{entry['model']}.json" for entry in ENSEMBLE]

    def _refer(self, folder: Path) -> None:
        """Writes the references of the photos in `folder`."""
        listed = folder / "photos.json"
        run(photos, folder=folder, output=listed, thumbnails=None)
        given: records.Record = {"records": self._records, "checkpoints": self._weights}
        given |= {"photos": listed}
        given |= {"folder": folder, "first": len(SIZES) + len(COLOURS)}
        run(reference, **given, threads=self.threads, output=folder)

    def _files(self, photos: str, exports: list[str | None]) -> list[ModelFiles]:
        return [
            ModelFiles(records.read_json(record, "checkpoint"), str(weights), str(path), made)
            for record, weights, path, made in zip(
                self._records, self._weights, self._references(photos), exports, strict=True
            )
        ]

    def _exports(self, mode: Mode) -> list[str | None]:
        """The records of the exports that `mode` runs on, made if they are not there."""
        wanted = export_of(mode, self.device)
        if wanted is None:
            return [None] * len(ENSEMBLE)
        made = [self.folder / wanted["name"] / f"{entry['model']}.json" for entry in ENSEMBLE]
        if not made[0].exists():
            given: records.Record = {"records": self._records, "checkpoints": self._weights}
            given["photos"] = str(layout.CALIBRATION_PHOTOS)
            asked = {key: wanted[key] for key in ("engine", "device", "options")}
            # both have a process of their own for each network
            _quietly(export.run, argparse.Namespace(**given, **asked, outputs=made))
            checks = [layout.export_check(path) for path in made]
            _quietly(check.run, argparse.Namespace(**given, exports=made, outputs=checks))
        return [str(path) for path in made]


def run(step: ModuleType, **given: Any) -> None:
    """Runs a `step` of the workflow with the arguments `given`, in a process of its own.

    This process computes nothing itself, because processes that are forked from one that has used
    several threads of torch would hang.

    Raises:
        BenchError: the step failed.
    """
    worker = Worker(process_context(), _quietly, step.run, argparse.Namespace(**given))
    worker.end()
    if not worker.outcome.completed:
        raise worker.outcome.error()


def _quietly(run: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> None:
    """Runs a step without what it prints, which is for its log."""
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        run(given)


def _usual() -> dict[str, bytes]:
    """Photos as they come, by name."""
    paths = photos.list_photos(layout.SHIPPED_PHOTOS)[:PHOTOS]
    return {path.name: path.read_bytes() for path in paths}


def _shapes() -> dict[str, bytes]:
    """A photo in all `SIZES` and `COLOURS`, by name."""
    image = Image.open(io.BytesIO(next(iter(_usual().values())))).convert("RGB")
    sizes = {f"{wide}x{high}.jpg": image.resize((wide, high)) for wide, high in SIZES}
    colours = {f"{colours}.jpg": image.convert(colours) for colours in COLOURS}
    contents = {}
    for name, made in (sizes | colours).items():
        out = io.BytesIO()
        made.save(out, "JPEG", quality=95)
        contents[name] = out.getvalue()
    return contents
