# The workflow that times the machine types of a cluster: see docs/cluster.md.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"


import subprocess
import time

from effdet_bench.cluster import scheduler

MACHINE_TYPES = {kind["name"]: kind for kind in CONFIG["cluster"]}
STARTED = time.time()
ALONE = 1  # this run times nothing itself: its jobs on nodes do

try:
    if not MACHINE_TYPES:
        raise BenchError("config: cluster names no machine type to time: see docs/cluster.md.")
    # a job on a node reads this file too, and asks nothing
    STANDINGS = (
        {} if ON_NODE else {name: scheduler.standing(kind) for name, kind in MACHINE_TYPES.items()}
    )
except BenchError as error:
    raise WorkflowError(str(error))


def resources_of(machine_type):
    """Resources that Snakemake requests from the scheduler: one whole node of the machine type."""
    kind = MACHINE_TYPES[machine_type]
    standing = STANDINGS.get(machine_type)
    wanted = {
        "slurm_partition": kind["partition"],
        "slurm_account": kind["account"],
        "constraint": kind["constraint"],
        "gres": kind["gres"],
        "tasks_per_gpu": 0 if kind["gres"] else None,
        "cpus_per_task": standing.cpus if standing else None,
        "mem_mb": standing.memory_mb if standing else None,
        "runtime": kind["minutes"],
        "slurm_extra": f"--exclusive --deadline=now+{kind['minutes'] + kind['wait']}minutes",
    }
    return {key: value for key, value in wanted.items() if value is not None}


def show_cluster():
    """Compares the machine types after the run, even if some of their jobs failed."""
    reasons = {
        name: standing.why_not or scheduler.why_not_measured(name, STARTED)
        for name, standing in STANDINGS.items()
    }
    command = [sys.executable, "-m", "effdet_bench", "compare", "--types", json.dumps(reasons)]
    subprocess.run(command)


include: "rules/checkpoints.smk"
include: "rules/cluster.smk"


onstart:
    begin()


onsuccess:
    show_cluster()


onerror:
    show_cluster()
