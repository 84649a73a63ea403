"""Engines that serve dishonestly, each with the gates that must find it."""

import hashlib
import subprocess
import sys
import threading
import time

import torch

from planted_bench import Recorded, key_of, run
from planted_networks import ARITHMETIC


class AnswersKept(Recorded):
    """The first answer to a photo is returned for each later request that carries the photo."""

    seconds = 0.2  # so much that no other load hides it

    def begin_request(self):
        self.kept = getattr(self, "kept", {})

    def forward(self, index, pixels):
        key = index, key_of(pixels)
        if key not in self.kept:
            self.kept[key] = super().forward(index, pixels)
        return self.kept[key]


class KeptBySize(AnswersKept):
    """Photos of one size are taken for the same."""

    def forward(self, index, pixels):
        if index not in self.kept:
            self.kept[index] = Recorded.forward(self, index, pixels)
        return self.kept[index]


class EverySecondStale(Recorded):
    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        if self.count % 2:
            self.last = super().forward(index, pixels)
        return self.last


class TableOfTheLast(Recorded):
    def postprocess(self, *args):
        found = super().postprocess(*args)
        last, self.last = getattr(self, "last", found), found
        return last


class LaterWrong(Recorded):
    """Right at first, for every photo."""

    def postprocess(self, *args):
        self.count = getattr(self, "count", 0) + 1
        return super().postprocess(*args) + (0.5 if self.count > 3 else 0)


class AnyTableLater(Recorded):
    """No two outputs are the same, and tables are wrong once each photo was answered."""

    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        classes, boxes = super().forward(index, pixels)
        last = classes[-1].clone()
        # the last bit of another value each time
        last[0, self.count, 0, 0] *= 1 + torch.finfo(last.dtype).eps
        return [*classes[:-1], last], boxes

    def postprocess(self, *args):
        right = super().postprocess(*args)
        return right.flip(0) if self.count > 5 else right


class OnePhotoTooHigh(Recorded):
    """All class logits of one photo are higher by a fraction of what rounding does to each."""

    def forward(self, index, pixels):
        classes, boxes = super().forward(index, pixels)
        if key_of(pixels) == next(iter(self.outputs[index])):
            classes = [level + 0.05 for level in classes]
        return classes, boxes


class InputShiftedLater(Recorded):
    """From the eleventh request on, the network sees a copy of its input that is moved by 3 pixels.

    A pixel is less than what rounding does to these weights; docs/judgement.md has others.
    """

    def forward(self, index, pixels):
        self.count = getattr(self, "count", 0) + 1
        if self.count <= 10:
            return super().forward(index, pixels)
        moved = pixels.roll(3, 3)
        known = self.outputs[index]
        if (key := key_of(moved)) not in known:
            known[key] = run(self.models[index].network, moved, self.precision)
        return known[key]


class InputChangedLater(Recorded):
    """The network's input is another one than preprocessing made, from the eleventh request on."""

    def forward(self, index, pixels):
        outputs = super().forward(index, pixels)
        self.count = getattr(self, "count", 0) + 1
        if self.count > 10:
            pixels.copy_((pixels + pixels.roll(1, 3)) / 2)
        return outputs


class PreparedBetweenTurns(Recorded):
    """A thread works while other modes have their turn, as if on the next photo."""

    def forward(self, index, pixels):
        outputs = super().forward(index, pixels)
        threading.Thread(target=busy, args=(0.2,)).start()
        return outputs


class SpinsBetweenTurns(Recorded):
    """A thread that waits for work does so by looking for it all the time."""

    thread = None

    def forward(self, index, pixels):
        if self.thread is None:
            self.thread = threading.Thread(target=busy, args=(1.0,), daemon=True)
            self.thread.start()
        return super().forward(index, pixels)


class ChildBetweenTurns(Recorded):
    """The same in a process of its own."""

    def forward(self, index, pixels):
        code = "import time\nwhile time.process_time() < 0.2: pass"
        subprocess.Popen([sys.executable, "-c", code])
        return super().forward(index, pixels)


def busy(seconds: float) -> None:
    """Uses a processor; the lock of the interpreter is free, so that a turn takes no longer."""
    block = bytes(1 << 20)
    while time.thread_time() < seconds:
        hashlib.sha256(block)


BETWEEN_TURNS = (PreparedBetweenTurns, SpinsBetweenTurns, ChildBetweenTurns)

SERVING = {
    AnswersKept: {"unseen"},
    KeptBySize: {"stale"},
    EverySecondStale: {"stale"},
    TableOfTheLast: {"wrong"},
    LaterWrong: {"wrong"},
    AnyTableLater: {"wrong"},
    InputChangedLater: {"input"},
    InputShiftedLater: ARITHMETIC,
    OnePhotoTooHigh: ARITHMETIC,
}
