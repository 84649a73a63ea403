"""Runs the detectors of a bundle: `Detector`, or `effdet-runtime` on the command line."""

from effdet_runtime.detector import Detector
from effdet_runtime.errors import BundleError, DeploymentError, PhotoError
from effdet_runtime.results import Detections, Result

__all__ = ["BundleError", "DeploymentError", "Detections", "Detector", "PhotoError", "Result"]
