"""A change after a run, for a user: what is timed again, in the terminal, report and archive."""

import base64
import re

from effdet_bench.archive.audit import audit
from effdet_bench.archive.render import render_archive
from effdet_bench.layout import Archive
from effdet_bench.summary.summary import read_summary
from helpers import CALIBRATION


def test_an_added_mode_is_a_set_that_report_audit_and_render_know(finished):
    kept = finished.results / "timing/cpu/no-network/round-1/requests.csv"
    before = kept.read_text()
    finished.set("modes: [baseline, no-network, channels_last]")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    assert "cpu no-network     kept, from rounds 1 to 2" in done.stdout
    assert "effdet-bench: times 3 of 4 modes on CPU, 2 rounds." in done.stdout
    assert "cpu round 4 of 4 is done. So far, answers not yet checked:" in done.stdout
    assert kept.read_text() == before

    report = (finished.results / "report.md").read_text()
    assert "**Not all modes on CPU were measured together**" in report
    assert re.search(r"`no-network` in rounds 1 to 2, .*; `channels_last` in rounds 3 to 4", report)
    archive = Archive(finished.results)
    rows = {row["mode"]: row for row in read_summary(archive)["rows"]}
    assert [done["round"] for done in rows["baseline"]["rounds"]] == [1, 2, 3, 4]
    assert [done["round"] for done in rows["channels_last"]["rounds"]] == [3, 4]
    assert rows["channels_last"]["comparison"]["rounds"] == 2
    assert list(audit(archive)) == []
    render_archive(archive)
    assert (finished.results / "report.md").read_text() == report
    assert list(audit(archive)) == []
    assert finished.planned() == []


def test_other_photos_are_timed_judged_and_drawn(finished):
    finished.set(f"{{photos: {CALIBRATION}, rounds: 1}}")
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    assert "cpu no-network     timed in round 3: changed: photos" in done.stdout
    first = min(path.name for path in CALIBRATION.glob("*.jpg"))
    copy = base64.b64encode((finished.results / "photos" / first).read_bytes()).decode()
    (figure,) = (finished.results / "figures").glob("detections-*.svg")
    assert copy in figure.read_text()
    assert list(audit(Archive(finished.results))) == []
