"""Checks that exports answer as PyTorch does.

The check is a step of its own, so that an edit of the check repeats no timing.
"""

import argparse
from dataclasses import replace

import torch

from effdet_bench import records
from effdet_bench.detector.devices import open_device
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import BenchError
from effdet_bench.export.export import ExportSpec, add_network_arguments, in_children, specs_of
from effdet_bench.progress import tell
from effdet_bench.reference.anchors import Sampled, sample_outputs
from effdet_bench.reference.output_errors import relative_errors

# of the `relative_errors` of class and box outputs; another order of fp32 sums stays below it
FP32_LIMIT = 1e-4


class ExportCheck:
    """The check of one export, for a process of its own, which alone ends if an engine crashes."""

    def __init__(self, spec: ExportSpec) -> None:
        self._spec = spec

    def check(self) -> records.Record:
        """How far the export's answer to the first photo is from PyTorch's.

        Returns:
            Relative `class_error` and `box_error`.

        Raises:
            UnavailableError: a package that the engine needs is not installed.
            BenchError: the engine runs in fp32, and an error exceeds `FP32_LIMIT`.
        """
        spec = self._spec
        torch.set_num_threads(1)  # checks of other models may run beside this one
        device, model = open_device(spec.device), spec.model()
        pixels = spec.samples(model)[0]
        with torch.inference_mode():
            answer = model.network(pixels.clone())
            anchors = Sampled(model.levels).pools
            expected = sample_outputs(answer, anchors).numpy()
            exported = replace(model, export=spec.folder)
            engine = load_engine(spec.engine, [exported], device, spec.options)
            outputs = engine.forward(0, pixels.to(device))
            sampled = sample_outputs(outputs, anchors)
            errors = relative_errors(sampled, expected, anchors)[:2]
        if engine.precision == "fp32" and not max(errors) <= FP32_LIMIT:
            raise BenchError(
                f"the export of {model.name} for {spec.engine} answers otherwise than PyTorch "
                f"(error {max(errors):.2g}): install versions that work together, those of "
                "constraints.txt."
            )
        return {"class_error": errors[0], "box_error": errors[1]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exports", nargs="+", required=True, help="records of `export`")
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> None:
    exports = [records.read_json(path, "export") for path in args.exports]
    specs = specs_of(args, exports, args.exports)
    made = [spec for one, spec in zip(exports, specs, strict=True) if one["outcome"] == "completed"]
    results = in_children(ExportCheck, made, "check")
    checked = {spec.record: result for spec, result in zip(made, results, strict=True)}
    for exported, spec, output in zip(exports, specs, args.outputs, strict=True):
        record = {key: exported[key] for key in ("engine", "model", "sha256", "outcome", "reason")}
        record |= checked.get(spec.record, {})
        records.write_json(output, record, "export_check")
        done = record["reason"] or f"errors {record['class_error']:.2g}, {record['box_error']:.2g}"
        text = f"{spec.engine} {record['model']}: check {record['outcome']}: {done}"
        print(text, flush=True) if record["outcome"] == "completed" else tell(text)
