"""The physical bound: work is what torch counts, and the bound follows from ceilings and work."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from effdet_bench import records
from effdet_bench.__main__ import main
from effdet_bench.detector.ensemble import build_model
from effdet_bench.roofline import ceilings
from effdet_bench.roofline.bound import Layer, Work, bound, count_work
from effdet_bench.roofline.ceilings import Ceilings, measure_ceilings
from effdet_bench.summary.breakdown import physical_ms

CEILINGS = Ceilings({"fp32": 1e12, "bf16": 4e12}, bandwidth=1e10, kernels={}, silu=10**9)


def test_work_is_what_torch_counts():
    model = build_model("tf_efficientdet_lite0")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(torch.zeros(1, 3, *model.image_size))
    assert sum(layer.flops for layer in count_work(model.name).layers) == counter.get_total_flops()


def test_the_default_ensemble_has_its_known_work():
    """38.7 GFLOP for D0, D1 and D2, as measured with torch's counter on other machines too."""
    names = ("tf_efficientdet_d0", "tf_efficientdet_d1", "tf_efficientdet_d2")
    flops = [sum(layer.flops for layer in count_work(name).layers) / 1e9 for name in names]
    assert flops == pytest.approx([4.98, 12.0, 21.7], abs=0.05)
    assert sum(flops) == pytest.approx(38.7, abs=0.05)


def test_each_weight_counts_once():
    """Heads share their convolutions between levels, and biases are no weights of a convolution."""
    network = build_model("tf_efficientdet_lite0").network
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    counted = sum(layer.weights for layer in count_work("tf_efficientdet_lite0").layers)
    assert counted == sum(convolution.weight.numel() for convolution in convolutions)


def test_the_bound_is_the_larger_limit_of_each_layer():
    layers = [Layer(flops=2 * 10**9, weights=10**6, activations=10**6), Layer(10**6, 0, 10**7)]
    work = Work(layers, silu=0, ends=4 * 10**6)
    found = bound(work, CEILINGS, "fp32", "cpu")
    assert found["compute_ms"] == pytest.approx(2 + 0.001)
    assert found["once_ms"] == pytest.approx(0.4 + 1.6)
    assert found["attainable_ms"] == pytest.approx(2 + 4)
    assert bound(work, CEILINGS, "bf16", "cpu")["attainable_ms"] == pytest.approx(0.5 + 2)


@pytest.mark.parametrize(
    ("device", "silu", "attainable"), [("cpu", 1, 7), ("cuda", 1, 6), ("cuda", 8, 8)]
)
def test_activations_add_to_the_bound_on_processors_alone(device, silu, attainable):
    layers = [Layer(flops=2 * 10**9, weights=10**6, activations=10**6), Layer(10**6, 0, 10**7)]
    found = bound(Work(layers, silu * 10**6, 0), CEILINGS, "fp32", device)
    assert found["attainable_ms"] == pytest.approx(attainable)


def test_ends_are_inputs_and_outputs_of_the_network():
    """lite0 has 320 × 320 pixels and, at 19,206 anchors, 90 logits and 4 regressions."""
    assert count_work("tf_efficientdet_lite0").ends == 3 * 320**2 + 19_206 * 94


@pytest.mark.parametrize(("once", "expected"), [(1.0, 2.0), (3.0, 3.0), (None, 2.0)])
def test_the_physical_bound_is_what_no_cache_can_save(once, expected):
    bounds = {"compute_ms": 2.0, "attainable_ms": 6.0}
    assert physical_ms(bounds if once is None else bounds | {"once_ms": once}) == expected


def test_activated_elements_are_those_of_every_silu():
    """35, 76 and 120 million in D0, D1 and D2; of ReLU6, which lite0 has, none."""
    names = ("tf_efficientdet_d0", "tf_efficientdet_d1", "tf_efficientdet_d2")
    counted = [count_work(name).silu / 1e6 for name in names]
    assert counted == pytest.approx([35, 76, 120], abs=1)
    assert count_work("tf_efficientdet_lite0").silu == 0


def test_ceilings_are_those_of_the_best_kernel_and_emulated_precisions_left_out(monkeypatch):
    monkeypatch.setattr(ceilings, "MATRIX_SIDES", (256, 512))
    monkeypatch.setattr(ceilings, "CHANNELS", (256,))
    monkeypatch.setattr(ceilings, "RUN_SECONDS", 0.02)
    found = measure_ceilings(torch.device("cpu"))
    kernels = {"matrix product", "1×1 convolution", "NumPy's matrix product"}
    assert found.kernels["fp32"].keys() == kernels
    for precision, rates in found.kernels.items():
        assert found.flops[precision] == max(rates.values())
    assert found.bandwidth > 1e8
    assert found.silu > 1e6
    assert found.flops["fp32"] > 1e8
    assert all(rate >= found.flops["fp32"] for rate in found.flops.values())
    assert "tf32" not in found.flops


def test_a_device_that_is_not_there_is_recorded(tmp_path):
    output = tmp_path / "mps.json"
    ensemble = '[{"model": "mine", "architecture": "tf_efficientdet_lite0", "classes": 90}]'
    given = ["--device", "mps", "--ensemble", ensemble, "--threads", "1"]
    main(["roofline", *given, "--output", str(output)])
    record = records.read_json(output, "roofline")
    assert record["outcome"] == "unavailable"
    assert "MPS" in record["reason"] or "Apple" in record["reason"]
