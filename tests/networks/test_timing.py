"""A round leaves a record of every mode whatever happens to it, and never overlaps another one."""

import itertools
import json
import os
import re
import stat
import subprocess
import sys
import time
import venv
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from effdet_bench import locks
from effdet_bench.config.names import UNSEEN_MARK
from effdet_bench.facts.photos import list_photos
from effdet_bench.records import RAW_COLUMNS
from effdet_bench.timing import job as timing_job
from helpers import SHIPPED, copy_project

CRASHES = {
    "raises": ("raise RuntimeError('no more memory')", "RuntimeError: no more memory"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    "faults": ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    "exits": ("import os; os._exit(3)", "ended with status 3"),
}
MODEL = "tf_efficientdet_lite0"
MODE = {"engine": "no_network", "options": {}, "env": {}, "python": None}


def flags(lite0_files: Path, results: Path, modes: list[dict]) -> list[str]:
    """Arguments of the step `timing`."""
    settings = {
        **{"machine": "m", "modes": json.dumps(modes), "device": "cpu", "round": 1},
        **{"requests": 6, "warmup": 2, "stages": 1, "photos": SHIPPED, "first": 8, "threads": 1},
        **{
            "records": lite0_files / f"{MODEL}.verified.json",
            "checkpoints": lite0_files / f"{MODEL}.pth",
        },
        **{"references": lite0_files / f"{MODEL}.json", "results": results},
    }
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


@pytest.fixture
def job(lite0_files, tmp_path):
    """Starts a timing job by hand, with the package of a workspace of its own."""
    project = copy_project(tmp_path / "project")

    def start(*engines, output="out") -> subprocess.Popen:
        modes = [
            MODE | {"name": engine, "engine": engine} if isinstance(engine, str) else MODE | engine
            for engine in engines
        ]
        given = flags(lite0_files, tmp_path / output, modes)
        command = [sys.executable, "-m", "effdet_bench", "timing", *given]
        return subprocess.Popen(command, env=project.env, stderr=subprocess.PIPE, text=True)

    def finish(*engines, **settings) -> dict:
        """The records of all `engines`."""
        running = start(*engines, **settings)
        _, stderr = running.communicate(timeout=200)
        assert running.returncode == 0, stderr
        names = [engine if isinstance(engine, str) else engine["name"] for engine in engines]
        return {name: json.loads((folder(name) / "job.json").read_text()) for name in names}

    def folder(engine: str, output="out"):
        return tmp_path / output / "timing" / "cpu" / engine / "round-1"

    start.finish, start.project, start.folder = finish, project, folder
    return start


def test_a_round_leaves_a_record_of_every_mode_whatever_becomes_of_it(job):
    """A mode that is well beside four that die, each in another way, and one that cannot start."""
    engines = job.project.package / "engines"
    source = (engines / "no_network.py").read_text()
    call = "        return self._zeros[index]"
    dying = "        self.calls = getattr(self, 'calls', 0) + 1\n        if self.calls == 4:\n"
    for name, (code, _) in CRASHES.items():
        text = source.replace(call, f"{dying}            {code}\n{call}")
        (engines / f"{name}.py").write_text(text)
    needy = source.replace("import torch\n", "import no_such_runtime\nimport torch\n", 1)
    (engines / "needy.py").write_text(needy)
    found = job.finish("no_network", *CRASHES, "needy")

    for name, (_, reason) in CRASHES.items():
        assert found[name]["outcome"] == "failed"
        assert reason in found[name]["reason"]
        assert len((job.folder(name) / "requests.csv").read_text().splitlines()) == 1 + 3
    served = r"while engines/raises.py, line \d+, served timed request 3 "
    assert re.search(served, found["raises"]["reason"])
    assert found["needy"]["outcome"] == "unavailable"
    assert "needs the package no_such_runtime" in found["needy"]["reason"]

    record = found["no_network"]
    assert record["outcome"] == "completed"
    assert record["threads_used"] == 1
    assert record["precision"] == "fp32"
    moments = [record["conditions"][moment]["probe_ms"] for moment in ("before", "after")]
    assert min(moments) > 0
    folder = job.folder("no_network")
    rows = (folder / "requests.csv").read_text().splitlines()
    assert rows[0] == ",".join(RAW_COLUMNS["requests.csv"])
    phases = [row.split(",")[1] for row in rows[1:]]
    assert phases[:2] == ["warmup"] * 2
    assert phases[2:] == ["timed"] * record["requests"]
    turns = [int(row.split(",")[2]) for row in rows[1:]]
    assert sorted(set(turns[2:])) == [1, 2, 3, 4, 5, 6, 7]
    names = [path.name for path in list_photos(SHIPPED)]
    begins = [rows[1 + turns.index(turn)].split(",")[3] for turn in range(1, 8)]
    (unseen,) = (photo for photo in begins if UNSEEN_MARK in photo)
    sent = [photo for row in rows[3:] if (photo := row.split(",")[3]) != unseen]
    assert sent == [names[number % len(names)] for number in range(len(sent))]
    assert unseen.split(UNSEEN_MARK)[0] in {Path(name).stem for name in names}
    assert {path.name for path in folder.iterdir()} == {"job.json", *RAW_COLUMNS}
    judged = (folder / "outputs.csv").read_text().splitlines()[1:]
    carried = [row.split(",")[3] for row in rows[3:]]
    numbers = [str(k) for k in range(2, 2 + record["requests"])]
    assert [row.split(",")[:2] for row in judged] == [
        [number, name] for number, name in zip(numbers, carried, strict=True)
    ]


def test_code_that_was_edited_while_the_run_went_on_is_not_timed(job):
    planned = {"harness": "of before", "engine": "of before"}
    mode = {"name": "no-network", "engine": "no_network", "depends": planned}
    done = job(mode).communicate(timeout=100)[1]
    assert "the code of harness and engine of no-network was edited while the run went on" in done


def test_modes_take_turns(job, tmp_path):
    """An engine that notes who serves: in a turn each mode has its part, of the same time."""
    source = (job.project.package / "engines" / "no_network.py").read_text()
    note = f"        open({str(tmp_path / 'who')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    source = source.replace("        return self._zeros", f"{note}        return self._zeros", 1)
    for name in ("first", "second"):
        (job.project.package / "engines" / f"{name}.py").write_text(f"import os\n{source}")
    # other tests delay a warm-up request; in twice the time, two requests would fit into a turn
    slow = source.replace(note, f"        __import__('time').sleep(0.3)\n{note}")
    (job.project.package / "engines" / "slow.py").write_text(f"import os\n{slow}")
    found = job.finish("first", "second", "slow")
    served = (tmp_path / "who").read_text().split()[3 * 2 : -3]  # stages are timed once all is done
    parts = [who for who, _ in itertools.groupby(served)]
    assert len(parts) >= 3 * 7 - 6, "the last of a turn may be the first of the next"
    pairs = set(itertools.pairwise(parts))
    assert len(pairs) > 3, "an order that never changes has as many pairs as modes"
    assert found["slow"]["requests"] == 7, "of 6 known photos and the unseen one"
    assert found["first"]["requests"] > 7, "as many as fit into one request of the slowest"


def test_modes_with_an_environment_have_a_parent_of_their_own(job):
    """What a mode sets is there in its process, and what has no effect here is unavailable."""
    source = (job.project.package / "engines" / "no_network.py").read_text()
    call = "        return self._zeros[index]"
    note = "        assert os.environ['WHO'] == 'mine'\n"
    (job.project.package / "engines" / "asks.py").write_text(
        "import os\n" + source.replace(call, note + call)
    )
    mine = {"name": "mine", "engine": "asks", "env": {"WHO": "mine"}}
    preload = {"name": "preload", "engine": "no_network", "env": {"LD_PRELOAD": "libnowhere.so"}}
    nobody = {"name": "nobody", "engine": "no_network", "python": "/nowhere/python"}
    found = job.finish("no_network", mine, preload, nobody, "asks")
    assert {name: record["outcome"] for name, record in found.items()} == {
        "no_network": "completed",
        "mine": "completed",
        "preload": "unavailable",
        "nobody": "failed",
        "asks": "failed",
    }
    assert found["mine"]["env"] == {"WHO": "mine"}
    assert "libnowhere.so, which the loader did not find" in found["preload"]["reason"]
    assert "/nowhere/python cannot be started" in found["nobody"]["reason"]


def test_an_interpreter_of_ones_own_runs_this_code_or_fails(job, tmp_path):
    """A virtual environment that sees the same packages stands in for another version of one."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "shared.pth").write_text("\n".join(path for path in sys.path if "site-pack" in path))
    mine = {"name": "mine", "engine": "no_network", "python": str(python)}
    found = job.finish("no_network", mine)
    assert found["mine"]["outcome"] == "completed", found["mine"]
    assert found["mine"]["python"] == str(python)
    assert found["mine"]["versions"]["torch"] == found["no_network"]["versions"]["torch"]


def test_modes_that_do_not_fit_into_memory_take_turns_in_groups(job):
    """Free memory that never suffices for one mode more: each is alone with `baseline`."""
    code = job.project.package / "timing" / "memory.py"
    code.write_text(code.read_text() + "\n\ndef available(device):\n    return [2**20]\n")
    baseline = {"name": "baseline", "engine": "eager"}
    others = [{"name": name, "engine": "no_network"} for name in ("a", "b")]
    found = job.finish(baseline, *others)
    assert {record["groups"] for record in found.values()} == {2}
    assert sorted(found[name]["group"] for name in ("a", "b")) == [1, 2]
    assert found["baseline"]["group"] is None

    def turns(name: str) -> set[str]:
        rows = (job.folder(name) / "requests.csv").read_text().splitlines()[1:]
        return {row.split(",")[2] for row in rows} - {"0"}

    assert turns("a") | turns("b") == turns("baseline")
    assert not turns("a") & turns("b")
    assert len(turns("baseline")) == 14, "those of both groups"


def test_no_worker_outlives_the_process_that_gives_the_turns(job):
    running = job("eager", "no_network", {"name": "own", "engine": "no_network", "env": {"A": "b"}})
    waiting = job.folder("eager") / ".requests.csv"
    while not waiting.exists() or len(waiting.read_text().splitlines()) < 3:
        assert running.poll() is None
        time.sleep(0.05)
    while len(psutil.Process(running.pid).children(recursive=True)) < 5:
        assert running.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(running.pid).children(recursive=True)
    assert len(workers) == 5, "one for each mode, one for what is around them, and a host"
    running.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_two_rounds_in_two_terminals_wait_for_each_other(job):
    running = [job("no_network", output=name) for name in ("a", "b")]
    said = [process.communicate(timeout=200)[1] for process in running]
    (waited,) = (text for text in said if "waiting for another timing job" in text)
    holders = [process.pid for process, text in zip(running, said, strict=True) if text != waited]
    user, folder = psutil.Process().username(), Path.cwd()
    if locks.LOCKS.exists():
        assert f"to end: process {holders[0]} of {user} in {folder}" in waited

    spans = []
    for name in ("a", "b"):
        record = json.loads((job.folder("no_network", name) / "job.json").read_text())
        assert record["outcome"] == "completed"
        begin = datetime.fromisoformat(record["started"])
        spans.append((begin, begin + timedelta(seconds=record["job_seconds"])))
    first, second = sorted(spans)
    assert second[0] >= first[1] - timedelta(milliseconds=2)


def test_the_lock_is_one_for_all_users(tmp_path, monkeypatch):
    """It lies where no user's TMPDIR does, and others may open what the first one made."""
    monkeypatch.setattr(timing_job, "LOCK", str(tmp_path / "lock"))
    with timing_job.lock_timing():
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) & 0o044 == 0o044
    command = [sys.executable, "-c", "from effdet_bench.timing.job import LOCK; print(LOCK)"]
    env = {key: value for key, value in os.environ.items() if key != "EFFDET_BENCH_LOCK"}
    told = {
        subprocess.check_output(command, env=env | {"TMPDIR": folder}, text=True)
        for folder in ("/tmp", str(tmp_path))
    }
    assert told == {"/tmp/effdet-bench.lock\n"}
