"""Measures the ceilings of a device, and computes the bounds of a request from them."""

import argparse
import json

import torch

from effdet_bench import records
from effdet_bench.config.names import DEVICES
from effdet_bench.detector.devices import open_device
from effdet_bench.errors import BenchError, outcome_of
from effdet_bench.facts.versions import versions
from effdet_bench.roofline.bound import request_bounds
from effdet_bench.roofline.ceilings import measure_ceilings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", required=True, choices=DEVICES)
    parser.add_argument(
        "--ensemble",
        type=json.loads,
        required=True,
        help="list of {model, architecture, classes}",
    )
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", required=True, help="the record to write")


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    record: records.Record = {
        "device": args.device,
        "threads": args.threads,
        "versions": versions(),
        "outcome": "completed",
        "reason": None,
    }
    try:
        ceilings = measure_ceilings(open_device(args.device))
    except BenchError as error:
        record |= outcome_of(error)._asdict()
    else:
        record |= request_bounds(args.ensemble, ceilings, args.device)
    records.write_json(args.output, record, "roofline")
