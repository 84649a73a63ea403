"""Children of the steps `export` and `check_export`: which of them work side by side."""

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from effdet_bench.export.export import AT_ONCE, in_children

PATIENCE = 30  # seconds


class Spec(NamedTuple):
    """What a child does, in place of an export: `name` of `together` that share `folder`."""

    device: str
    folder: Path
    name: str
    together: tuple[str, ...]


class Child:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def meet(self) -> dict:
        """Waits for all of `together`; one that is called `dies` is killed meanwhile."""
        folder, name, together = self._spec.folder, self._spec.name, self._spec.together
        (folder / name).touch()
        if name == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        while not all((folder / other).exists() for other in together):
            assert time.monotonic() < end
            time.sleep(0.01)
        return {"name": name}

    def begin_and_end(self) -> dict:
        for what in ("begins", "ends"):
            with (self._spec.folder / "log").open("a") as log:
                log.write(f"{self._spec.name} {what}\n")
            time.sleep(0.05)
        return {"name": self._spec.name}


def test_on_the_cpu_children_work_side_by_side_and_one_that_dies_takes_no_other_along(tmp_path):
    names = ("d0", "dies", "d2")
    assert len(names) == AT_ONCE
    found = in_children(Child, [Spec("cpu", tmp_path, name, names) for name in names], "meet")
    assert [one["outcome"] for one in found] == ["completed", "failed", "completed"]
    assert [one.get("name") for one in found] == ["d0", None, "d2"]
    assert "SIGKILL" in found[1]["reason"]


def test_of_a_larger_ensemble_no_more_work_at_once(tmp_path):
    names = ("d0", "d1", "d2", "d3", "d4")
    specs = [Spec("cpu", tmp_path, name, names) for name in names]
    found = in_children(Child, specs, "begin_and_end")
    assert [one["name"] for one in found] == list(names)
    lines = (tmp_path / "log").read_text().splitlines()
    assert {line.split()[0] for line in lines[: 2 * AT_ONCE]} == set(names[:AT_ONCE])


def test_on_a_gpu_children_work_one_after_the_other(tmp_path):
    names = ("d0", "d1")
    in_children(Child, [Spec("cuda", tmp_path, name, names) for name in names], "begin_and_end")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["d0 begins", "d0 ends", "d1 begins", "d1 ends"]
