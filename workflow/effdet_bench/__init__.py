"""effdet-bench: how fast EfficientDet detectors serve one request, and whether they are right."""

import warnings

__version__ = "0.1.0"

# effdet scripts its NMS loop when it is imported; torch deprecates that, and no user can mend it
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
