"""How fine the gate is: python tests/resolution.py MODEL CHECKPOINT PHOTOS FOLDER

MODEL is an architecture of effdet and CHECKPOINT its weights. PHOTOS is a folder of JPEG files, of
which mirrored crops make COUNT photos. FOLDER keeps what networks answered, and a second call goes
on there. Prints the margins of honest modes, how often simulated runs call one INVALID, and the
smallest of each error that is found. It takes a quarter of an hour for D0, and an hour for D2, so
it is no part of `make test`.
"""

import copy
import random
import sys
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from effdet_bench import records
from effdet_bench.config.names import UNSEEN_MARK
from effdet_bench.detector.ensemble import load_model
from effdet_bench.engines.loading import engine_module, load_engine
from effdet_bench.export.export import Exporter, ExportSpec
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.anchors import Sampled, sample_outputs
from effdet_bench.reference.output_errors import Errors, relative_errors
from effdet_bench.reference.reference import upstream_input
from effdet_bench.reference.rounding import EMULATIONS, emulate
from effdet_bench.timing.variant import vary
from effdet_bench.validity.arithmetic import FIGURES, Measured, Rounding, arithmetic
from effdet_bench.validity.gate import tolerance_of
from helpers import CALIBRATION, verified
from planted_errors import NETWORKS, OUTPUTS, Edit, NetworkEdit, Place

COUNT, SIMULATED, PHOTOS, ROUNDS, RUNS = 200, 250, 8, 6, 20
SEEDS, RANDOM = 25, 3000  # of implementations that are drawn at random
EAGER = {"engine": "eager", "channels_last": True}
MODES = {
    "channels_last": EAGER,
    "fused": {**EAGER, "rewritten": True},
    "onnxruntime": {"engine": "onnxruntime", "rewritten": True},
    "openvino": {"engine": "openvino", "rewritten": True},
    "bf16": {**EAGER, "precision": "bf16"},
    "fused-bf16": {**EAGER, "rewritten": True, "precision": "bf16"},
    "openvino-bf16": {"engine": "openvino", "rewritten": True, "precision": "bf16"},
}
EMULATED = [f"emulation {number}" for number in range(EMULATIONS)]
ANOTHER = "another emulation"
# what FOLDER keeps of each photo, in this order
VARIANTS = ["reference", *MODES, *EMULATED, ANOTHER]
HONEST = {
    "fp32": ["fused", "onnxruntime", "openvino"],
    "bf16": ["bf16", "fused-bf16", "openvino-bf16", ANOTHER],
}
ROUNDINGS = {"fp32": ["channels_last"], "bf16": EMULATED}


class Answers:
    """What `VARIANTS` answer to `COUNT` photos, of which the first `own` are no variants."""

    def __init__(self, architecture: str, checkpoint: Path, photos: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        entry = {"model": architecture, "architecture": architecture, "classes": 90}
        self.model = load_model(entry, checkpoint.read_bytes(), str(checkpoint))
        self.sampled = Sampled(self.model.levels)
        paths = list_photos(photos)
        self.own, order = len(paths), random.Random(7)
        self.encoded = [path.read_bytes() for path in paths]
        for number in range(self.own, COUNT):
            path = paths[number % self.own]
            self.encoded.append(vary(path.name, path.read_bytes(), order)[1])
        self.kept = [folder / f"{number:03d}.npy" for number in range(COUNT)]
        missing = [number for number, path in enumerate(self.kept) if not path.exists()]
        engines = self._engines() if missing else []
        for number in missing:
            self._collect(number, engines)

    def of(self, photo: int, variant: str) -> torch.Tensor:
        """Outputs [anchors, classes + 4] at the anchors of all pools."""
        return torch.from_numpy(_read(self.kept[photo], VARIANTS.index(variant)).copy())

    def pixels(self, photo: int) -> torch.Tensor:
        return upstream_input(self.model, self.encoded[photo]).pixels

    def _collect(self, number: int, engines: list) -> None:
        pixels = self.pixels(number)
        with torch.inference_mode():
            found = [self.model.network(pixels), *(one.forward(0, pixels) for one in engines)]
        emulations = range(EMULATIONS + 1)
        found += [emulate(self.model.network, pixels, "bf16", one) for one in emulations]
        pools = self.sampled.pools
        np.save(self.kept[number], np.stack([sample_outputs(one, pools) for one in found]))
        print(f"{number + 1} of {COUNT}", end="\r", file=sys.stderr, flush=True)

    def _engines(self) -> list:
        path, file = verified(self.model, self.folder)
        record = records.read_json(path, "checkpoint")
        return [self._engine(options, record, file) for options in MODES.values()]

    def _engine(self, options: dict, record: dict, file: Path):
        name, cpu = options["engine"], torch.device("cpu")
        own = replace(self.model, built=copy.deepcopy(self.model.network))
        exports = getattr(engine_module(name), "EXPORTS", None)
        if exports:
            precision = exports[options.get("precision", "fp32")]
            spec = ExportSpec(
                engine=name, device="cpu", options={"precision": precision, "rewritten": True},
                checkpoint=record, file=str(file), photos=str(CALIBRATION),
                record=str(self.folder / f"{name}-{precision}.json"),
            )  # fmt: skip
            if not spec.folder.exists():
                threads = torch.get_num_threads()
                Exporter(spec).export()
                torch.set_num_threads(threads)
            own = replace(self.model, built=None, export=spec.folder)
        return load_engine(name, [own], cpu, {"sparse_postprocess": True, **options})


@cache
def _read(path: Path, variant: int) -> np.ndarray:
    outputs: np.ndarray = np.array(np.load(path, mmap_mode="r")[variant])
    return outputs


class Gate:
    """The gate on simulated runs of answers in `precision`."""

    def __init__(self, answers: Answers, precision: str) -> None:
        limits = tolerance_of(precision)
        self.answers, self.limits = answers, {n: limits[n] for n in FIGURES if n in limits}
        self.precision = precision
        self.pools = answers.sampled.pools
        self.chosen = [answers.sampled.chosen(number) for number in range(ROUNDS)]
        self.places = [answers.sampled.places(number) for number in range(ROUNDS)]
        self.emulated = [
            _measured([self._whole(photo, one) for photo in range(COUNT)])
            for one in ROUNDINGS[precision]
        ]

    def _whole(self, photo: int, variant: str) -> Errors:
        found, reference = (self.answers.of(photo, one) for one in (variant, "reference"))
        return relative_errors(found, reference.numpy(), self.pools)

    def errors(self, photo: int, found: torch.Tensor, number: int) -> Errors:
        """Of outputs `found` at all pools, as the round `number` samples them."""
        places = self.places[number]
        reference = self.answers.of(photo, "reference").numpy()[places]
        return relative_errors(found[places], reference, self.chosen[number])

    def judge(self, known: list[int], served: list[tuple[str, Errors]]) -> dict[str, float]:
        """Every figure as a share of its limit, of answers to photos by name."""
        emulations = [Measured(*(part[known] for part in one)) for one in self.emulated]
        photos = [f"{photo}.jpg" for photo in known]
        rounding = Rounding(photos, len(self.pools), emulations)
        names, errors = zip(*served, strict=True)
        figures = arithmetic(list(names), _measured(errors), rounding)
        return {name: figures[name] / limit for name, limit in self.limits.items()}

    def draw(self, order: np.random.Generator, photos: int) -> tuple[list[int], list[tuple]]:
        """Known photos, and (name, photo, round) of each answer: those and one unseen a round."""
        known = [int(one) for one in order.choice(COUNT, photos, replace=False)]
        asked = [(f"{one}.jpg", one, number) for number in range(ROUNDS) for one in known]
        for number in range(ROUNDS):
            base = int(order.choice(known))
            twins = [one for one in range(base % self.answers.own, COUNT, self.answers.own)]
            other = int(order.choice([one for one in twins if one != base]))
            asked.append((f"{base}{UNSEEN_MARK}-{number}.jpg", other, number))
        return known, asked


def _measured(errors) -> Measured:
    return Measured(*(np.array([one[part] for one in errors]) for part in (2, 3, 4)))


def show_honest(gate: Gate) -> None:
    """Margins and false alarms of honest modes."""
    order = np.random.default_rng(0)
    for mode in HONEST[gate.precision]:
        known = {
            (photo, number): gate.errors(photo, gate.answers.of(photo, mode), number)
            for photo in range(COUNT)
            for number in range(ROUNDS)
        }
        for photos in (8, 20, 50, 100, COUNT):
            shares, runs = [], SIMULATED if photos < COUNT else 20
            for _ in range(runs):
                own, asked = gate.draw(order, photos)
                served = [(name, known[photo, number]) for name, photo, number in asked]
                shares.append(gate.judge(own, served))
            worst = {name: max(one[name] for one in shares) for name in gate.limits}
            alarms = sum(max(one.values()) > 1 for one in shares)
            usual = float(np.median([max(one.values()) for one in shares]))
            text = ", ".join(f"{name} {value:.2f}" for name, value in worst.items())
            print(f"{gate.precision} {mode}, {photos} photos: INVALID in {alarms} of {runs} runs;")
            print(f"  share of the limit {usual:.2f} at the median run, at most {text}", flush=True)


def show_random(answers: Answers) -> None:
    """False alarms where the judged implementation is drawn at random, too."""
    path, pools = answers.folder / "random.npy", answers.sampled.pools
    if not path.exists():
        found = []
        for photo in range(answers.own):
            pixels, reference = answers.pixels(photo), answers.of(photo, "reference").numpy()
            for number in range(SEEDS):
                outputs = emulate(answers.model.network, pixels, "bf16", number)
                sampled = sample_outputs(outputs, pools)
                found.append(relative_errors(sampled, reference, pools)[2:])
        shape = answers.own, SEEDS, 3, -1
        np.save(path, np.reshape(found, shape).transpose(1, 2, 0, 3))
    errors, order = np.load(path), np.random.default_rng(0)
    limits = {name: limit for name, limit in tolerance_of("bf16").items() if name in FIGURES}
    for photos in (8, errors.shape[2]):
        alarms = 0
        for _ in range(RANDOM):
            drawn = order.choice(errors.shape[2], photos, replace=False)
            *emulations, judged = (
                Measured(*errors[seed][:, drawn])
                for seed in order.choice(len(errors), EMULATIONS + 1, replace=False)
            )
            names = [f"{number}.jpg" for number in range(photos)]
            figures = arithmetic(names, judged, Rounding(names, len(pools), emulations))
            alarms += any(figures[name] > limit for name, limit in limits.items())
        print(f"bf16 drawn at random, {photos} photos: INVALID in {alarms} of {RANDOM} runs")


def show_resolution(gate: Gate) -> None:
    """The smallest of each error that is found in 19 of 20 runs."""
    levels = zip(gate.answers.model.levels, gate.pools, strict=True)
    place = Place.of(list(levels))
    for name, (unit, sizes, edit) in OUTPUTS.items():
        show(gate, name, unit, _smallest(sizes, partial(_finds_outputs, gate, place, edit)))
    for name, (unit, sizes, edit) in NETWORKS.items():
        show(gate, name, unit, _smallest(sizes, partial(_finds_network, gate, edit)))


def show(gate: Gate, name: str, unit: str, size: float | None) -> None:
    found = "not found" if size is None else f"{size:.2g} {unit}".strip()
    print(f"{gate.precision} {name}: {found}", flush=True)


def _smallest(sizes: list[float], finds: Callable[[float], bool]) -> float | None:
    """The first of ascending `sizes` that the gate `finds`, as it then finds all later ones."""
    place = bisect_left(sizes, True, key=finds)
    return sizes[place] if place < len(sizes) else None


def _finds_outputs(gate: Gate, place: Place, edit: Edit, size: float) -> bool:
    """Of an honest mode whose outputs are edited, and with another draw of photos in each run."""
    honest, order, found = HONEST[gate.precision][-1], np.random.default_rng(1), 0
    for _ in range(RUNS):
        own, asked = gate.draw(order, PHOTOS)
        served = []
        for name, photo, number in asked:
            outputs = edit(gate.answers.of(photo, honest), place, size, photo == own[0])
            served.append((name, gate.errors(photo, outputs, number)))
        found += max(gate.judge(own, served).values()) > 1
    return found >= 0.95 * RUNS


def _finds_network(gate: Gate, edit: NetworkEdit, size: float) -> bool:
    """Of upstream's network, edited, in one run."""
    known, served = list(range(PHOTOS)), []
    for photo in known:
        given = copy.deepcopy(gate.answers.model.network), gate.answers.pixels(photo)
        network, pixels = edit(*given, size)
        if gate.precision == "fp32":
            with torch.no_grad():
                outputs = network(pixels)
        else:
            outputs = emulate(network, pixels, gate.precision, EMULATIONS)
        sampled = sample_outputs(outputs, gate.pools)
        for number in range(ROUNDS):
            served.append((f"{photo}.jpg", gate.errors(photo, sampled, number)))
    return max(gate.judge(known, served).values()) > 1


if __name__ == "__main__":
    architecture, *paths = sys.argv[1:]
    answers = Answers(architecture, *map(Path, paths))
    show_random(answers)
    for precision in HONEST:
        gate = Gate(answers, precision)
        show_honest(gate)
        show_resolution(gate)
