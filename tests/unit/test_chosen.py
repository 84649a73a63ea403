"""The archive that a command reads if the user names none."""

import argparse
from pathlib import Path

import pytest

from effdet_bench import runs
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.errors import BenchError


def asked(*words: str) -> str:
    parser = argparse.ArgumentParser()
    add_results(parser)
    return str(chosen(parser.parse_args(words)).root)


def test_the_archive_of_the_latest_run_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    for name in ("first", "latest"):
        (tmp_path / "results" / name).mkdir(parents=True)
        runs.note_archive(Path("results") / name)
    assert asked() == "results/latest"
    assert asked("results/first") == "results/first"
    (tmp_path / "results" / "latest").rmdir()
    with pytest.raises(BenchError, match="no results of a latest run: give results/<machine>"):
        asked()


def test_without_a_run_a_folder_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match="no results of a latest run: give results/<machine>"):
        asked()
    with pytest.raises(BenchError, match="results/nowhere is not a folder: give results/<machine>"):
        asked("results/nowhere")
