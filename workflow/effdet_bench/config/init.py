"""Makes a folder to run the benchmark in: its Snakefile includes the installed rules."""

import argparse
import re
import shlex
import shutil
from pathlib import Path

from effdet_bench import layout, records
from effdet_bench.errors import BenchError

COPIED = (
    "config.yaml",
    "smoke.yaml",
    "three-d0.yaml",
    "constraints.txt",
    "profiles/default/config.yaml",
)
IMPORT = "from effdet_bench import layout\n"
INCLUDE = re.compile(r'^include: ("workflow/.*")$', re.MULTILINE)


def init(folder: Path) -> None:
    """Writes a Snakefile, the settings and the profile to `folder`, which is made if need be.

    Raises:
        BenchError: one of these files is there already, or `folder` is a file.
    """
    if folder.is_file():
        raise BenchError(f"{folder} is a file: give a new folder, or an empty one.")
    for name in ("Snakefile", *COPIED):
        if (folder / name).exists():
            raise BenchError(
                f"{folder / name} is there already: give another folder, or delete the file."
            )
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(layout.WORKFLOW / name, folder / name)
    # the whole Snakefile, because Snakemake takes its default target from no file that it includes
    snakefile = INCLUDE.sub(
        r"include: str(layout.WORKFLOW / \1)", (layout.WORKFLOW / "Snakefile").read_text()
    )
    comment, code = snakefile.split("\n", 1)
    records.write_text(folder / "Snakefile", f"{comment}\n{IMPORT}{code}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="an empty or new folder")


def run(args: argparse.Namespace) -> None:
    init(args.folder)
    where = shlex.quote(str(args.folder))
    print(f"Made {where}. To measure: cd {where} && snakemake --cores 1")
    print("For a first look, in a minute: snakemake --cores 1 --configfile smoke.yaml")
