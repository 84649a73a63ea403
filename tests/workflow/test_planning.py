"""Planning is quick because nothing heavy is imported for it."""

import re
import subprocess
import sys


def test_a_dry_run_imports_nothing_heavy(workspace):
    command = [sys.executable, "-X", "importtime", *workspace.command("--dry-run")[1:]]
    done = subprocess.run(
        command, cwd=workspace.path, env=workspace.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert {"snakemake", "effdet_bench.config.settings"} <= imported
    assert not imported & {"torch", "torchvision", "effdet", "timm", "pandas", "matplotlib"}
