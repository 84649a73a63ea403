"""Versions on which a latency depends, found without importing any of the packages."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("effdet-bench", "torch", "torchvision", "effdet", "timm", "numpy", "pillow")


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, of `PACKAGES` and of `more`; `not installed` for a missing package."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
