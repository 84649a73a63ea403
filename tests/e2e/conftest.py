"""Fixtures of tests that read a bundle."""

import zipfile
from pathlib import Path

import pytest

from helpers import BUNDLED, Workspace


@pytest.fixture(scope="session")
def bundle(bundled: Workspace, tmp_path_factory) -> Path:
    """The bundle as another user unpacks it, on another path."""
    folder = tmp_path_factory.mktemp("räumlich getrennt")
    with zipfile.ZipFile(bundled.path / "bundles" / f"smoke-{BUNDLED}.zip") as packed:
        packed.extractall(folder)
    return folder / f"smoke-{BUNDLED}"
