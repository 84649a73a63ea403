"""Errors as rounding makes them, drawn at random: no network runs."""

import numpy as np

from effdet_bench.validity.arithmetic import FIGURES, Measured, Rounding, arithmetic
from effdet_bench.validity.gate import tolerance_of

LEVELS, CLASSES, EMULATIONS = 5, 90, 4
GROUPS = 2 * LEVELS + CLASSES + 4
WIDTHS = -1
LIMITS = {name: limit for name, limit in tolerance_of("bf16").items() if name in FIGURES}


class Rounded:
    """Errors as rounding makes them: of some photos several times those of others.

    Weights are rounded once, so that a part of slopes and offsets is the same for all photos.
    """

    def __init__(self, seed: int, photos: int) -> None:
        self.order = np.random.default_rng(seed)
        self.usual = 0.02 * self.order.lognormal(0, 0.7, (photos, 1)) * np.ones(GROUPS)

    def errors(self) -> Measured:
        photos = len(self.usual)
        sizes = self.usual * self.order.lognormal(0, 0.25, (photos, GROUPS))
        biases = []
        for _ in range(2):
            of_weights = np.repeat([0.2, 0.05], [2 * LEVELS, GROUPS - 2 * LEVELS])
            of_weights *= self.order.normal(size=GROUPS)
            of_photo = 0.2 * self.order.normal(size=(photos, GROUPS))
            biases.append(self.usual * (of_weights + of_photo))
        return Measured(sizes, *biases)

    def rounding(self, emulations: int = EMULATIONS) -> Rounding:
        names = [f"{number}.jpg" for number in range(len(self.usual))]
        return Rounding(names, LEVELS, [self.errors() for _ in range(emulations)])


def judged(rounding: Rounding, measured: Measured) -> dict[str, float]:
    """Every figure as a share of its limit."""
    found = arithmetic(rounding.photos, measured, rounding)
    return {name: found[name] / limit for name, limit in LIMITS.items()}
