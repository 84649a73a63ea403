"""Snakemake's own linter has one complaint: no conda environment, as this project uses pip."""

import re

import pytest

from effdet_bench.runs import RUN


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/cluster.smk"])
def test_lint(workspace, snakefile):
    workspace.append("smoke.yaml", "cluster: [{name: a, partition: b}]\n")
    workspace.env[RUN] = "1"  # as on a node, where no scheduler is asked
    said = workspace.snakemake("--lint", "--snakefile", snakefile).stdout
    complaints = set(re.findall(r"^    \* (.+)$", said, re.MULTILINE))
    assert complaints == {"Specify a conda environment or container for each rule.:"}
