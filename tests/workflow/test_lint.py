"""Snakemake's own linter has one complaint: no conda environment, as this project uses pip."""

import re


def test_lint(workspace):
    said = workspace.snakemake("--lint").stdout
    complaints = set(re.findall(r"^    \* (.+)$", said, re.MULTILINE))
    assert complaints == {"Specify a conda environment or container for each rule.:"}
