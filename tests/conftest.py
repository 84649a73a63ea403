"""Fixtures of all rooms."""

import os
import shutil
from pathlib import Path

# Tests run side by side: networks in their processes take one thread each, and keep the memory of
# large tensors in place of mapping it anew. Of processes that tests start, helpers know.
os.environ["OMP_NUM_THREADS"] = "1"
# where some do take two, one that waits for the other leaves its core to the other tests
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["GLIBC_TUNABLES"] = ":".join(
    f"glibc.malloc.{name}={size}"
    for name, size in (("mmap_threshold", 2**32), ("trim_threshold", 2**33), ("top_pad", 2**26))
)
# kernels of Triton run on the CPU where there is no GPU; read as Triton is imported
if shutil.which("nvidia-smi") is None:
    os.environ["TRITON_INTERPRET"] = "1"

import pytest
from filelock import FileLock

from helpers import BUNDLED, Workspace, copy_project, synthetic_model


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy of the project, nothing run yet."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Workspace:
    """A workspace with one finished smoke run, made with more cores than a timing may use.

    Shared by all processes that run tests: the first that needs it makes it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "smoke, räumlich"  # as folders of users are called
    with FileLock(shared / "smoke.lock"):
        if (folder / "terminal.txt").exists():
            return Workspace(folder)
        made = copy_project(folder)
        done = made.snakemake(cores=8)
        assert done.returncode == 0, done.stdout
        (folder / "terminal.txt").write_text(done.stdout)
        return made


@pytest.fixture(scope="session")
def bundled(smoke: Workspace) -> Workspace:
    """After `snakemake bundle`, which first times the mode that can be bundled.

    Shared by all processes that run tests: the first that needs it makes it.
    """
    folder = smoke.path.with_name("bundled")
    with FileLock(f"{folder}.lock"):
        if (folder / "bundles" / f"smoke-{BUNDLED}.zip").exists():
            return Workspace(folder)
        made = smoke.copy(folder)
        made.set(f"{{modes: [baseline, no-network, {BUNDLED}], rounds: 1}}")
        done = made.snakemake("bundle")
        assert done.returncode == 0, done.stdout
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
