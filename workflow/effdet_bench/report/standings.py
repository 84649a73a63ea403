"""Where things stand after a round: the modes so far, whose answers are not judged yet."""

import argparse
import sys
from collections.abc import Sequence
from operator import itemgetter

from effdet_bench import records
from effdet_bench.config.names import BASELINE, NO_NETWORK
from effdet_bench.report.numbers import brief, times
from effdet_bench.summary.comparison import Rounds, compare
from effdet_bench.summary.jobs import Job, latencies_by_round, read_jobs
from effdet_bench.summary.latency import percentile


def standings(jobs: list[Job]) -> str:
    """A table of the modes of one device, the fastest first, with speed-ups over `baseline`."""
    networks = [job for job in jobs if job.record["engine"] != NO_NETWORK]
    modes = {mode: rounds for (_, mode), rounds in latencies_by_round(networks).items()}
    base = modes.get(BASELINE, {})
    lines = sorted((_line(mode, rounds, base) for mode, rounds in modes.items()), key=itemgetter(0))
    header = ("", "p50", "as fast as baseline", "95 % interval")
    return aligned([header, *(line[1:] for line in lines)], "<>><")


def _line(mode: str, rounds: Rounds, base: Rounds) -> tuple[float, str, str, str, str]:
    """A key to sort by, and the cells of a mode."""
    p50 = percentile([turn for turns in rounds.values() for turn in turns.values()], 50) / 1e6
    found = compare(rounds, base)
    if found is None:
        return p50, mode, brief(p50), "–", "–"
    interval = "–"
    if found.low is not None and found.high is not None and mode != BASELINE:
        interval = f"{times(found.low)} – {times(found.high)}"
    return -found.ratio, mode, brief(p50), times(found.ratio), interval


def aligned(lines: Sequence[Sequence[str]], sides: str) -> str:
    """`lines` of cells as columns, each aligned to its side, `<` or `>`."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", nargs="+", required=True, help="folders of timing jobs so far")
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True, help="number of the last round")
    parser.add_argument(
        "--complete", type=int, required=True, help="rounds that all modes have; 0 if they differ"
    )
    parser.add_argument("--output", required=True, help="the text file to write")


def run(args: argparse.Namespace) -> None:
    jobs = read_jobs(args.jobs)
    device = jobs[0].record["device"]
    text = (
        f"{device} round {args.round} of {args.rounds} is done. So far, answers not yet checked:\n"
    )
    text += standings(jobs)
    if args.complete > 1 and args.round < args.rounds:
        text += (
            f"\nIf this is enough, stop with Ctrl-C. `snakemake --cores 1 --config rounds="
            f"{args.complete}`, with the --configfile of this run if any, then makes the report."
        )
    print(text, file=sys.stderr)
    records.write_text(args.output, f"{text}\n")
