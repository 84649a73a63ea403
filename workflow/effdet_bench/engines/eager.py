"""effdet networks as PyTorch runs them. Without options, fp32 and untouched: `baseline`."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from effdet_bench.engine import TYPES, Engine, T
from effdet_bench.ensemble import Model
from effdet_bench.errors import UnavailableError
from effdet_bench.postprocess import Outputs
from effdet_bench.rewrite import fuse

OPTIONS = {
    "precision": ["fp32", "bf16", "fp16"],
    "channels_last": [False, True],
    "fused": [False, "network", True],
    "parallel": [False, True],
    "graph": [False, True],
}


class Eager(Engine):
    version = f"torch {torch.__version__}"

    def __init__(
        self, models: list[Model], device: torch.device, options: dict | None = None
    ) -> None:
        super().__init__(models, device, options)
        if self.options.get("graph") and device.type != "cuda":
            raise UnavailableError(f"CUDA graphs need an NVIDIA GPU; this is a mode on {device}.")
        if self.precision == "fp16" and device.type == "cpu":
            raise UnavailableError("PyTorch only emulates fp16 on a CPU: take bf16 there.")
        # TF32 convolutions are torch's default on NVIDIA GPUs, and they are not fp32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        self._dtype = TYPES[self.precision]
        self._layout = torch.contiguous_format
        if self.options.get("channels_last"):
            self._layout = torch.channels_last
        networks = [fuse(m.network) if self.options.get("fused") else m.network for m in models]
        self._networks = [one.to(device, memory_format=self._layout) for one in networks]
        if self.options.get("graph"):
            self._networks = [
                self._graphed(network, model)
                for network, model in zip(self._networks, models, strict=True)
            ]
        self._pool = _pool(models, device) if self.options.get("parallel") else None

    def map(self, task: Callable[[int], T], indices: Sequence[int]) -> Iterable[T]:
        if self._pool is None:
            return super().map(task, indices)
        # the longest first, so that no thread is left with it alone
        order = sorted(indices, key=lambda index: -len(self.models[index].anchors))
        # torch knows inference mode thread by thread
        inferring = torch.inference_mode()(task)
        begun = {index: self._pool.submit(inferring, index) for index in order}
        return [begun[index].result() for index in indices]

    def _graphed(self, network: torch.nn.Module, model: Model) -> torch.nn.Module:
        """`network` as one CUDA graph, launched at once in place of kernel by kernel."""
        pixels = torch.zeros(1, 3, *model.image_size, device=self.device)
        pixels = pixels.contiguous(memory_format=self._layout)
        with torch.no_grad(), torch.autocast("cuda", self._dtype, cache_enabled=False):
            return torch.cuda.make_graphed_callables(network, (pixels,))

    def forward(self, index: int, pixels: torch.Tensor) -> Outputs:
        pixels = pixels.contiguous(memory_format=self._layout)
        reduced = self._dtype != torch.float32
        with torch.autocast(self.device.type, self._dtype, enabled=reduced):
            return self._networks[index](pixels)


def _pool(models: list[Model], device: torch.device) -> ThreadPoolExecutor:
    """Threads that each run one model at a time: as many as there are CPU threads, on one each.

    On a GPU, one for each model, with a stream of its own.
    """

    def begin() -> None:
        if device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(device))
        else:
            torch.set_num_threads(1)

    threads = torch.get_num_threads() if device.type == "cpu" else len(models)
    return ThreadPoolExecutor(threads, initializer=begin)


def load(models: list[Model], device: torch.device, options: dict) -> Engine:
    return Eager(models, device, options)
