"""Makes a bundle of a measured mode: a folder from which the mode can be deployed."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effdet_bench import layout, records
from effdet_bench.archive.pack import write_zip
from effdet_bench.archive.render import counted_rounds
from effdet_bench.config.names import class_names
from effdet_bench.deploy.contents import Sources, write_expected, write_networks, write_package
from effdet_bench.detector.ensemble import describe_model
from effdet_bench.errors import BenchError, did_you_mean
from effdet_bench.facts.engines import located
from effdet_bench.layout import Archive
from effdet_bench.records import Record
from effdet_bench.report.recommendation import fastest
from effdet_bench.summary.rows import Row, latency_of, p50
from effdet_bench.summary.summary import read_summary
from effdet_runtime.bundle import BENCHMARK, FORMAT, NETWORKS, RECORD, write_manifest

RECOMMENDED = "recommended"  # the value of the setting `bundle` for the fastest mode that fits


def make_bundle(archive: Archive, mode: str, sources: Sources, folder: Path) -> Path:
    """Writes the bundle of `mode` to `folder`/<machine>-<mode>/, and a zip of it beside.

    Raises:
        BenchError: the mode cannot be bundled, or what it ran with is not there any more.
    """
    summary, config = read_summary(archive), records.settings_of(archive)
    row = choose([row for row in summary["rows"] if row["ranked"]], mode, config)
    if package := located(row["engine"]).package:
        raise BenchError(
            f"{row['mode']} cannot be bundled, because its engine is of the package {package}, "
            "which a bundle cannot contain: set `bundle` to another mode."
        )
    number = counted_rounds(archive)[row["device"], row["mode"]][0]
    raw = archive.job(row["device"], row["mode"], number)
    job = records.read_json(raw / layout.JOB_RECORD, "job")
    record = describe(archive, row, job)
    final = folder / f"{archive.root.name}-{row['mode']}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary) / final.name
        write_networks(root / NETWORKS, job, sources)
        (root / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        write_expected(root, raw, job, sources.photos)
        write_package(root, record, job)
        write_manifest(root)
        names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        write_zip(root, names, packed := root.with_name(f"{root.name}.zip"))
        shutil.rmtree(final, ignore_errors=True)
        root.replace(final)
        packed.replace(folder / packed.name)
    return final


def choose(valid: Sequence[Row], mode: str, needs: Record) -> Row:
    """The row of `mode` among `valid` rows; that of the fastest which keeps `needs`, settings of
    the recommendation, if `mode` is `RECOMMENDED`.

    Raises:
        BenchError: there is no such valid mode, or it ran on several devices.
    """
    if mode == RECOMMENDED:
        fitting = fastest(valid, needs)
        if not fitting:
            raise BenchError(
                "no valid mode keeps the settings recommend_…: set `bundle` to the name of a mode."
            )
        return fitting[0]
    names = list(dict.fromkeys(row["mode"] for row in valid))
    found = [row for row in valid if row["mode"] == mode]
    if not found:
        raise BenchError(
            f"{mode!r} cannot be bundled, because it is no valid mode of this run"
            f"{did_you_mean(mode, names)}: add it to `modes`, or choose one of "
            f"{', '.join(names) or 'none'}."
        )
    if len(found) > 1:
        raise BenchError(f"{mode!r} ran on several devices: set `devices` to the one to bundle.")
    return found[0]


def describe(archive: Archive, row: Row, job: Record) -> dict[str, Any]:
    """What bundle.json says; `effdet_runtime.bundle.Bundle` reads it."""
    validity = row["validity"]
    assert validity is not None, "a ranked row was judged"
    matched = {model["model"]: model["matched"] for model in validity["models"]}
    latency = latency_of(row)
    return {
        "format": FORMAT,
        "mode": row["mode"],
        "library": row["engine"] if row["options"].get("lean") else BENCHMARK,
        "engine": row["engine"],
        "device": row["device"],
        "options": row["options"],
        "precision": row["precision"],
        "parallel": bool(row["options"].get("parallel")),
        "threads": job["threads"],
        "env": job["env"],
        "service": _service(archive, row, job["threads"]),
        "models": [
            _model(entry) | {"matched": matched[entry["model"]]} for entry in job["ensemble"]
        ],
        "class_names": class_names(entry["classes"] for entry in job["ensemble"]),
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


def _model(entry: Record) -> dict[str, Any]:
    model = describe_model(entry["architecture"], entry["classes"], entry["model"])
    return {
        "name": entry["model"],
        "architecture": entry["architecture"],
        "classes": entry["classes"],
        "input_size": list(model.image_size),
        "mean": list(model.mean),
        "std": list(model.std),
        "detections": model.config.max_det_per_image,
        "candidates": model.config.max_detection_points,
        "anchors_per_cell": model.anchors_per_cell,
        "weights": entry["weights"],
        "checkpoint_sha256": entry["sha256"],
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")
    parser.add_argument("--mode", required=True, help=f"the name of a mode, or {RECOMMENDED}")
    parser.add_argument("--exports", type=Path, nargs="*", required=True, help="records of exports")
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True, help="their files")
    parser.add_argument("--photos", type=Path, required=True, help="the photos of the run")


def run(args: argparse.Namespace) -> None:
    sources = Sources(args.exports, args.checkpoints, args.photos)
    made = make_bundle(Archive(args.results), args.mode, sources, layout.BUNDLES)
    print(f"The bundle: {made}, and {made.name}.zip beside it. Its README.md says what to do.")
