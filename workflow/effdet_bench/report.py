"""Renders report.md from a machine's archive: summary, environment, photos and raw latencies.

The templates choose their words by the data and print no number that is not in the archive.
"""

import argparse
from pathlib import Path

import jinja2
import yaml

from effdet_bench import records
from effdet_bench.html import to_html
from effdet_bench.jobs import Job, jobs_of
from effdet_bench.rows import p50, place, standing, unsplit

TEMPLATES = Path(__file__).parents[1] / "templates"
ACCELERATORS = {"cuda", "mps"}
RAW_VALUES = 200  # of one round; longer lists stay in requests.csv alone

# What the field tries: the kind of machine that it concerns (on others the report is silent about
# it), and how to tell a row that shows it from its device, engine and options.
ROADMAP = (
    (
        "Device selection",
        "an accelerator in place of the CPU",
        "accelerator",
        {"device": ACCELERATORS},
    ),
    ("Layout", "channels-last", None, {"channels_last": {True}}),
    (
        "Fusion",
        "BatchNorm folded, BiFPN rewritten, exact top-k",
        None,
        {"fused": {"network", True}},
    ),
    ("Compilation", "`torch.compile`", None, {"engine": {"compile"}}),
    (
        "Batching of models",
        "`torch.vmap`, grouped convolutions",
        None,
        {"engine": {"vmap", "grouped"}},
    ),
    ("Concurrency", "the ensemble's models side by side", None, {"parallel": {True}}),
    ("16-bit arithmetic", "bfloat16 or float16", None, {"precision": {"bf16", "fp16"}}),
    (
        "INT8 quantisation",
        "calibrated on photos that are not the timed ones",
        None,
        {"precision": {"int8"}},
    ),
    ("ONNX Runtime", "the networks exported to ONNX", None, {"engine": {"onnxruntime"}}),
    ("OpenVINO", "the networks converted to it", None, {"engine": {"openvino"}}),
    ("TensorRT", "the networks compiled for NVIDIA GPUs", "cuda", {"engine": {"tensorrt"}}),
    ("Core ML", "the networks converted for Apple devices", "mps", {"engine": {"coreml"}}),
)


def render(view: dict) -> str:
    """The report in Markdown from what `context` returns; the same for the same view."""
    template = environment_of_templates().get_template("report.md.j2")
    return template.render(view, key_finding=key_finding(view))


def environment_of_templates() -> jinja2.Environment:
    """The templates of `workflow/templates`, with the filters that put numbers into words."""
    loader = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    loader.filters |= {
        "ms": milliseconds,
        "times": times,
        "rps": requests_per_second,
        "percent": lambda share: f"{share * 100:.1f} %",
        "gib": lambda size: f"{size / 2**30:.1f} GiB",
        "mib": lambda size: f"{size / 2**20:,.0f} MiB",
        "millions": lambda count: f"{count / 1e6:.3f} M",
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=96),
        "count": lambda number: f"{number:,}",
        "error": lambda value: "0" if value == 0 else f"{value:.2g}",
        "interval": interval,
        "raw": _raw,
        "unsplit": unsplit,
    }
    return loader


def context(
    summary: dict, environment: dict, photos: list[dict], jobs: list[Job], config: dict
) -> dict:
    """What the templates see: the archive, and its rows sorted into what may be ranked and not.

    `config` are the settings of the archive.
    """
    measured = sorted(
        (row for row in summary["rows"] if row["latency"]),
        key=standing,
    )
    valid = [row for row in measured if row["ranked"]]
    baselines = [row for row in valid if row["mode"] == "baseline"]
    unsupported = {
        name: found["needs"]
        for row in measured
        for name, found in row["latency"]["percentiles"].items()
        if not found["supported"]
    }
    devices = dict.fromkeys(row["device"] for row in summary["rows"])
    accelerated = environment["accelerators"] or set(devices) - {"cpu"}
    kinds = {*devices, *(["accelerator"] if accelerated else [])}
    return {
        "summary": summary,
        "environment": environment,
        "photos": photos,
        "raw_values": RAW_VALUES,
        "config": config,
        "options": {"smoke": config["smoke"], **config["report"]},
        "jobs": [job for job in jobs if job.completed],
        "measured": measured,
        "valid": valid,
        "floors": [row for row in measured if row["floor"]],
        "twins": [row for row in measured if row["twin"]],
        "judged": [row for row in summary["rows"] if row["validity"]["models"]],
        "doubted": [row for row in measured if row["doubts"]],
        "shared_doubts": {device: _shared_doubts(measured, device) for device in devices},
        "roofs": [roof for roof in summary["rooflines"] if roof["outcome"] == "completed"],
        "missing": [row for row in summary["rows"] if row["outcome"] != "completed"],
        "baseline": next((r for r in valid if place(r) == summary["baseline"]), None),
        "other_devices": [r for r in baselines if place(r) != summary["baseline"]],
        "synthetic": [e for e in summary["ensemble"] if e["weights"] == "synthetic"],
        "unsupported": unsupported,
        "requests_for": lambda needs: -(-needs // summary["rounds"]),
        "roadmap": [
            {"name": name, "what": what, "measured": [r for r in valid if _shows(r, signs)]}
            for name, what, concerns, signs in ROADMAP
            if concerns is None or concerns in kinds
        ],
    }


def _shared_doubts(measured: list[dict], device: str) -> list[dict]:
    """Doubts that all modes on `device` have in common, as those about the machine are."""
    doubts = [row["doubts"] for row in measured if row["device"] == device]
    return [one for one in doubts[0] if all(one in d for d in doubts)] if len(doubts) > 1 else []


def key_finding(view: dict) -> str:
    """The report in one sentence, from the data of `context`."""
    valid, baseline = view["valid"], view["baseline"]
    if not valid:
        return "No mode gave valid answers on this machine"
    fastest = next((row for row in valid if _stands_out(row)), baseline or valid[0])
    named = f"`{fastest['mode']}` on {fastest['device'].upper()}"
    cost = (
        f"one request takes {milliseconds(p50(fastest))} at the median, "
        f"{requests_per_second(fastest['latency']['throughput_rps'])} from one process"
    )
    versus = fastest["comparison"]
    if fastest is not baseline and versus is not None:
        return (
            f"{named} is {times(versus['ratio'])} as fast as `baseline` on "
            f"{baseline['device'].upper()} ({interval(versus)}): {cost}"
        )
    alone = baseline is None or len(valid) == 1
    return f"With {named}, {cost}" + ("" if alone else ", and no other mode was shown to be faster")


def terminal(view: dict) -> str:
    """What the report finds, for a terminal: the key finding, and a line per mode."""
    lines = [("", "p50", "as fast as baseline", "verdict", "answers")]
    for row in view["measured"]:
        versus = row["comparison"] or {}
        ratio = times(versus["ratio"]) if versus else "1.00x" if row is view["baseline"] else "–"
        verdict = versus.get("verdict", "–")
        shown = (milliseconds(p50(row)), ratio, verdict, row["validity"]["verdict"])
        lines.append((f"{row['device']} {row['mode']}", *shown))
    for row in view["missing"]:
        lines.append((f"{row['device']} {row['mode']}", "–", "–", row["outcome"], row["reason"]))
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:4]]
    aligned = [
        "{:<{}}  {:>{}}  {:>{}}  {:<{}}  ".format(
            *(part for pair in zip(line[:4], widths, strict=True) for part in pair)
        )
        + line[4]
        for line in lines
    ]
    return "\n".join([f"{key_finding(view)}.", "", *aligned])


def interval(versus: dict) -> str:
    """The interval of a comparison in words, as `95 % interval 2.10x to 2.30x`."""
    if versus["low"] is None:
        return "one round, so without an interval"
    return f"95 % interval {times(versus['low'])} to {times(versus['high'])}"


def _stands_out(row: dict) -> bool:
    """Whether `row` was found faster than baseline, or measured too seldom to say but is."""
    versus = row["comparison"]
    return versus is not None and (
        versus["verdict"] == "FASTER" or (versus["low"] is None and versus["ratio"] > 1)
    )


def milliseconds(value: float) -> str:
    """`1,459.29 ms`, with more digits where the value is small: `0.0123 ms`."""
    digits = 2 if value >= 1 else 4
    return f"{value:,.{digits}f} ms"


def times(ratio: float) -> str:
    """`8.66x`, without decimals from 1,000 on."""
    return f"{ratio:,.2f}x" if ratio < 1000 else f"{ratio:,.0f}x"


def requests_per_second(rate: float) -> str:
    """`0.68 requests/s`."""
    return f"{rate:,.2f} requests/s"


def _raw(latencies_ns: list[int]) -> str:
    return ", ".join(f"{latency / 1e6:.2f}" for latency in latencies_ns[:RAW_VALUES])


def _shows(row: dict, signs: dict[str, set]) -> bool:
    told = row | row["options"]
    return all(told.get(key) in values for key, values in signs.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def view_of(results: Path, summary: dict, jobs: list[Job], config: dict) -> dict:
    """The `context` of the archive `results`, of which `jobs` are those that completed."""
    environment = records.read_json(results / "environment.json", "environment")
    photos = records.read_json(results / "photos.json", "photos")["photos"]
    return context(summary, environment, photos, jobs, config)


def write_report(results: Path, view: dict) -> None:
    """Writes report.md and report.html to the archive `results`, whose figures are drawn."""
    text = render(view)
    records.write_text(results / "report.md", text)
    records.write_text(results / "report.html", to_html(text, results))


def run(args: argparse.Namespace) -> None:
    results = Path(args.results)
    summary = records.read_json(results / "summary.json", "summary")
    config = records.read_json(results / "settings.json", "settings")["config"]
    view = view_of(results, summary, jobs_of(summary, results), config)
    write_report(results, view)
    print(terminal(view), f"The report: {results / 'report.md'}, and report.html", sep="\n\n")
