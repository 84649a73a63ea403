"""The real thing: a SLURM cluster of two nodes on loopback, and machine types that are timed on it.

As root on Debian alone: it installs SLURM where it is not there, and replaces /etc/slurm.
"""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from helpers import Workspace, copy_project

CONFIG = Path("/etc/slurm")
SLURM = """
ClusterName=effdet
SlurmctldHost=localhost
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStorageEnforce=associations
ReturnToService=2
MpiDefault=none
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
MinJobAge=3600
NodeName=one NodeHostname=localhost Port=17101 CPUs={cpus} RealMemory={memory} Feature=plain
NodeName=two NodeHostname=localhost Port=17102 CPUs={cpus} RealMemory={memory} Gres=gpu:1
NodeName=three NodeHostname=localhost Port=17103 CPUs={cpus} RealMemory={memory}
PartitionName=cpu Nodes=one Default=YES
PartitionName=gpu Nodes=two
PartitionName=away Nodes=three
"""
ACCOUNTING = """
DbdHost=localhost
SlurmUser=root
AuthType=auth/munge
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={port}
StorageUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""
DATABASE_PORT = 17104
DAEMONS = ("slurmctld", "slurmd", "slurmstepd", "slurmdbd", "mariadbd", "munged")
PROFILE = ("--workflow-profile", "workflow/profiles/slurm")
PROFILE += (
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--seconds-between-status-checks",
    "2",
)
TYPES = """
cluster:
  - {name: plain, partition: cpu, constraint: plain}
  - {name: with-gpu, partition: gpu, gres: "gpu:1"}
  - {name: gone, partition: away}
"""


def install() -> None:
    if all(shutil.which(name) for name in ("slurmctld", "slurmdbd", "munged", "mariadbd")):
        return
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.run(["apt-get", "-q", "update"], check=True, **quiet)
    packages = ["slurm-wlm", "slurmdbd", "munge", "mariadb-server"]
    subprocess.run(
        ["apt-get", "-qy", "install", "--no-install-recommends", *packages], check=True, **quiet
    )


def wait_until(so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.5)


class Cluster:
    """Its daemons, started in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "state").mkdir()
        text = SLURM.format(folder=folder, cpus=os.cpu_count(), memory=3000)
        CONFIG.mkdir(exist_ok=True)
        (CONFIG / "slurm.conf").write_text(text)
        (CONFIG / "gres.conf").write_text("NodeName=two Name=gpu File=/dev/null\n")
        munge = Path("/run/munge")
        munge.mkdir(exist_ok=True)
        shutil.chown(munge, "munge", "munge")
        subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True)
        self._keep_accounts()
        subprocess.run(["slurmctld", "-c"], check=True)
        self.start_node("one")
        self.start_node("two")
        self.wait_for("one", "idle")
        self.wait_for("two", "idle")
        subprocess.run(
            ["scontrol", "update", "nodename=three", "state=down", "reason=test"], check=True
        )

    def _keep_accounts(self) -> None:
        """An account `science`, in which the user of the tests is, kept in a database."""
        data = self.folder / "database"
        own = ["--no-defaults", "--user=root", f"--datadir={data}"]
        create = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        where = [f"--socket={data}/socket", f"--port={DATABASE_PORT}", "--bind-address=127.0.0.1"]
        subprocess.Popen(["mariadbd", *own, *where], stderr=subprocess.DEVNULL)
        settings = CONFIG / "slurmdbd.conf"
        settings.write_text(ACCOUNTING.format(folder=self.folder, port=DATABASE_PORT))
        settings.chmod(0o600)
        wait_until(lambda: (data / "socket").exists())
        subprocess.run(["slurmdbd"], check=True)
        wait_until(lambda: self._manages("cluster", "effdet"))
        assert self._manages("account", "science")
        assert self._manages("user", "root", "account=science")

    def _manages(self, *added: str) -> bool:
        command = ["sacctmgr", "-i", "add", *added]
        return subprocess.run(command, capture_output=True).returncode == 0

    def start_node(self, name: str) -> None:
        subprocess.run(["slurmd", "-N", name], check=True)

    def kill_node(self, name: str) -> None:
        os.kill(int((self.folder / f"{name}.pid").read_text()), 9)

    def wait_for(self, name: str, state: str) -> None:
        wait_until(lambda: self.asked("sinfo", "-hN", "-n", name, "-o", "%T").startswith(state))

    def asked(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True).stdout

    def close(self) -> None:
        for process in psutil.process_iter(["name"]):
            if process.info["name"] in DAEMONS:
                process.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if os.getuid():
        pytest.skip("a cluster can be started by root alone")
    install()
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def timed(cluster, tmp_path_factory) -> tuple[Workspace, str]:
    """The project, its machine types timed; what was said."""
    workspace = copy_project(tmp_path_factory.mktemp("cluster") / "project")
    workspace.append("smoke.yaml", TYPES)
    done = workspace.snakemake(*PROFILE, "cluster")
    assert done.returncode == 0, done.stdout
    return workspace, done.stdout


def jobs(workspace: Workspace, name: str) -> list[dict]:
    records = (workspace.path / "results" / name).glob("timing/cpu/baseline/round-*/job.json")
    return [json.loads(path.read_text()) for path in sorted(records)]


def test_two_types_give_two_archives_and_a_comparison(timed):
    workspace, said = timed
    for name, node in (("plain", "one"), ("with-gpu", "two")):
        assert len(jobs(workspace, name)) == 2
        assert (workspace.path / "results" / name / "MANIFEST.sha256").exists()
        record = json.loads((workspace.path / "cluster" / name / "node.json").read_text())
        assert cluster_node(record["job"]) == node
        environment = json.loads(
            (workspace.path / "results" / name / "environment.json").read_text()
        )
        assert environment["fingerprint"] == record["fingerprint"]
    text = (workspace.path / "results" / "comparison.md").read_text()
    assert "| `baseline` |" in text
    assert "plain |" in text
    assert "with-gpu |" in text
    assert "| **gone** | no node of the partition away takes jobs (down" in text
    assert "not measured: gone" in said


def cluster_node(job: str) -> str:
    return subprocess.run(
        ["squeue", "-h", "--states=all", "-j", job, "-o", "%N"], capture_output=True, text=True
    ).stdout.strip()


def test_no_two_timings_of_a_machine_overlap(timed):
    """Both nodes are this machine: the lock holds where SLURM sees two."""
    workspace, _ = timed
    spans = []
    for job in jobs(workspace, "plain") + jobs(workspace, "with-gpu"):
        begin = datetime.fromisoformat(job["started"])
        spans.append((begin, begin + timedelta(seconds=job["job_seconds"])))
    spans.sort()
    assert len(spans) == 4
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert begin >= end


def test_a_killed_job_is_repeated_and_a_lost_daemon_survived(timed, cluster):
    workspace, _ = timed
    rounds = workspace.path / "results" / "plain" / "timing" / "cpu" / "baseline"
    running = subprocess.Popen(
        workspace.command(*PROFILE, "cluster", "--config", "warmup=2"),
        cwd=workspace.path,
        env=workspace.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # rounds 1 and 2 had another number of warm-up requests, so they count no more
    wait_until((rounds / "round-4" / ".requests.csv").exists, 240)
    assert running.poll() is None
    measured = (rounds / "round-3" / "requests.csv").read_text()
    job = cluster.asked("squeue", "-h", "-w", "one", "-t", "R", "-o", "%i").split()[0]
    cluster.asked("scancel", job)
    cluster.kill_node("two")
    time.sleep(2)
    cluster.start_node("two")
    said, _ = running.communicate(timeout=400)
    assert running.returncode == 0, said
    assert (rounds / "round-3" / "requests.csv").read_text() == measured
    for name in ("plain", "with-gpu"):
        later = [record for record in jobs(workspace, name) if record["round"] > 2]
        assert {record["round"] for record in later} == {3, 4}
        assert {record["warmup"] for record in later} == {2}


def test_a_job_on_another_type_of_machine_is_an_error_and_no_data_point(timed):
    workspace, _ = timed
    workspace.set(TYPES.replace("constraint: plain}", "expect: cray-1}"))
    before = (workspace.path / "results" / "plain" / "summary.json").read_text()
    done = workspace.snakemake(*PROFILE, "--retries", "0", "cluster")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    text = (workspace.path / "results" / "comparison.md").read_text()
    assert "| **plain** | plain is expected to be a cray-1, but" in text
    assert (workspace.path / "results" / "plain" / "summary.json").read_text() == before


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("partition: cpu, account: scince", "the account 'scince' for plain, but the scheduler"),
        ("partition: cpus", "the partition 'cpus' for plain, but the scheduler knows"),
        ("partition: cpu, constraint: plane", "the constraint 'plane' for plain, but nodes of"),
    ],
)
def test_what_is_mistyped_is_one_sentence_before_anything_is_submitted(timed, wrong, sentence):
    workspace, _ = timed
    workspace.set(TYPES.replace("partition: cpu, constraint: plain", wrong))
    done = workspace.snakemake(*PROFILE, "cluster")
    assert done.returncode != 0
    assert sentence in done.stdout
    assert "(did you mean" in done.stdout
    assert "Traceback" not in done.stdout
