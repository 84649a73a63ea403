"""Several requests served as one are answered as each is alone, or refused in one sentence."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from effdet_bench.detector.request import serve, serve_together
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import UnavailableError
from effdet_bench.facts.photos import list_photos
from effdet_bench.validity.agreement import match
from helpers import SHIPPED

CPU = torch.device("cpu")
OPTIONS = {"rewritten": True, "sparse_postprocess": True}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(
    ("engine", "options"),
    [("eager", OPTIONS), ("openvino", OPTIONS), ("openvino", {"rewritten": True, "lean": True})],
)
def test_a_batch_is_answered_as_its_photos_are_alone(
    engine, options, parallel, lite0, exports, pool
):
    model = lite0 if engine == "eager" else exports(engine)[0]
    loaded = load_engine(engine, [model, model], CPU, options | {"parallel": parallel})
    loaded.accept(4)
    photos = [path.read_bytes() for path in list_photos(SHIPPED)[:4]]
    with torch.inference_mode():
        alone = [serve(loaded, photo) for photo in photos]
        tables = [[table.copy() for table in answer.tables] for answer in alone]
        together = serve_together(loaded, photos, pool)
    assert len(together) == 4
    for expected, answer in zip(tables, together, strict=True):
        assert [level.shape[0] for level in answer.outputs[0][0]] == [1] * 5
        for one, other in zip(expected, answer.tables, strict=True):
            agreed = match(one, other)
            assert agreed.share == 1
            assert agreed.box_drift_px < 0.01
            assert agreed.score_drift < 1e-5
    assert not np.array_equal(together[0].tables[0], together[1].tables[0])


@pytest.mark.parametrize("options", [OPTIONS, {"lean": True}])
def test_an_engine_for_one_photo_says_so(exports, options):
    loaded = load_engine("onnxruntime", [exports("onnxruntime")[0]], CPU, options)
    loaded.accept(1)
    with pytest.raises(UnavailableError, match="one photo at a time"):
        loaded.accept(2)
