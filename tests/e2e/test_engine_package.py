"""The engine of docs/engines.md: a package of its own, installed beside effdet-bench."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from helpers import ROOT, Workspace

EXAMPLE = ROOT / "docs" / "engine"
MODES = "modes: [baseline, {name: mine, engine: copying, copies: 2}]\nrounds: 1\ntwin: false"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package, and the Python of an environment in which it is installed."""
    folder = tmp_path_factory.mktemp("outside")
    source = shutil.copytree(EXAMPLE, folder / "engine")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # effdet-bench and what it needs come from the environment of the tests
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "--no-build-isolation", "--no-deps", "-e", source], check=True)
    return source, python


def test_the_document_shows_the_files_of_the_package():
    text = (ROOT / "docs" / "engines.md").read_text()
    for kind, name in (("python", "copying_engine.py"), ("toml", "pyproject.toml")):
        (shown,) = re.findall(rf"```{kind}\n(.*?)```", text, re.S)
        assert shown == (EXAMPLE / name).read_text()


def run(workspace: Workspace, python, *args: str) -> str:
    command = [str(python), "-m", *args]
    done = subprocess.run(
        command, cwd=workspace.path, env=workspace.env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_mode_of_the_engine_is_timed_and_follows_its_package(package, smoke, tmp_path):
    source, python = package
    workspace = smoke.copy(tmp_path / "mine")
    workspace.set(MODES)
    run(workspace, python, "snakemake", "--cores", "1", "--configfile", "smoke.yaml")
    rows = json.loads((workspace.results / "summary.json").read_text())["rows"]
    assert [row["validity"]["verdict"] for row in rows if row["mode"] == "mine"] == ["valid"]
    assert "`mine`" in (workspace.results / "report.md").read_text()
    job = json.loads(next(workspace.results.glob("timing/cpu/mine/round-*/job.json")).read_text())
    assert job["versions"]["copying-engine"] == "0.1"

    def planned() -> str:
        return run(workspace, python, "snakemake", "--dry-run", "--configfile", "smoke.yaml")

    assert "timed in" not in planned()
    module = source / "copying_engine.py"
    module.write_text(f"# a comment\n{module.read_text()}")
    assert "timed in" not in planned()
    module.write_text(module.read_text().replace("COPIES = [1, 2]", "COPIES = [1, 2, 3]"))
    assert re.search(r"mine +timed in round .*: changed: engine", planned())
