"""Asks SLURM about the machine types of config.yaml, before any job is submitted.

Without these questions, SLURM would refuse the job of an unknown partition with a message of its
own, and the job of a partition whose nodes are all down would wait for ever.
"""

import contextlib
import functools
import getpass
import subprocess
from typing import Any, NamedTuple

from effdet_bench import layout
from effdet_bench.errors import BenchError, did_you_mean

# how those states of sinfo begin in which a node takes jobs, at once or later
TAKING = ("idle", "mixed", "allocated", "completing", "planned", "reserved", "powered", "powering")
SAID = "effdet-bench node: "  # how the message begins with which the step `node` fails


class Node(NamedTuple):
    """A node of a partition, as `sinfo` describes it."""

    state: str
    cpus: int
    memory_mb: int
    features: list[str]

    @property
    def takes_jobs(self) -> bool:
        # sinfo adds * to the state of a node that does not answer
        return self.state.startswith(TAKING) and not self.state.endswith("*")


class Standing(NamedTuple):
    """The CPUs and memory that every node of a machine type has at least.

    `why_not` says why no node takes jobs, and is `None` if one does.
    """

    cpus: int
    memory_mb: int
    why_not: str | None


def standing(kind: dict[str, Any]) -> Standing:
    """Asks the scheduler about the machine type `kind`, an entry of the setting `cluster`.

    Raises:
        BenchError: the scheduler does not answer, or knows no such partition, feature or account.
    """
    _refuse_unknown_account(kind)
    partition, constraint = kind["partition"], kind.get("constraint")
    known = sorted(set(_sinfo("%R")))
    if partition not in known:
        raise BenchError(
            f"config: cluster names the partition {partition!r} for {kind['name']}, but the "
            f"scheduler knows {', '.join(known) or 'none'}{did_you_mean(partition, known)}."
        )
    nodes = [_node(line) for line in _sinfo("%T|%c|%m|%f", "--Node", f"--partition={partition}")]
    # a constraint that is an expression is not checked: only the scheduler can read it
    if constraint and constraint.isidentifier():
        features = sorted({feature for node in nodes for feature in node.features})
        if constraint not in features:
            raise BenchError(
                f"config: cluster names the constraint {constraint!r} for {kind['name']}, but "
                f"nodes of the partition {partition} have {', '.join(features) or 'no features'}"
                f"{did_you_mean(constraint, features)}."
            )
        nodes = [node for node in nodes if constraint in node.features]
    if taking := [node for node in nodes if node.takes_jobs]:
        return Standing(min(one.cpus for one in taking), min(one.memory_mb for one in taking), None)
    states = ", ".join(sorted({node.state for node in nodes})) or "it has none"
    return Standing(0, 0, f"no node of the partition {partition} takes jobs ({states}).")


def why_not_measured(name: str, since: float) -> str | None:
    """Why the machine type `name` has no record of a node; `None` if it has one.

    The reason is the last message of its job, if the job wrote to its log after `since` (seconds of
    the epoch).
    """
    if layout.node_record(name).exists():
        return None
    log = layout.node_log(name)
    if log.exists() and log.stat().st_mtime > since:
        lines = log.read_text(errors="replace").splitlines()
        said = [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]
        return said[-1] if said else f"its job was ended or failed: see {log}."
    return "no node was free in time, or its job was ended: see .snakemake/slurm_logs."


def _refuse_unknown_account(kind: dict[str, Any]) -> None:
    """Raises for an unknown account; does nothing if the cluster keeps no accounts."""
    account, mine = kind.get("account"), _accounts()
    if account and mine and account.lower() not in mine:
        raise BenchError(
            f"config: cluster names the account {account!r} for {kind['name']}, but the scheduler "
            f"knows you by {', '.join(mine)}{did_you_mean(account, mine)}."
        )


@functools.cache
def _accounts() -> list[str]:
    """Accounts of this user, in lower case as in SLURM; empty if SLURM does not list them."""
    user = f"user={getpass.getuser()}"
    command = ["sacctmgr", "-nP", "show", "associations", user, "format=account"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return sorted(set(done.stdout.lower().split()))
    return []


def _node(line: str) -> Node:
    state, cpus, memory, features = line.split("|")
    known = [] if features == "(null)" else features.split(",")
    return Node(state, int(cpus.rstrip("+")), int(memory.rstrip("+")), known)


@functools.cache
def _sinfo(columns: str, *options: str) -> list[str]:
    command = ["sinfo", "--noheader", f"--format={columns}", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise BenchError(
            "SLURM's command sinfo is not on this machine: run `cluster` on a login node of the "
            "cluster; for machines without a scheduler see docs/cluster.md."
        ) from None
    except subprocess.TimeoutExpired:
        raise BenchError("the scheduler did not answer sinfo within a minute: run again.") from None
    if done.returncode:
        raise BenchError(f"sinfo failed: {' '.join(done.stderr.split())}")
    return done.stdout.split()
