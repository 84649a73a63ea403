"""An instance of a service whose engine only sleeps: more threads make it faster, but not in full.

The number of its end of the pipe is its last argument, as with `effdet_bench.load.instance`.
"""

import time

from effdet_bench.errors import UnavailableError
from effdet_bench.load import instance
from effdet_bench.load.messages import Served


def seconds(threads: int) -> float:
    """How long a request takes on so many threads."""
    return 0.4 / threads**0.5


class Sleeper(instance.Null):
    def __init__(self, spec):
        if spec.batch > 1:
            raise UnavailableError("it takes one photo at a time.")
        self._seconds = seconds(spec.job.threads)

    def serve(self, photos, _judged):
        began = time.monotonic_ns()
        time.sleep(self._seconds)
        return Served(began, time.monotonic_ns(), [b"slept"] * len(photos))


if __name__ == "__main__":
    instance.answer_pipe(Sleeper)
