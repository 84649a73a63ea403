"""Planted bugs, each with the gate that must find it, and a measurement to plant them in.

Networks are run once: engines here return recorded outputs, of fp32 or as bfloat16 rounds them.
"""

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from effdet_bench import layout, records
from effdet_bench.detector import request
from effdet_bench.engines.base import Engine
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.rounding import emulate
from effdet_bench.timing import requests as timed
from effdet_bench.timing.turns import Plan
from effdet_bench.timing.variant import make_unseen
from effdet_bench.validity.answers import Answers, read_answers
from effdet_bench.validity.gate import judge, standards
from effdet_bench.worker import loaded
from effdet_bench.worker.networks import Networks
from effdet_bench.worker.spec import JobSpec, ModelFiles
from helpers import SHIPPED, make_references

PHOTOS = 2
EMULATION = 7  # none of those that rounding is measured by
QUICK = {"sparse_postprocess": True}


def run(network, pixels: torch.Tensor, precision: str):
    """Outputs of `network` in `precision`, which is emulated where it is not fp32."""
    if precision == "fp32":
        with torch.no_grad():
            return network(pixels)
    return emulate(network, pixels, precision, EMULATION)


class Recorded(Engine):
    """Returns what networks gave for the pixels of a photo before, after `seconds`."""

    version = "recorded"
    seconds = 0.0

    def __init__(self, bench: "Bench", precision: str) -> None:
        super().__init__(bench.models, torch.device("cpu"), {"precision": precision, **QUICK})
        self.outputs = bench.outputs[precision]

    def forward(self, index, pixels):
        time.sleep(self.seconds)
        known = self.outputs[index]
        # of pixels that a bug has changed, anything
        return known.get(key_of(pixels), next(iter(known.values())))


def key_of(pixels: torch.Tensor) -> float:
    return float(pixels.double().square().sum())


@dataclass
class Bench:
    """Models with their references, an unseen photo, and recorded outputs."""

    spec: JobSpec
    models: list
    networks: Networks
    references: list
    outputs: dict

    def judged(
        self,
        engine: Engine,
        folder: Path,
        monkeypatch,
        turns: int = 3,
        rounds: int = 1,
        pause: float = 0,
    ) -> dict:
        """The judgement of a mode that serves by `engine`, anew in each round.

        Other modes have their turn for `pause` seconds.
        """
        monkeypatch.setattr(loaded, "load_engine", lambda *_: copy.copy(engine))
        monkeypatch.setattr(timed.gc, "collect", lambda: 0)  # a quarter of a test's time
        folders = [folder / f"round-{count}" for count in range(rounds)]
        answers = [self._served(one, turns, pause, k) for k, one in enumerate(folders, start=1)]
        job = {"precision": engine.precision, "engine": "planted"}
        roundings = [layout.reference_rounding(path) for path in self.references]
        known = standards(job["precision"], self.references, roundings, old=False)
        return judge(answers, known.expected, known.tolerance, known.roundings)

    def _served(self, folder: Path, turns: int, pause: float, number: int) -> Answers:
        """What a round answers, the unseen photo in its second turn."""
        records.begin_tables(folder, records.RAW_COLUMNS)
        worker = timed.Measurement(replace(self.spec, folder=folder, round=number), self.networks)
        worker.warm_up()
        plan = Plan(turns, part=0, enough=1, requests=1, unseen=2)  # one request in each turn
        for turn in range(1, turns + 1):
            worker.serve(turn, plan, turn == plan.unseen)
            time.sleep(pause)
        done = worker.finish()
        records.end_tables(folder, records.RAW_COLUMNS)
        conditions = {"outside": done["outside"]}
        return read_answers(folder, {**done, "ensemble": self.models, "conditions": conditions})


def make_bench(models: list, folder: Path) -> Bench:
    """A bench in `folder`, of `PHOTOS` shipped photos."""
    from effdet_bench.__main__ import main

    paths = make_references(models, folder, PHOTOS)
    verified = [folder / f"{model.name}.verified.json" for model in models]
    weights = [folder / f"{model.name}.pth" for model in models]
    given = ["--references", *map(str, paths), "--records", *map(str, verified)]
    given += ["--checkpoints", *map(str, weights), "--folder", str(SHIPPED)]
    given += ["--precisions", "fp32", "bf16", "--threads", str(torch.get_num_threads())]
    main(["rounding", *given])
    files = [
        ModelFiles(records.read_json(record, "checkpoint"), str(file), str(path))
        for record, file, path in zip(verified, weights, paths, strict=True)
    ]
    loaded = {model.name: model for model in models}
    networks = Networks(loaded, dict.fromkeys(loaded, 0.0))
    unseen = folder / "unseen"
    unseen.mkdir()
    photos = list_photos(SHIPPED)[:PHOTOS]
    spec = JobSpec(
        device="cpu", mode="planted", round=1, engine="eager", options={}, models=tuple(files),
        photos=tuple(map(str, photos)), seconds=0, requests=1, warmup=1, stages=0,
        threads=torch.get_num_threads(), folder=folder, unseen=unseen,
    )  # fmt: skip
    make_unseen(spec, "a test", networks)
    outputs = {
        precision: [
            {
                key_of(pixels): run(model.network, pixels, precision)
                for path in [*photos, *list_photos(unseen)]
                for pixels in [request.preprocess(_image(path), model, torch.device("cpu")).pixels]
            }
            for model in models
        ]
        for precision in ("fp32", "bf16")
    }
    return Bench(spec, models, networks, paths, outputs)


def _image(path: Path) -> Image.Image:
    return request.decode(path.read_bytes())
