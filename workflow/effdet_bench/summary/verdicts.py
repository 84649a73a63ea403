"""Compares rows of a summary with each other: verdicts, speed-ups, ablation, gaps."""

import itertools
from collections.abc import Sequence

from effdet_bench.config.names import BASELINE, TUNED
from effdet_bench.summary.comparison import Comparison, compare
from effdet_bench.summary.jobs import LatenciesByRound
from effdet_bench.summary.rows import Gap, Row, Step, Versus, latency_of, p50, place

LEAST_EFFECT = 0.01  # smaller differences do not count, however sure they are
WIDEST_SAME = 0.05  # however large the noise, modes that may be further apart are not SAME


def margin(noise_floors: Sequence[float | None]) -> float | None:
    """The least effect that counts, as a share: the largest noise, at least `LEAST_EFFECT`.

    The noise of a device is the half-width of `baseline-twin` compared with `baseline`. One noise
    that is unknown (`None`) makes the margin unknown.
    """
    known = [floor for floor in noise_floors if floor is not None]
    if len(known) < len(noise_floors):
        return None
    return max([LEAST_EFFECT, *known])


def verdict(compared: Comparison, least: float | None) -> str:
    """FASTER, SLOWER, SAME or AMBIGUOUS, where effects up to `least` do not count.

    FASTER or SLOWER only where the interval excludes 1 and the effect exceeds `least`. SAME where
    the whole interval lies within `least`, and within `WIDEST_SAME`. AMBIGUOUS otherwise, and where
    the interval or the noise is unknown.
    """
    if compared.low is None or compared.high is None or least is None:
        return "AMBIGUOUS"
    if compared.low > 1 and compared.ratio > 1 + least:
        return "FASTER"
    if compared.high < 1 and compared.ratio < 1 / (1 + least):
        return "SLOWER"
    same = min(least, WIDEST_SAME)
    if 1 / (1 + same) <= compared.low and compared.high <= 1 + same:
        return "SAME"
    return "AMBIGUOUS"


def add_verdicts(rows: list[Row], baseline: Row | None, rounds: LatenciesByRound) -> None:
    """Adds comparisons and their verdicts to `rows`.

    Every valid row is compared with `baseline`, with `baseline-malloc` of its device, and with the
    fastest valid row. `baseline-twin` is compared with `baseline` of its own device, which gives
    the device's noise.
    """
    controls = {
        row["device"]: _against(rounds, row, row["device"], BASELINE) for row in rows if row["twin"]
    }
    noise = {device: found and found.half_width for device, found in controls.items()}
    tuned = {row["device"] for row in rows if row["ranked"] and row["mode"] == TUNED}
    for row in rows:
        device = row["device"] if row["twin"] else baseline and baseline["device"]
        least = margin([noise[one] for one in noise if one in (device, row["device"])])
        if row["ranked"] and row["mode"] != TUNED and row["device"] in tuned:
            row["over_tuned"] = _versus(_against(rounds, row, row["device"], TUNED), least)
        if row is baseline or not device or not (row["ranked"] or row["twin"]):
            continue
        row["comparison"] = _versus(_against(rounds, row, device, BASELINE), least)
        if row["ranked"] and baseline and row["comparison"]:
            row["speedup"] = _speedup(row, baseline)
    _add_behind(rows, noise, rounds)


def _add_behind(rows: list[Row], noise: dict[str, float | None], rounds: LatenciesByRound) -> None:
    """Adds to every other valid row how the fastest valid one compares with it."""
    ranked = [row for row in rows if row["ranked"]]
    fastest = min(ranked, key=p50, default=None)
    for row in ranked:
        if fastest is not None and row is not fastest:
            devices = (fastest["device"], row["device"])
            least = margin([noise[device] for device in noise if device in devices])
            row["behind"] = _versus(_against(rounds, fastest, row["device"], row["mode"]), least)


def ablation_steps(
    rows: list[Row], rounds: LatenciesByRound, device: str, modes: Sequence[str]
) -> list[Step]:
    """Each of `modes` that is ranked on `device`, and how much faster it is than the one before."""
    ranked = {row["mode"]: row for row in rows if row["ranked"] and row["device"] == device}
    steps: list[Step] = []
    for mode in modes:
        if mode in ranked:
            before, first = (steps[-1]["mode"], steps[0]["mode"]) if steps else (mode, mode)
            through = rounds.get((device, BASELINE))
            compared = compare(rounds[device, mode], rounds[device, before], through)
            over_first = compare(rounds[device, mode], rounds[device, first], through)
            steps.append(
                {
                    "device": device,
                    "mode": mode,
                    "p50_ms": p50(ranked[mode]),
                    "step": compared._asdict() if steps and compared else None,
                    "over_first": over_first.ratio if over_first else None,
                }
            )
    return steps if len(steps) > 1 else []


def gaps_between(rows: list[Row], baseline: Row | None, rounds: LatenciesByRound) -> list[Gap]:
    """Speed-ups between `baseline`, the fastest valid mode and `no-network`, by rounds."""
    ranked = [row for row in rows if row["ranked"]]
    if not ranked:
        return []
    fastest = min(ranked, key=p50)
    floors = [r for r in rows if r["latency"] and r["floor"] and r["device"] == fastest["device"]]
    steps = [fastest, *floors[:1]]
    if baseline and baseline is not fastest:
        steps.insert(0, baseline)
    return [
        {"slower": place(a), "faster": place(b), "ratio": compared.ratio}
        for a, b in itertools.combinations(steps, 2)
        # `no-network` may postprocess as upstream does, and be slower than a fast mode
        if (compared := _against(rounds, b, a["device"], a["mode"])) and compared.ratio >= 1
    ]


def _against(rounds: LatenciesByRound, row: Row, device: str, mode: str) -> Comparison | None:
    """`row` compared with `mode` on `device`."""
    ours = rounds.get((row["device"], row["mode"]), {})
    return compare(ours, rounds.get((device, mode), {}), rounds.get((device, BASELINE)))


def _versus(compared: Comparison | None, least: float | None) -> Versus | None:
    if compared is None:
        return None
    return {
        "ratio": compared.ratio,
        "low": compared.low,
        "high": compared.high,
        "half_width": compared.half_width,
        "rounds": compared.rounds,
        "margin": least,
        "verdict": verdict(compared, least),
    }


def _speedup(row: Row, baseline: Row) -> dict[str, float]:
    """Ratios of `baseline`'s figures to those of `row`, all rounds together."""
    ours, theirs = latency_of(row), latency_of(baseline)
    ratios = {
        name: theirs["percentiles"][name]["ms"] / ours["percentiles"][name]["ms"]
        for name in ours["percentiles"]
    }
    ratios["mean"] = theirs["mean_ms"] / ours["mean_ms"]
    ratios["throughput"] = ours["throughput_rps"] / theirs["throughput_rps"]
    return ratios
