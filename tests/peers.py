"""Engines' forward times beside those of the engines' own tools: python tests/peers.py EXPORTS

EXPORTS is the folder `export` of a working copy in which the workflow has run. Of every fp32 export
for OpenVINO and ONNX Runtime in it, `benchmark_app` and `onnxruntime.tools.onnxruntime_test` time
the forward in turns with our engine, each in a fresh process, for ROUNDS rounds of REPEATS
forwards. Processes of either are up to a fifth slower than others of the same, from their start to
their end, so the ratio has its 95 % interval: fails where that lies further than LIMIT from 1. It
takes a quarter of an hour and wants an otherwise idle machine, so it is no part of `make test`.
"""

import dataclasses
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from effdet_bench.detector.ensemble import describe_model
from effdet_bench.engines.loading import load_engine
from effdet_bench.summary.comparison import Comparison, compare
from helpers import unlimited

ROUNDS, REPEATS, LIMIT = 10, 40, 0.03


def ours(engine: str, architecture: str, folder: str) -> None:
    """Prints median and mean milliseconds of our engine's forward, nothing else between them."""
    model = dataclasses.replace(describe_model(architecture), export=Path(folder))
    loaded = load_engine(engine, [model], torch.device("cpu"))
    pixels = torch.randn(1, 3, *model.image_size)
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            begin = time.perf_counter()
            loaded.forward(0, pixels)
            times.append(1000 * (time.perf_counter() - begin))
    print(f"Median: {statistics.median(times)} Mean: {statistics.mean(times)}")


def our_time(engine: str, architecture: str, folder: Path, figure: str) -> float:
    return figure_of(figure, __file__, engine, architecture, str(folder))


def openvino_time(folder: Path) -> float:
    tool = Path(sys.executable).with_name("benchmark_app")
    options = f"-d CPU -hint none -api sync -infer_precision f32 -niter {REPEATS}"
    threads = ["-nstreams", "1", "-nthreads", str(torch.get_num_threads())]
    return figure_of(
        "Median", str(tool), "-m", str(folder / "model.xml"), *options.split(), *threads
    )


def onnxruntime_time(folder: Path) -> float:
    tool = ("-m", "onnxruntime.tools.onnxruntime_test")
    return figure_of("avg latency", *tool, str(folder / "model.onnx"), str(REPEATS))


# the tool, and which figure of ours is the one that it prints
TOOLS = {"openvino": (openvino_time, "Median"), "onnxruntime": (onnxruntime_time, "Mean")}


def figure_of(name: str, *command: str) -> float:
    """What a script of Python prints after `name:`, from a process of its own."""
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=unlimited()
    )
    found = re.search(rf"{name}:\s*([\d.]+)", done.stdout)
    if not found:
        raise SystemExit(f"{' '.join(command)} printed no {name!r}: {done.stdout}{done.stderr}")
    return float(found[1])


def ratio(engine: str, architecture: str, folder: Path) -> Comparison:
    """Our time over theirs, by rounds, each first in every other one."""
    tool, figure = TOOLS[engine]
    ours, theirs = {}, {}
    for number in range(ROUNDS):
        first = our_time(engine, architecture, folder, figure) if number % 2 else None
        theirs[number] = {0: [tool(folder)]}
        ours[number] = {0: [first or our_time(engine, architecture, folder, figure)]}
    found = compare(theirs, ours)
    assert found is not None, "all rounds are of both"
    return found


def compare_all(exports: Path) -> bool:
    """Prints a line for each export; whether all may be within the limit."""
    within = []
    for path in sorted(exports.glob("*/*.json")):
        record = json.loads(path.read_text())
        if record.get("engine") not in TOOLS or record.get("outcome") != "completed":
            continue
        options = record.get("options")  # which the record of a check has not
        if not options or options["precision"] != "fp32" or not options["rewritten"]:
            continue
        found = ratio(record["engine"], record["model"], path.with_suffix(""))
        within.append(found.low <= 1 + LIMIT and found.high >= 1 - LIMIT)
        text = f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"
        print(f"{record['engine']} {record['model']}: {text}", flush=True)
    if not within:
        raise SystemExit(f"{exports} has no fp32 export for OpenVINO or ONNX Runtime: run `make`.")
    return all(within)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        ours(*sys.argv[1:])
    else:
        sys.exit(not compare_all(Path(sys.argv[1])))
