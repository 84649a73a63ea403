"""The package as pip installs it from a wheel: enough to measure, in an empty folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import OF_TESTS, ROOT, Workspace

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "Snakefile")
SETTINGS = ("config.yaml", "smoke.yaml", "three-d0.yaml", "constraints.txt")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The place where pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, *SETTINGS):
        shutil.copy2(ROOT / name, source / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("workflow", "profiles"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def run(site, tmp_path):
    """Runs a module of the installed package in a folder."""
    env = {key: value for key, value in os.environ.items() if key not in OF_TESTS}
    env |= {"PYTHONPATH": str(site), "TMPDIR": str(tmp_path)}
    env["EFFDET_BENCH_LOCK"] = str(tmp_path / "timing.lock")

    def run(folder: Path, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *args],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_a_wheel_brings_what_it_needs(site):
    package = site / "effdet_bench"
    for name in ("py.typed", "templates/bundle/.dockerignore.j2", "templates/bundle/README.md.j2"):
        assert (package / name).is_file(), name
    assert (site / "bin" / "effdet-bench").is_file()
    assert (site / "bin" / "effdet-runtime").is_file()


def test_an_installed_package_measures_in_an_empty_folder(site, run, smoke: Workspace, tmp_path):
    """The installed package also renders the report of an archive."""
    folder = tmp_path / "mine"
    assert "snakemake --cores 1" in run(tmp_path, "effdet_bench", "init", "mine")
    where = run(folder, "effdet_bench", "--version")
    assert where.startswith("effdet-bench 0.")
    checkpoints = smoke.path / "checkpoints" / "synthetic"
    shutil.copytree(checkpoints, folder / "checkpoints" / "synthetic")
    command = ("snakemake", "--cores", "1", "--configfile", "smoke.yaml", "--config", "rounds=1")
    run(folder, *command, "twin=false")
    report = (folder / "results" / "smoke" / "report.md").read_text()
    assert "A smoke run, not a benchmark" in report
    archive = shutil.copytree(smoke.results, tmp_path / "archive")
    (archive / "report.md").unlink()
    run(folder, "effdet_bench", "render", str(archive))
    assert "A smoke run, not a benchmark" in (archive / "report.md").read_text()


def test_nothing_is_written_over(run, tmp_path):
    (tmp_path / "config.yaml").write_text("seconds: 20\n")
    with pytest.raises(AssertionError, match=r"config.yaml is there already: give another folder"):
        run(tmp_path, "effdet_bench", "init", ".")
    assert (tmp_path / "config.yaml").read_text() == "seconds: 20\n"
    assert not (tmp_path / "Snakefile").exists()
