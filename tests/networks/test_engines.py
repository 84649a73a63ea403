"""Engines answer as PyTorch does, on as many threads as they are told, or say why they cannot."""

import copy
import dataclasses
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
import torch

from effdet_bench.__main__ import main
from effdet_bench.detector.request import decode, preprocess, serve, serve_in_stages
from effdet_bench.engines import onnxruntime as onnxruntime_engine
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import BenchError, UnavailableError
from effdet_bench.export.check import ExportCheck
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.anchors import sample_outputs
from effdet_bench.reference.output_errors import relative_errors
from effdet_bench.reference.outputs import read_reference
from effdet_bench.reference.rounding import rounding_errors
from effdet_runtime.errors import PhotoError
from effdet_runtime.networks import onnxruntime as networks
from helpers import CALIBRATION, SHIPPED, make_references, unlimited, verified

CPU = torch.device("cpu")
EXPORTED = ("onnxruntime", "openvino", "executorch", "mnn")
PLAIN = ("executorch", False)  # which cannot
OF_INT8 = ("onnxruntime", "openvino")


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def tables_of(engine, photo: int = 0) -> np.ndarray:
    with torch.inference_mode():
        (table,) = serve(engine, list_photos(SHIPPED)[photo].read_bytes()).tables
    return table


@pytest.mark.parametrize(
    ("engine", "rewritten"),
    [(name, option) for name in EXPORTED for option in (False, True) if (name, option) != PLAIN],
)
def test_an_export_answers_as_pytorch(exports, engine, rewritten):
    model, record, _ = exports(engine, rewritten=rewritten)
    assert max(record["class_error"], record["box_error"]) < 1e-5
    assert record["bytes"] > 0
    loaded = load_engine(engine, [model], CPU, {"sparse_postprocess": rewritten})
    expected = tables_of(load_engine("eager", [model], CPU))
    found = tables_of(loaded)
    assert abs(found[:, :4] - expected[:, :4]).max() < 0.05
    assert abs(found[:, 4] - expected[:, 4]).max() < 1e-4
    assert (found[:, 5] == expected[:, 5]).all()


@pytest.mark.parametrize(
    ("engine", "options"), [("onnxruntime", {}), ("openvino", {}), ("openvino", {"parallel": True})]
)
def test_effdet_runtime_answers_as_the_same_engine_beside_pytorch(exports, engine, options):
    model, _, _ = exports(engine)
    lean = load_engine(engine, [model, model], CPU, options | {"lean": True})
    own = load_engine(engine, [model, model], CPU, {"sparse_postprocess": True})
    with torch.inference_mode():
        for path in list_photos(SHIPPED)[:3]:
            expected, found = (serve(one, path.read_bytes()) for one in (own, lean))
            for one, other in zip(expected.tables, found.tables, strict=True):
                assert abs(one - other).max() < 1e-3


def test_a_photo_that_one_model_refuses_leaves_no_network_at_work(exports, d0):
    """The next request would find it busy."""
    small, large = exports("openvino")[0], exports("openvino", model=d0)[0]
    lean = load_engine("openvino", [small, large], CPU, {"lean": True, "parallel": True})
    photo = decode(list_photos(SHIPPED)[0].read_bytes())
    thin = photo.crop((0, 0, 1, 400))  # of which lite0 keeps no pixel
    for _ in range(3):
        with pytest.raises(PhotoError, match="too thin"):
            lean.pipeline.answer(thin)
        assert len(lean.pipeline.answer(photo)) == 2


def test_effdet_runtime_has_a_postprocessing_of_its_own(exports):
    with pytest.raises(BenchError, match="remove sparse_postprocess"):
        options = {"lean": True, "sparse_postprocess": True}
        load_engine("openvino", [exports("openvino")[0]], CPU, options)


def test_effdet_runtime_runs_on_the_cpu_alone(exports):
    with pytest.raises(UnavailableError, match="runs on the CPU here"):
        load_engine(
            "onnxruntime", [exports("onnxruntime")[0]], torch.device("meta"), {"lean": True}
        )


def test_means_are_as_exact_as_rounding_allows(d0, exports, tmp_path):
    """D0 begins with squeeze and excitation over 256 by 256 values, lite0 has none."""
    reference = read_reference(make_references([d0], tmp_path, first=1)[0])
    (photo,) = reference.names
    encoded = (SHIPPED / photo).read_bytes()
    pixels = preprocess(decode(encoded), d0, CPU).pixels
    own = copy.deepcopy(d0)  # whose weights are put into another memory format
    (known,) = rounding_errors(own, reference, {photo: encoded}, "fp32")
    pools = reference.sampled.pools
    for name in EXPORTED:
        engine = load_engine(name, [exports(name, model=d0)[0]], CPU)
        sampled = sample_outputs(engine.forward(0, pixels), pools)
        errors = relative_errors(sampled, reference.of(photo), pools)
        usual = np.array(known["sizes"].split(), float)
        assert (np.array(errors.sizes) < 5 * usual).all(), name


def test_executorch_takes_no_network_that_it_would_answer_wrongly_for(exports):
    with pytest.raises(UnavailableError, match="set `rewritten: true`"):
        exports("executorch", rewritten=False)


def test_the_converter_of_mnn_reports_nothing(exports):
    """Its wrapper in Python installs a package and sends to its makers what is converted."""
    assert (exports("mnn")[0].exported / "model.mnn").exists()
    assert not [name for name in sys.modules if name.startswith(("MNN.tools", "aliyun"))]


@pytest.mark.parametrize("engine", EXPORTED)
def test_levels_are_those_of_the_network(exports, engine):
    model = exports(engine)[0]
    pixels = preprocess(decode(list_photos(SHIPPED)[1].read_bytes()), model, CPU).pixels
    loaded = load_engine(engine, [model], CPU)
    with torch.inference_mode():
        for ours, theirs in zip(loaded.forward(0, pixels), model.network(pixels), strict=True):
            assert [one.shape for one in ours] == [one.shape for one in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert (one - other).abs().max() < 1e-2


@pytest.mark.parametrize("engine", OF_INT8)
def test_int8_is_exported_and_judged_like_any_other(exports, engine):
    """How far it is off is for the validity gate to say; here that it is INT8 and no nonsense."""
    model, record, _ = exports(engine, "int8")
    assert 1e-4 < record["class_error"] < 1.5
    assert record["bytes"] < 0.6 * exports(engine)[1]["bytes"]
    table = tables_of(
        load_engine(engine, [model], CPU, {"precision": "int8", "sparse_postprocess": True})
    )
    assert np.isfinite(table).all()


def test_int8_of_onnxruntime_leaves_a_bit_free_where_sums_would_saturate(lite0, exports, tmp_path):
    file = exports("onnxruntime")[0].exported / networks.FILE
    samples = [preprocess(decode(list_photos(CALIBRATION)[0].read_bytes()), lite0, CPU).pixels]
    largest = []
    for saturates in (True, False):
        path = shutil.copy(file, tmp_path)
        onnxruntime_engine.quantise(path, samples, saturates)
        values = [one for one in onnx.load(path).graph.initializer if "quantized" in one.name]
        weights = [onnx.numpy_helper.to_array(one).astype(int) for one in values]
        largest.append(max(abs(one).max() for one in weights if one.ndim == 4))
        assert not any("class_net" in one.name for one in values)
    assert largest == [64, 127]


def test_an_export_that_answers_otherwise_is_refused_in_fp32_alone(exports, lite0, tmp_path):
    """The export of one precision, taken for that of another."""
    _, _, spec = exports("openvino", "int8")
    with pytest.raises(BenchError, match="answers otherwise than PyTorch"):
        ExportCheck(dataclasses.replace(spec, options={"precision": "fp32"})).check()


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_models_side_by_side_answer_as_one_after_the_other(lite0, d0, exports, engine):
    models = [lite0, d0]
    if engine == "openvino":
        models = [exports(engine, precision)[0] for precision in ("fp32", "int8")]
    encoded = list_photos(SHIPPED)[0].read_bytes()
    with torch.inference_mode():
        one = serve(load_engine(engine, models, CPU, {"sparse_postprocess": True}), encoded)
        both = serve(
            load_engine(engine, models, CPU, {"sparse_postprocess": True, "parallel": True}),
            encoded,
        )
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

    assert engine.each_model(task) == [(0, share), (1, share)]
    assert torch.get_num_threads() == threads


def test_stages_are_timed_one_model_after_the_other(lite0, d0):
    """Also where a request runs them side by side: their stages would overlap."""
    engine = load_engine("eager", [lite0, d0], CPU, {"parallel": True})
    marks = []
    with torch.inference_mode():
        encoded = list_photos(SHIPPED)[0].read_bytes()
        serve_in_stages(engine, encoded, lambda *mark: marks.append(mark))
    stages = ("preprocess", "forward", "postprocess")
    expected = [(stage, model.name) for model in (lite0, d0) for stage in stages]
    assert marks == [("decode", ""), *expected]


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("eager", {"precision": "fp16"}, "only emulates fp16"),
        ("eager", {"precision": "tf32"}, "TF32 is of NVIDIA GPUs"),
        ("graph", {}, "CUDA graphs need an NVIDIA GPU"),
        ("tensorrt", {"precision": "fp16"}, "TensorRT needs an NVIDIA GPU"),
    ],
)
def test_what_cannot_run_on_a_cpu_says_so(lite0, engine, options, words):
    with pytest.raises(UnavailableError, match=words):
        load_engine(engine, [lite0], CPU, options)


def test_a_missing_package_is_recorded_and_no_crash(lite0, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "effdet_bench.engines.openvino", raising=False)
    record, file = verified(lite0, tmp_path)
    given = {
        "--engine": "openvino",
        "--device": "cpu",
        "--options": json.dumps({"precision": "fp32", "rewritten": True}),
        "--records": record,
        "--checkpoints": file,
        "--photos": CALIBRATION,
        "--outputs": tmp_path / "export.json",
    }
    main(["export", *(str(word) for pair in given.items() for word in pair)])
    exported = json.loads((tmp_path / "export.json").read_text())
    assert exported["outcome"] == "unavailable"
    assert "install with `pip install -e '.[openvino]'" in exported["reason"]
    known = ["--exports", tmp_path / "export.json", "--records", record, "--checkpoints", file]
    known += ["--photos", CALIBRATION, "--outputs", tmp_path / "check.json"]
    main(["check_export", *map(str, known)])
    check = json.loads((tmp_path / "check.json").read_text())
    assert (check["outcome"], check["reason"]) == ("unavailable", exported["reason"])


IDLE = """
import sys, time, torch
from effdet_bench.engines.loading import load_engine
from effdet_bench.detector.ensemble import build_model
from effdet_bench.detector.request import serve
import dataclasses, pathlib
photo, *engines = sys.argv[1:]
torch.set_num_threads(2)
encoded = pathlib.Path(photo).read_bytes()
for name, architecture, folder in (engine.split("=") for engine in engines):
    exported = dataclasses.replace(build_model(architecture), export=pathlib.Path(folder))
    loaded = load_engine(name, [exported], torch.device("cpu"), {"sparse_postprocess": True})
    with torch.inference_mode():
        for _ in range(3):
            serve(loaded, encoded)
    time.sleep(0.02)
    begin = time.process_time()
    time.sleep(1)
    print("idle", name, time.process_time() - begin)
"""


def test_no_thread_spins_on_once_its_mode_has_had_its_turn(exports):
    """By the time of processors, which other load does not change; each engine in its turn."""
    models = {engine: exports(engine)[0] for engine in EXPORTED}
    engines = [f"{engine}={model.name}={model.export}" for engine, model in models.items()]
    engines = ["eager=tf_efficientdet_lite0=", *engines]
    command = [sys.executable, "-c", IDLE, str(list_photos(SHIPPED)[0]), *engines]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=unlimited())
    told = [line.split() for line in done.stdout.splitlines()]  # some engines print too
    busy = {words[1]: words[2] for words in told if words[0] == "idle"}
    assert list(busy) == ["eager", *EXPORTED]
    assert all(float(seconds) < 0.1 for seconds in busy.values()), busy
