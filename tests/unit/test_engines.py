"""Engines answer as PyTorch does, on as many threads as they are told, or say why they cannot."""

import dataclasses
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from effdet_bench.__main__ import main
from effdet_bench.config.photos import list_photos
from effdet_bench.detector.request import decode, preprocess, serve
from effdet_bench.engines.base import load_engine
from effdet_bench.errors import UnavailableError
from effdet_bench.export.export import export_model
from helpers import ROOT, SHIPPED, Workspace

CPU = torch.device("cpu")
CALIBRATION = ROOT / "workflow" / "resources" / "calibration"
EXPORTED = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def exports(lite0, tmp_path_factory):
    """Makes and keeps exports of lite0: the model that has one, and its record."""
    made = {}

    def export(engine: str, precision: str = "fp32", fused: bool = True):
        key = engine, precision, fused
        if key not in made:
            folder = tmp_path_factory.mktemp("exports") / "model"
            options = {"precision": precision, "fused": fused}
            photos = list_photos(CALIBRATION)
            record = export_model(engine, CPU, options, lite0, folder, photos)
            made[key] = dataclasses.replace(lite0, export=folder), record
        return made[key]

    return export


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def tables_of(engine, photo: int = 0) -> np.ndarray:
    with torch.inference_mode():
        (table,) = serve(engine, list_photos(SHIPPED)[photo].read_bytes()).tables
    return table


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("engine", EXPORTED)
def test_an_export_answers_as_pytorch(lite0, exports, engine, fused):
    model, record = exports(engine, fused=fused)
    assert max(record["class_error"], record["box_error"]) < 1e-5
    assert record["seconds"] > 0 < record["bytes"]
    loaded = load_engine(engine, [model], CPU, {"fused": fused})
    expected = tables_of(load_engine("eager", [lite0], CPU))
    found = tables_of(loaded)
    assert abs(found[:, :4] - expected[:, :4]).max() < 0.05
    assert abs(found[:, 4] - expected[:, 4]).max() < 1e-4
    assert (found[:, 5] == expected[:, 5]).all()


@pytest.mark.parametrize("engine", EXPORTED)
def test_levels_are_those_of_the_network(lite0, exports, engine):
    pixels = preprocess(decode(list_photos(SHIPPED)[1].read_bytes()), lite0, CPU).pixels
    loaded = load_engine(engine, [exports(engine)[0]], CPU)
    with torch.inference_mode():
        for ours, theirs in zip(loaded.forward(0, pixels), lite0.network(pixels), strict=True):
            assert [one.shape for one in ours] == [one.shape for one in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert (one - other).abs().max() < 1e-2


@pytest.mark.parametrize("engine", EXPORTED)
def test_int8_is_exported_and_judged_like_any_other(exports, engine):
    """How far it is off is for the validity gate to say; here that it is INT8 and no nonsense."""
    model, record = exports(engine, "int8")
    assert 1e-4 < record["class_error"] < 1.5
    assert record["bytes"] < 0.6 * exports(engine)[1]["bytes"]
    table = tables_of(load_engine(engine, [model], CPU, {"precision": "int8", "fused": True}))
    assert np.isfinite(table).all()


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_models_side_by_side_answer_as_one_after_the_other(lite0, d0, exports, engine):
    models = [lite0, d0]
    if engine == "openvino":
        models = [exports(engine, precision)[0] for precision in ("fp32", "int8")]
    encoded = list_photos(SHIPPED)[0].read_bytes()
    with torch.inference_mode():
        one = serve(load_engine(engine, models, CPU, {"fused": True}), encoded)
        both = serve(load_engine(engine, models, CPU, {"fused": True, "parallel": True}), encoded)
    for ours, theirs in zip(both.tables, one.tables, strict=True):
        assert abs(ours - theirs).max() < 0.05
    assert abs(both.tables[0] - both.tables[1]).max() > 1


@pytest.mark.parametrize(("threads", "share"), [(2, 1), (5, 2)])
def test_models_side_by_side_share_the_threads(lite0, d0, set_threads, threads, share):
    set_threads(threads)
    engine = load_engine("eager", [lite0, d0], CPU, {"parallel": True})
    meeting = threading.Barrier(2, timeout=60)

    def task(index: int) -> tuple[int, int]:
        meeting.wait()  # breaks where one comes after the other
        return index, torch.get_num_threads()

    assert list(engine.map(task, [0, 1])) == [(0, share), (1, share)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("eager", {"precision": "fp16"}, "only emulates fp16"),
        ("eager", {"graph": True}, "CUDA graphs need an NVIDIA GPU"),
        ("tensorrt", {"precision": "fp16", "fused": True}, "TensorRT needs an NVIDIA GPU"),
    ],
)
def test_what_cannot_run_on_a_cpu_says_so(lite0, engine, options, words):
    with pytest.raises(UnavailableError, match=words):
        load_engine(engine, [lite0], CPU, options)


def test_a_missing_package_is_recorded_and_no_crash(smoke: Workspace, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "effdet_bench.engines.openvino", raising=False)
    name = "tf_efficientdet_lite0"
    given = {
        "--engine": "openvino",
        "--device": "cpu",
        "--threads": 1,
        "--options": json.dumps({"precision": "fp32", "fused": True}),
        "--record": smoke.path / f"checkpoints/verified/{name}.synthetic.json",
        "--checkpoint": smoke.path / f"checkpoints/synthetic/{name}-seed0.pth",
        "--photos": CALIBRATION,
        "--output": tmp_path / "export.json",
    }
    main(["export", *(str(word) for pair in given.items() for word in pair)])
    record = json.loads((tmp_path / "export.json").read_text())
    assert record["outcome"] == "unavailable"
    assert "install with `pip install -e '.[openvino]'" in record["reason"]


IDLE = """
import sys, time, torch
from effdet_bench.engines.base import load_engine
from effdet_bench.detector.ensemble import build_model
from effdet_bench.detector.request import serve
import dataclasses, pathlib
engine, folder, photo = sys.argv[1:]
torch.set_num_threads(2)
model = dataclasses.replace(build_model("tf_efficientdet_lite0"), export=pathlib.Path(folder))
loaded = load_engine(engine, [model], torch.device("cpu"), {"fused": True})
encoded = pathlib.Path(photo).read_bytes()
with torch.inference_mode():
    for _ in range(3):
        serve(loaded, encoded)
time.sleep(0.02)
begin = time.process_time()
time.sleep(1)
print(time.process_time() - begin)
"""


@pytest.mark.parametrize("engine", ["eager", *EXPORTED])
def test_no_thread_spins_on_once_its_mode_has_had_its_turn(exports, engine):
    folder = "" if engine == "eager" else str(exports(engine)[0].export)
    command = [sys.executable, "-c", IDLE, engine, folder, str(list_photos(SHIPPED)[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.1


def test_core_ml_is_for_macos_alone(lite0):
    if sys.platform != "darwin":
        with pytest.raises(UnavailableError, match="Core ML runs on macOS alone"):
            load_engine("coreml", [lite0], CPU, {"fused": True, "precision": "fp16"})


@pytest.mark.parametrize(("precision", "type_name"), [("fp32", "FLOAT32"), ("fp16", "FLOAT16")])
def test_core_ml_networks_are_converted_on_any_system(lite0, tmp_path, precision, type_name):
    """Only macOS can run one; its description is read back anywhere."""
    coremltools = pytest.importorskip("coremltools")
    from effdet_bench.detector.rewrite import fuse
    from effdet_bench.engines.coreml import convert

    pixels = torch.zeros(1, 3, *lite0.image_size)
    convert(fuse(lite0.network), pixels, precision, tmp_path / "model.mlpackage")
    spec = coremltools.utils.load_spec(str(tmp_path / "model.mlpackage"))
    kinds = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType
    found = {one.name: one.type.multiArrayType for one in spec.description.output}
    assert list(found["classes"].shape) == [1, len(lite0.anchors), 90]
    assert list(found["boxes"].shape) == [1, len(lite0.anchors), 4]
    assert {one.dataType for one in found.values()} == {getattr(kinds, type_name)}
