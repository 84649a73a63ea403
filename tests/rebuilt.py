"""Every number that a report may print, rebuilt from the raw files of its archive alone."""

import csv
import math
import re
import statistics
from pathlib import Path

from scipy.special import stdtrit

from archive import BF16, COPY, FP32, MODELS, SILU, TOLERANCE, roofline
from effdet_bench.summary.latency import percentile_interval

NUMBER = re.compile(
    r"(?<![\w.,-])\d+(?:,\d{3})*(?:\.\d+)?(?:x| (?:ms|%|requests/s|s|M|GiB|MiB))?(?![\w%])"
)


def column(archive: Path, where: str, file: str, keep) -> list[int]:
    """Nanoseconds in a raw file over all rounds of `device/mode`, for rows that `keep`."""
    name = {"requests.csv": "latency_ns", "stages.csv": "duration_ns"}[file]
    values = []
    for path in sorted(archive.glob(f"timing/{where}/round-*/{file}")):
        with path.open() as rows:
            values += [int(row[name]) for row in csv.DictReader(rows) if keep(row)]
    return values


def quantile(values: list[float], percent: int) -> float:
    """Linear interpolation between ranks, written out."""
    ordered, place = sorted(values), (len(values) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figures(archive: Path, where: str) -> dict[str, float]:
    ns = column(archive, where, "requests.csv", lambda row: row["phase"] == "timed")
    ms = [value / 1e6 for value in ns]
    found = {f"p{percent}": quantile(ms, percent) for percent in (50, 90, 95, 99)}
    found |= {"mean": statistics.mean(ms), "rate": len(ns) / (sum(ns) / 1e9)}
    return found | {"sd": statistics.stdev(ms), "min": min(ms), "max": max(ms)}


def milliseconds(value: float) -> str:
    return f"{value:,.2f} ms" if value >= 1 else f"{value:,.4f} ms"


def significant(value: float) -> str:
    """Three significant digits, by the exponent that Python prints."""
    digits = max(0, 2 - int(f"{value:e}".split("e")[1]))
    return f"{value:,.{digits}f}"


def brief(ms: float) -> str:
    return f"{significant(ms)} ms" if ms < 999.5 else f"{significant(ms / 1000)} s"


def uncertain(ms: float, low_ms: float, high_ms: float) -> set[str]:
    """A figure and its interval, with two significant digits of half the interval's width."""
    unit, per_unit = ("ms", 1) if ms < 999.5 else ("s", 1000)
    half = (high_ms - low_ms) / per_unit / 2
    digits = max(0, 1 - int(f"{half:e}".split("e")[1]))
    ends = {f"{end / per_unit:,.{digits}f}" for end in (low_ms, high_ms)}
    return {f"{ms / per_unit:,.{digits}f} {unit}"} | ends


def rebuilt(archive: Path) -> set[str]:
    """Every measured number that a report of `archive` may print, from its raw files alone."""
    known: set[str] = set()
    places = [f"cpu/{mode}" for mode in ("baseline", "baseline-twin", "broken", "no-network")]
    places.append("mps/baseline")
    starts: list[float] = []
    by_place = {place: figures(archive, place) for place in places}
    for place, found in by_place.items():
        known |= {milliseconds(value) for name, value in found.items() if name != "rate"}
        known |= {f"{found['rate']:,.2f} requests/s", significant(found["rate"])}
        known |= {f"{significant(found['rate'])} requests/s", brief(found["p50"])}
        known |= {
            brief(abs(found["p50"] - other["p50"])) for other in by_place.values() if other != found
        }
        for other in by_place.values():
            ratios = [other[name] / found[name] for name in found if name[0] in "pm"]
            known |= {f"{ratio:,.2f}x" for ratio in [*ratios, found["rate"] / other["rate"]]}
        for number in (1, 2, 3):
            name = f"{place}/round-{number}/requests.csv"
            rows = list(csv.DictReader((archive / "timing" / name).open()))
            timed = [int(row["latency_ns"]) / 1e6 for row in rows if row["phase"] == "timed"]
            known |= {milliseconds(quantile(timed, 50)), *(f"{value:.2f}" for value in timed)}
        known |= stage_numbers(archive, place)
        known.add(f"{spread(archive, place) * 100:.1f} %")
        known |= order_numbers(archive, place, found)
        first = column(archive, place, "requests.csv", lambda row: row["request"] == "0")
        known.add(milliseconds(statistics.median(first) / 1e6))
        # medians of what `archive.py` writes of imports and loading, in seconds
        starts.append(4.25 + 2.5 + statistics.median(first) / 1e9)
    apart = [abs(one - other) for one in starts for other in starts]
    return known | {brief(1e3 * seconds) for seconds in [*starts, *apart] if seconds}


def rounds_of(archive: Path, place: str) -> list[list[int]]:
    """Timed latencies of each of the three rounds."""
    timed = lambda row: row["phase"] == "timed"  # noqa: E731
    values = column(archive, place, "requests.csv", timed)
    return [values[30 * k : 30 * (k + 1)] for k in range(3)]


def spread(archive: Path, place: str) -> float:
    """The spread of timed latencies without the differences between photos and between rounds."""
    rows = [
        (number, row["photo"], int(row["latency_ns"]))
        for number in (1, 2, 3)
        for row in csv.DictReader(
            (archive / "timing" / place / f"round-{number}" / "requests.csv").open()
        )
        if row["phase"] == "timed"
    ]
    for key in (1, 0):
        groups: dict = {}
        for row in rows:
            groups.setdefault(row[key], []).append(row[2])
        rows = [(*row[:2], row[2] / statistics.mean(groups[row[key]])) for row in rows]
    return statistics.stdev(row[2] for row in rows)


def order_numbers(archive: Path, place: str, found: dict[str, float]) -> set[str]:
    """What compares a place with the baseline on the CPU, with the bound, and with itself."""
    rounds = rounds_of(archive, place)
    logs = [
        statistics.median(math.log(b / a) for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in zip(rounds, rounds_of(archive, "cpu/baseline"), strict=True)
    ]
    mean = statistics.mean(logs)
    reach = 4.302653 * statistics.stdev(logs) / math.sqrt(3)
    ratios = [math.exp(mean + side * reach) for side in (-1, 0, 1)]
    noise = max(ratios[2], 1 / ratios[0]) - 1
    if place.startswith("mps"):
        reach, ratios = welch(rounds, rounds_of(archive, "cpu/baseline"))
    least = roofline("cpu")["request"]["bounds"]["fp32"]["compute_ms"]
    forward = sum(stage_median(archive, place, "forward", model) for model in MODELS)
    ratios += [found["p50"] / least, forward / least, forward / (1.1 * least)]
    known = {f"{ratio:,.2f}x" for ratio in ratios} | {f"{noise * 100:.1f} %"}
    known.add(f"{math.expm1(reach) * 100:.1f} %")
    turns = [[[value] for value in values] for values in rounds]
    for which, percent in (("p50", 50), ("p90", 90)):
        low, high = percentile_interval(turns, percent)
        known |= {milliseconds(low / 1e6), milliseconds(high / 1e6)}
        known |= uncertain(found[which], low / 1e6, high / 1e6)
    everything = sorted(value for values in rounds for value in values)
    low, high = quantile(everything, 25), quantile(everything, 75)
    fence = 1.5 * (high - low)
    outliers = [value for value in everything if not low - fence <= value <= high + fence]
    return known | {str(len(outliers))}


def welch(ours: list[list[int]], theirs: list[list[int]]) -> tuple[float, list[float]]:
    """Half the interval of a ratio of modes of two devices as a logarithm, and its three values."""
    one, other = (
        [math.log(statistics.median(values)) for values in mode] for mode in (ours, theirs)
    )
    errors = [statistics.variance(logs) / len(logs) for logs in (one, other)]
    freedom = sum(errors) ** 2 / sum(error**2 / 2 for error in errors)  # three rounds each
    reach = stdtrit(freedom, 0.975) * math.sqrt(sum(errors))
    mean = statistics.mean(other) - statistics.mean(one)
    return reach, [math.exp(mean + side * reach) for side in (-1, 0, 1)]


def archived_numbers() -> set[str]:
    """What the records of the archive say themselves: tolerances, bounds, the probe."""
    known = {str(value) for value in TOLERANCE.values()} | {
        "98.0 %",
        "100.0 %",
        "0.0 %",
        "5.1",
        "1.2",
    }
    work = roofline("cpu")
    for model in (*work["models"], work["request"]):
        known |= {str(model["convolutions"]), f"{model['flops'] / 1e9:.2f}"}
        known |= {milliseconds(ms) for one in model["bounds"].values() for ms in one.values()}
        known |= {f"{model[key] / 1e6:.3f} M" for key in ("weights", "activations", "silu")}
    known |= {f"{FP32 / 1e9:,.0f}", f"{BF16 / 1e9:,.0f}", f"{COPY / 1e9:.1f}", f"{SILU / 1e9:.1f}"}
    return known | {"12.0 %", "8.0 %"}


def stage_median(archive: Path, place: str, stage: str, model: str) -> float:
    wanted = {"stage": stage, "model": model}
    keep = lambda row: wanted.items() <= row.items()  # noqa: E731
    return statistics.median(column(archive, place, "stages.csv", keep)) / 1e6


def stage_numbers(archive: Path, place: str) -> set[str]:
    names = ("preprocess", "forward", "postprocess")
    models = {
        model: [stage_median(archive, place, stage, model) for stage in names] for model in MODELS
    }
    decode = stage_median(archive, place, "decode", "")
    request = decode + sum(map(sum, models.values()))
    totals = [sum(values) for values in models.values()]
    sums = [sum(values) for values in zip(*models.values(), strict=True)]
    all_ms = [decode, request, *totals, *sums, *(v for values in models.values() for v in values)]
    shares = {f"{part / request * 100:.1f} %" for part in [decode, *totals]}
    return {milliseconds(value) for value in all_ms} | shares


def numbers_of(report: str) -> list[str]:
    """Numbers in a report's text; names, digests, commands and links of it are no numbers."""
    text = re.sub(r"```(bash|yaml).*?```|`[^`\n]+`|16-bit", "", report, flags=re.S)
    text = re.sub(
        r"^\| \*\*(Platform|Python|PyTorch|Other packages|Measured).*$", "", text, flags=re.M
    )
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+|tf_efficientdet_\w+|\d+×\d+|p\d\d\b", "", text)
    return [match.group().strip() for match in NUMBER.finditer(text)]


SETTINGS = {
    "0", "1", "2", "3", "6", "30", "90", "4", "8", "12,345",  # requests, rounds, threads, photos
    "5",  # rows
    "0.0000 ms",  # counters of what disturbs, see `archive._requests`
    "64", "130", "662", "11",  # requests that percentiles need
    "24.0 GiB", "3.880 M", "7.760 M", "903 MiB", "300 MiB", "1,203 MiB", "4.2 s", "4.3 s", "2.5 s",
    "33 ms", "200 ms", "1.00x", "5 requests/s", "33", "200",
    "95 %", "1 %", "1.0 %", "5 %", "0.9", "0.6", "0.50", "0.95", "7", "100",  # IoU, seed, cut
}  # fmt: skip


def unexplained(report: str, known: set[str]) -> set[str]:
    return set(numbers_of(report)) - known - SETTINGS
