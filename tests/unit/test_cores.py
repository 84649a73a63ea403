"""How many cores there are for this process, by what the system says."""

from pathlib import Path

import psutil
import pytest

from effdet_bench.facts import cores

TWO, ONE = "0::/user/job\n", "5:cpuset:/\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n"


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """A machine of eight cores, and what lies in its control groups."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "TOPOLOGY", tmp_path / "cpu")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "cgroup")

    def limit(own: str, files: dict[str, str]) -> int:
        (tmp_path / "cgroup").write_text(own)
        for name, text in files.items():
            path = Path(tmp_path / "groups" / name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return cores.usable_cores()

    return limit


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (TWO, {}, 8),
        (TWO, {"user/cpu.max": "max 100000", "user/job/cpu.max": "400000 100000"}, 4),
        (TWO, {"user/cpu.max": "250000 100000", "user/job/cpu.max": "400000 100000"}, 2),
        (TWO, {"user/job/cpu.max": "50000 100000"}, 1),
        (TWO, {"cpu.max": "300000 100000"}, 3),
        (ONE, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (ONE, {"cpu/job/cpu.cfs_quota_us": "200000", "cpu/job/cpu.cfs_period_us": "100000"}, 2),
    ],
)
def test_a_quota_is_as_good_as_fewer_cores(limited, own, files, expected):
    assert limited(own, files) == expected


def test_cores_that_this_process_may_not_run_on_do_not_count(limited, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {1, 2, 5})
    assert limited(TWO, {}) == 3


def machine(siblings: int, count: int) -> list[str]:
    """The sibling lists of `count` CPUs as Linux numbers them: first one thread of every core."""
    cores = count // siblings
    return [",".join(str(cpu % cores + cores * k) for k in range(siblings)) for cpu in range(count)]


def write_topology(folder: Path, siblings: list[str]) -> None:
    """Writes the list of `siblings` of each CPU, where Linux has it."""
    for cpu, known in enumerate(siblings):
        path = folder / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(known)


def test_big_and_little_cores_count_alike(tmp_path, monkeypatch, limited):
    """Two big cores with two threads each, and four little ones with one."""
    write_topology(tmp_path / "cpu", ["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"])
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8 if logical else 6)
    assert limited(TWO, {}) == 6
    assert cores.physical_cores() == [(0, 1), (2, 3), (4,), (5,), (6,), (7,)]


@pytest.mark.parametrize(
    ("siblings", "cpus", "allowed", "expected"),
    [
        (1, 1, range(1), 1),
        (1, 2, range(2), 2),
        (2, 16, range(16), 8),
        (1, 64, range(64), 64),
        (2, 256, range(256), 128),  # two sockets of 64 cores
        (2, 256, [*range(64), *range(128, 192)], 64),  # one of the sockets
        (2, 128, [*range(8), *range(64, 72)], 8),  # eight cores of 64, with their siblings
        (2, 128, range(8), 8),  # eight cores, without their siblings
        (2, 128, [0, 64, 1], 2),  # a cpuset that cuts through a core
    ],
)
def test_threads_of_one_core_count_once(
    tmp_path, monkeypatch, limited, siblings, cpus, allowed, expected
):
    write_topology(tmp_path / "cpu", machine(siblings, cpus))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: cpus // siblings)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(allowed))
    assert limited(TWO, {}) == expected
    found = cores.physical_cores()
    assert len(found) == expected
    assert sorted(cpu for core in found for cpu in core) == sorted(allowed)
    assert all(len({cpu % (cpus // siblings) for cpu in core}) == 1 for core in found)
