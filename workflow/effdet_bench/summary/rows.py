"""What a summary is made of: a row is the figures of one mode on one device.

Keys are those of summary.json, whose schema has the units; a name that ends in `_ms` is in
milliseconds, `_seconds` in seconds, `_bytes` in bytes.
"""

from typing import Any, NotRequired, TypedDict

from effdet_bench.config.modes import Options
from effdet_bench.config.names import JOINT_ENGINES

AND = " and "  # between versions of one package that rounds ran with


class Percentile(TypedDict):
    """A percentile, the number of requests it needs to be supported, and whether it is."""

    ms: float
    needs: int
    supported: bool
    low_ms: NotRequired[float]
    high_ms: NotRequired[float]


class Latency(TypedDict):
    """Figures of timed requests; `outliers` are counted, not removed."""

    n: int
    mean_ms: float
    sd_ms: float | None
    min_ms: float
    max_ms: float
    percentiles: dict[str, Percentile]
    throughput_rps: float
    outliers: NotRequired[int]


class RoundLatency(Latency):
    """Figures of the timed requests of one round."""

    round: int
    started: str


class ModelStages(TypedDict):
    """Median times of one model's stages, and its share of the request."""

    model: str
    preprocess_ms: float
    forward_ms: float
    postprocess_ms: float
    total_ms: float
    share: float


class Stages(TypedDict):
    """Median times of the separate stage pass; outside `models`, a stage is the sum over all."""

    requests: int
    decode_ms: float
    decode_share: float
    models: list[ModelStages]
    preprocess_ms: float
    forward_ms: float
    postprocess_ms: float
    request_ms: float


class Start(TypedDict):
    """What a process costs once; `None` where no round completed."""

    import_seconds: float | None
    load_seconds: float | None
    export_seconds: float | None
    first_request_ms: float | None
    peak_rss_bytes: int | None
    peak_device_bytes: int | None


class Versus(TypedDict):
    """A comparison with `baseline` and its verdict; see `comparison.Comparison`."""

    ratio: float
    low: float | None
    high: float | None
    half_width: float | None
    rounds: int
    margin: float | None
    verdict: str


class Bound(TypedDict):
    """The physical bound, `bound_ms`, and the attainable bound in a mode's precision, and how many
    times above them the mode is.
    """

    bound_ms: float
    request_over_bound: float
    forward_over_bound: float | None
    attainable_ms: float
    forward_over_attainable: float | None


class Warned(TypedDict):
    """A reason to doubt a row's figures: its `kind`, its size `value` (a share, or a count), and
    its rounds.
    """

    kind: str
    value: float
    rounds: list[int]


class Effort(TypedDict):
    """Means of one timed request: processor time, page faults, how often it was preempted, and what
    other processes and the host took of all cores while it ran; `None` where unknown.

    `first_of_turn` is a `comparison.Comparison`; see `comparison.first_of_turns`.

    `spread` is the standard deviation of latencies as a share of their mean, without differences
    between photos and rounds. `explained` is the share of its variance that the machine explains.
    See `effort.spread_explained`.
    """

    cpu_ms: float
    kernel_ms: float
    minor_faults: float
    major_faults: float
    preempted: float
    other_ms: float
    steal_ms: float | None
    first_of_turn: dict[str, float | None] | None
    spread: float | None
    explained: float | None


class Row(Start):
    """The figures of one mode on one device; figures are `None` where no round completed.

    `drift` is how many times as long `baseline` took in the rounds of this mode as in all its
    rounds: 1 where all modes have the same rounds.
    `behind` compares the fastest valid mode with this one; a ratio above 1 means that this one is
    slower. It is `None` for the fastest itself.
    """

    device: str
    mode: str
    engine: str
    engine_version: str | None
    precision: str | None
    options: Options
    env: dict[str, str]
    python: str | None
    groups: int
    drift: float
    effort: Effort | None
    floor: bool
    twin: bool
    ranked: bool
    outcome: str
    reason: str | None
    rounds_completed: int
    validity: dict[str, Any]
    latency: Latency | None
    rounds: list[RoundLatency]
    doubts: list[Warned]
    stages: Stages | None
    comparison: Versus | None
    over_tuned: Versus | None
    behind: Versus | None
    bound: Bound | None
    break_even_requests: int | None


class Place(TypedDict):
    """A mode on a device."""

    device: str
    mode: str


class Step(TypedDict):
    """A mode of the ablation. `step` compares it with the mode before; `None` for the first mode.

    `over_first` is its speed-up over the first mode.
    """

    device: str
    mode: str
    p50_ms: float
    step: Versus | None
    over_first: float | None


class ModeSet(TypedDict):
    """Modes of a device that were timed in the same `rounds`, without `baseline` and its control.

    `started` is the start of the first round. `change` compares `baseline` in these rounds with
    `baseline` in those of the device's first set; a ratio above 1 means that it was faster.
    `drifted` says whether the change exceeds the noise. The first set has no change.
    """

    device: str
    modes: list[str]
    rounds: list[int]
    started: str
    change: dict[str, Any] | None
    drifted: bool


class Summary(TypedDict):
    """Every derived number of one machine."""

    machine: str
    ensemble: list[dict[str, Any]]
    seconds: float
    requests: int
    warmup: int
    rounds: int
    threads: int
    seed: int
    started: str
    versions: dict[str, str]
    code: dict[str, str]
    baseline: Place | None
    rooflines: list[dict[str, Any]]
    held_bytes: dict[str, int] | None
    sets: list[ModeSet]
    ablation: list[Step]
    rows: list[Row]


def latency_of(row: Row) -> Latency:
    """The latency of a `row` that has one."""
    assert row["latency"] is not None, "only rows that completed a round are asked"
    return row["latency"]


def stages_of(row: Row) -> Stages:
    """The stages of a `row` that has them."""
    assert row["stages"] is not None, "only rows that completed a round are asked"
    return row["stages"]


def p50(row: Row) -> float:
    """The median latency of `row` in milliseconds."""
    return latency_of(row)["percentiles"]["p50"]["ms"]


def pace(row: Row) -> float:
    """The median latency in milliseconds at the speed that the machine had over all its rounds."""
    return p50(row) / row.get("drift", 1.0)  # older archives have one set of rounds


def measured(summary: Summary) -> str:
    """When the latest counted round began: rounds of modes that did not change may be older."""
    started = [one["started"] for row in summary["rows"] for one in row["rounds"]]
    return max(started, default=summary["started"])


def standing(row: Row) -> tuple[bool, bool, float]:
    """The key to sort rows with a latency by: ranked modes first, `no-network` last."""
    return not row["ranked"], row["floor"], pace(row)


def place(row: Row) -> Place:
    """Device and mode of `row`."""
    return {"device": row["device"], "mode": row["mode"]}


def unsplit(row: Row) -> str | None:
    """Why stages of the separate pass differ from those of a request; `None` if they do not."""
    if row["options"].get("parallel"):
        return (
            "in a request these models run side by side, but in this pass one after the other, "
            "each on its share of the threads"
        )
    if row["engine"] in JOINT_ENGINES:
        return "these networks run as one, all of which is in the forward of the first"
    return None
