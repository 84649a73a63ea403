"""Versions that a latency depends on, told without importing any of the packages."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("effdet-bench", "torch", "torchvision", "effdet", "timm", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Version of Python and of each package by name, `not installed` where it is not there."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
