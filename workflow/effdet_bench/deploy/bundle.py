"""Makes a bundle of a measured mode: a folder from which the mode can be deployed."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import effdet_runtime
from effdet_bench import layout, records
from effdet_bench.archive.pack import write_zip
from effdet_bench.config.declarations import declaration
from effdet_bench.deploy.pins import extra, pins
from effdet_bench.detector.ensemble import Model, describe_model
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.summary.rows import Row, p50, standing
from effdet_bench.summary.summary import read_summary
from effdet_bench.validity.answers import read_captured
from effdet_bench.validity.figures import first_tables
from effdet_runtime import bundle as format_of

RECOMMENDED = "recommended"  # the value of the setting `bundle` for the fastest mode that fits
SHOWN = 2  # photos in a bundle
TEMPLATES = ("README.md", "Dockerfile", "pyproject.toml")


def make_bundle(
    archive: Archive, mode: str, exports: Sequence[Path], photos: Path, folder: Path
) -> Path:
    """Writes the bundle of `mode` to `folder`/<machine>-<mode>/, and a zip of it beside.

    `exports` are records of exports, and `photos` is the folder of the photos of the run.

    Raises:
        BenchError: the mode cannot be bundled, or what it ran with is not there any more.
    """
    row = choose(read_summary(archive)["rows"], mode)
    first = archive.job(row["device"], row["mode"], _counted(archive, row)[0])
    job = records.read_json(first / layout.JOB_RECORD, "job")
    final = folder / f"{archive.root.name}-{row['mode']}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary) / final.name
        for entry in job["ensemble"]:
            _write_network(root / format_of.NETWORKS, entry, _export_of(job, entry, exports))
        needed = pins(("numpy", "pillow", row["engine"]))
        _refuse_other_versions(job["versions"], needed)
        record = _record(archive, row, job)
        (root / format_of.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        _write_expected(root, first, job, photos)
        _write_texts(root, record, needed)
        _copy_runtime(root)
        format_of.write_manifest(root)
        names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        write_zip(root, names, packed := root.with_name(f"{root.name}.zip"))
        shutil.rmtree(final, ignore_errors=True)
        root.replace(final)
        packed.replace(folder / packed.name)
    return final


def choose(rows: Sequence[Row], mode: str) -> Row:
    """The row of `mode`; of the fastest valid mode that effdet_runtime serves, if `RECOMMENDED`.

    Raises:
        BenchError: there is no such mode, it is not valid, or it needs PyTorch.
    """
    served = [row for row in rows if row["options"].get("lean")]
    valid = sorted((row for row in served if row["ranked"]), key=standing)
    names = [row["mode"] for row in valid]
    if mode == RECOMMENDED:
        if not valid:
            raise BenchError(
                "no valid mode of this run can be bundled: add one with the option `lean`, such as "
                "openvino, to `modes`."
            )
        return valid[0]
    for row in valid:
        if row["mode"] == mode:
            return row
    why = "is no mode of this run"
    if mode in {row["mode"] for row in served}:
        why = "is not valid in this run"
    elif mode in {row["mode"] for row in rows}:
        why = "needs PyTorch, because it lacks the option `lean`"
    raise BenchError(
        f"{mode!r} cannot be bundled, because it {why}{did_you_mean(mode, names)}; "
        f"modes that can: {', '.join(names) or 'none'}."
    )


def _counted(archive: Archive, row: Row) -> list[int]:
    """Numbers of the rounds of `row` that count and completed."""
    counted = records.read_json(archive.settings, "settings")["counted"]
    numbers: list[int] = counted[row["device"]][row["mode"]]
    return numbers


def _export_of(job: Record, entry: Record, exports: Sequence[Path]) -> Path:
    """The folder of the export that the mode of `job` ran for the model `entry`.

    Raises:
        BenchError: the export is missing, or another one has taken its place.
    """
    made = declaration(job["engine"]).exports or {}
    wanted = {
        "engine": job["engine"],
        "device": job["device"],
        "model": entry["model"],
        "sha256": entry["sha256"],
        "options": {
            "precision": made[job["precision"]],
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


def _refuse_other_versions(measured: dict[str, str], installed: dict[str, str]) -> None:
    for package, number in installed.items():
        if measured.get(package, number) != number:
            raise BenchError(
                f"{package} {measured[package]} was measured, but {number} is installed: run "
                "`snakemake --cores 1` again, or install what was measured."
            )


def _write_network(folder: Path, entry: Record, export: Path) -> None:
    own = folder / entry["model"]
    shutil.copytree(export, own)
    np.save(own / format_of.ANCHORS, _described(entry).anchors.numpy())


def _described(entry: Record) -> Model:
    return describe_model(entry["architecture"], entry["classes"], entry["model"])


def _record(archive: Archive, row: Row, job: Record) -> dict[str, Any]:
    """What bundle.json says; `effdet_runtime.bundle.Bundle` reads it."""
    validity = row["validity"]
    assert validity is not None, "a ranked row was judged"
    matched = {model["model"]: model["matched"] for model in validity["models"]}
    latency = row["latency"]
    assert latency is not None, "a ranked row has latencies"
    return {
        "format": format_of.FORMAT,
        "mode": row["mode"],
        "library": row["engine"],
        "precision": row["precision"],
        "parallel": bool(row["options"].get("parallel")),
        "threads": job["threads"],
        "env": job["env"],
        "service": _service(archive, row, job["threads"]),
        "models": [
            {
                "name": entry["model"],
                "input_size": list(model.image_size),
                "mean": list(model.mean),
                "std": list(model.std),
                "detections": model.config.max_det_per_image,
                "candidates": model.config.max_detection_points,
                "anchors_per_cell": model.anchors_per_cell,
                "weights": entry["weights"],
                "checkpoint_sha256": entry["sha256"],
                "matched": matched[entry["model"]],
            }
            for entry in job["ensemble"]
            for model in [_described(entry)]
        ],
        "class_names": _class_names(job),
        "measured": {
            "machine": archive.root.name,
            "processor": records.read_json(archive.environment, "environment")["cpu"],
            "started": job["started"],
            "p50_ms": p50(row),
            "p90_ms": latency["percentiles"]["p90"]["ms"],
            "requests": latency["n"],
            "verdict": validity["verdict"],
            "versions": job["versions"],
        },
        "commit": job["code"]["commit"],
    }


def _service(archive: Archive, row: Row, threads: int) -> dict[str, int]:
    """Instances and threads of each that answered most requests in the load test, one at a time.

    Without a load test, one instance with all threads.
    """
    passes: list[Record] = []
    if archive.capacities.exists():
        for mode in records.read_json(archive.capacities, "capacities")["modes"]:
            if (mode["device"], mode["mode"]) == (row["device"], row["mode"]) and mode["most"]:
                kind = mode["most"]["kind"]
                passes += [p for p in mode["passes"] if p["kind"] == kind and p["batch"] == 1]
    best = max(passes, key=lambda one: one["answered_rps"], default=None)
    if best is None:
        return {"instances": 1, "threads": threads}
    return {"instances": best["instances"], "threads": best["threads"]}


def _class_names(job: Record) -> dict[str, str]:
    """Names of COCO's classes by class id, if all models have these classes."""
    names = layout.COCO_NAMES.read_text().splitlines()
    if any(entry["classes"] != len(names) for entry in job["ensemble"]):
        return {}
    return {str(number): name for number, name in enumerate(names, start=1) if name != "-"}


def _write_expected(root: Path, round_folder: Path, job: Record, photos: Path) -> None:
    """Copies the first photos, and writes the detections that the mode found in its first round."""
    answers = read_captured(round_folder)
    own = root / format_of.PHOTOS
    own.mkdir()
    tables = {
        entry["model"]: first_tables([(answers.rows, answers.tables)], entry["model"])
        for entry in job["ensemble"]
    }
    names = sorted(name for name in next(iter(tables.values())) if (photos / name).is_file())
    for name in names[:SHOWN]:
        shutil.copy(photos / name, own)
    if photos.samefile(layout.SHIPPED_PHOTOS):
        shutil.copy(photos / "CREDITS.md", own)
    expected = {
        name: {model: of[name].tolist() for model, of in tables.items()} for name in names[:SHOWN]
    }
    (root / format_of.EXPECTED).write_text(json.dumps(expected) + "\n")


def _write_texts(root: Path, record: dict[str, Any], needed: dict[str, str]) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(layout.BUNDLE_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    python = ".".join(record["measured"]["versions"]["python"].split(".")[:2])
    given = {"bundle": record, "name": root.name, "python": python, "pins": needed}
    given["serve"] = extra("serve")
    for name in TEMPLATES:
        (root / name).write_text(environment.get_template(f"{name}.j2").render(given))
    pinned = [f"{package}=={number}\n" for package, number in needed.items()]
    (root / "requirements.txt").write_text("".join(pinned))


def _copy_runtime(root: Path) -> None:
    package = Path(effdet_runtime.__file__).parent
    shutil.copytree(package, root / package.name, ignore=shutil.ignore_patterns("__pycache__"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")
    parser.add_argument("--mode", required=True, help=f"the name of a mode, or {RECOMMENDED}")
    parser.add_argument("--exports", type=Path, nargs="*", required=True, help="records of exports")
    parser.add_argument("--photos", type=Path, required=True, help="the photos of the run")


def run(args: argparse.Namespace) -> None:
    made = make_bundle(Archive(args.results), args.mode, args.exports, args.photos, layout.BUNDLES)
    print(f"The bundle: {made}, and {made.name}.zip beside it. Its README.md says what to do.")
