"""One round on one device: every mode is loaded in a process of its own, and serves in turns.

The speed of a shared machine changes from second to second. Modes alternate, so that such a change
affects all modes alike. Only the process whose turn it is works; all others sleep, and so does the
process that gives the turns. In a turn every mode serves for up to the time of one request of the
slowest mode. If modes do not fit into memory together, they take turns in groups; every group
includes `baseline` and `baseline-twin`.
"""

import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from effdet_bench.config.names import BASELINE, CONTROL
from effdet_bench.errors import BenchError, Outcome, outcome_of
from effdet_bench.processes import Worker, process_context
from effdet_bench.progress import progress, tell
from effdet_bench.records import Record
from effdet_bench.timing.host import Host, RemoteHost
from effdet_bench.timing.memory import Room
from effdet_bench.timing.turns import Plan, plan_turns
from effdet_bench.worker.spec import Environment, JobSpec

if TYPE_CHECKING:
    from effdet_bench.timing.conditions import Watch

SETTLE_SECONDS = 0.02  # after a turn, for threads that wait for work to stop spinning
PROGRESS_SECONDS = 5.0


class Parent(NamedTuple):
    """What modes have in common whose workers one host forks.

    Modes that run on exports have a host of their own, because a worker's memory contains that of
    its parent: with networks that it does not run, ONNX Runtime seemed to take 8 % more.
    """

    environment: Environment
    exported: bool


HERE = Parent(Environment(), exported=False)


def _parent(spec: JobSpec) -> Parent:
    return Parent(spec.environment, any(files.export for files in spec.models))


class Hosts:
    """The hosts of all modes of a round."""

    def __init__(self, specs: Sequence[JobSpec]) -> None:
        self._made: dict[Parent, Host | RemoteHost | BenchError] = {}
        modes: dict[Parent, list[JobSpec]] = {}
        for spec in specs:
            modes.setdefault(_parent(spec), []).append(spec)
        here = modes.pop(HERE, None)
        # started before this process imports, so that all import side by side
        for parent, own in modes.items():
            try:
                self._made[parent] = RemoteHost(parent.environment, own)
            except BenchError as error:
                self._made[parent] = error
        if here is not None:
            self._made[HERE] = Host(here)
        for parent, made in self._made.items():
            if isinstance(made, RemoteHost):
                self._made[parent] = made.ready()

    def of(self, spec: JobSpec) -> Host | RemoteHost:
        """The host of the mode of `spec`.

        Raises:
            BenchError: it could not be started.
        """
        made = self._made[_parent(spec)]
        if isinstance(made, BenchError):
            raise made
        return made

    def make_unseen(self, spec: JobSpec, seed: str) -> Outcome:
        """Makes the photo that is unseen in this round, in a process that shares the networks."""
        from effdet_bench.timing.variant import make_unseen  # imports torch: hosts start before

        here = self._made.get(HERE)
        networks = here.networks if isinstance(here, Host) else None
        maker = Worker(process_context(), make_unseen, spec, seed, networks)
        maker.end()
        return maker.outcome

    def close(self) -> None:
        for made in self._made.values():
            if not isinstance(made, BenchError):
                made.close()


class Timed:
    """One mode of the round, and its outcome so far."""

    def __init__(self, spec: JobSpec, hosts: Hosts, label: str) -> None:
        self.spec = spec
        self._label = label
        self.outcome = Outcome("completed", None)
        self.seconds = 0.0  # of its last warm-up request
        self.pid: int | None = None
        self.group = 0
        self.measured: Record = {}
        self._hosts = hosts

    @property
    def alive(self) -> bool:
        return self.outcome.completed and self.pid is not None

    @property
    def stays(self) -> bool:
        """Whether it is in every group, because other modes are compared with it."""
        return self.spec.mode in (BASELINE, CONTROL)

    def load(self) -> int:
        """Starts its worker and warms it up; returns bytes of a request beyond what it keeps."""
        try:
            self._note(*self._hosts.of(self.spec).load(self.spec.mode))
        except BenchError as error:
            self._note(outcome_of(error), None)
        warm = self.turn("warm_up")
        self.seconds = warm.seconds if warm else 0.0
        return warm.peak if warm else 0

    def turn(self, method: str, *arguments: object) -> Any:
        """What `method` of its worker returns; `None` if the mode has failed or fails now."""
        if not self.alive:
            return None
        try:
            host = self._hosts.of(self.spec)
            outcome, result = host.call(self.spec.mode, method, *arguments)
        except BenchError as error:
            outcome, result = outcome_of(error), None
        self._note(outcome, self.pid)
        time.sleep(SETTLE_SECONDS)
        return result

    def _note(self, outcome: Outcome, pid: int | None) -> None:
        """Keeps `outcome` and the process, and tells the user at once if the mode has failed."""
        self.outcome, self.pid = outcome, pid
        if not outcome.completed:
            tell(f"{self._label}: {self.spec.mode} {outcome.outcome}: {outcome.reason}")

    def serve(self, turn: int, plan: Plan, unseen: bool) -> float:
        """Serves the timed requests of a turn; returns the seconds that they took."""
        seconds: float | None = self.turn("serve", turn, plan, unseen)
        return seconds or 0.0

    def end(self) -> None:
        """Lets its worker finish, and ends its process; does nothing if it has ended."""
        measured = self.turn("finish")
        if measured:
            imported = round(self._hosts.of(self.spec).import_seconds, 3)
            self.measured = {**measured, "import_seconds": imported}
        if self.pid is not None:
            try:
                self._hosts.of(self.spec).end(self.spec.mode)
            except BenchError as error:
                self._note(outcome_of(error), None)
        self.pid = None


def run_round(specs: Sequence[JobSpec], seed: str, label: str) -> dict[str, Record]:
    """Measures the modes of `specs`, which share a device and a round, side by side.

    `seed` decides the order of the modes, which is shuffled for every turn. If a mode fails, its
    outcome and the requests that it served are kept, and the turns go on without it.

    Returns:
        For each mode, what its worker recorded, with `outcome` and `reason`.
    """
    order = random.Random(seed)
    hosts = Hosts(specs)
    from effdet_bench.timing.conditions import Watch  # imports torch: hosts start before

    modes = [Timed(spec, hosts, label) for spec in order.sample(list(specs), len(specs))]
    unseen = hosts.make_unseen(specs[0], seed)
    if not unseen.completed:
        tell(f"{label}: all modes {unseen.outcome}: {unseen.reason}")
        hosts.close()
        return {spec.mode: {**unseen._asdict(), "groups": 1, "group": None} for spec in specs}
    watch = Watch(specs[0].device, specs[0].threads)
    groups = _serve_in_groups(modes, watch, order, label)
    conditions = watch.end()
    for mode in modes:
        mode.end()
    hosts.close()
    return {mode.spec.mode: _result(mode, groups, conditions) for mode in modes}


def _serve_in_groups(modes: list[Timed], watch: "Watch", order: random.Random, label: str) -> int:
    """Loads `modes` in groups that fit into memory; each group serves; returns how many groups.

    Modes that are not in every group have ended afterwards, except those of the last group.
    """
    room = Room(watch.gpu)
    waiting = sorted(modes, key=lambda mode: not mode.stays)
    loaded: list[Timed] = []
    turns = groups = 0
    while waiting:
        groups += 1
        loaded += _load_group(waiting, room, groups, label)
        text = f"{label}, group {groups}" if waiting or groups > 1 else label
        with watch.turns([mode.pid for mode in loaded if mode.pid is not None]):
            turns += _take_turns(loaded, turns, order, text)
        if waiting:
            for mode in [mode for mode in loaded if not mode.stays]:
                loaded.remove(mode)
                mode.end()
    return groups


def _result(mode: Timed, groups: int, conditions: Record) -> Record:
    result: Record = {
        "outcome": mode.outcome.outcome,
        "reason": mode.outcome.reason,
        "groups": groups,
        "group": None if mode.stays else mode.group,
    }
    if mode.outcome.completed:
        measured = dict(mode.measured)
        own = {key: measured.pop(key) for key in ("slowed_ns", "outside")}
        result |= {**measured, "conditions": {**conditions, **own}}
    return result


def _load_group(waiting: list[Timed], room: Room, number: int, label: str) -> list[Timed]:
    """Loads modes of `waiting` while they fit, at least one besides baselines; takes them off."""
    group: list[Timed] = []
    count = len(waiting)
    while waiting:
        if not room.fits() and any(not mode.stays for mode in group):
            break
        progress(len(group) / count / 2, f"{label}: loading mode {len(group) + 1} of {count}")
        mode = waiting.pop(0)
        mode.group = number
        room.took(mode.load())
        group.append(mode)
    return group


def _take_turns(loaded: list[Timed], taken: int, order: random.Random, label: str) -> int:
    """Lets every mode serve in turns, numbered from `taken` + 1 on; returns how many turns."""
    spec = loaded[0].spec
    latencies = [mode.seconds for mode in loaded if mode.alive]
    plan = plan_turns(latencies, spec.seconds, spec.requests, order)
    served = dict.fromkeys(loaded, 0.0)  # seconds of timed requests
    told = time.monotonic()
    for turn in range(1, plan.turns + 1):
        alive = [mode for mode in loaded if mode.alive]
        if not alive:
            break
        for mode in order.sample(alive, len(alive)):
            if plan.serves(turn, served[mode]):
                served[mode] += mode.serve(taken + turn, plan, turn == plan.unseen)
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS or turn == plan.turns:
            told = now
            progress((1 + turn / plan.turns) / 2, f"{label}: turn {turn} of {plan.turns}")
    return plan.turns
