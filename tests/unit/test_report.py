"""The report: every number in it follows from the raw data, and its words from the numbers."""

import csv
import math
import random
import re
import statistics
from pathlib import Path

import pytest

from archive import MODELS, render_archive, write_archive
from effdet_bench.errors import BenchError
from effdet_bench.summary import read_jobs, summarise

NUMBER = re.compile(
    r"(?<![\w.,-])\d+(?:,\d{3})*(?:\.\d+)?(?:x| (?:ms|%|requests/s|s|M|GiB|MiB))?(?![\w%])"
)
APPLE = {
    "cpu": """1426.16 1432.89 1441.23 1448.56 1451.12 1452.34 1453.21 1454.67 1456.89 1458.12
        1460.45 1463.78 1467.23 1471.56 1478.90 1485.34 1491.67 1498.23 1506.78 1514.06""",
    "mps": """160.74 161.23 162.45 163.12 163.89 164.23 164.67 165.12 166.34 167.89 169.23 171.45
        173.67 175.89 177.23 179.12 181.45 185.67 189.34 193.32""",
}


def draw(seed: int, around_ms: float, count: int) -> list[int]:
    generator = random.Random(seed)
    return [round(generator.gauss(around_ms, around_ms / 20) * 1e6) for _ in range(count)]


@pytest.fixture
def archive(tmp_path) -> Path:
    """Two devices, three rounds of 30 requests, and a device that was not there."""
    jobs = {}
    for number in (1, 2, 3):
        for device, mode, around in (
            ("cpu", "baseline", 1450),
            ("cpu", "invalid", 90),
            ("mps", "baseline", 165),
        ):
            seed = number + round(around)
            latencies = [round(around * 2e6), *draw(seed, around, 30)]
            stages = draw(seed + 7, around / 7, 14)
            jobs[device, mode, number] = {"latencies_ns": latencies, "stages_ns": stages}
        reason = "torch is built without CUDA."
        jobs["cuda", "baseline", number] = {"outcome": "unavailable", "reason": reason}
    return write_archive(tmp_path / "results" / "test", jobs)


def column(archive: Path, where: str, file: str, keep) -> list[int]:
    """The last column of a raw file over all rounds of `device/mode`, for rows that `keep`."""
    values = []
    for path in sorted(archive.glob(f"timing/{where}/round-*/{file}")):
        with path.open() as rows:
            values += [int(list(row.values())[-1]) for row in csv.DictReader(rows) if keep(row)]
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


def rebuilt(archive: Path) -> set[str]:
    """Every measured number that a report of `archive` may print, from its raw files alone."""
    known: set[str] = set()
    places = ["cpu/baseline", "cpu/invalid", "mps/baseline"]
    by_place = {place: figures(archive, place) for place in places}
    for place, found in by_place.items():
        known |= {milliseconds(value) for name, value in found.items() if name != "rate"}
        known.add(f"{found['rate']:,.2f} requests/s")
        for other in by_place.values():
            ratios = [other[name] / found[name] for name in found if name[0] in "pm"]
            known |= {f"{ratio:,.2f}x" for ratio in [*ratios, found["rate"] / other["rate"]]}
        for number in (1, 2, 3):
            name = f"{place}/round-{number}/requests.csv"
            rows = list(csv.DictReader((archive / "timing" / name).open()))
            timed = [int(row["latency_ns"]) / 1e6 for row in rows if row["phase"] == "timed"]
            known |= {milliseconds(quantile(timed, 50)), *(f"{value:.2f}" for value in timed)}
        known |= stage_numbers(archive, place)
        first = column(archive, place, "requests.csv", lambda row: row["request"] == "0")
        known.add(milliseconds(statistics.median(first) / 1e6))
    return known


def stage_numbers(archive: Path, place: str) -> set[str]:
    def mean(stage: str, model: str) -> float:
        wanted = {"stage": stage, "model": model}
        keep = lambda row: wanted.items() <= row.items()  # noqa: E731
        return statistics.mean(column(archive, place, "stages.csv", keep)) / 1e6

    names = ("preprocess", "forward", "postprocess")
    models = {model: [mean(stage, model) for stage in names] for model in MODELS}
    decode = mean("decode", "")
    request = decode + sum(map(sum, models.values()))
    totals = [sum(values) for values in models.values()]
    sums = [sum(values) for values in zip(*models.values(), strict=True)]
    all_ms = [decode, request, *totals, *sums, *(v for values in models.values() for v in values)]
    shares = {f"{part / request * 100:.1f} %" for part in [decode, *totals]}
    return {milliseconds(value) for value in all_ms} | shares


def numbers_of(report: str) -> list[str]:
    """Numbers in a report's text; names, digests, commands and links of it are no numbers."""
    text = re.sub(r"```bash.*?```|`[^`\n]+`|16-bit", "", report, flags=re.S)
    text = re.sub(
        r"^\| \*\*(Platform|Python|PyTorch|Other packages|Measured).*$", "", text, flags=re.M
    )
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+|tf_efficientdet_\w+|\d+×\d+|p\d\d\b", "", text)
    return [match.group().strip() for match in NUMBER.finditer(text)]


SETTINGS = {
    "0", "1", "2", "3", "6", "30", "90", "4", "8", "12,345",  # requests, rounds, threads, photos
    "64", "130", "662", "11",  # requests that percentiles need
    "24.0 GiB", "3.880 M", "7.760 M", "903 MiB", "300 MiB", "4.2 s", "4.3 s", "2.5 s",
    "33 ms", "200 ms", "1.00x", "5 requests/s", "33", "200",
}  # fmt: skip
OPTIONS = {
    "latency_targets": [
        {"use": "Video", "milliseconds": 33},
        {"use": "Interactive", "milliseconds": 200},
    ],
    "throughput_targets": [5],
}


def unexplained(report: str, known: set[str]) -> set[str]:
    return set(numbers_of(report)) - known - SETTINGS


def test_every_number_follows_from_the_raw_data(archive):
    report = render_archive(archive, **OPTIONS)
    assert len(numbers_of(report)) > 250
    assert unexplained(report, rebuilt(archive)) == set()


def test_a_number_that_does_not_follow_is_found(archive):
    report, known = render_archive(archive, **OPTIONS), rebuilt(archive)
    for number in {n for n in numbers_of(report) if n.endswith((" ms", "x", " requests/s"))}:
        digit = next(i for i in range(len(number) - 1, -1, -1) if number[i].isdigit())
        wrong = number[:digit] + str((int(number[digit]) + 1) % 10) + number[digit + 1 :]
        if wrong not in known | SETTINGS:
            assert wrong in unexplained(report.replace(number, wrong), known)


def test_the_figures_of_a_published_report_are_those_of_its_raw_values(tmp_path):
    jobs = {
        (device, "baseline", 1): {
            "latencies_ns": [10**9, *(round(float(value) * 1e6) for value in values.split())],
            "stages_ns": [10**6] * 7,
        }
        for device, values in APPLE.items()
    }
    report = render_archive(write_archive(tmp_path / "results" / "test", jobs))
    for figure in ("1,465.66 ms", "168.56 ms", "171.80 ms", "8.53x", "0.68 requests/s"):
        assert figure in report
    assert "1,459.28 ms" in report or "1,459.29 ms" in report
    assert "`baseline` on MPS is 8.66x as fast as `baseline` on CPU" in report
    assert "### MPS against CPU" in report


def test_the_same_data_give_the_same_bytes(archive):
    assert render_archive(archive) == render_archive(archive)


def test_what_did_not_run_is_a_row_with_its_reason(archive):
    report = render_archive(archive)
    row = "| CUDA `baseline` | unavailable | 0 of 3 | torch is built without CUDA. |"
    assert row in report


def test_percentiles_that_are_not_supported_say_what_they_need(archive):
    report = render_archive(archive)
    assert re.search(r"\*\*Latency p99\*\* \| [\d,.]+ ms † \|", report)
    assert not re.search(r"\*\*Latency p90\*\* \| [\d,.]+ ms † \|", report)
    assert "662 for p99 (`snakemake --cores 1 --config requests=221`)" in report


def test_one_device_is_not_compared_with_what_is_not_there(tmp_path):
    latencies = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): latencies})
    report = render_archive(results)
    assert "there is no second device" in report
    assert not re.search(r"\b(CUDA|MPS|GPU|NVIDIA|Apple|[Aa]ccelerator)", report)
    assert "Synthetic" not in report
    assert "smoke" not in report


def test_synthetic_weights_and_smoke_runs_carry_banners(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7, "weights": "synthetic"}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job})
    top = render_archive(results, smoke=True).split("## Test environment")[0]
    assert "A smoke run, not a benchmark" in top
    assert "Synthetic weights" in top


def test_each_gap_is_shown_once(tmp_path):
    job = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    fast = {**job, "latencies_ns": [10**8] * 5}
    jobs = {("cpu", "baseline", 1): job, ("cpu", "invalid", 1): fast}
    report = render_archive(write_archive(tmp_path / "results" / "test", jobs))
    assert report.count("| CPU `baseline` | CPU `invalid` | 10.00x |") == 1


def test_a_machine_on_which_nothing_ran_still_has_a_report(tmp_path):
    job = {"outcome": "failed", "reason": "RuntimeError: out of memory"}
    results = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): job})
    report = render_archive(results)
    assert "No mode could be measured" in report
    assert "out of memory" in report


def test_invalid_is_never_ranked(archive):
    summary = summarise(read_jobs(sorted(p.parent for p in archive.glob("timing/*/*/*/job.json"))))
    assert [row["mode"] for row in summary["rows"] if row["floor"]] == ["invalid"]
    measured = [row for row in summary["rows"] if row["latency"]]
    assert [row["mode"] for row in measured if not row["speedup"]] == ["invalid"]
    gaps = [(gap["slower"]["device"], gap["faster"]["device"]) for gap in summary["gaps"]]
    assert gaps == [("cpu", "mps")]
    report = render_archive(archive, **OPTIONS)
    assert "| **CPU `invalid`**" in report
    assert "not ranked: no network ran" in report
    assert "`invalid`" not in report.split("### Latency targets")[1].split("## Optimisation")[0]


@pytest.mark.parametrize("file", ["requests.csv", "stages.csv", "job.json"])
def test_a_missing_raw_file_is_one_sentence(archive, file):
    folder = archive / "timing" / "cpu" / "baseline" / "round-2"
    (folder / file).unlink()
    with pytest.raises(BenchError, match="round-2"):
        read_jobs([folder])


def test_a_row_that_is_gone_is_noticed(archive):
    path = archive / "timing" / "cpu" / "baseline" / "round-2" / "requests.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(BenchError, match=r"has 29 timed requests, but job\.json says 30"):
        read_jobs([path.parent])
