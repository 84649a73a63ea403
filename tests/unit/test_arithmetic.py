"""How far arithmetic is off, over emulated rounding: on errors drawn at random, no network runs."""

import numpy as np
import pytest

from effdet_bench.errors import BenchError
from effdet_bench.validity.arithmetic import Measured, Rounding, arithmetic
from emulated import GROUPS, LEVELS, WIDTHS, Rounded, judged


def test_a_photo_whose_errors_are_large_in_every_emulation_is_no_bug():
    """The largest error of all photos over the largest of the first 8 once called it one."""
    rounded = Rounded(3, 20)
    rounded.usual[15] = 4 * rounded.usual.max()
    rounding, measured = rounded.rounding(), rounded.errors()
    first = np.max([one.sizes[:8] for one in rounding.emulations], axis=(0, 1))
    assert (measured.sizes.max(0) / first).max() > 2
    assert max(judged(rounding, measured).values()) < 1


@pytest.mark.parametrize(
    ("part", "where", "by", "figure"),
    [
        ("sizes", (slice(None), 3), 3, "errors"),
        ("sizes", (5, 3), 8, "photo_errors"),
        ("slopes", (slice(None), slice(0, LEVELS)), 0.05, "level_bias"),
        ("slopes", (slice(None), WIDTHS), 0.02, "slopes"),
        ("offsets", (slice(None), 2 * LEVELS + 5), 0.02, "offsets"),
        ("offsets", (5, slice(0, LEVELS)), 0.2, "photo_bias"),
    ],
)
def test_each_kind_of_error_is_found_by_its_figure(part, where, by, figure):
    rounded = Rounded(1, 8)
    rounding, measured = rounded.rounding(), rounded.errors()
    assert max(judged(rounding, measured).values()) < 1
    values = getattr(measured, part)
    values[where] = values[where] * by if part == "sizes" else values[where] + by
    found = judged(rounding, measured)
    assert found[figure] > 1, found


def test_it_says_what_is_worst():
    rounded = Rounded(1, 8)
    measured = rounded.errors()
    measured.slopes[:, WIDTHS] += 0.03
    measured.sizes[2, 2 * LEVELS + 6] *= 9
    where = arithmetic(rounded.rounding().photos, measured, rounded.rounding())["where"]
    assert where["slopes"] == "widths of boxes"
    assert where["photo_errors"] == "logits of class 7"


def test_every_photo_counts_alike_however_often_it_was_sent():
    rounded = Rounded(1, 4)
    rounding, measured = rounded.rounding(), rounded.errors()
    once = arithmetic(rounding.photos, measured, rounding)
    again = [0, 0, 0, 1, 2, 3, 3]
    names = [rounding.photos[number] for number in again]
    often = arithmetic(names, Measured(*(part[again] for part in measured)), rounding)
    assert often["errors"] == pytest.approx(once["errors"])
    assert often["slopes"] == pytest.approx(once["slopes"])


def test_an_unseen_photo_is_held_against_the_one_that_it_is_made_of():
    rounded = Rounded(1, 4)
    rounding, measured = rounded.rounding(), rounded.errors()
    names = [*rounding.photos, "2+unseen-1-2-3-4-90.jpg"]
    more = Measured(*(np.vstack([part, part[2]]) for part in measured))
    alone = arithmetic(rounding.photos, measured, rounding)
    assert arithmetic(names, more, rounding) == alone
    more.sizes[4] *= 9
    found = arithmetic(names, more, rounding)
    assert found["photo_errors"] > alone["photo_errors"]
    assert found["errors"] == alone["errors"], "of known photos alone"
    with pytest.raises(BenchError, match=r"do not contain the photo 9\.jpg"):
        arithmetic(["9.jpg"], Measured(*(part[:1] for part in measured)), rounding)


def test_one_emulation_gives_multiples_of_it():
    rounded = Rounded(1, 4)
    (only,) = rounded.rounding(1).emulations
    rounding = Rounding(rounded.rounding().photos, LEVELS, [only])
    doubled = arithmetic(rounding.photos, only._replace(sizes=2 * only.sizes), rounding)
    assert doubled["errors"] == doubled["photo_errors"] == pytest.approx(2)
    assert doubled["slopes"] is None


def test_where_rounding_does_nothing_a_mode_must_not_either():
    nothing = Measured(*np.zeros((3, 2, GROUPS)))
    rounding = Rounding(["a.jpg", "b.jpg"], LEVELS, [nothing])
    assert arithmetic(rounding.photos, nothing, rounding)["errors"] == 0
    something = Measured(*np.full((3, 2, GROUPS), 1e-9))
    assert arithmetic(rounding.photos, something, rounding)["errors"] == np.inf
    nan = Measured(*np.full((3, 2, GROUPS), np.nan))
    assert arithmetic(rounding.photos, nan, rounding)["errors"] == np.inf


@pytest.mark.parametrize("emulations", [[0, 1, 2, 3], [1, 2, 3]])
def test_where_rounding_happens_to_change_nothing_the_gate_still_judges(emulations):
    """One class is not changed by some emulations, or by all: an honest mode passes, a bug not."""
    rounded = Rounded(1, 8)
    rounding, measured = rounded.rounding(), rounded.errors()
    for number in emulations:
        for part in rounding.emulations[number]:
            part[:, 2 * LEVELS + 5] = 0
    assert max(judged(rounding, measured).values()) < 1
    measured.slopes[:, WIDTHS] += 0.03
    measured.sizes[2, 2 * LEVELS + 6] *= 9
    found = judged(rounding, measured)
    assert found["slopes"] > 1
    assert found["photo_errors"] > 1


def test_a_class_whose_logits_have_no_spread_is_left_out():
    rounded = Rounded(1, 8)
    rounding, measured = rounded.rounding(), rounded.errors()
    for one in (*rounding.emulations, measured):
        for part in one:
            part[:, 2 * LEVELS] = np.nan if part is one.slopes else np.inf
    found = judged(rounding, measured)
    assert found["errors"] < 1
