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
from effdet_bench.accuracy.instances import Instances, answer_all
from effdet_bench.accuracy.kept import KeptAnswers
from effdet_bench.config.modes import shipped_modes
from effdet_bench.config.names import REFERENCE, TUNED
from effdet_bench.errors import BenchError
from effdet_bench.facts.code import digest_without_comments, module_files
from effdet_bench.facts.photos import list_photos
from effdet_bench.facts.versions import versions
from effdet_bench.imports import importing
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
    engines: tuple[str, ...] = ()


class Upstream:
    """Upstream's networks, loaded in this process.

    Raises:
        BenchError: a checkpoint is not the verified one.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        with importing():
            import torch

            from effdet_bench.checkpoints.verify import check_file
            from effdet_bench.detector.ensemble import load_model

        torch.set_num_threads(spec.threads)
        self._models = [
            load_model(record, check_file(file, record["sha256"]), file)
            for record, file in spec.models
        ]
        # one answer, because the first process shows how much memory one takes
        self.serve([list_photos(layout.SHIPPED_PHOTOS)[0].read_bytes()], False)

    def serve(self, photos: list[bytes], _judged: bool) -> Served:
        """Each photo's detections by every model."""
        from effdet_bench.reference.reference import upstream_answer, upstream_input

        found = []
        for encoded in photos:
            inputs = ((model, upstream_input(model, encoded)) for model in self._models)
            found.append(b"".join(upstream_answer(*one)[0].tobytes() for one in inputs))
        return Served(0, 0, found)


def load_instances(spec: UpstreamSpec) -> tuple[Instances, int]:
    """The loaded processes of `spec`, and the size of their batches."""
    processes = min(MOST, spec.threads)
    return Instances("accuracy.upstream", [spec] * processes), 1


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
    code = digest_without_comments(module_files("accuracy.upstream"))
    sums = [entry["sha256"] for entry in ensemble]
    depends = [sums, photos, args.threads, versions(), code]
    folder = layout.Archive(args.results).reference_pass
    kept = KeptAnswers(folder, [entry["model"] for entry in ensemble], str(depends))
    # passive waiting leaves cores to other processes; the allocator keeps memory of large tensors
    env = {"OMP_WAIT_POLICY": "passive", **shipped_modes()[TUNED]["env"]}
    models = tuple(zip(ensemble, args.checkpoints, strict=True))
    spec = UpstreamSpec(models, args.threads, Environment(env=tuple(env.items())))
    with lock_timing():
        label = "reference of all photos"
        result = answer_all(lambda: load_instances(spec), photos, args.folder, kept, label)
    if result["outcome"] != "completed":
        raise BenchError(f"{label}: {result['reason']}")
    record = {"device": "cpu", "mode": REFERENCE} | result
    records.write_json(folder / layout.PASS_RECORD, record, "accuracy_pass")


if __name__ == "__main__":
    answer_pipe(Upstream)
