"""Modes fit where what those before them took fits once more, with a margin."""

from pathlib import Path

import pytest

from effdet_bench.facts import cores
from effdet_bench.timing import memory
from effdet_bench.timing.memory import RESERVE, Room

GIB = 2**30


@pytest.fixture
def free(monkeypatch) -> list[int]:
    """Bytes that are free, to be changed."""
    left = [8 * GIB]
    monkeypatch.setattr(memory, "available", lambda gpu: list(left))
    return left


def test_modes_fit_until_one_more_might_not(free):
    room, loaded = Room(None), 0
    while room.fits():
        free[0] -= GIB
        room.took(peak=GIB // 4)
        loaded += 1
    assert loaded == 6
    assert free[0] >= RESERVE + GIB // 4


def test_a_gpu_may_be_full_before_the_machine(free):
    free.append(3 * GIB)
    room = Room("uuid")
    assert room.fits()
    free[1] -= 2 * GIB
    room.took(peak=0)
    assert not room.fits()


@pytest.fixture
def cgroups(tmp_path, monkeypatch) -> Path:
    """A folder in place of the system's, where `own` says which groups the process is in."""
    monkeypatch.setattr(cores, "GROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")
    return tmp_path


def test_the_limit_of_a_group_counts_and_pages_of_files_do_not(cgroups):
    group = cgroups / "a" / "b"
    group.mkdir(parents=True)
    (cgroups / "own").write_text("0::/a/b\n")
    (group / "memory.max").write_text("max\n")
    assert memory.available(None) == [pytest.approx(memory.available(None)[0], rel=0.1)]
    (group.parent / "memory.max").write_text(f"{GIB}\n")
    (group.parent / "memory.current").write_text(f"{GIB // 2}\n")
    (group.parent / "memory.stat").write_text(f"anon 1\ninactive_file {GIB // 4}\n")
    assert memory.available(None) == [3 * GIB // 4]


def test_the_first_version_of_groups_has_limits_elsewhere(cgroups):
    group = cgroups / "memory" / "mine"
    group.mkdir(parents=True)
    (cgroups / "own").write_text("7:cpu:/elsewhere\n4:memory:/mine\n0::/\n")
    (group / "memory.limit_in_bytes").write_text(f"{GIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{GIB // 2}\n")
    (group / "memory.stat").write_text(f"total_inactive_file {GIB // 4}\n")
    assert memory.available(None) == [3 * GIB // 4]
