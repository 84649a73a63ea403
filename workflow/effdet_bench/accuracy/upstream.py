"""Upstream effdet's detections on every photo, with which the accuracy of modes is compared.

Each process computes with as many threads as the step `reference`, because the order of sums in
fp32 depends on the number of threads: so the answers of both steps are the same, bit for bit.
Threads that wait leave their core to the other processes.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effdet_bench import layout, records
from effdet_bench.accuracy.instances import Instances
from effdet_bench.accuracy.kept import Kept, Remaining, contents
from effdet_bench.config.modes import shipped_modes
from effdet_bench.config.names import TUNED
from effdet_bench.facts.versions import versions
from effdet_bench.load.instance import answer_pipe
from effdet_bench.load.messages import Served
from effdet_bench.records import Record
from effdet_bench.timing.job import lock_timing
from effdet_bench.worker.spec import Environment

MOST = 4  # processes: each has threads for all cores


@dataclass(frozen=True)
class UpstreamSpec:
    """The models of a process: records of `verify` with the paths of their checkpoints."""

    models: tuple[tuple[Record, str], ...]
    threads: int
    environment: Environment


class Upstream:
    """Upstream's networks, loaded in this process.

    Raises:
        BenchError: a checkpoint is not the verified one.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        import torch

        from effdet_bench.checkpoints.verify import check_file
        from effdet_bench.detector.ensemble import load_model

        torch.set_num_threads(spec.threads)
        self._models = [
            load_model(record, check_file(file, record["sha256"]), file)
            for record, file in spec.models
        ]

    def serve(self, photos: list[bytes], _judged: bool) -> Served:
        """Each photo's detections by every model."""
        from effdet_bench.reference.reference import upstream_answer, upstream_input

        found = []
        for encoded in photos:
            inputs = ((model, upstream_input(model, encoded)) for model in self._models)
            found.append(b"".join(upstream_answer(*one)[0].tobytes() for one in inputs))
        return Served(0, 0, found)


def answer_all(
    models: list[tuple[Record, str]], photos: list[Record], folder: Path, threads: int, kept: Kept
) -> None:
    """Answers those of `photos` in `folder` that `kept` lacks, and finishes `kept`."""
    # passive waiting leaves cores to other processes; the allocator keeps memory of large tensors
    env = {"OMP_WAIT_POLICY": "passive", **shipped_modes()[TUNED]["env"]}
    spec = UpstreamSpec(tuple(models), threads, Environment(env=tuple(env.items())))
    waiting = [photo for photo in photos if photo["file"] not in kept.answered]
    remaining = Remaining("reference of all photos", len(kept.answered), len(photos))
    processes = min(MOST, threads, len(waiting))
    if processes:
        instances = Instances("accuracy.upstream", [spec] * processes)
        try:
            for photo, tables in instances.answers(contents(waiting, folder), 1, len(models)):
                kept.add(photo, tables)
                remaining.tell(len(kept.answered))
            print(f"{len(instances)} processes held {instances.peak:,} bytes at most")
        finally:
            kept.save()
            instances.close()
    kept.finish()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", nargs="+", required=True, help="records of `verify`")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="files, in that order")
    parser.add_argument("--photos", required=True, help="record of `photos`")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    ensemble: list[Any] = [records.read_json(path, "checkpoint") for path in args.records]
    photos = records.read_json(args.photos, "photos")["photos"]
    depends = [[entry["sha256"] for entry in ensemble], photos, args.threads, versions()]
    folder = layout.Archive(args.results).reference_pass
    kept = Kept(folder, [entry["model"] for entry in ensemble], str(depends))
    models = list(zip(ensemble, args.checkpoints, strict=True))
    with lock_timing():
        answer_all(models, photos, args.folder, args.threads, kept)


if __name__ == "__main__":
    answer_pipe(Upstream)
