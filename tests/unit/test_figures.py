"""Figures of more than one device: each is on its own scale, and compared with itself."""

from matplotlib import pyplot as plt

from effdet_bench.report.figures.breakdown import ablation


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
