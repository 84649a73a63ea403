"""Core ML's networks are converted on any system; only macOS runs them."""

import argparse
import sys

import pytest
import torch

from effdet_bench.detector.rewrite import rewritten
from effdet_bench.engines.loading import load_engine
from effdet_bench.errors import UnavailableError

CPU = torch.device("cpu")


def test_core_ml_is_for_macos_alone(lite0):
    if sys.platform != "darwin":
        with pytest.raises(UnavailableError, match="Core ML runs on macOS alone"):
            load_engine("coreml", [lite0], CPU, {"precision": "fp16"})


class Tiny(torch.nn.Module):
    """Two levels of outputs, as small as can be: what is converted, but for its size."""

    def __init__(self) -> None:
        super().__init__()
        self.config = argparse.Namespace(num_classes=2)
        self.classes, self.boxes = torch.nn.Conv2d(3, 18, 1), torch.nn.Conv2d(3, 36, 1)

    def forward(self, pixels):
        levels = [pixels, pixels[..., ::2, ::2]]
        return [self.classes(x) for x in levels], [self.boxes(x) for x in levels]


@pytest.mark.parametrize(("precision", "type_name"), [("fp32", "FLOAT32"), ("fp16", "FLOAT16")])
def test_core_ml_networks_are_converted_on_any_system(lite0, tmp_path, precision, type_name):
    """Only macOS can run one; its description is read back anywhere. The network for fp16 alone."""
    coremltools = pytest.importorskip("coremltools")
    from effdet_bench.engines.coreml import convert

    whole = precision == "fp16"
    network = rewritten(lite0.network) if whole else Tiny().eval()
    size = lite0.image_size if whole else (8, 8)
    convert(network, torch.zeros(1, 3, *size), precision, tmp_path / "model.mlpackage")
    spec = coremltools.utils.load_spec(str(tmp_path / "model.mlpackage"))
    kinds = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType
    outputs = {output.name: output.type.multiArrayType for output in spec.description.output}
    anchors, classes = (len(lite0.anchors), 90) if whole else (9 * (64 + 16), 2)
    assert list(outputs["classes"].shape) == [1, anchors, classes]
    assert list(outputs["boxes"].shape) == [1, anchors, 4]
    assert {output.dataType for output in outputs.values()} == {getattr(kinds, type_name)}
