"""Fifty kills at random moments of a run, of whatever is hit: the same command always goes on."""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from effdet_bench.archive.audit import audit
from effdet_bench.layout import Archive
from helpers import Workspace

KILLS = 50
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MODES = ("baseline", "baseline-twin", "no-network")
TARGETS = ("group", "snakemake", "a job")
# what a run begins without, so that each kind of step is hit: from nothing, or from timings on
FORGOTTEN = (("checkpoints", "results"), ("results",), ("results/smoke/timing",))


def finished_rounds(workspace: Workspace) -> dict[Path, str]:
    """Digests of the raw data of rounds of which every mode has its record."""
    found = {}
    for number in (1, 2):
        folders = [workspace.results / f"timing/cpu/{mode}/round-{number}" for mode in MODES]
        if all((folder / "job.json").exists() for folder in folders):
            files = [folder / "requests.csv" for folder in folders]
            found |= {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return found


def strike(struck: Workspace, running: subprocess.Popen, chance: random.Random) -> None:
    target, how = chance.choice(TARGETS), chance.choice(SIGNALS)
    steps = struck.steps()
    if target == "group":
        os.killpg(running.pid, how)
    elif target == "a job" and steps:
        chance.choice(steps).send_signal(how)
    else:
        running.send_signal(how)


@pytest.fixture(scope="module")
def struck(smoke: Workspace, tmp_path_factory) -> Workspace:
    return smoke.copy(tmp_path_factory.mktemp("soak") / "project")


@pytest.mark.parametrize("seed", range(KILLS))
def test_nothing_is_lost_by_a_kill(struck: Workspace, seed: int):
    chance = random.Random(seed)
    for name in FORGOTTEN[seed % len(FORGOTTEN)]:
        shutil.rmtree(struck.path / name, ignore_errors=True)
    running = struck.start()
    time.sleep(chance.uniform(1, 45))
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        strike(struck, running, chance)
    # Snakemake that is told to end, or whose job died, ends once its jobs have
    running.wait(120)
    assert psutil.wait_procs(struck.steps(), 30)[1] == []
    kept = finished_rounds(struck)
    done = struck.snakemake()
    assert done.returncode == 0, done.stdout
    now = finished_rounds(struck)
    assert {path: now[path] for path in kept} == kept
    assert list(audit(Archive(struck.results))) == []
    assert not list((struck.path / ".snakemake").glob("locks/*"))
