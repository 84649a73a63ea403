# Every machine type of a cluster: one job times each on a node of its own. Then all are compared.
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
        {}
        if scheduler.ALLOCATED in os.environ
        else {name: scheduler.standing(kind) for name, kind in MACHINE_TYPES.items()}
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


localrules:
    cluster,


# Only machine types with a node that takes jobs; `show_cluster` gives the reason for all others.
rule cluster:
    default_target: True
    input:
        [str(layout.node_record(name)) for name in STANDINGS if not STANDINGS[name].why_not],


# The job on a node runs the whole package, so any edit starts it again. The run on the node then repeats only the
# steps that the edit concerns.
NODE_CODE = [
    *package_files(layout.PACKAGE, "**/*.py"),
    *package_files(layout.PACKAGE, "**/*.yaml"),
    *package_files(layout.TEMPLATES, "*"),
]

# Each type has a rule of its own, because in Snakemake all jobs of a rule must request the same kinds of resources.
for TYPE in MACHINE_TYPES:

    rule:
        name:
            f"time_type_{TYPE}"
        input:
            records=RECORDS,
            checkpoints=CHECKPOINTS,
            code=NODE_CODE,
        output:
            str(layout.node_record(TYPE)),
        log:
            str(layout.node_log(TYPE)),
        retries: 1
        resources:
            **resources_of(TYPE),
        params:
            type=json.dumps(MACHINE_TYPES[TYPE]),
            settings=json.dumps({key: config[key] for key in config if key != "cluster"}),
        shell:
            step(
                "node",
                "--type {params.type:q} --settings {params.settings:q} --output {output:q}",
            )
