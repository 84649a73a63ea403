"""Which modes were measured together, in words: nothing if all were."""

from effdet_bench.report.commands import Command
from effdet_bench.report.numbers import times
from effdet_bench.summary.rows import ModeSet, Summary
from effdet_bench.timing.sets import spans


def set_lines(summary: Summary, command: Command) -> list[str]:
    """A sentence or two for each device whose modes were timed in different rounds."""
    by_device: dict[str, list[ModeSet]] = {}
    for one in summary.get("sets", []):  # older archives have one set
        by_device.setdefault(one["device"], []).append(one)
    again = command(again="true")
    return [_line(device, sets, again) for device, sets in by_device.items() if len(sets) > 1]


def _line(device: str, sets: list[ModeSet], measure_together: str) -> str:
    together = "; ".join(
        f"{', '.join(f'`{mode}`' for mode in one['modes'])} in {spans(one['rounds'])}, "
        f"from {one['started'][:16].replace('T', ' ')} UTC"
        for one in sets
    )
    text = (
        f"**Not all modes on {device.upper()} were measured together**: {together}. Modes that "
        "share no round are compared through `baseline`, which was timed with each of them."
    )
    drifted = [
        f"{times(one['change']['ratio'])} as fast in {spans(one['rounds'])}"
        for one in sets
        if one["drifted"] and one["change"]
    ]
    if not drifted:
        return text
    return (
        f"{text} ⚠ `baseline` was {' and '.join(drifted)} as in {spans(sets[0]['rounds'])}, "
        "which is more than the noise. So compare speed-ups of modes that were measured apart, not "
        f"latencies. `{measure_together}` measures all modes together."
    )
