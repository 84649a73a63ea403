"""effdet-bench: how fast EfficientDet detectors serve one request, and whether they are right."""

import warnings

__version__ = "0.1.0"

# importing effdet compiles its NMS loop with torch.jit.script, which torch warns is deprecated;
# users cannot change effdet
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
