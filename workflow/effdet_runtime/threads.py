"""Models side by side, for pipelines and for the engines of the benchmark."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def side_by_side(
    pool: ThreadPoolExecutor, task: Callable[[int], T], sizes: Sequence[int]
) -> list[T]:
    """Calls `task` with each model's index in threads of `pool`; returns all results.

    `sizes` has a number for each model that grows with its work.
    """
    # the largest model first: if begun last, it would run alone at the end
    order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    begun = {index: pool.submit(task, index) for index in order}
    wait(begun.values())  # also if one failed, because the next request uses the same networks
    return [begun[index].result() for index in range(len(sizes))]
