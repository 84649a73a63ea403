"""Accuracy passes as a user runs them: every mode answers every photo once, and keeps what it has.

Weights of a user's own that find nothing real: so the annotations are what upstream finds by them.
"""

import hashlib
import json
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from effdet_bench.__main__ import main
from effdet_bench.accuracy.kept import read_tables
from effdet_bench.archive.audit import audit
from effdet_bench.archive.manifest import write_manifest
from effdet_bench.layout import Archive, pass_table
from helpers import UNSEEN, Workspace
from many_photos import make_photos

LITE0 = "tf_efficientdet_lite0"
PHOTOS = 12
# an engine that takes its time, so that a test can end it in the middle
SLOW = """
import time

from effdet_bench.engines.eager import Eager


class Slow(Eager):
    def decode(self, encoded):
        time.sleep(0.3)
        return super().decode(encoded)


def load(models, device, options):
    return Slow(models, device, options)
"""


def upstream_annotations(made: Workspace) -> dict:
    """Annotations by which upstream's best five detections on each photo are the truth."""
    known = json.loads((made.path / "many" / "instances.json").read_text())
    ids = {image["file_name"]: image["id"] for image in known["images"]}
    tables = read_tables(Archive(made.results).reference_pass, [LITE0])[LITE0]
    known["annotations"] = []
    for photo, table in tables.items():
        for x_min, y_min, x_max, y_max, _, kind in table[:5].astype(float).tolist():
            width, height = x_max - x_min, y_max - y_min
            truth = {"image_id": ids[photo], "category_id": int(kind), "iscrowd": 0}
            truth |= {"bbox": [x_min, y_min, width, height], "area": width * height}
            known["annotations"].append(truth | {"id": len(known["annotations"]) + 1})
    kinds = sorted({one["category_id"] for one in known["annotations"]})
    return known | {"categories": [{"id": kind, "name": str(kind)} for kind in kinds]}


@pytest.fixture(scope="module")
def made(smoke: Workspace, tmp_path_factory) -> Workspace:
    """After a run with passes of two modes, the second killed in the middle and gone on with."""
    made = smoke.copy(tmp_path_factory.mktemp("passes") / "project")
    shutil.rmtree(made.results)
    instances = json.loads((UNSEEN / "instances.json").read_text())
    there = {path.name for path in UNSEEN.glob("*.jpg")}
    instances["images"] = [one for one in instances["images"] if one["file_name"] in there]
    make_photos(UNSEEN, instances, PHOTOS, made.path / "many")
    (made.package / "engines" / "slow.py").write_text(SLOW)
    made.replace("accuracy/kept.py", "EVERY = 30", "EVERY = 0")
    file = made.path / "checkpoints" / "synthetic" / f"{LITE0}-seed0.pth"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shutil.copy(file, made.path / "mine.pth")
    made.set(
        f"ensemble: [{{model: {LITE0}, file: mine.pth, sha256: {digest}}}]\n"
        "modes: [baseline, {name: slow, engine: slow, devices: [cpu]}]\n"
        "photos: many/photos\nannotations: many/instances.json\naccuracy: true\n"
        "rounds: 1\ntwin: false\n"
    )
    archive = Archive(made.results)
    parts = archive.accuracy_pass("cpu", "slow")
    first = [
        str(folder.relative_to(made.path) / "pass.json")
        for folder in (parts, archive.reference_pass)
    ]
    running = made.start(*first)
    deadline = time.monotonic() + 300
    while len(list(parts.glob(".parts-*/*"))) < 3:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = made.snakemake(*first)
    assert done.returncode == 0, done.stdout
    (made.path / "many" / "instances.json").write_text(json.dumps(upstream_annotations(made)))
    assert not {line.split()[1] for line in made.planned()} & {*first}
    done = made.snakemake()
    assert done.returncode == 0, done.stdout
    return made


def record(made: Workspace, mode: str, name: str) -> dict:
    folder = Archive(made.results).accuracy_pass("cpu", mode)
    return json.loads((folder / name).read_text())


def test_a_killed_pass_goes_on_and_repeats_little(made):
    assert record(made, "baseline", "pass.json")["answered"] == PHOTOS
    answered = record(made, "slow", "pass.json")["answered"]
    assert 0 < answered <= PHOTOS - 2
    assert len(read_tables(Archive(made.results).accuracy_pass("cpu", "slow"), [LITE0])[LITE0]) == (
        PHOTOS
    )


def test_passes_answer_as_the_reference_and_are_valid(made):
    archive = Archive(made.results)
    expected = read_tables(archive.reference_pass, [LITE0])[LITE0]
    timed = json.loads(archive.validity("cpu", "baseline").read_text())
    (found,) = timed["accuracy"]
    assert timed["verdict"] == "valid"
    assert found["photos"] == PHOTOS
    assert found["ap"] > 80, "five of 100 detections on a photo are the truth"
    assert found["share"] == pytest.approx(1, abs=1e-3)
    for photo, table in read_tables(archive.accuracy_pass("cpu", "slow"), [LITE0])[LITE0].items():
        np.testing.assert_allclose(table[:5, :5], expected[photo][:5, :5], rtol=1e-3, atol=1e-2)


def test_the_reference_of_all_photos_is_that_of_timed_photos_bit_for_bit(made):
    from effdet_bench import layout, records

    archive = Archive(made.results)
    timed = layout.reference_detections(archive.reference(LITE0))
    all_photos = read_tables(archive.reference_pass, [LITE0])[LITE0]
    for photo, table in records.read_detections(timed, "photo").items():
        np.testing.assert_array_equal(all_photos[photo], table)


def test_the_report_shows_every_figure_and_the_photos_that_differ(made):
    report = (made.results / "report.md").read_text()
    assert "After the timings, each mode answered all photos of the folder once." in report
    assert f"| CPU `slow` | {LITE0} | {PHOTOS} | " in report
    assert "The answers of each mode that differ most" not in report
    drawn = (made.results / "figures" / "differences-cpu-slow.svg").read_text()
    assert "it differs on no photo" in drawn


def test_photos_on_which_a_mode_lost_detections_are_drawn(made, tmp_path):
    archive = Archive(shutil.copytree(made.results, tmp_path / "copy"))
    passes = archive.accuracy_pass("cpu", "slow")
    path = pass_table(passes, LITE0)
    table = pd.read_csv(path)
    worst = ["000003.jpg", "000007.jpg"]
    table[~table["photo"].isin(worst) | (table.index % 2 == 0)].to_csv(path, index=False)
    verified = str(made.path / "checkpoints" / "verified" / f"{LITE0}.file.json")
    given = ["--records", verified, "--passes", str(passes), "--results", str(archive.root)]
    main(["measure", *given, "--photos", str(made.path / "many" / "photos")])
    shown = json.loads((passes / "accuracy.json").read_text())["differences"]
    assert sorted(one["photo"] for one in shown) == worst
    main(["render", str(archive.root)])
    drawn = archive.differences("cpu", "slow").read_text()
    assert drawn.count("<image") == 2
    assert f"000003.jpg, {LITE0}" in drawn
    assert "The answers of each mode that differ most" in archive.report.read_text()


def test_results_in_cocos_format_have_the_same_average_precision(made, tmp_path):
    done = made.effdet_bench("coco-results", "--mode", "slow", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout
    truth = COCO(str(made.path / "many" / "instances.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / f"slow-cpu-{LITE0}.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    (model,) = record(made, "slow", "accuracy.json")["models"]
    assert model["ap"] == pytest.approx(evaluation.stats[0], rel=1e-8)  # records keep nine digits


def test_a_mode_without_a_pass_has_no_results(made):
    done = made.effdet_bench("coco-results", "--mode", "openvino")
    assert done.returncode != 0
    assert (
        "no accuracy pass of openvino on cpu, but of: reference on cpu, baseline on cpu, slow"
        in done.stdout
    )
    assert "Traceback" not in done.stdout


def test_an_audit_finds_photos_that_are_called_val2017_and_are_not(made, tmp_path):
    archive = Archive(shutil.copytree(made.results, tmp_path / "copy"))
    text = archive.annotations.read_text()
    archive.annotations.write_text(text.replace('"val2017": false', '"val2017": true'))
    write_manifest(archive)
    (told,) = audit(archive)
    assert "annotations.json: val2017 is True" in told


def test_an_audit_finds_photos_that_were_removed_from_a_table(made, tmp_path):
    archive = Archive(shutil.copytree(made.results, tmp_path / "copy"))
    path = pass_table(archive.accuracy_pass("cpu", "baseline"), LITE0)
    table = pd.read_csv(path)
    table[table["photo"] != "000003.jpg"].to_csv(path, index=False)
    write_manifest(archive)
    (told,) = audit(archive)
    assert "are of other photos than the annotations" in told


def test_an_audit_computes_the_accuracy_again(made, tmp_path):
    archive = Archive(shutil.copytree(made.results, tmp_path / "copy"))
    assert list(audit(archive)) == []
    path = archive.accuracy_pass("cpu", "baseline") / "accuracy.json"
    path.write_text(path.read_text().replace('"ar": 1.0', '"ar": 0.5'))
    write_manifest(archive)
    assert any("accuracy.json" in told and "models[0].ar" in told for told in audit(archive))


def test_a_pass_that_failed_is_made_again_after_retry(made, tmp_path):
    copy = made.copy(tmp_path / "copy")
    path = Archive(copy.results).accuracy_pass("cpu", "slow") / "pass.json"
    failed = json.loads(path.read_text()) | {"outcome": "failed", "reason": "a test"}
    path.write_text(json.dumps(failed))
    done = copy.effdet_bench("retry")
    assert done.returncode == 0, done.stdout
    assert f"accuracy_pass {path.relative_to(copy.path)}" in copy.planned()


def test_a_changed_mode_is_answered_anew_alone(made):
    assert made.planned() == []
    path = made.path / "smoke.yaml"
    before = path.read_text()
    made.set("modes: [baseline, {name: slow, engine: slow, devices: [cpu], env: {A: b}}]")
    planned = made.planned()
    path.write_text(before)
    passes = [line.split()[1] for line in planned if line.startswith("accuracy_")]
    assert passes == ["results/smoke/accuracy/cpu/slow/pass.json"]
