"""What engines refuse or set for GPUs, by stand-ins for what no machine of the tests has."""

import dataclasses
import types

import pytest
import torch

from effdet_bench.config.modes import export_of, read_modes
from effdet_bench.detector.ensemble import Model, build_model
from effdet_bench.detector.nms import detect
from effdet_bench.detector.static import detect_at_once, detect_statically
from effdet_bench.engines import base, loading
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import UnavailableError
from effdet_bench.facts import machine

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model("tf_efficientdet_lite0")


@pytest.mark.parametrize("runs", [["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPU…"]])
def test_a_session_that_falls_back_to_the_cpu_is_no_gpus(model, tmp_path, monkeypatch, runs):
    """A stand-in for ONNX Runtime's GPU build, which lacks a library of CUDA or has them all."""
    onnxruntime = pytest.importorskip("onnxruntime")
    asked = {}

    def session(path, settings, **given):
        asked.update(given)
        return types.SimpleNamespace(get_providers=lambda: runs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *given: tensor)
    monkeypatch.setattr(torch, "empty", lambda *shape, device: torch.zeros(*shape))
    models = [dataclasses.replace(model, export=tmp_path)]
    if len(runs) == 1:
        with pytest.raises(UnavailableError, match="would run on the CPU"):
            load_engine("onnxruntime", models, torch.device("cuda"))
    else:
        load_engine("onnxruntime", models, torch.device("cuda"))
    assert asked["enable_fallback"] == 0
    assert asked["providers"] == [("CUDAExecutionProvider", {"use_tf32": "0"})]


@pytest.mark.parametrize("missing", ["compiler", "header"])
def test_what_triton_needs_is_said_before_a_kernel_is_built(monkeypatch, tmp_path, missing):
    if missing == "compiler":
        monkeypatch.setattr(base.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(base.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(base.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    words = {"compiler": "install gcc", "header": "python3-dev"}[missing]
    with pytest.raises(UnavailableError, match=words):
        base.check_triton("the engine graph")


def test_tf32_is_off_but_where_a_mode_asks_for_it(model):
    base.allow_tf32(True)
    load_engine("eager", [model], CPU)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_engines_of_the_cpu_alone_export_nothing_for_a_gpu(model, tmp_path):
    for engine in ("openvino", "executorch", "mnn"):
        module = loading.engine_module(engine)
        with pytest.raises(UnavailableError, match="runs on the CPU here"):
            module.export(model, torch.device("cuda"), {"precision": "fp32"}, [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_export_is_keyed_by_the_gpu_that_it_is_built_for(monkeypatch):
    (mode,) = read_modes(["tensorrt-fp16"])
    monkeypatch.setattr(machine, "_gpu_names", lambda: ("NVIDIA H200",))
    assert export_of(mode, "cuda")["name"] == "tensorrt-cuda-nvidia-h200-fp32-rewritten"
    monkeypatch.setattr(machine, "_gpu_names", lambda: ())
    assert export_of(mode, "cuda")["name"] == "tensorrt-cuda-fp32-rewritten"


def random_outputs(model: Model, spread: float):
    """Outputs in which NMS has much to do: neighbours of one class alike."""
    torch.manual_seed(0)
    per_cell = model.anchors_per_cell
    classes = [spread * torch.randn(1, per_cell * model.classes, *cells) for cells in model.cells]
    boxes = [0.1 * torch.randn(1, per_cell * 4, *cells) for cells in model.cells]
    return classes, boxes


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_postprocessing_of_fixed_shapes_is_upstreams_where_it_says_so(model, spread):
    given = model.anchors, torch.tensor([1.7]), torch.tensor([[500.0, 375.0]])
    outputs = random_outputs(model, spread)
    table, certain = detect_statically(model, outputs, *given)
    assert certain
    torch.testing.assert_close(table, detect(model, outputs, *given), rtol=1e-6, atol=1e-4)


def test_where_it_is_not_known_to_be_right_upstreams_own_is_run(model):
    """All boxes in one place, so that NMS leaves one of each class: fewer than are asked for."""
    anchors = model.anchors[2000:2001].expand(len(model.anchors), 4)
    given = anchors, torch.tensor([1.7]), torch.tensor([[500.0, 375.0]])
    classes, boxes = random_outputs(model, 1.0)
    outputs = classes, [torch.zeros_like(level) for level in boxes]
    _, certain = detect_statically(model, outputs, *given)
    assert not certain
    assert torch.equal(detect_at_once(model, outputs, *given), detect(model, outputs, *given))
