"""Imports of torch, which take seconds."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """While modules are imported, Python looks for no garbage.

    Looking for garbage among modules would take a quarter of the time of importing torch.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
