"""The errors of a mode's arithmetic, in multiples of what rounding does to upstream's own network.

Rounding has no preferred direction. Errors are therefore judged by size, over all photos and of
each photo, and by direction: slope and offset of outputs against the reference. Each emulation of
rounding is compared with the others. The largest figure of these comparisons is the reach: how
large the figure becomes by chance on the same photos.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from effdet_bench.config.names import UNSEEN_MARK
from effdet_bench.errors import BenchError
from effdet_bench.records import GROUPED, Record

COORDINATES = ("y of boxes", "x of boxes", "heights of boxes", "widths of boxes")
VARIANT = 4  # rounding may do so many times as much to an unseen photo as to the known photo
UNTOUCHED = 1e-3  # of the sizes at all levels: below, rounding happens to change nothing at a place
SIZES = ("errors", "photo_errors")
FIGURES = (*SIZES, "level_bias", "slopes", "offsets", "photo_bias")


class Measured(NamedTuple):
    """Errors of answers: arrays float [answers, groups], groups as in `output_errors.Errors`."""

    sizes: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray


class Rounding(NamedTuple):
    """What rounding does to upstream's own network: one `Measured` for each emulation.

    Each `Measured` has one answer for each photo, in the order of `photos`. `levels` is the number
    of feature levels.
    """

    photos: list[str]
    levels: int
    emulations: list[Measured]


class Largest(NamedTuple):
    """The largest value of a figure, and the group in which it is found."""

    value: float
    where: str


def measured_of(rows: pd.DataFrame) -> Measured:
    """The errors in `rows` of a CSV file."""
    return Measured(*(np.array([t.split() for t in rows[key]], float) for key in GROUPED))


def arithmetic(served: list[str], measured: Measured, rounding: Rounding) -> Record:
    """The `FIGURES` of `measured` answers to the photos `served`, in multiples of their reach.

    With a single emulation, as in fp32, there is no reach: `SIZES` are then multiples of the sizes
    of that emulation, and all other figures are `None`. The unseen photo of a round is a variant of
    a known photo. Only the size of its errors is judged, by what rounding does to the known photo.

    Returns:
        The figures by name, and `where`: the group in which each figure is largest, by name.

    Raises:
        BenchError: `rounding` does not contain a photo.
    """
    places = np.array([_place_of(photo, rounding.photos) for photo in served])
    new = np.array([photo not in rounding.photos for photo in served])
    usual = _together(rounding.emulations, rounding.levels)[places]
    known = Measured(*(part[~new] for part in measured))
    found = _figures(known, places[~new], usual[~new], rounding.levels)
    if new.any():
        sizes = _over(measured.sizes[new], VARIANT * usual[new]).max(0)
        of_new = _largest(sizes, _names(rounding.levels, len(sizes)))
        found["photo_errors"] = max(found["photo_errors"], of_new)
    reach = _reach(rounding, np.unique(places[~new]))
    result: Record = {
        name: float(_over(np.array(found[name].value), np.array(reach[name])))
        if name in reach
        else None
        for name in FIGURES
    }
    return result | {"where": {name: found[name].where for name in reach}}


def _place_of(photo: str, known: list[str]) -> int:
    """The index in `known` of `photo`, or of the known photo that the unseen `photo` was made from.

    Raises:
        BenchError: neither is in `known`.
    """
    if photo in known:
        return known.index(photo)
    stem = photo.split(UNSEEN_MARK)[0]
    for place, name in enumerate(known):
        if name.rsplit(".", 1)[0] == stem:
            return place
    raise BenchError(
        f"reference/*.rounding.json of this archive do not contain the photo {photo}: delete these "
        "files and run snakemake again."
    )


def _reach(rounding: Rounding, photos: np.ndarray) -> dict[str, float]:
    """For each figure, the largest of any emulation on `photos` when compared with the others.

    For n photos the reach is raised by 1/n, because few photos show little of the range.
    """
    if len(rounding.emulations) == 1:
        return dict.fromkeys(SIZES, 1.0)
    reach = dict.fromkeys(FIGURES, 0.0)
    for number, own in enumerate(rounding.emulations):
        others = [one for place, one in enumerate(rounding.emulations) if place != number]
        measured = Measured(*(part[photos] for part in own))
        usual = _together(others, rounding.levels)[photos]
        found = _figures(measured, photos, usual, rounding.levels)
        reach = {name: max(reach[name], found[name].value) for name in FIGURES}
    return {name: value * (1 + 1 / len(photos)) for name, value in reach.items()}


def _together(emulations: list[Measured], levels: int) -> np.ndarray:
    """Sizes of errors [photos, groups]: the root mean square over several emulations.

    At a place where rounding happens to change nothing, an engine that rounds otherwise may differ.
    The size is there that of all levels together.
    """
    sizes = _root(np.array([one.sizes for one in emulations]), axis=0)
    classes, boxes = slice(2 * levels, -len(COORDINATES)), slice(-len(COORDINATES), None)
    for first, columns in ((0, classes), (levels, boxes)):
        level = slice(first, first + levels)
        whole = _root(sizes[:, level], axis=1)[:, None]
        for part in (level, columns):
            untouched = sizes[:, part] < UNTOUCHED * whole
            sizes[:, part] = np.where(untouched & np.isfinite(whole), whole, sizes[:, part])
    return sizes


def _figures(
    measured: Measured, photos: np.ndarray, usual: np.ndarray, levels: int
) -> dict[str, Largest]:
    """The `FIGURES` of `measured`, divided by `usual` [answers, groups], the sizes from rounding.

    `photos` is the number of each answer's photo. Figures over all photos are medians, because for
    a few photos errors differ by several times between implementations that all round correctly.
    """
    sizes = _over(measured.sizes, usual)
    names = _names(levels, sizes.shape[1])
    figures: dict[str, list[Largest]] = {name: [] for name in FIGURES}
    figures["errors"].append(_largest(_median(sizes, photos), names))
    figures["photo_errors"].append(_largest(sizes.max(0), names))
    columns = (slice(2 * levels, -4), slice(-4, None))
    parts = zip(("class logits", "box regressions"), (0, levels), columns, strict=True)
    for part, first, column in parts:
        level = slice(first, first + levels)
        of_photo = _root(usual[:, level], axis=1)
        for kind, values in (("slopes", measured.slopes), ("offsets", measured.offsets)):
            whole = _signed(values[:, level].mean(1), of_photo)
            biases = _median(_signed(values[:, level], usual[:, level]), photos)
            around = values[:, column] - values[:, column].mean(1, keepdims=True)
            against = _median(_signed(around, usual[:, column]), photos)
            figures["level_bias"] += [
                _largest(np.abs(biases), names[level]),
                Largest(float(np.abs(_median(whole[:, None], photos)[0])), f"all {part}"),
            ]
            figures[kind].append(_largest(np.abs(against), names[column]))
            figures["photo_bias"].append(Largest(float(np.abs(whole).max()), f"all {part}"))
    return {name: max(found) for name, found in figures.items()}


def _median(values: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """The median over photos of each photo's mean over its answers: [groups]."""
    _, places, answers = np.unique(photos, return_inverse=True, return_counts=True)
    sums = np.zeros((len(answers), values.shape[1]))
    np.add.at(sums, places, values)
    median: np.ndarray = np.median(sums / answers[:, None], axis=0)
    return median


def _signed(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """`_over` with the sign of `values`."""
    signed: np.ndarray = np.sign(values) * _over(np.abs(values), usual)
    return signed


def _names(levels: int, groups: int) -> list[str]:
    """The name of each group, in words."""
    by_level = [
        f"{part} at feature level {number} of {levels}"
        for part in ("class logits", "box regressions")
        for number in range(1, levels + 1)
    ]
    classes = range(1, groups - len(by_level) - len(COORDINATES) + 1)
    return [*by_level, *(f"logits of class {number}" for number in classes), *COORDINATES]


def _largest(values: np.ndarray, names: list[str]) -> Largest:
    place = int(np.argmax(values))
    return Largest(float(values[place]), names[place])


def _over(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """`values` divided by `usual`.

    Where rounding changes nothing, the result is 0 if the mode changes nothing, else infinity.
    Where the reference has no spread to divide errors by, the result is 0.
    """
    beyond = np.where(values == 0, 0.0, np.inf)
    ratio = np.divide(values, usual, out=beyond, where=usual != 0)
    return np.where(np.isfinite(usual), np.where(np.isnan(ratio), np.inf, ratio), 0.0)


def _root(values: np.ndarray, axis: int) -> np.ndarray:
    """The root of the mean square."""
    root: np.ndarray = np.sqrt(np.mean(values**2, axis=axis))
    return root
