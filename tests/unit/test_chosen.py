"""The archive that a command reads if the user names none."""

import argparse
import json
import os

import pytest

from effdet_bench.errors import BenchError
from effdet_bench.facts.chosen import add_results, chosen
from effdet_bench.facts.machine import fingerprint


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes an archive of this machine, or of one with other facts, that was written at `time`."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, time: float, **other) -> None:
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text(json.dumps({"fingerprint": fingerprint() | other}))
        (folder / "MANIFEST.sha256").touch()
        os.utime(folder / "MANIFEST.sha256", (time, time))

    return make


def asked(*words: str) -> str:
    parser = argparse.ArgumentParser()
    add_results(parser)
    return str(chosen(parser.parse_args(words)).root)


def test_the_latest_run_of_this_machine_is_read(made):
    made("before", 100)
    made("latest", 300)
    made("middle", 200)
    made("another", 400, model="another processor")
    assert asked() == "results/latest"
    assert asked("results/another") == "results/another"


def test_without_a_run_of_this_machine_a_folder_is_asked_for(made):
    made("another", 400, model="another processor")
    with pytest.raises(BenchError, match="results/ has no results of this machine: give results/"):
        asked()
    with pytest.raises(BenchError, match="results/nowhere is not a folder: give results/<machine>"):
        asked("results/nowhere")
