"""A round leaves a record of every mode whatever happens to it, and never overlaps another one."""

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta

import psutil
import pytest

from effdet_bench.__main__ import main
from effdet_bench.config.photos import describe_photos, list_photos
from effdet_bench.errors import BenchError
from effdet_bench.records import RAW_COLUMNS
from helpers import SHIPPED, Workspace, copy_project

CRASHES = {
    "raises": ("raise RuntimeError('no more memory')", "RuntimeError: no more memory"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    "faults": ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    "exits": ("import os; os._exit(3)", "ended with status 3"),
}


@pytest.fixture
def job(smoke: Workspace, tmp_path):
    """Starts a timing job by hand, with the package of a workspace of its own."""
    made = copy_project(tmp_path / "project")
    verified = smoke.path / "checkpoints" / "verified" / "tf_efficientdet_lite0.synthetic.json"
    reference = tmp_path / "reference" / "tf_efficientdet_lite0.json"
    checkpoint = smoke.path / "checkpoints" / "synthetic" / "tf_efficientdet_lite0-seed0.pth"

    given = ["--records", verified, "--checkpoints", checkpoint, "--first", "8", "--threads", "1"]
    given += ["--photos", smoke.results / "photos.json", "--folder", SHIPPED]
    main(["reference", *map(str, given), "--output", str(reference.parent)])

    def start(*engines, output="out", file=checkpoint) -> subprocess.Popen:
        modes = [{"name": engine, "engine": engine, "options": {}} for engine in engines]
        settings = {"machine": "m", "modes": json.dumps(modes), "round": 1}
        settings |= {"requests": 6, "warmup": 2, "references": reference}
        settings |= {"threads": 1, "photos": SHIPPED, "device": "cpu"}
        settings |= {"records": verified, "checkpoints": file, "output": tmp_path / output}
        flags = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "effdet_bench", "timing", *flags]
        return subprocess.Popen(command, env=made.env, stderr=subprocess.PIPE, text=True)

    def finish(*engines, **settings) -> dict:
        """The record of the last of `engines`."""
        running = start(*engines, **settings)
        _, stderr = running.communicate(timeout=60)
        assert running.returncode == 0, stderr
        return json.loads((folder(engines[-1]) / "job.json").read_text())

    def folder(engine: str, output="out"):
        return tmp_path / output / "cpu" / engine / "round-1"

    start.finish, start.made, start.folder = finish, made, folder
    return start


def test_a_completed_job(job):
    record = job.finish("invalid")
    assert record["outcome"] == "completed"
    assert record["threads_used"] == 1
    rows = (job.folder("invalid") / "requests.csv").read_text().splitlines()
    assert rows[0] == "request,phase,photo,latency_ns"
    phases = [row.split(",")[1] for row in rows[1:]]
    assert phases == ["warmup"] * 2 + ["timed"] * 6
    names = [path.name for path in list_photos(SHIPPED)]
    assert [row.split(",")[2] for row in rows[1:]] == names
    assert {p.name for p in job.folder("invalid").iterdir()} == {"job.json", *RAW_COLUMNS}
    assert record["precision"] == "fp32"
    assert (
        record["conditions"]["before"]["probe_ms"] > 0 < record["conditions"]["after"]["probe_ms"]
    )
    judged = (job.folder("invalid") / "outputs.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in judged] == [[str(k), names[k]] for k in range(2, 8)]


@pytest.mark.parametrize("how", CRASHES)
def test_an_engine_that_dies_keeps_what_was_measured(job, how):
    code, reason = CRASHES[how]
    source = (job.made.package / "engines" / "invalid.py").read_text()
    call = "        return self._zeros[index]"
    dying = "        self.calls = getattr(self, 'calls', 0) + 1\n        if self.calls == 4:\n"
    source = source.replace(call, f"{dying}            {code}\n{call}")
    (job.made.package / "engines" / "dying.py").write_text(source)
    record = job.finish("invalid", "dying")
    assert record["outcome"] == "failed"
    assert reason in record["reason"]
    assert len((job.folder("dying") / "requests.csv").read_text().splitlines()) == 1 + 3
    beside = json.loads((job.folder("invalid") / "job.json").read_text())
    assert beside["outcome"] == "completed"


def test_an_engine_whose_package_is_missing_is_unavailable(job):
    source = (job.made.package / "engines" / "invalid.py").read_text()
    needy = source.replace("import torch\n", "import no_such_runtime\nimport torch\n", 1)
    (job.made.package / "engines" / "needy.py").write_text(needy)
    record = job.finish("needy")
    assert record["outcome"] == "unavailable"
    assert "needs the package no_such_runtime" in record["reason"]


def test_a_checkpoint_that_changed_since_it_was_verified_is_not_timed(job, tmp_path):
    changed = tmp_path / "changed.pth"
    changed.write_bytes(b"changed")
    record = job.finish("invalid", file=changed)
    assert record["outcome"] == "failed"
    assert "SHA-256" in record["reason"]


def test_a_reference_of_other_photos_is_not_judged_by(job, tmp_path):
    record = tmp_path / "reference" / "tf_efficientdet_lite0.json"
    record.write_text(record.read_text().replace("000000458054.jpg", "another.jpg"))
    found = job.finish("invalid")
    assert found["outcome"] == "failed"
    assert "of another checkpoint or of other photos" in found["reason"]


def test_modes_take_turns(job, tmp_path):
    """An engine that notes who serves: after warm-up, a run of requests never is of one mode."""
    source = (job.made.package / "engines" / "invalid.py").read_text()
    note = f"        open({str(tmp_path / 'who')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    source = source.replace("        return self._zeros", f"{note}        return self._zeros", 1)
    for name in ("first", "second"):
        (job.made.package / "engines" / f"{name}.py").write_text(f"import os\n{source}")
    slow = source.replace(note, f"        __import__('time').sleep(0.2)\n{note}")
    (job.made.package / "engines" / "slow.py").write_text(f"import os\n{slow}")
    job.finish("first", "second", "slow")
    served = (tmp_path / "who").read_text().split()[3 * 2 : 3 * (2 + 6)]
    turns = [served[k : k + 3] for k in range(0, len(served), 3)]
    assert all(len(set(turn)) == 3 for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


def test_no_worker_outlives_the_process_that_gives_the_turns(job):
    running = job("eager", "invalid")
    waiting = job.folder("eager") / ".requests.csv"
    while not waiting.exists() or len(waiting.read_text().splitlines()) < 3:
        assert running.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(running.pid).children()
    assert len(workers) == 3, "one for each mode, and one for what is around them"
    running.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_two_rounds_in_two_terminals_wait_for_each_other(job):
    running = [job("invalid", output=name) for name in ("a", "b")]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert sum("waiting for another timing job" in text for text in said) == 1
    spans = []
    for name in ("a", "b"):
        record = json.loads((job.folder("invalid", name) / "job.json").read_text())
        assert record["outcome"] == "completed"
        begin = datetime.fromisoformat(record["started"])
        spans.append((begin, begin + timedelta(seconds=record["job_seconds"])))
    first, second = sorted(spans)
    assert second[0] >= first[1] - timedelta(milliseconds=2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jpg", b"", "broken or no JPEG"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", "broken or no JPEG"),
        ("a.txt", b"", "without any JPEG file"),
    ],
)
def test_photos_that_cannot_be_used_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=words) as caught:
        describe_photos(list_photos(tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_a_truncated_photo_is_named(tmp_path):
    whole = next(SHIPPED.glob("*.jpg")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=r"cut\.jpg is broken"):
        describe_photos(list_photos(tmp_path))
