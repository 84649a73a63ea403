"""Numbers and verdicts put into words; the same everywhere in a report."""

import re
from typing import Any

import yaml

from effdet_bench.config.names import TUNED
from effdet_bench.records import Record
from effdet_bench.report.numbers import (
    brief,
    error,
    gigaflops,
    mebibytes,
    milliseconds,
    percent,
    requests_per_second,
    seconds,
    significant,
    times,
    uncertain,
)
from effdet_bench.summary.breakdown import physical_ms
from effdet_bench.summary.comparison import Comparison
from effdet_bench.summary.rows import Place, Row, Versus, Warned, latency_of
from effdet_bench.summary.verdicts import noise_of
from effdet_bench.timing.sets import spans

TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Figures of the gate by column of the report.
LIMITED = {
    # the last three in archives of schema version 5
    "all photos": ("errors", "class_levels", "box_levels", "classes"),
    "one photo": ("photo_errors",),
    "direction": ("level_bias", "slopes", "offsets", "photo_bias"),
}


def interval(versus: Versus | Comparison | dict[str, Any]) -> str:
    """The interval of a comparison in words, as `95 % interval 2.10x to 2.30x`."""
    compared: Any = versus._asdict() if isinstance(versus, Comparison) else versus
    if compared["low"] is None:
        return "one round, so without an interval"
    return f"95 % interval {times(compared['low'])} to {times(compared['high'])}"


def stated(compared: Comparison) -> str:
    """A ratio and its interval: `0.83x (95 % interval 0.80x to 0.86x)`."""
    return f"{times(compared.ratio)} ({interval(compared)})"


def span(versus: Versus | dict[str, Any]) -> str:
    """The ratio of a comparison with its interval: `**2.20x** (2.10x – 2.30x)`."""
    ratio = times(versus["ratio"])
    return around(versus).replace(ratio, f"**{ratio}**", 1)


def around(versus: Versus | dict[str, Any]) -> str:
    """The same without emphasis."""
    ratio, low, high = times(versus["ratio"]), versus["low"], versus["high"]
    return ratio if low is None or high is None else f"{ratio} ({times(low)} – {times(high)})"


def name(row: Row | Place) -> str:
    """A mode on a device: ``CPU `openvino` ``."""
    return f"{row['device'].upper()} `{row['mode']}`"


def names(rows: list[Row]) -> str:
    """The names of `rows`, or that there are none."""
    return ", ".join(map(name, rows)) or "none"


def versus(row: Row, baseline: Row | None) -> str:
    """How many times as fast as `baseline` a mode is, with its interval."""
    if row is baseline:
        return "1.00x"
    return span(row["comparison"]) if row["comparison"] else "–"


def over_tuned(row: Row) -> str:
    """How many times as fast as `baseline-malloc` a mode is, with its interval."""
    if row["mode"] == TUNED:
        return "1.00x"
    return span(row["over_tuned"]) if row["over_tuned"] else "–"


def settings(row: Row) -> str:
    """What the process of a mode was started with."""
    variables = [f"`{name}={value}`" for name, value in row["env"].items()]
    return ", ".join([*variables, *([f"Python of `{row['python']}`"] if row["python"] else [])])


def verdict(row: Row, baseline: Row | None) -> str:
    """The verdict of a mode's comparison, or why it has none."""
    if row["floor"]:
        return "not ranked: no network ran"
    if row["validity"]["verdict"] in ("invalid", "not decided"):
        return "not ranked"
    if row is baseline:
        return "baseline"
    if not row["comparison"]:
        return "–"
    return f"**{row['comparison']['verdict']}**" + (" (the noise)" if row["twin"] else "")


def answers(row: Row) -> str:
    """Whether a mode's answers are valid, and else the first gate that they failed."""
    judged = row["validity"]
    if judged["verdict"] != "invalid":
        return str(judged["verdict"])
    return f"**INVALID**: {judged['failed']}".replace("_", " ")


def of_limit(figures: dict[str, Any], column: str, row: Row) -> str:
    """The largest of a column's `LIMITED` figures, as a share of its limit."""
    return _largest_share(figures, LIMITED[column], row)


def of_limits(figures: dict[str, Any], row: Row) -> str:
    """The largest of all `LIMITED` figures, as a share of its limit."""
    return _largest_share(figures, sum(LIMITED.values(), ()), row)


def _largest_share(figures: dict[str, Any], names: tuple[str, ...], row: Row) -> str:
    limits = row["validity"]["tolerance"]
    known = [name for name in names if name in limits and figures.get(name) is not None]
    return percent(max(figures[name] / limits[name] for name in known)) if known else "–"


def limits(row: Row) -> str:
    """What the gate tolerates of modes in the precision of `row`."""
    tolerated = row["validity"]["tolerance"].items()
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in tolerated)


def percentile(row: Row, name: str) -> str:
    """A percentile of `row`, marked where too few requests support it."""
    figure = latency_of(row)["percentiles"][name]
    return milliseconds(figure["ms"]) + ("" if figure["supported"] else " †")


def supported(row: Row, name: str) -> str:
    """A percentile of `row` with its uncertainty; no figure where too few requests support it."""
    figure = latency_of(row)["percentiles"][name]
    return uncertain(figure) if figure["supported"] else "–"


def percentile_with_interval(row: Row, name: str) -> str:
    """`percentile` with its interval, where it has one."""
    figure = latency_of(row)["percentiles"][name]
    text = percentile(row, name)
    if "low_ms" not in figure:
        return text
    return f"{text} ({milliseconds(figure['low_ms'])} – {milliseconds(figure['high_ms'])})"


def doubt(warning: Warned) -> str:
    """A reason to doubt figures, as a clause."""
    rounds, value = spans(warning["rounds"]), warning["value"]
    share = percent(abs(value))
    return {
        "spread": f"the standard deviation is {share} of the mean",
        "extreme": f"a request lies far from the mean, by {share} of the mean",
        "autocorrelation": (
            "a slow request often follows a slow request (lag-1 autocorrelation "
            f"{round(value, 2)}), so the requests are not independent"
        ),
        "trend": (
            f"within a round, the median {'rises' if value > 0 else 'falls'} by {share} from the "
            "first half to the second"
        ),
        "drift": (
            f"a fixed computation ran up to {share} {'slower' if value > 0 else 'faster'} after "
            f"the round than before the round ({rounds})"
        ),
        "load": f"other processes took up to {share} of the processor time ({rounds})",
        "steal": (
            f"the host of this virtual machine took up to {share} of the processor time ({rounds})"
        ),
        "governor": f"the processor's governor or the system was set to save power ({rounds})",
        "battery": f"the machine ran on battery ({rounds})",
        "slept": f"the machine slept for up to {value:.0f} s while it was timed ({rounds})",
        "outside": (
            f"this mode used {1000 * value:.0f} ms of processor time on average after a turn, "
            f"while other modes had theirs ({rounds})"
        ),
        "control": (
            f"`baseline-twin` and `baseline`, which are the same mode, differ by {share}, so "
            "differences of this size between modes prove nothing"
        ),
        "slow_start": (
            f"the first request of a turn takes {share} longer than the others, so differences of "
            "this size between modes prove nothing"
        ),
        "throttled": f"the GPU was throttled for heat or power ({rounds})",
        "clock": f"the GPU's clock was at {share} of its highest after the requests ({rounds})",
    }[warning["kind"]]


def ceilings(roof: Record) -> str:
    """Operations per second that a device reached by precision, and by which kernel."""
    texts = []
    for precision, rate in roof["flops_per_second"].items():
        kernels = roof["kernels"][precision]
        texts.append(f"{precision} {gigaflops(rate)} ({max(kernels, key=kernels.__getitem__)})")
    return ", ".join(texts)


class Verbatim(str):
    """Text of a code block, in which nothing is read as Markdown or HTML."""


def as_yaml(value: object) -> Verbatim:
    return Verbatim(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=96))


def shown(value: object) -> object:
    """What a template puts in for `value`: of a text, a tag is shown as it is written, not read.

    Texts come from files, settings, machines and the names of photos.
    """
    if isinstance(value, str) and not isinstance(value, Verbatim):
        return TAG.sub("&lt;", value)
    return value


FILTERS = {
    "ms": milliseconds,
    "brief": brief,
    "significant": significant,
    "times": times,
    "rps": requests_per_second,
    "percent": percent,
    "error": error,
    "of_limit": of_limit,
    "of_limits": of_limits,
    "limits": limits,
    "span": span,
    "answers": answers,
    "name": name,
    "names": names,
    "versus": versus,
    "verdict": verdict,
    "percentile": percentile,
    "supported": supported,
    "percentile_with_interval": percentile_with_interval,
    "doubt": doubt,
    "around": around,
    "physical": physical_ms,
    "noise": lambda row: noise_of(row["comparison"]["low"], row["comparison"]["high"]),
    "ceilings": ceilings,
    "yaml": as_yaml,
    "count": lambda number: f"{number:,}",
    "millions": lambda count: f"{count / 1e6:.3f} M",
    "gib": lambda size: f"{size / 2**30:.1f} GiB",
    "mib": mebibytes,
    "seconds": seconds,
    "gflop": lambda flops: f"{flops / 1e9:.2f} GFLOP",
    "gbps": lambda rate: f"{rate / 1e9:.1f} GB/s",
    "over_tuned": over_tuned,
    "settings": settings,
    "whole": lambda number: f"{number:,.0f}",
    "cell": lambda text: text.replace("|", "\\|"),
}
