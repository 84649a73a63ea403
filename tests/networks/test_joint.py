"""Networks of equal architecture that run as one answer as they do one by one."""

import pytest
import torch

from effdet_bench.detector.request import decode, preprocess, serve
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import UnavailableError
from effdet_bench.facts.photos import list_photos
from effdet_bench.reference.anchors import Sampled, sample_outputs
from effdet_bench.validity.agreement import match
from helpers import SHIPPED, synthetic_model

CPU = torch.device("cpu")
CLASSES = {"all": 90, "few": 7, "some": 20}


@pytest.fixture(scope="module")
def models():
    return [
        synthetic_model(name, count, "tf_efficientdet_lite0") for name, count in CLASSES.items()
    ]


@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("engine", ["vmap", "grouped"])
def test_they_answer_as_one_by_one(models, engine, option):
    """On two photos in turn, so that nothing of the first is left in the answer to the second."""
    joint = load_engine(engine, models, CPU, {"rewritten": option, "sparse_postprocess": option})
    single = load_engine("eager", models, CPU)
    with torch.inference_mode():
        for path in list_photos(SHIPPED)[:2]:
            found, expected = (serve(one, path.read_bytes()) for one in (joint, single))
            for model, *pair in zip(models, found.outputs, expected.outputs, strict=True):
                ours, theirs = (sample_outputs(one, Sampled(model.levels).pools) for one in pair)
                assert (ours - theirs).norm() / (theirs - theirs.mean()).norm() < 1e-5
            for ours, theirs in zip(found.tables, expected.tables, strict=True):
                matches = match(theirs, ours)
                assert matches.share == 1
                assert matches.box_drift_px < 0.05


def test_their_weights_differ(models):
    stems = [model.network.backbone.conv_stem.weight for model in models]
    assert not torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[1], stems[2])


@pytest.mark.parametrize("engine", ["vmap", "grouped"])
def test_networks_of_other_architectures_are_refused(lite0, d0, engine):
    words = r"equal architectures, and this one is tf_efficientdet_lite0, tf_efficientdet_d0: see"
    with pytest.raises(UnavailableError, match=words):
        load_engine(engine, [lite0, d0], CPU, {"rewritten": True})


@pytest.mark.parametrize("engine", ["vmap", "grouped"])
def test_any_network_may_be_asked_first(models, engine):
    joint = load_engine(engine, models, CPU)
    pixels = preprocess(decode(list_photos(SHIPPED)[0].read_bytes()), models[0], CPU).pixels
    other = preprocess(decode(list_photos(SHIPPED)[1].read_bytes()), models[0], CPU).pixels
    with torch.inference_mode():
        joint.begin_request()
        forwards = [joint.forward(index, pixels)[1][0] for index in (0, 1, 2)]
        for order in ((2, 0, 1), (1, 2, 0)):
            joint.begin_request()
            joint.forward(order[0], other)
            joint.begin_request()
            for index in order:
                assert torch.equal(joint.forward(index, pixels)[1][0], forwards[index])
