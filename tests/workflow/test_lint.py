"""Snakemake's own linter has one complaint: there is no conda environment, as this project uses pip."""

import json
import subprocess


def test_lint(workspace):
    command = [*workspace.command("--lint", "json")]
    done = subprocess.run(
        command, cwd=workspace.path, env=workspace.env, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    titles = {lint["title"] for rule in found["rules"] for lint in rule["lints"]}
    assert titles == {"Specify a conda environment or container for each rule."}
    assert [file for file in found["snakefiles"] if file["lints"]] == []
