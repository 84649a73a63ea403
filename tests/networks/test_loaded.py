"""A mode is not timed with files that are not those that were checked."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from effdet_bench import records
from effdet_bench.deploy.contents import Sources, write_networks
from effdet_bench.errors import BenchError
from effdet_bench.facts.photos import list_photos
from effdet_bench.timing import rounds
from effdet_bench.timing.host import Host, RemoteHost
from effdet_bench.timing.requests import Measurement, export_seconds
from effdet_bench.worker.networks import load_networks
from effdet_bench.worker.spec import JobSpec, ModelFiles
from effdet_runtime.bundle import WEIGHTS
from helpers import SHIPPED

MODEL = "tf_efficientdet_lite0"


def spec(lite0_files: Path, folder: Path, **changes) -> JobSpec:
    """The job of one mode, as the step `timing` makes it."""
    files = {
        "record": records.read_json(lite0_files / f"{MODEL}.verified.json", "checkpoint"),
        "file": str(lite0_files / f"{MODEL}.pth"),
        "reference": str(lite0_files / f"{MODEL}.json"),
    }
    given = {
        "device": "cpu",
        "mode": "no-network",
        "round": 1,
        "engine": "no_network",
        "options": {},
        "models": (ModelFiles(**files | changes),),
        "photos": tuple(map(str, list_photos(SHIPPED))),
        "seconds": 0,
        "requests": 6,
        "warmup": 2,
        "stages": 1,
        "threads": 1,
        "folder": folder,
    }
    return JobSpec(**given)


def test_a_checkpoint_that_changed_since_it_was_verified_is_not_timed(lite0_files, tmp_path):
    changed = tmp_path / "changed.pth"
    changed.write_bytes(b"changed")
    with pytest.raises(BenchError, match="SHA-256"):
        Measurement(spec(lite0_files, tmp_path, file=str(changed)))


def test_models_of_one_checkpoint_keep_their_names(lite0_files, tmp_path):
    (one,) = spec(lite0_files, tmp_path).models
    again = replace(one, record=one.record | {"model": "again"})
    networks = load_networks([one, again])
    assert [networks.model(files).name for files in (one, again)] == [MODEL, "again"]


def test_a_bundle_holds_each_of_two_checkpoints_of_one_name(tmp_path):
    given = {"a": b"weights of a", "b": b"weights of b"}
    ensemble, paths = [], []
    for name, content in given.items():
        paths.append(tmp_path / name / "best.pth")
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        ensemble.append({"model": name, "file": "best.pth", "sha256": digest})
    job = {"engine": "eager", "ensemble": ensemble}
    write_networks(tmp_path / "networks", job, Sources([], paths, SHIPPED))
    for name, content in given.items():
        assert (tmp_path / "networks" / name / WEIGHTS).read_bytes() == content


def test_a_reference_of_other_photos_is_not_judged_by(lite0_files, tmp_path):
    for kind in ("json", "npy", "inputs.npy"):
        content = (lite0_files / f"{MODEL}.{kind}").read_bytes()
        other = content.replace(b"000000458054.jpg", b"another-name.jpg")
        (tmp_path / f"{MODEL}.{kind}").write_bytes(other)
    with pytest.raises(BenchError, match="of another checkpoint or of other photos"):
        Measurement(spec(lite0_files, tmp_path, reference=str(tmp_path / f"{MODEL}.json")))


@pytest.mark.parametrize(
    ("which", "outcome", "words"),
    [
        ("export", "unavailable", "no such engine here"),
        ("check", "failed", "answers otherwise than PyTorch"),
        ("check", "another checkpoint", "is of another checkpoint"),
    ],
)
def test_an_export_that_is_not_as_it_should_be_is_not_timed(
    lite0_files, tmp_path, which, outcome, words
):
    checkpoint = records.read_json(lite0_files / f"{MODEL}.verified.json", "checkpoint")
    common = {"engine": "openvino", "model": MODEL, "sha256": checkpoint["sha256"]}
    export = common | {"device": "cpu", "options": {"precision": "fp32", "rewritten": True}}
    export |= {"versions": {}, "seconds": 1.0, "bytes": 1, "outcome": "completed", "reason": None}
    check = common | {"class_error": 0.0, "box_error": 0.0, "outcome": "completed", "reason": None}
    spoilt = {"export": export, "check": check}[which]
    spoilt |= {"sha256": "0" * 64} if outcome not in ("unavailable", "failed") else {}
    spoilt |= {"outcome": outcome, "reason": words} if outcome in ("unavailable", "failed") else {}
    records.write_json(tmp_path / "a.json", export, "export")
    records.write_json(tmp_path / "a.check.json", check, "export_check")
    with pytest.raises(BenchError, match=words):
        Measurement(spec(lite0_files, tmp_path, export=str(tmp_path / "a.json")))


def test_the_seconds_of_exports_are_those_of_the_step_and_no_sum(lite0_files, tmp_path):
    given = spec(lite0_files, tmp_path, export=str(tmp_path / "a.json"))
    record = {"engine": "openvino", "device": "cpu", "model": MODEL, "sha256": "0" * 64}
    record |= {"options": {"precision": "fp32", "rewritten": True}, "versions": {}}
    record |= {"seconds": 5.0, "bytes": 1, "outcome": "completed", "reason": None}
    records.write_json(tmp_path / "a.json", record, "export")
    assert export_seconds(given.models * 2) == 5.0


def test_a_worker_on_an_export_has_a_parent_without_networks(lite0_files, tmp_path):
    """Its memory would contain that of the networks, which it does not run."""
    modes = [spec(lite0_files, tmp_path), spec(lite0_files, tmp_path, export="export.json")]
    modes[1] = replace(modes[1], mode="exported")
    hosts = rounds.Hosts(modes)
    ours, others = hosts.of(modes[0]), hosts.of(modes[1])
    assert list(ours.networks.loaded) == [MODEL]
    assert isinstance(others, RemoteHost)
    assert Host(modes[1:]).networks.loaded == {}
    hosts.close()
