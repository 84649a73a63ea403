"""Instances answer every photo once. An error names the photos at which an instance failed."""

from multiprocessing import Pipe

import pytest

from effdet_bench.accuracy.instances import Instances, _batches
from effdet_bench.errors import BenchError, Outcome
from effdet_bench.load.messages import Served


@pytest.mark.parametrize(
    ("photos", "batch", "sizes"),
    [(3, 1, [1, 1, 1]), (16, 8, [8, 8]), (13, 8, [8, 4, 1]), (0, 8, []), (7, 4, [4, 2, 1])],
)
def test_batches_have_the_sizes_that_engines_accept(photos, batch, sizes):
    every = [(f"{n}.jpg", b"") for n in range(photos)]
    batches = list(_batches(iter(every), batch))
    assert [len(one) for one in batches] == sizes
    assert [photo for one in batches for photo in one] == every


class Echo:
    """A process that answers with the contents of photos, and fails at a photo of the content bad.

    It stands in for its own pipe, whose other end sends back what it gets.
    """

    def __init__(self) -> None:
        ours, self._theirs = Pipe()
        self.pipe, self.fileno, self._receive = self, ours.fileno, ours.recv

    def send(self, message) -> None:
        self._theirs.send(message)

    def receive(self):
        encoded, _ = self._receive()
        if b"bad" in encoded:
            return Outcome("failed", "ValueError: no."), None
        return Outcome("completed", None), Served(0, 0, encoded)


@pytest.fixture
def instances(monkeypatch) -> Instances:
    made = object.__new__(Instances)
    made._processes = [Echo(), Echo()]
    monkeypatch.setattr(Instances, "_weigh", lambda self: None)
    return made


def test_every_photo_is_answered_once(instances):
    photos = [(f"{n}.jpg", str(n).encode()) for n in range(50)]
    assert sorted(instances.answers(iter(photos), 4)) == sorted(photos)


def test_the_photo_at_which_a_process_failed_is_named(instances):
    photos = [("1.jpg", b"1"), ("2.jpg", b"bad"), ("3.jpg", b"3")]
    with pytest.raises(BenchError, match=r"^2\.jpg: ValueError: no\.$"):
        list(instances.answers(iter(photos), 1))
