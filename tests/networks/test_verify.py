"""Checkpoints: verified ones load, and each thing that can be wrong with a file is one sentence."""

import hashlib
import io
import os
import pickle
import zipfile

import pytest
import torch

from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.checkpoints.verify import verify
from effdet_bench.detector.ensemble import build_model
from effdet_bench.errors import BenchError

MODEL = "tf_efficientdet_lite0"
ENTRY = {"model": "mine", "architecture": MODEL, "classes": 90}


@pytest.fixture(scope="module")
def content() -> bytes:
    buffer = io.BytesIO()
    torch.save(build_model(MODEL).network.state_dict(), buffer)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    return path


def test_a_good_file_is_described(file, content):
    digest = hashlib.sha256(content).hexdigest()
    assert verify(ENTRY, file, digest, len(content)) == {
        "file": "model.pth",
        "bytes": len(content),
        "sha256": digest,
        "parameters": 3243470,
        "image_size": [320, 320],
    }


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tf_efficientdet_d0", 3.880), ("tf_efficientdet_d1", 6.626), ("tf_efficientdet_d2", 8.097)],
)
def test_the_catalogue_has_the_parameters_of_the_networks(name, millions):
    parameters = sum(p.numel() for p in build_model(name).network.parameters())
    assert parameters == RELEASE[name].parameters
    assert round(parameters / 1e6, 3) == millions


def test_a_flipped_byte_is_found(file, content):
    digest = hashlib.sha256(content).hexdigest()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(BenchError, match="instead of " + digest):
        verify(ENTRY, file, digest, len(content))


def test_a_truncated_file_is_found_with_and_without_a_digest(file, content):
    file.write_bytes(content[:-1000])
    with pytest.raises(BenchError, match=f"{len(content) - 1000} bytes instead of {len(content)}"):
        verify(ENTRY, file, None, len(content))
    with pytest.raises(BenchError, match="not a checkpoint that torch can read"):
        verify(ENTRY, file, None)


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("save", [torch.save, pickle.dump])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, save):
    file, marker = tmp_path / "attack.pth", tmp_path / "ran"
    with file.open("wb") as out:
        save({"weight": Attack(marker)}, out)
    with pytest.raises(BenchError, match="a pickle that would run code"):
        verify(ENTRY, file, None)
    assert not marker.exists()


def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    buffer, file = io.BytesIO(), tmp_path / "bomb.pth"
    torch.save({"weight": torch.zeros(10**6)}, buffer)
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert torch.load(file)["weight"].shape == (10**6,), "torch would unpack it"
    with pytest.raises(BenchError, match=r"its \d+ bytes unpack to 400\d+: use a checkpoint that"):
        verify(ENTRY, file, None)


class Huge:
    def __reduce__(self):
        return bytearray, (10**13,)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Huge(), "not a checkpoint that torch can read"),
        # one value in the file, in two bytes
        ({"weight": torch.zeros(1).half().expand(10**12)}, "does not fit the network"),
    ],
)
def test_what_claims_to_be_huge_is_refused(tmp_path, state, words):
    file = tmp_path / "model.pth"
    torch.save(state, file)
    assert file.stat().st_size < 10_000
    with pytest.raises(BenchError, match=words):
        verify(ENTRY, file, None)


def test_a_link_is_judged_by_what_it_leads_to(tmp_path, file, content):
    link = tmp_path / "link.pth"
    link.symlink_to(file)
    assert verify(ENTRY, link, hashlib.sha256(content).hexdigest())["file"] == "link.pth"
    file.unlink()
    with pytest.raises(BenchError, match=r"link\.pth: the checkpoint cannot be read"):
        verify(ENTRY, link, None)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(1000)])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    file = tmp_path / "model.pth"
    file.write_bytes(content)
    with pytest.raises(BenchError, match="checkpoint"):
        verify(ENTRY, file, None)


def test_a_checkpoint_of_another_model_is_refused(file):
    with pytest.raises(BenchError, match="does not fit the network efficientdet_d0"):
        verify(ENTRY | {"architecture": "efficientdet_d0"}, file, None)


def test_a_checkpoint_of_other_classes_is_refused(file):
    with pytest.raises(BenchError, match="for 7 classes: name the model and the classes"):
        verify(ENTRY | {"classes": 7}, file, None)


def test_a_model_that_effdet_does_not_know_is_refused(file):
    with pytest.raises(BenchError, match="did you mean 'tf_efficientdet_lite0'"):
        verify(ENTRY | {"architecture": "tf_efficientdet_lit0"}, file, None)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BenchError, match="cannot be read"):
        verify(MODEL, tmp_path / "gone.pth", None)
