"""How many cores there are for this process, by what the system says."""

from pathlib import Path

import psutil
import pytest

from effdet_bench.config import cores

TWO, ONE = "0::/user/job\n", "5:cpuset:/\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n"


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """A machine of eight cores, and what lies in its control groups."""
    monkeypatch.setattr(cores.os, "process_cpu_count", lambda: 8, raising=False)
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
    monkeypatch.setattr(cores.os, "process_cpu_count", lambda: 3)
    assert limited(TWO, {}) == 3
