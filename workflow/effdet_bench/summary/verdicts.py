"""Compares rows of a summary with each other: verdicts, speed-ups, ablation."""

from collections.abc import Container, Mapping, Sequence

from effdet_bench.config.names import BASELINE, TUNED
from effdet_bench.summary.comparison import (
    Comparison,
    Turns,
    compare,
    only,
    through_base,
    unpaired,
)
from effdet_bench.summary.jobs import LatenciesByRound
from effdet_bench.summary.rows import Place, Row, Step, Versus, p50, pace

LEAST_EFFECT = 0.01  # smaller differences do not count, however sure they are
WIDEST_SAME = 0.05  # however large the noise, modes that may be further apart are not SAME


def noise_of(low: float | None, high: float | None) -> float | None:
    """The noise of a device, as a share: how far the interval of its control reaches from 1.

    The control compares `baseline-twin` with `baseline`, which are the same mode. So the noise
    holds the width of the interval from `low` to `high`, and any advantage that one of two equal
    modes has. It is `None` without an interval.
    """
    return None if low is None or high is None else max(high, 1 / low) - 1


def margin(effects: Sequence[float | None]) -> float | None:
    """The least effect that counts, as a share: the largest of `effects`, at least `LEAST_EFFECT`.

    `effects` are those that modes have although they do not differ, such as the noise. One that is
    unknown (`None`) makes the margin unknown.
    """
    known = [effect for effect in effects if effect is not None]
    if len(known) < len(effects):
        return None
    return max([LEAST_EFFECT, *known])


def verdict(compared: Comparison, least: float | None, biased: bool = False) -> str:
    """FASTER, SLOWER, SAME or AMBIGUOUS, where effects up to `least` do not count.

    FASTER or SLOWER only where the interval excludes 1 and the effect exceeds `least`. If the
    comparison is known to be `biased`, by up to `least`, the whole interval must exceed `least`.
    SAME where the whole interval lies within `least`, and within `WIDEST_SAME`. AMBIGUOUS
    otherwise, and where the interval or the noise is unknown.
    """
    if compared.low is None or compared.high is None or least is None:
        return "AMBIGUOUS"
    beyond = 1 + least if biased else 1
    if compared.low > beyond and compared.ratio > 1 + least:
        return "FASTER"
    if compared.high < 1 / beyond and compared.ratio < 1 / (1 + least):
        return "SLOWER"
    same = min(least, WIDEST_SAME)
    if 1 / (1 + same) <= compared.low and compared.high <= 1 + same:
        return "SAME"
    return "AMBIGUOUS"


class Pairs:
    """Compares the modes of one summary in pairs, by their latencies of each round."""

    def __init__(self, rows: list[Row], rounds: LatenciesByRound) -> None:
        self.rounds = rounds
        self._twins = {row["device"]: row for row in rows if row["twin"]}

    def compared(self, ours: Row, theirs: Place | Row) -> Comparison | None:
        """How many times as fast `ours` is as `theirs`; `None` if they have no round in common.

        Modes of one device took turns, unless they are of different sets, which share no rounds, or
        few. Different devices share no turns, so their modes are compared by the medians of rounds.
        """
        one, other = self._of(ours), self._of(theirs)
        if ours["device"] != theirs["device"]:
            return unpaired(before=other, after=one) if one and other else None
        base = self._of({"device": ours["device"], "mode": BASELINE})
        together = compare(one, other, base)
        if BASELINE in (ours["mode"], theirs["mode"]):
            return together
        shared, fewest = len(one.keys() & other.keys()), min(len(one), len(other))
        if 2 * shared >= fewest and (shared > 1 or fewest == 1):
            return together
        return through_base(one, other, base) or together

    def versus(self, ours: Row, theirs: Row) -> Versus | None:
        """The comparison of `ours` with `theirs`, and its verdict."""
        found = self.compared(ours, theirs)
        if found is None:
            return None
        least = LEAST_EFFECT if ours["twin"] else self._margin(ours, theirs)
        biased = not ours["twin"] and self._biased(ours, theirs)
        return {
            "ratio": found.ratio,
            "low": found.low,
            "high": found.high,
            "half_width": found.half_width,
            "rounds": found.rounds,
            "margin": least,
            "verdict": verdict(found, least, biased),
        }

    def slow_start(self, row: Row) -> float:
        """By what share the first request of a turn takes longer, if by more than the noise.

        Modes with several requests in a turn have such an advantage over modes with one request.
        """
        first = row["effort"] and row["effort"]["first_of_turn"]
        least = margin(self._noise(row))
        if not first or first["low"] is None or least is None or first["low"] <= 1 + least:
            return 0.0
        return float(first["ratio"] or 1) - 1

    def difference(self, row: Row) -> float:
        """By what share the control of the rounds of `row` differs from itself; 0 if it may not."""
        control = self._control(row["device"], self._of(row))
        return control.ratio - 1 if control and control.differs else 0.0

    def noise_in(self, device: str, numbers: Container[int]) -> float | None:
        """The noise of `device` in the rounds `numbers`; `None` if no control tells it."""
        control = self._control(device, numbers)
        return noise_of(control.low, control.high) if control else None

    def drift(self, row: Row) -> float:
        """How many times as long `baseline` took in the rounds of `row` as in all its rounds."""
        base = self._of({"device": row["device"], "mode": BASELINE})
        own = only(base, self._of(row))
        return unpaired(before=own, after=base).ratio if own else 1.0

    def _of(self, row: Place | Row) -> Mapping[int, Turns]:
        return self.rounds.get((row["device"], row["mode"]), {})

    def _margin(self, ours: Row, theirs: Row) -> float | None:
        # `baseline` was timed in every set, but noise is that of the rounds which are compared
        same = ours["device"] == theirs["device"]
        rows = [row for row in (ours, theirs) if not (same and row["mode"] == BASELINE)]
        noise = [effect for row in rows for effect in self._noise(row)]
        return margin([*noise, *(self.slow_start(row) for row in (ours, theirs))])

    def _biased(self, *rows: Row) -> bool:
        """Whether equal modes differ: a control from itself, or the first requests of turns."""
        return any(self.difference(row) or self.slow_start(row) for row in rows)

    def _control(self, device: str, numbers: Container[int]) -> Comparison | None:
        """The control of `device`, compared with `baseline` in the rounds `numbers`."""
        twin = self._of(self._twins[device]) if device in self._twins else {}
        return compare(only(twin, numbers), self._of({"device": device, "mode": BASELINE}))

    def _noise(self, row: Row) -> list[float | None]:
        """The noise of the rounds of `row`; nothing if no control was timed on its device."""
        known = row["device"] in self._twins
        return [self.noise_in(row["device"], self._of(row))] if known else []


def add_verdicts(rows: list[Row], baseline: Row | None, pairs: Pairs) -> None:
    """Adds comparisons, their verdicts, and doubts about comparisons to `rows`.

    Every valid row is compared with `baseline`, with `baseline-malloc` of its device, and with the
    fastest valid row. `baseline-twin` is compared with `baseline` of its own device, which gives
    the device's noise.
    """
    bases = {row["device"]: row for row in rows if row["mode"] == BASELINE}
    tuned = {row["device"]: row for row in rows if row["ranked"] and row["mode"] == TUNED}
    for row in rows:
        row["drift"] = pairs.drift(row)
    fastest = min((row for row in rows if row["ranked"]), key=pace, default=None)
    for row in rows:
        if row["twin"] and row["device"] in bases:
            row["comparison"] = pairs.versus(row, bases[row["device"]])
        if not row["ranked"]:
            continue
        if baseline is not None and row is not baseline:
            row["comparison"] = pairs.versus(row, baseline)
        if row["mode"] != TUNED and row["device"] in tuned:
            row["over_tuned"] = pairs.versus(row, tuned[row["device"]])
        if fastest is not None and row is not fastest:
            row["behind"] = pairs.versus(fastest, row)
    _add_doubts(rows, pairs)


def _add_doubts(rows: list[Row], pairs: Pairs) -> None:
    """Adds doubts about the comparisons of rows: of the device's control, and of slow starts."""
    for row in rows:
        numbers = [one["round"] for one in row["rounds"]]
        if numbers and (apart := pairs.difference(row)):
            row["doubts"].append({"kind": "control", "value": apart, "rounds": numbers})
        if slow := pairs.slow_start(row):
            row["doubts"].append({"kind": "slow_start", "value": slow, "rounds": numbers})


def ablation_steps(rows: list[Row], pairs: Pairs, device: str, modes: Sequence[str]) -> list[Step]:
    """Each of `modes` that is ranked on `device`, and how much faster it is than the one before."""
    ranked = {row["mode"]: row for row in rows if row["ranked"] and row["device"] == device}
    found = [ranked[mode] for mode in modes if mode in ranked]
    if len(found) < 2:
        return []
    steps: list[Step] = []
    for before, row in zip([None, *found], found, strict=False):
        over_first = pairs.compared(row, found[0])
        steps.append(
            {
                "device": device,
                "mode": row["mode"],
                "p50_ms": p50(row),
                "step": before and pairs.versus(row, before),
                "over_first": over_first.ratio if over_first else None,
            }
        )
    return steps
