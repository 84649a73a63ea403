"""Opens torch devices, waits for their work, and reads how much memory they hold."""

import torch

from effdet_bench.errors import UnavailableError


def open_device(name: str) -> torch.device:
    """The torch device `cpu`, `cuda` (the first GPU) or `mps`.

    Raises:
        UnavailableError: torch cannot use the device; the text says why.
    """
    if name == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None and torch.version.hip is None:
            raise UnavailableError(f"torch {torch.__version__} is built without CUDA.")
        raise UnavailableError(f"torch {torch.__version__} finds no usable CUDA GPU or driver.")
    if name == "mps" and not torch.backends.mps.is_available():
        if not torch.backends.mps.is_built():
            raise UnavailableError(f"torch {torch.__version__} is built without MPS.")
        raise UnavailableError("torch finds no Apple GPU, or a macOS too old for MPS.")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Returns once the work issued to `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Bytes: on `cuda` the most that torch held, on `mps` those held now; `None` on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return None
