"""Functions and classes that effdet and timm do not export; only this module imports them.

A new version of effdet or timm may move them, so pyproject.toml bounds the versions.
"""

from importlib.metadata import version

from effdet_bench.errors import BenchError

try:
    from effdet.bench import _batch_detection as batch_detection
    from effdet.bench import _post_process as post_process
    from effdet.efficientdet import Fnode, FpnCombine, HeadNet, ResampleFeatureMap
    from timm.layers.pool2d_same import MaxPool2dSame
    from timm.models._efficientnet_blocks import (
        DepthwiseSeparableConv,
        InvertedResidual,
        SqueezeExcite,
    )
except ImportError as error:
    raise BenchError(
        f"effdet {version('effdet')} or timm {version('timm')} is not one that this effdet-bench "
        f"works with ({error}): install the versions of constraints.txt."
    ) from None

__all__ = [
    "DepthwiseSeparableConv",
    "Fnode",
    "FpnCombine",
    "HeadNet",
    "InvertedResidual",
    "MaxPool2dSame",
    "ResampleFeatureMap",
    "SqueezeExcite",
    "batch_detection",
    "post_process",
]
