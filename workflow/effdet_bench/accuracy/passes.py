"""The accuracy pass of one mode: the mode answers every photo once, as fast as this machine can.

Nothing is timed. On CPUs every core has an instance of its own, where memory allows it. A GPU has
one instance, which answers batches if the engine takes them. After a kill, the next run answers
the photos that remain.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from effdet_bench import layout, records
from effdet_bench.accuracy.instances import Instances, answer_all
from effdet_bench.accuracy.kept import KeptAnswers
from effdet_bench.errors import UnavailableError
from effdet_bench.facts.code import digest_without_comments, module_files
from effdet_bench.facts.cores import physical_cores
from effdet_bench.load.messages import InstanceSpec
from effdet_bench.progress import tell
from effdet_bench.timing.job import add_mode_arguments, job_spec, lock_timing, refuse_changed_code
from effdet_bench.worker.spec import JobSpec

BATCH = 8  # photos that a GPU answers together


def instance_specs(spec: JobSpec) -> list[InstanceSpec]:
    """The instances of the mode of `spec`: on CPUs one for each core, else one with batches."""
    if spec.device != "cpu":
        return [InstanceSpec(spec, (), BATCH, spec.folder)]
    job = replace(spec, threads=1)
    return [InstanceSpec(job, cpus, 1, spec.folder) for cpus in physical_cores()[: spec.threads]]


def load_instances(spec: JobSpec) -> tuple[Instances, int]:
    """The loaded instances of the mode of `spec`, and the size of their batches.

    Raises:
        BenchError, UnavailableError: an instance could not be loaded.
    """
    specs = instance_specs(spec)
    try:
        return Instances("load.instance", specs), specs[0].batch
    except UnavailableError:
        if specs[0].batch == 1:
            raise
    return Instances("load.instance", [replace(one, batch=1) for one in specs]), 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_mode_arguments(parser)
    parser.add_argument(
        "--mode", type=json.loads, required=True, help="JSON {name, engine, options, …, depends}"
    )
    parser.add_argument("--every", required=True, help="record of `photos`: all are answered")


def run(args: argparse.Namespace) -> None:
    refuse_changed_code(args.mode, args.device)
    ensemble = [records.read_json(path, "checkpoint") for path in args.records]
    archive, mode = layout.Archive(Path(args.results)), args.mode
    spec = job_spec(args, mode, ensemble, archive.accuracy_pass(args.device, mode["name"]))
    photos = records.read_json(args.every, "photos")["photos"]
    code = digest_without_comments(module_files("accuracy.passes", "load.instance"))
    depends = [mode["depends"], photos, code]
    kept = KeptAnswers(spec.folder, [entry["model"] for entry in ensemble], str(depends))
    label = f"accuracy, {spec.device} {spec.mode}"
    with lock_timing():
        result = answer_all(lambda: load_instances(spec), photos, Path(args.photos), kept, label)
    record = {"device": spec.device, "mode": spec.mode} | result
    records.write_json(spec.folder / layout.PASS_RECORD, record, "accuracy_pass")
    if result["outcome"] != "completed":
        tell(f"{label} {result['outcome']}: {result['reason']}")
