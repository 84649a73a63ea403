"""One run in which much goes wrong: every fault is told, and what is well is ranked as ever.

Its ensemble is one of a user's own: the same weights as a file of theirs, with annotations; and the
architecture once more, for other classes, so that both run as one network too.
"""

import hashlib
import json
import re
import shutil

import pytest

from archive import documents
from helpers import UNSEEN, Workspace

LITE0 = "tf_efficientdet_lite0"
OWN = ("stale", "broken", "lacking")
STALE = """
from effdet_bench.engines.eager import Eager


class Stale(Eager):
    def forward(self, index, pixels):
        self.kept = getattr(self, "kept", {})
        if index not in self.kept:
            self.kept[index] = super().forward(index, pixels)
        return self.kept[index]


def load(models, device, options):
    return Stale(models, device, options)
"""
RUDE = (
    "import os, random, sys; print('}\\0{' * 10**5); sys.stdout.close(); os.chdir('/'); "
    "random.seed(0); torch.set_num_threads(7); torch.set_default_dtype(torch.float64); "
)


@pytest.fixture(scope="module")
def made(smoke: Workspace, tmp_path_factory) -> Workspace:
    """After a run with an engine that knows the first photo alone, one that fails once it has
    printed rubbish and changed its process, one whose package is missing, and a device that is not
    there."""
    made = smoke.copy(tmp_path_factory.mktemp("faults") / "project")
    engines = made.package / "engines"
    (engines / "stale.py").write_text(STALE)
    source = (engines / "no_network.py").read_text()
    broken = source.replace("return self._zeros[index]", RUDE + "raise MemoryError('too big')")
    (engines / "broken.py").write_text(broken)
    (engines / "lacking.py").write_text(f"import not_installed\n{source}")
    shutil.copy(UNSEEN / "instances.json", made.path / "instances.json")
    file = made.path / "checkpoints" / "synthetic" / f"{LITE0}-seed0.pth"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shutil.copy(file, made.path / "mine.pth")
    mine = f"{{model: {LITE0}, file: mine.pth, sha256: {digest}}}"
    traffic = f"{{model: {LITE0}, name: traffic, classes: 7}}"
    own = [f"{{name: {name}, engine: {name}, devices: [cpu]}}" for name in OWN]
    text = (made.path / "smoke.yaml").read_text()
    modes = f"[baseline, grouped, {', '.join(own)}]"
    text = text.replace("[baseline, no-network]", modes).replace(
        "devices: [cpu]", "devices: [cpu, mps]"
    )
    text = text.replace("rounds: 2", "rounds: 1").replace(f"[{LITE0}]", f"[{mine}, {traffic}]")
    (made.path / "smoke.yaml").write_text(text + "annotations: instances.json\ntwin: false\n")
    done = made.snakemake()
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture(scope="module")
def report(made: Workspace) -> str:
    return documents(made.results)


def test_wrong_answers_are_reported_as_invalid_and_never_ranked(report):
    assert re.search(r"CPU `stale`\*\* .*not ranked \| \*\*INVALID\*\*: stale", report)
    assert "Key finding: `stale`" not in report
    assert "- CPU `stale` is **INVALID**: " in report


def test_a_mode_that_fails_leaves_the_others_and_a_full_report(report):
    reason = r"MemoryError: too big while engines/broken\.py, line \d+, served"
    assert re.search(rf"\| CPU `broken` \| failed \| 0 of 1 \| {reason}", report)
    assert "**CPU `baseline`** |" in report


def test_an_engine_without_its_package_is_one_row_of_a_full_report(report):
    missing = "the engine lacking needs the package not_installed"
    assert f"| CPU `lacking` | unavailable | 0 of 1 | {missing}" in report
    assert report.count("| CPU `lacking` | unavailable |") == 1


def test_a_device_that_is_not_there_is_a_row(report):
    assert "| MPS `baseline` | unavailable | 0 of 1 | torch" in report


def test_networks_of_other_classes_run_as_one_too(made, report):
    assert re.search(r"\*\*CPU `grouped`\*\* .*\| valid \|", report), report
    work = json.loads((made.results / "roofline" / "cpu.json").read_text())["models"]
    assert [model["model"] for model in work] == [LITE0, "traffic"]
    assert work[0]["flops"] > work[1]["flops"], "fewer classes are less work"


def test_accuracy_is_that_of_weights_of_ones_own_and_left_out_with_synthetic_ones(report):
    assert re.search(rf"CPU `baseline` \| {LITE0} \| [4-8] \| (\d+\.\d) % \| – \|", report), report
    assert "mAP is left out for traffic, because it means nothing with synthetic weights" in report
    assert "Published by effdet" not in report, "these weights and photos are others"


def test_who_reads_exit_codes_alone_is_told(made):
    done = made.snakemake("--config", "strict=true")
    assert done.returncode != 0
    assert "cpu broken failed: MemoryError: too big" in done.stdout
    assert "cpu stale invalid:" in done.stdout
    assert "of the modes asked for are not valid, and config asks for `strict`" in done.stdout
