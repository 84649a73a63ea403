"""Passes: periods of load on one service, of which every request is recorded."""

import contextlib
import csv
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from effdet_bench import layout
from effdet_bench.errors import BenchError
from effdet_bench.load import loadgen
from effdet_bench.load.clients import Clients
from effdet_bench.load.energy import Meter
from effdet_bench.load.messages import InstanceSpec
from effdet_bench.load.placement import Split
from effdet_bench.load.service import Done, Service
from effdet_bench.progress import progress
from effdet_bench.records import LOAD_COLUMNS, RAW_COLUMNS, Record, begin_tables, end_tables
from effdet_bench.worker.spec import JobSpec


class Place(NamedTuple):
    """Where a pass runs: on `split` of the cores, in batches of up to `batch` photos."""

    split: Split
    batch: int


@dataclass(frozen=True)
class Pass:
    """One pass: its record in the archive, and what became of every request."""

    place: Place | None
    record: Record
    done: list[Done]

    @property
    def rate(self) -> float:
        """Answers a second, from the first arrival to the last answer."""
        begin = min(one.request.arrived_ns for one in self.done)
        return 1e9 * len(self.done) / (max(one.answered_ns for one in self.done) - begin)

    def percentile(self, name: str) -> float:
        """A percentile such as `p90` of latencies, from arrival to answer, in milliseconds."""
        taken = [one.answered_ns - one.request.arrived_ns for one in self.done]
        return float(np.percentile(taken, float(name.removeprefix("p")))) / 1e6


class Passes:
    """Runs passes of the mode of `spec`, one after the other, and keeps them in `folder`.

    `label` begins every line on the terminal. A pass raises BenchError if an instance died in it,
    after the pass was recorded; it raises UnavailableError if the mode cannot be loaded.
    """

    def __init__(self, spec: JobSpec, folder: Path, label: str) -> None:
        self.all: list[Pass] = []
        self._spec, self._folder, self._label = spec, folder, label
        self._photos = len(spec.photos)
        self._begun = time.monotonic()
        self._served: tuple[Place, Service] | None = None
        # files of an interrupted run, whose passes had other numbers
        for name in (layout.ANSWERS, layout.LOADGEN):
            shutil.rmtree(folder / name, ignore_errors=True)
        begin_tables(folder, {layout.LOADED: LOAD_COLUMNS})

    def null(self, seconds: float) -> None:
        """A pass of the null mode: what queue and messages cost without a detector."""
        service = Service([InstanceSpec(None, (), 1)])
        with contextlib.closing(service):
            done = Clients(service, 1, self._photos).run(seconds)
            self._keep({"kind": "null", "clients": 1}, None, done, service, service.memory())

    def clients(self, place: Place, count: int, seconds: float) -> Pass:
        """A closed loop of `count` clients."""
        service = self._service(place)
        before = service.memory()
        done = Clients(service, count, self._photos).run(seconds)
        return self._keep({"kind": "closed", "clients": count}, place, done, service, before)

    def generate(self, place: Place, purpose: str, scenario: loadgen.Scenario) -> Pass:
        """A pass of LoadGen."""
        service = self._service(place)
        before = service.memory()
        logs = self._folder / layout.LOADGEN / str(len(self.all))
        done = loadgen.run(service, scenario, self._photos, logs)
        record = {"kind": "loadgen", "purpose": purpose, **scenario._asdict()}
        record |= loadgen.read_verdict(logs)._asdict()
        return self._keep(record, place, done, service, before)

    def energy(self, place: Place, count: int, seconds: float) -> Pass:
        """Energy while the service idles, and then in a closed loop of `count` clients.

        Raises:
            UnavailableError: the machine does not count energy.
        """
        meter = Meter(self._spec.device)
        service = self._service(place)
        before = service.memory()
        record = {"kind": "energy", "clients": count}
        for name in ("idle", "busy"):
            meter.begin()
            begun = time.monotonic()
            if name == "idle":
                time.sleep(seconds)
            else:
                done = Clients(service, count, self._photos).run(seconds)
            record[f"{name}_joules"] = meter.joules()
            record[f"{name}_seconds"] = time.monotonic() - begun
        return self._keep(record, place, done, service, before)

    def close(self) -> None:
        """Ends the service that is loaded."""
        if self._served:
            self._served[1].close()
            self._served = None

    def _service(self, place: Place) -> Service:
        """The service at `place`; when it is first loaded, a pass captures answers for the gate."""
        if self._served and self._served[0] == place:
            return self._served[1]
        self.close()
        specs = [
            InstanceSpec(
                replace(self._spec, threads=place.split.threads),
                cpus,
                place.batch,
                self._folder / layout.ANSWERS / f"{len(self.all)}-{number}",
            )
            for number, cpus in enumerate(place.split.cpus)
        ]
        folders = [spec.folder for spec in specs if spec.folder]
        service = Service(specs)
        self._served = place, service
        if any(one.place == place for one in self.all):
            return service
        before = service.memory()
        for folder in folders:
            begin_tables(folder, {name: RAW_COLUMNS[name] for name in layout.ANSWER_FILES})
        # every instance answers every photo, while all instances work
        count = place.split.instances * place.batch
        clients = Clients(service, count, self._photos)
        done = clients.run(0, judged=place.split.instances)
        for folder in folders:
            end_tables(folder, layout.ANSWER_FILES)
        self._keep({"kind": "judged", "clients": count}, place, done, service, before)
        return service

    def _keep(
        self, record: Record, place: Place | None, done: list[Done], service: Service, before: int
    ) -> Pass:
        number, outcome = len(self.all), service.outcome
        shape = {"instances": 1, "threads": 0, "batch": 1}
        if place:
            split = place.split
            shape = {"instances": split.instances, "threads": split.threads, "batch": place.batch}
            shape["cpus"] = [list(cpus) for cpus in split.cpus]  # type: ignore[assignment]
        record = {"pass": number, **record, **shape, "requests": len(done)}
        record |= {"rss_before_bytes": before, "rss_after_bytes": service.memory()}
        self.all.append(Pass(place, record | {"reason": outcome.reason}, done))
        names = [Path(photo).name for photo in self._spec.photos]
        with layout.hidden(self._folder / layout.LOADED).open("a", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(_rows(number, done, names))
        self._tell(self.all[-1])
        if not outcome.completed:
            raise BenchError(f"{outcome.reason}")
        return self.all[-1]

    def _tell(self, one: Pass) -> None:
        record = one.record
        words = [record.get(key) for key in ("kind", "purpose", "name")]
        words += [f"{record[key]:.3g} {key}" for key in ("clients", "rate") if key in record]
        shape = f"{record['instances']} × {record['threads']} threads, batch {record['batch']}"
        text = f"{self._label}: {' '.join(filter(None, words))}, {shape}"
        figures = f"{one.rate:.3g} requests/s, p90 {one.percentile('p90'):.4g} ms"
        spent = time.monotonic() - self._begun
        progress(0, f"{text}: {figures} ({spent:.0f} s)")


def _rows(number: int, done: list[Done], photos: Sequence[str]) -> list[list[Any]]:
    """Rows of `layout.LOADED`, times in nanoseconds since the first arrival."""
    done = sorted(done, key=lambda one: one.request.arrived_ns)
    rows = []
    for request, one in enumerate(done):
        times = (one.request.arrived_ns, one.taken_ns, one.began_ns, one.ended_ns, one.answered_ns)
        where = [number, request, photos[one.request.photo], one.instance, one.batch]
        rows.append([*where, *(at - done[0].request.arrived_ns for at in times), one.answer])
    return rows
