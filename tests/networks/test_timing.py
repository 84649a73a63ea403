"""A round leaves a record of every mode whatever happens to it, and never overlaps another one."""

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from effdet_bench import records
from effdet_bench.config.photos import describe_photos, list_photos
from effdet_bench.errors import BenchError
from effdet_bench.records import RAW_COLUMNS
from effdet_bench.timing.spec import JobSpec, ModelFiles
from effdet_bench.timing.worker import Measurement
from helpers import SHIPPED, copy_project, make_references

CRASHES = {
    "raises": ("raise RuntimeError('no more memory')", "RuntimeError: no more memory"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    "faults": ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    "exits": ("import os; os._exit(3)", "ended with status 3"),
}
MODEL = "tf_efficientdet_lite0"


@pytest.fixture(scope="module")
def made(lite0, tmp_path_factory) -> Path:
    """A folder with the verified checkpoint of lite0, and its reference."""
    folder = tmp_path_factory.mktemp("made")
    make_references([lite0], folder)
    return folder


@pytest.fixture
def job(made, tmp_path):
    """Starts a timing job by hand, with the package of a workspace of its own."""
    project = copy_project(tmp_path / "project")

    def start(*engines, output="out") -> subprocess.Popen:
        modes = [{"name": engine, "engine": engine, "options": {}} for engine in engines]
        settings = {"machine": "m", "modes": json.dumps(modes), "round": 1}
        settings |= {"requests": 6, "warmup": 2, "references": made / f"{MODEL}.json"}
        settings |= {"threads": 1, "photos": SHIPPED, "device": "cpu"}
        settings |= {"records": made / f"{MODEL}.verified.json"}
        settings |= {"checkpoints": made / f"{MODEL}.pth", "results": tmp_path / output}
        flags = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "effdet_bench", "timing", *flags]
        return subprocess.Popen(command, env=project.env, stderr=subprocess.PIPE, text=True)

    def finish(*engines, **settings) -> dict:
        """The records of all `engines`."""
        running = start(*engines, **settings)
        _, stderr = running.communicate(timeout=200)
        assert running.returncode == 0, stderr
        return {name: json.loads((folder(name) / "job.json").read_text()) for name in engines}

    def folder(engine: str, output="out"):
        return tmp_path / output / "timing" / "cpu" / engine / "round-1"

    start.finish, start.project, start.folder = finish, project, folder
    return start


def spec(made: Path, folder: Path, **changes) -> JobSpec:
    """The job of one mode, as the step `timing` makes it."""
    files = {
        "record": records.read_json(made / f"{MODEL}.verified.json", "checkpoint"),
        "file": str(made / f"{MODEL}.pth"),
        "reference": str(made / f"{MODEL}.json"),
    }
    given = {
        "device": "cpu",
        "mode": "invalid",
        "round": 1,
        "engine": "invalid",
        "options": {},
        "models": (ModelFiles(**files | changes),),
        "photos": tuple(map(str, list_photos(SHIPPED))),
        "requests": 6,
        "warmup": 2,
        "threads": 1,
        "folder": folder,
    }
    return JobSpec(**given)


def test_a_round_leaves_a_record_of_every_mode_whatever_becomes_of_it(job):
    """A mode that is well beside four that die, each in another way, and one that cannot start."""
    engines = job.project.package / "engines"
    source = (engines / "invalid.py").read_text()
    call = "        return self._zeros[index]"
    dying = "        self.calls = getattr(self, 'calls', 0) + 1\n        if self.calls == 4:\n"
    for name, (code, _) in CRASHES.items():
        text = source.replace(call, f"{dying}            {code}\n{call}")
        (engines / f"{name}.py").write_text(text)
    needy = source.replace("import torch\n", "import no_such_runtime\nimport torch\n", 1)
    (engines / "needy.py").write_text(needy)
    found = job.finish("invalid", *CRASHES, "needy")

    for name, (_, reason) in CRASHES.items():
        assert found[name]["outcome"] == "failed"
        assert reason in found[name]["reason"]
        assert len((job.folder(name) / "requests.csv").read_text().splitlines()) == 1 + 3
    assert found["raises"]["reason"].endswith("while engines/raises.py served a request")
    assert found["needy"]["outcome"] == "unavailable"
    assert "needs the package no_such_runtime" in found["needy"]["reason"]

    record = found["invalid"]
    assert record["outcome"] == "completed"
    assert record["threads_used"] == 1
    assert record["precision"] == "fp32"
    moments = [record["conditions"][moment]["probe_ms"] for moment in ("before", "after")]
    assert min(moments) > 0
    folder = job.folder("invalid")
    rows = (folder / "requests.csv").read_text().splitlines()
    assert rows[0] == "request,phase,photo,latency_ns"
    phases = [row.split(",")[1] for row in rows[1:]]
    assert phases == ["warmup"] * 2 + ["timed"] * 6
    names = [path.name for path in list_photos(SHIPPED)]
    assert [row.split(",")[2] for row in rows[1:]] == names
    assert {path.name for path in folder.iterdir()} == {"job.json", *RAW_COLUMNS}
    judged = (folder / "outputs.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in judged] == [[str(k), names[k]] for k in range(2, 8)]


def test_a_checkpoint_that_changed_since_it_was_verified_is_not_timed(made, tmp_path):
    changed = tmp_path / "changed.pth"
    changed.write_bytes(b"changed")
    with pytest.raises(BenchError, match="SHA-256"):
        Measurement(spec(made, tmp_path, file=str(changed)))


def test_a_reference_of_other_photos_is_not_judged_by(made, tmp_path):
    for kind in ("json", "npy"):
        content = (made / f"{MODEL}.{kind}").read_bytes()
        other = content.replace(b"000000458054.jpg", b"another-name.jpg")
        (tmp_path / f"{MODEL}.{kind}").write_bytes(other)
    with pytest.raises(BenchError, match="of another checkpoint or of other photos"):
        Measurement(spec(made, tmp_path, reference=str(tmp_path / f"{MODEL}.json")))


@pytest.mark.parametrize(
    ("which", "outcome", "words"),
    [
        ("export", "unavailable", "no such engine here"),
        ("check", "failed", "answers otherwise than PyTorch"),
        ("check", "another checkpoint", "is of another checkpoint"),
    ],
)
def test_an_export_that_is_not_as_it_should_be_is_not_timed(made, tmp_path, which, outcome, words):
    checkpoint = records.read_json(made / f"{MODEL}.verified.json", "checkpoint")
    common = {"engine": "openvino", "model": MODEL, "sha256": checkpoint["sha256"]}
    export = common | {"device": "cpu", "options": {"precision": "fp32", "rewritten": True}}
    export |= {"versions": {}, "seconds": 1.0, "bytes": 1, "outcome": "completed", "reason": None}
    check = common | {"class_error": 0.0, "box_error": 0.0, "outcome": "completed", "reason": None}
    spoilt = {"export": export, "check": check}[which]
    spoilt |= {"sha256": "0" * 64} if outcome not in ("unavailable", "failed") else {}
    spoilt |= {"outcome": outcome, "reason": words} if outcome in ("unavailable", "failed") else {}
    records.write_json(tmp_path / "a.json", export, "export")
    records.write_json(tmp_path / "a.check.json", check, "export_check")
    with pytest.raises(BenchError, match=words):
        Measurement(spec(made, tmp_path, export=str(tmp_path / "a.json")))


def test_modes_take_turns(job, tmp_path):
    """An engine that notes who serves: after warm-up, a run of requests never is of one mode."""
    source = (job.project.package / "engines" / "invalid.py").read_text()
    note = f"        open({str(tmp_path / 'who')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    source = source.replace("        return self._zeros", f"{note}        return self._zeros", 1)
    for name in ("first", "second"):
        (job.project.package / "engines" / f"{name}.py").write_text(f"import os\n{source}")
    slow = source.replace(note, f"        __import__('time').sleep(0.2)\n{note}")
    (job.project.package / "engines" / "slow.py").write_text(f"import os\n{slow}")
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
    said = [process.communicate(timeout=200)[1] for process in running]
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
