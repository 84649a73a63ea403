"""Figures: each device is compared with itself, and what nothing beats stands out."""

import numpy as np
from matplotlib import pyplot as plt

from effdet_bench import layout
from effdet_bench.config.names import DRAWINGS
from effdet_bench.report.figures.accuracy import accuracy, points_of, unbeaten
from effdet_bench.report.figures.bars import ablation
from effdet_bench.report.figures.draw import BY_NAME
from helpers import ROOT


def test_every_figure_has_a_function_a_caption_and_a_place_in_the_report():
    assert set(DRAWINGS) == set(BY_NAME)
    captions = {path.stem for path in (ROOT / "workflow" / "report").glob("*.rst")}
    assert set(DRAWINGS) <= captions
    templates = "".join(path.read_text() for path in layout.TEMPLATES.glob("*.md.j2"))
    assert [name for name in DRAWINGS if f"](figures/{name}.svg)" not in templates] == []


def step(device: str, mode: str, latency: float, ratio: float | None = None) -> dict:
    found = None if ratio is None else {"ratio": ratio}
    return {"device": device, "mode": mode, "p50_ms": latency, "step": found}


def test_each_device_falls_from_its_own_first_step():
    steps = [step("cpu", "baseline", 1400), step("cpu", "fused", 560, 2.5)]
    steps += [step("cuda", "baseline", 40), step("cuda", "fused", 20, 2.0)]
    figure = ablation({"ablation": steps}, [])
    saved = [[bar.get_width() for bar in axes.containers[1]] for axes in figure.axes]
    plt.close(figure)
    assert saved == [[0, 840], [0, 20]]


def row(mode: str, milliseconds: tuple[float, float, float], kept: tuple, ranked: bool) -> dict:
    middle, low, high = milliseconds
    found = {"model": "d0", "photos": 20, "ap": 40.0, "published": None}
    found |= dict(zip(("share", "low", "high"), kept, strict=bool(kept)))
    judged = {"verdict": "valid" if ranked else "invalid", "tolerance": {"accuracy": 0.99}}
    return {
        "device": "cpu",
        "mode": mode,
        "ranked": ranked,
        "floor": False,
        "twin": False,
        "latency": {"percentiles": {"p50": {"ms": middle, "low_ms": low, "high_ms": high}}},
        "validity": judged | {"accuracy": [found] if kept else []},
    }


EXACT = (1.0, 1.0, 1.0)
SUMMARY = {
    "ensemble": [{"model": "d0"}, {"model": "d1"}],
    "rows": [
        row("baseline", (200, 190, 210), EXACT, True),
        row("fused", (100, 90, 110), EXACT, True),
        row("a-little-slower", (105, 95, 115), EXACT, True),
        row("fast-and-rough", (50, 45, 55), (0.992, 0.99, 0.995), True),
        row("wrong", (10, 9, 11), (1.2, 1.1, 1.3), False),
        row("not-scored", (5, 4, 6), (), True),
    ],
}


def test_modes_that_nothing_beats_in_both_accuracy_and_latency():
    """One within the intervals of a better one is not beaten; an invalid one beats none."""
    points = points_of(SUMMARY, "d0")
    assert [point.row["mode"] for point in points][:2] == ["wrong", "fast-and-rough"]
    best = [point.row["mode"] for point in unbeaten(points)]
    assert best == ["fast-and-rough", "fused", "a-little-slower"]


def test_accuracy_is_drawn_with_both_intervals_for_models_that_have_one():
    figure = accuracy(SUMMARY)
    (axes,) = figure.axes
    bars = {one.get_label(): one for one in axes.containers}
    plt.close(figure)
    assert next(iter(bars)) == "CPU wrong (invalid)"
    wide, high = (bar.get_segments()[0].ravel().tolist() for bar in bars["CPU fast-and-rough"][2])
    assert np.allclose(wide, [45, 99.2, 55, 99.2])
    assert np.allclose(high, [50, 99.0, 50, 99.5])
