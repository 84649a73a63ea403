"""Fixtures of all rooms."""

from pathlib import Path

import pytest

from helpers import Workspace, copy_project, synthetic_model


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy of the project, nothing run yet."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Workspace:
    """A workspace with one finished smoke run, made with more cores than a timing may use."""
    made = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    done = made.snakemake(cores=8)
    assert done.returncode == 0, done.stdout
    (made.path / "terminal.txt").write_text(done.stdout)
    return made


@pytest.fixture
def finished(smoke: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished smoke run, to be changed and run again."""
    return smoke.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def lite0():
    """A network with a mean and std of its own, and a small input."""
    return synthetic_model("tf_efficientdet_lite0")


@pytest.fixture(scope="session")
def d0():
    """A network with ImageNet's mean and std."""
    return synthetic_model("tf_efficientdet_d0")
