"""Fixtures of tests that read a bundle."""

import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from helpers import Workspace

MODE = "openvino"


@pytest.fixture(scope="session")
def bundled(smoke: Workspace) -> Workspace:
    """After `snakemake bundle`, which first times the mode that can be bundled.

    Shared by all processes that run tests: the first that needs it makes it.
    """
    folder = smoke.path.with_name("bundled")
    with FileLock(f"{folder}.lock"):
        if (folder / "bundles" / f"smoke-{MODE}.zip").exists():
            return Workspace(folder)
        made = smoke.copy(folder)
        made.set(f"{{modes: [baseline, no-network, {MODE}], rounds: 1}}")
        done = made.snakemake("bundle")
        assert done.returncode == 0, done.stdout
        return made


@pytest.fixture(scope="session")
def bundle(bundled: Workspace, tmp_path_factory) -> Path:
    """The bundle as another user unpacks it, on another path."""
    folder = tmp_path_factory.mktemp("räumlich getrennt")
    with zipfile.ZipFile(bundled.path / "bundles" / f"smoke-{MODE}.zip") as packed:
        packed.extractall(folder)
    return folder / f"smoke-{MODE}"
