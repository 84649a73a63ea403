"""What a bundle contains: networks, expected detections, code, and how to install it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

import effdet_runtime
from effdet_bench import layout, records
from effdet_bench.checkpoints.verify import check_file
from effdet_bench.config.declarations import declaration
from effdet_bench.deploy.pins import extra, imported, package_of, pins, public
from effdet_bench.detector.ensemble import describe_model
from effdet_bench.errors import BenchError
from effdet_bench.facts.code import module_files
from effdet_bench.records import Record
from effdet_bench.validity.answers import read_captured
from effdet_bench.validity.figures import first_tables
from effdet_runtime.bundle import ANCHORS, BENCHMARK, EXPECTED, PHOTOS, WEIGHTS

SHOWN = 2  # photos in a bundle
TEMPLATES = ("README.md", "Dockerfile", ".dockerignore", "pyproject.toml")
NOT_DEPLOYED = shutil.ignore_patterns("__pycache__", "project", "resources", "templates")


class Sources(NamedTuple):
    """Where a run left its files: records of exports, and the folder of photos.

    `checkpoints` has the file of each model, in the order of the ensemble.
    """

    exports: Sequence[Path]
    checkpoints: Sequence[Path]
    photos: Path


def write_networks(root: Path, job: Record, sources: Sources) -> None:
    """Writes to `root`/<model>/ what the mode of `job` ran for each model of its ensemble.

    Raises:
        BenchError: it is missing, or another one has taken its place.
    """
    # `sources` has the order of the ensemble, because rounds of another ensemble do not count
    for entry, checkpoint in zip(job["ensemble"], sources.checkpoints, strict=True):
        folder = root / entry["model"]
        if declaration(job["engine"]).exports is None:
            folder.mkdir(parents=True)
            (folder / WEIGHTS).write_bytes(check_file(str(checkpoint), entry["sha256"]))
            continue
        shutil.copytree(_export_of(job, entry, sources.exports), folder)
        if job["options"].get("lean"):
            model = describe_model(entry["architecture"], entry["classes"], entry["model"])
            np.save(folder / ANCHORS, model.anchors.numpy())


def _export_of(job: Record, entry: Record, exports: Sequence[Path]) -> Path:
    """The folder of the export that the mode of `job` ran for the model `entry`."""
    precisions = declaration(job["engine"]).exports or {}
    wanted = {
        "engine": job["engine"],
        "device": job["device"],
        "model": entry["model"],
        "sha256": entry["sha256"],
        "options": {
            "precision": precisions[job["precision"]],
            "rewritten": bool(job["options"].get("rewritten")),
        },
    }
    for path in exports:
        record = records.read_json(path, "export")
        if {key: record[key] for key in wanted} == wanted and record["outcome"] == "completed":
            return layout.export_folder(path)
    raise BenchError(
        f"the export of {entry['model']} that {job['mode']} ran is not in {layout.EXPORTS}: run "
        "`snakemake --cores 1` again."
    )


def write_expected(root: Path, raw: Path, job: Record, photos: Path) -> None:
    """Copies the first photos, and writes the detections that the mode found in them.

    `raw` is the folder of the raw data of one round, whose record is `job`.
    """
    answers, models = read_captured(raw), [entry["model"] for entry in job["ensemble"]]
    tables = {model: first_tables([answers], model) for model in models}
    answered = sorted(next(iter(tables.values())))
    names = [name for name in answered if (photos / name).is_file()][:SHOWN]
    own = root / PHOTOS
    own.mkdir()
    for name in names:
        shutil.copy(photos / name, own)
    if photos.samefile(layout.SHIPPED_PHOTOS):
        shutil.copy(photos / "CREDITS.md", own)
    expected = {name: {model: of[name].tolist() for model, of in tables.items()} for name in names}
    (root / EXPECTED).write_text(json.dumps(expected) + "\n")


def write_package(root: Path, record: dict[str, Any], job: Record) -> None:
    """Writes the code that the bundle in `root` needs, and how to install it.

    Raises:
        BenchError: a package has another version than was measured, or is missing.
    """
    runtime = Path(effdet_runtime.__file__).parent
    shutil.copytree(runtime, root / runtime.name, ignore=NOT_DEPLOYED)
    packages = ["numpy", "pillow", package_of(record["engine"])]
    if record["library"] == BENCHMARK:
        shutil.copytree(layout.PACKAGE, root / layout.PACKAGE.name, ignore=NOT_DEPLOYED)
        packages = imported(module_files("deploy.opened", engine=record["engine"]))
    needed = pins(packages)
    for package, number in needed.items():
        measured = job["versions"].get(package, number)
        if public(measured) != number:
            raise BenchError(
                f"{package} {measured} was measured, but {number} is installed: install what was "
                "measured, or run `snakemake --cores 1` again. A mode with a `python` of its own "
                "needs the first."
            )
    pinned = [f"{package}=={number}\n" for package, number in needed.items()]
    (root / "requirements.txt").write_text("".join(pinned))
    _write_texts(root, {"bundle": record, "name": root.name, "pins": needed})


def _write_texts(root: Path, given: dict[str, Any]) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(layout.BUNDLE_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    versions = given["bundle"]["measured"]["versions"]
    given |= {"python": versions["python"].rpartition(".")[0], "serve": extra("serve")}
    for name in TEMPLATES:
        (root / name).write_text(environment.get_template(f"{name}.j2").render(given))
