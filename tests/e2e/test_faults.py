"""One run in which much goes wrong: every fault is told, and what is well is ranked as ever."""

import hashlib
import json
import re
import shutil

import pytest

from helpers import UNSEEN, Workspace

LITE0 = "tf_efficientdet_lite0"
STALE = """
from effdet_bench.engines.eager import Eager


class Stale(Eager):
    def forward(self, index, pixels):
        self.kept = getattr(self, "kept", None) or super().forward(index, pixels)
        return self.kept


def load(models, device, options):
    return Stale(models, device, options)
"""


@pytest.fixture(scope="module")
def report(smoke: Workspace, tmp_path_factory) -> str:
    """Of a run with an engine that knows the first photo alone, one that fails, one whose package
    is missing, and a device that is not there; with synthetic weights and annotations."""
    made = smoke.copy(tmp_path_factory.mktemp("faults") / "project")
    engines = made.package / "engines"
    (engines / "stale.py").write_text(STALE)
    source = (engines / "invalid.py").read_text()
    broken = source.replace("return self._zeros[index]", "raise MemoryError('too big')")
    (engines / "broken.py").write_text(broken)
    shadow = "raise ImportError('not here', name='openvino')\n"
    (made.path / "workflow" / "openvino.py").write_text(shadow)
    shutil.copy(UNSEEN / "instances.json", made.path / "instances.json")
    own = "{name: stale, engine: stale}, {name: broken, engine: broken}"
    text = (made.path / "smoke.yaml").read_text()
    text = text.replace("[baseline, invalid]", f"[baseline, onnxruntime, openvino, {own}]")
    text = text.replace("devices: [cpu]", "devices: [cpu, mps]").replace("rounds: 2", "rounds: 1")
    (made.path / "smoke.yaml").write_text(text + "annotations: instances.json\ntwin: false\n")
    done = made.snakemake()
    assert done.returncode == 0, done.stdout
    return (made.results / "report.md").read_text()


def test_wrong_answers_are_reported_as_invalid_and_never_ranked(report):
    assert re.search(r"CPU `stale`\*\* .*not ranked \| \*\*INVALID\*\*: class error", report)
    assert "Key finding: `stale`" not in report
    assert "CPU `stale` is INVALID and counts for nothing" in report


def test_a_mode_that_fails_leaves_the_others_and_a_full_report(report):
    reason = r"MemoryError: too big \(engines/broken\.py:\d+\) while engines/broken\.py served"
    assert re.search(rf"\| CPU `broken` \| failed \| 0 of 1 \| {reason}", report)
    assert "**CPU `baseline`** |" in report


def test_an_engine_without_its_package_is_one_row_of_a_full_report(report):
    missing = "the engine openvino needs the package openvino"
    assert f"| CPU `openvino` | unavailable | 0 of 1 | {missing}" in report
    assert report.count("| CPU `openvino` | unavailable |") == 1
    assert re.search(r"\*\*CPU `onnxruntime`\*\* .*\| valid \|", report)


def test_a_device_that_is_not_there_is_a_row(report):
    assert "| MPS `baseline` | unavailable | 0 of 1 | torch" in report


def test_accuracy_is_left_out_with_synthetic_weights_and_said_to_be(report):
    assert f"mAP is left out for {LITE0}: of synthetic weights" in report


def test_an_ensemble_of_ones_own(smoke: Workspace, tmp_path):
    """The same weights as a file of the user's, with annotations; and the architecture once more,
    for other classes, so that both run as one network too."""
    made = smoke.copy(tmp_path / "project")
    file = made.path / "checkpoints" / "synthetic" / f"{LITE0}-seed0.pth"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shutil.copy(file, made.path / "mine.pth")
    shutil.copy(UNSEEN / "instances.json", made.path / "instances.json")
    mine = f"{{model: {LITE0}, file: mine.pth, sha256: {digest}}}"
    traffic = f"{{model: {LITE0}, name: traffic, classes: 7}}"
    text = (made.path / "smoke.yaml").read_text()
    text = text.replace(f"[{LITE0}]", f"[{mine}, {traffic}]").replace("rounds: 2", "rounds: 1")
    text = text.replace("[baseline, invalid]", "[baseline, vmap, grouped]")
    settings = "annotations: instances.json\ntwin: false\n"
    (made.path / "smoke.yaml").write_text(text + settings)
    done = made.snakemake()
    assert done.returncode == 0, done.stdout
    report = (made.results / "report.md").read_text()
    for mode in ("vmap", "grouped"):
        assert re.search(rf"\*\*CPU `{mode}`\*\* .*\| valid \|", report), report
    work = json.loads((made.results / "roofline" / "cpu.json").read_text())["models"]
    assert [model["model"] for model in work] == [LITE0, "traffic"]
    assert work[0]["flops"] > work[1]["flops"], "fewer classes are less work"
    assert re.search(rf"CPU `baseline` \| {LITE0} \| 4 \| (\d+\.\d) % \| – \|", report), report
    assert "mAP is left out for traffic" in report
    assert "The published figure is of release weights on the whole of val2017" in report
