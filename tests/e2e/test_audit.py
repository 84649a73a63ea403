"""Archives through the workflow: packed, brought in, compared, and audited to the last digit."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from effdet_bench.__main__ import main
from effdet_bench.archive.audit import audit, differences
from effdet_bench.archive.manifest import write_manifest
from effdet_bench.layout import Archive
from effdet_bench.report.page import to_html
from helpers import EXAMPLES, UNSEEN, Workspace

DERIVED = ("report.md", "details.md", "report.html", "summary.json", "summary.csv")
RAW = ("timing/cpu/baseline/round-1/requests.csv", "timing/cpu/no-network/round-1/stages.csv")
RAW += ("timing/cpu/baseline/round-2/outputs.csv", "timing/cpu/baseline/round-1/detections.csv")
RAW += ("timing/cpu/baseline/round-1/job.json", "validity/cpu/baseline.json", "roofline/cpu.json")
RAW += ("environment.json", "photos.json", "reference/tf_efficientdet_lite0.csv")


def edit(path: Path, seed: int, digits: str = r"\d") -> str:
    """Changes one digit of `path`, of those that the pattern `digits` matches, and says which."""
    text = path.read_text()
    at = random.Random(seed).choice(list(re.finditer(digits, text, re.M))).start()
    path.write_text(f"{text[:at]}{(int(text[at]) + 5) % 10}{text[at + 1 :]}")
    return f"{path.name} at {at}: {text[max(0, at - 30) : at + 10]!r}"


def middle_time(stages: Path) -> str:
    """A pattern of a time of decoding in `stages` on which the median depends.

    A change of the largest time may leave the median as it is.
    """
    lines = (line for line in stages.read_text().splitlines() if ",decode," in line)
    times = sorted(int(line.split(",")[-1]) for line in lines)
    return rf"(?<=,){times[len(times) // 2]}$"


@pytest.fixture
def results(smoke: Workspace, tmp_path) -> Path:
    return Path(shutil.copytree(smoke.results, tmp_path / "smoke"))


def test_an_archive_as_it_was_made_passes(results):
    assert list(audit(Archive(results))) == []


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_archives_that_come_with_the_project_pass(name):
    assert list(audit(Archive(EXAMPLES / name))) == []


def test_an_older_archive_is_to_be_rendered_first(results):
    """Its summary has other figures by rules of before, and steps without a verdict."""
    summary = json.loads((results / "summary.json").read_text())
    del summary["code"]
    (results / "summary.json").write_text(json.dumps(summary))
    write_manifest(Archive(results))
    (told,) = audit(Archive(results))
    assert f"effdet-bench render {results}`, and then audit again" in told
    main(["render", str(results)])
    assert list(audit(Archive(results))) == []


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, seed) for name in (*DERIVED, *RAW[:2]) for seed in (1, 2)] + [(n, 3) for n in RAW[2:]],
)
def test_a_single_edited_digit_is_found(results, name, seed):
    what = edit(results / name, seed)
    assert next(audit(Archive(results)), None), what


@pytest.mark.parametrize("name", [*DERIVED, *RAW[:2], "validity/cpu/baseline.json"])
def test_an_edited_digit_is_found_without_the_manifest(results, name):
    """Whoever edits may write the manifest anew: then the numbers must still follow."""
    path, digits = results / name, r"\d"
    if path.name == "requests.csv":
        # the first digit of a number that ends its line: later ones may be of no weight
        digits = r"(?<![\d.])\d(?=[\d.]*,?$)"
    elif path.name == "stages.csv":
        digits = middle_time(path)
    what = edit(path, 7, digits)
    write_manifest(Archive(results))
    found = next(audit(Archive(results)), None)
    assert found, what
    assert "manifest" not in found


@pytest.mark.parametrize("value", ["x", "9" * 30, "\udcff"])
def test_a_value_that_cannot_be_read_is_a_difference(results, value):
    path = next(results.glob("timing/cpu/*/round-*/requests.csv"))
    header, first, *rows = path.read_text().splitlines()
    place = header.split(",").index("latency_ns")
    first = ",".join(value if n == place else one for n, one in enumerate(first.split(",")))
    path.write_bytes("\n".join([header, first, *rows]).encode("utf-8", "surrogateescape"))
    write_manifest(Archive(results))
    (found,) = audit(Archive(results))
    assert "cannot be read" in found or "latency_ns" in found


@pytest.mark.parametrize(("kept", "found"), [(0.123456788, 0), (0.123456789, 0), (0.123456787, 1)])
def test_a_last_digit_that_the_noise_of_sums_decides_may_be_either(kept, found):
    between = {"ratio": 0.1234567885}
    assert len(list(differences("summary.json", {"ratio": kept}, between))) == found


def test_packed_brought_in_and_audited_by_the_workflow(finished, tmp_path):
    done = finished.snakemake("archive")
    assert done.returncode == 0, done.stdout
    assert "Timing" not in done.stdout
    (packed,) = (finished.path / "archives").glob("smoke-*.zip")
    shutil.rmtree(finished.results)
    done = finished.effdet_bench("import", str(packed))
    assert done.returncode == 0, done.stdout
    done = finished.effdet_bench("audit")
    assert done.returncode == 0, done.stdout
    assert "every number follows from its raw data" in done.stdout
    edit(finished.results / "report.md", 1)
    done = finished.effdet_bench("audit")
    assert done.returncode != 0
    assert "report.md is not what the manifest says" in done.stdout


def test_what_an_earlier_run_left_is_no_difference(finished):
    """The run before had one round more, and annotations."""
    shutil.copy(UNSEEN / "instances.json", finished.path / "instances.json")
    assert finished.snakemake("--config", "annotations=instances.json").returncode == 0
    done = finished.snakemake("--config", "rounds=1")
    assert done.returncode == 0, done.stdout
    assert (finished.results / "annotations.json").exists()
    assert (finished.results / "timing" / "cpu" / "baseline" / "round-2").exists()
    assert list(audit(Archive(finished.results))) == []


def test_a_run_compared_with_itself_has_no_regression(finished):
    shutil.copytree(finished.results, finished.path / "before")
    done = finished.effdet_bench("compare", "before", "results/smoke")
    assert done.returncode == 0, done.stdout
    assert re.search(r"cpu baseline: .* 1\.00x as fast", done.stdout)
    assert finished.planned() == []


@pytest.mark.parametrize(("by", "found"), [("0.000001", False), ("0.001", True)])
def test_a_figure_may_differ_by_what_another_processor_rounds_otherwise(results, by, found):
    figure = results / "figures" / "speedup.svg"
    text = figure.read_text()
    (old,) = re.findall(r"^L (\d+\.\d{6}) ", text, re.M)[:1]
    figure.write_text(text.replace(f"L {old} ", f"L {float(old) + float(by):.6f} ", 1))
    write_manifest(Archive(results))
    told = [line for line in audit(Archive(results)) if "figures/" in line]
    assert bool(told) == found


def test_a_missing_figure_is_a_difference(results):
    (results / "figures" / "speedup.svg").unlink()
    write_manifest(Archive(results))
    assert "figures/speedup.svg is missing" in list(audit(Archive(results)))


def test_figures_of_another_matplotlib_are_counted_as_not_compared(results, capsys):
    for name in ("speedup.svg", "stages.svg"):
        figure = results / "figures" / name
        figure.write_text(re.sub(r"Matplotlib v[^,]+", "Matplotlib v3.1.0", figure.read_text()))
    report, details = ((results / f"{name}.md").read_text() for name in ("report", "details"))
    page = to_html(report, results, details)
    (results / "report.html").write_text(page)
    write_manifest(Archive(results))
    main(["audit", str(results)])
    told = capsys.readouterr().out
    assert "2 figures were not compared, because Matplotlib v3.1.0 drew them" in told
    assert told.rstrip().endswith("speedup.svg, stages.svg")
