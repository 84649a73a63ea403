"""What effdet and timm have but do not export: a new version may move it, so it stands here alone.

pyproject.toml bounds their versions. Upstream's postprocessing is the reference of every mode.
"""

from importlib.metadata import version

try:
    from effdet.bench import _batch_detection as batch_detection
    from effdet.bench import _post_process as post_process
    from timm.models._efficientnet_blocks import (
        DepthwiseSeparableConv,
        InvertedResidual,
        SqueezeExcite,
    )
except ImportError as error:
    raise ImportError(
        f"effdet {version('effdet')} or timm {version('timm')} is not one that this effdet-bench "
        f"works with ({error}): install the versions of constraints.txt."
    ) from None

__all__ = [
    "DepthwiseSeparableConv",
    "InvertedResidual",
    "SqueezeExcite",
    "batch_detection",
    "post_process",
]
