"""The package as pip installs it, elsewhere and not editable: it brings along what it needs."""

import os
import shutil
import subprocess
import sys

from helpers import OF_TESTS, ROOT, Workspace


def test_a_plain_installation_runs(smoke: Workspace, tmp_path):
    """A wheel; in a folder with the workflow alone: `--help`, a reference, a report anew."""
    wheels, site, folder = tmp_path / "wheels", tmp_path / "site", tmp_path / "elsewhere"
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "workflow", source / "workflow", ignore=ignore)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)

    folder.mkdir()
    for name in ("Snakefile", "config.yaml", "smoke.yaml"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("rules", "report"):
        shutil.copytree(ROOT / "workflow" / name, folder / "workflow" / name)
    shutil.copytree(smoke.path / "checkpoints" / "synthetic", folder / "checkpoints" / "synthetic")
    env = {key: value for key, value in os.environ.items() if key not in OF_TESTS}
    env |= {"PYTHONPATH": str(site), "TMPDIR": str(tmp_path)}
    env["EFFDET_BENCH_LOCK"] = str(tmp_path / "timing.lock")

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *args],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    where = "import effdet_bench.layout as layout; print(layout.PACKAGE)"
    found = subprocess.run(
        [sys.executable, "-c", where], env=env, text=True, capture_output=True, cwd=folder
    )
    assert found.stdout.strip() == str(site / "effdet_bench")
    assert "results/<machine>" in run("effdet_bench", "render", "--help")
    command = [site / "bin" / "effdet-bench", "--help"]
    assert "audit " in subprocess.run(command, env=env, text=True, capture_output=True).stdout
    reference = "results/smoke/reference/tf_efficientdet_lite0.json"
    run("snakemake", "--cores", "1", "--configfile", "smoke.yaml", "--", reference)
    run("snakemake", "--dry-run", "--configfile", "smoke.yaml")
    archive = shutil.copytree(smoke.results, tmp_path / "archive")
    (archive / "report.md").unlink()
    run("effdet_bench", "render", str(archive))
    assert "A smoke run, not a benchmark" in (archive / "report.md").read_text()
