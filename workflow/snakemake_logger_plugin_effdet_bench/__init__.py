"""The name under which Snakemake finds the logger plugin `--logger effdet-bench`."""

from effdet_bench.terminal import LogHandler

__all__ = ["LogHandler"]
