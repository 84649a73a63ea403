"""Which weights each model gets: files first, then the network, then synthetic."""

import pytest

from effdet_bench.checkpoints import sources
from effdet_bench.checkpoints.catalogue import RELEASE
from effdet_bench.errors import BenchError

MODEL = "tf_efficientdet_d0"
FILE = RELEASE[MODEL].file


def config(**changes):
    entry = {"model": MODEL, "architecture": MODEL, "classes": 90, "file": None, "sha256": None}
    defaults = {"weights": "auto", "weights_folder": None, "mirror": "http://m/", "seed": 7}
    return {"ensemble": [entry], **defaults, **changes}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def network(monkeypatch, there: bool):
    monkeypatch.setattr(sources, "reachable", lambda address: there)


def test_auto_downloads_where_the_network_is(monkeypatch):
    network(monkeypatch, True)
    (source,) = sources.choose(config())
    assert (source.weights, source.path) == ("release", f"checkpoints/{FILE}")
    assert (source.sha256, source.bytes) == (RELEASE[MODEL].sha256, RELEASE[MODEL].bytes)


def test_auto_falls_back_without_network_and_says_why(monkeypatch):
    network(monkeypatch, False)
    (source,) = sources.choose(config())
    assert (source.weights, source.path) == (
        "synthetic",
        f"checkpoints/synthetic/{MODEL}-seed7.pth",
    )
    assert "http://m/ could not be reached" in source.why


def test_release_never_falls_back(monkeypatch):
    network(monkeypatch, False)
    (source,) = sources.choose(config(weights="release"))
    assert source.weights == "release"


def test_an_address_that_nobody_can_ask_is_a_mistake_not_a_missing_network():
    with pytest.raises(BenchError, match=r"http://\[::1/ cannot be asked for weights .*`mirror`"):
        sources.choose(config(mirror="http://[::1/"))


def test_synthetic_never_asks_the_network(monkeypatch):
    monkeypatch.setattr(sources, "reachable", lambda address: pytest.fail("asked"))
    (source,) = sources.choose(config(weights="synthetic"))
    assert source.weights == "synthetic"


def test_a_file_that_is_there_needs_no_network_even_if_it_is_a_wrong_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "reachable", lambda address: pytest.fail("asked"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / FILE).write_bytes(b"wrong")
    (source,) = sources.choose(config())
    assert (source.weights, source.sha256) == ("release", RELEASE[MODEL].sha256)


def test_a_folder_of_the_users_comes_first(tmp_path, monkeypatch):
    network(monkeypatch, False)
    for folder in ("checkpoints", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / FILE).touch()
    (source,) = sources.choose(config(weights_folder="mine"))
    assert source.path == f"mine/{FILE}"


def test_a_named_file_that_is_not_there_is_refused():
    entry = config()["ensemble"][0] | {"file": "gone.pth", "sha256": "0" * 64}
    with pytest.raises(BenchError, match=r"'gone.pth'.*no such file"):
        sources.choose(config(ensemble=[entry]))


def test_a_weights_folder_that_is_not_there_is_refused():
    with pytest.raises(BenchError, match="weights_folder is 'gone', but there is no such folder"):
        sources.choose(config(weights_folder="gone"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "efficientdet_d0"}, "no checkpoint of 'efficientdet_d0' for 90 classes"),
        ({"classes": 7}, f"no checkpoint of '{MODEL}' for 7 classes"),
    ],
)
def test_a_model_without_a_checkpoint_is_refused(change, words):
    entry = config()["ensemble"][0] | change
    with pytest.raises(BenchError, match=words) as caught:
        sources.choose(config(ensemble=[entry]))
    assert "sha256" in str(caught.value)
    sources.choose(config(ensemble=[entry], weights="synthetic"))
