"""Packs the results of a machine as one .zip file."""

import argparse
import filecmp
import itertools
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from effdet_bench import layout
from effdet_bench.archive.manifest import check_manifest, files_of
from effdet_bench.archive.unpack import MACHINE
from effdet_bench.config.chosen import add_results, chosen
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.summary.rows import measured
from effdet_bench.summary.summary import read_summary


def pack(archive: Archive, folder: Path) -> Path:
    """Packs the archive to `folder`/<machine>-<time>.zip, with the time of its latest round in UTC.

    The same files always give the same bytes. If the name is taken by another zip file, for example
    one with a report of other templates, a number follows the time.

    Raises:
        BenchError: the archive differs from its manifest, or its folder has no name of a machine.
    """
    root = archive.root.resolve()
    if not MACHINE.fullmatch(root.name):
        raise BenchError(
            f"{root} has a name that no machine can have: rename the folder, with small letters, "
            "digits, dots, - and _ alone."
        )
    if differences := check_manifest(archive):
        raise BenchError(
            f"{archive.root}: {differences[0]}; run `snakemake --cores 1`, or restore the file."
        )
    started = datetime.fromisoformat(measured(read_summary(archive))).astimezone(UTC)
    name = f"{root.name}-{started:%Y-%m-%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        packed = Path(temporary) / f"{name}.zip"
        write_zip(root, (archive.manifest.name, *files_of(archive)), packed)
        path = _place(packed, folder)
        packed.replace(path)
    return path


def _place(packed: Path, folder: Path) -> Path:
    """The path in `folder` for the file `packed`: no other file has it, or an equal one."""
    names = (packed.name if n == 1 else f"{packed.stem}-{n}.zip" for n in itertools.count(1))
    paths = (folder / name for name in names)
    return next(one for one in paths if not one.exists() or filecmp.cmp(one, packed, False))


def write_zip(root: Path, names: Iterable[str], path: Path) -> None:
    """Writes the files `names` of the folder `root` to the zip file `path`, without their dates."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            entry = zipfile.ZipInfo(f"{root.name}/{name}")
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            out.writestr(entry, (root / name).read_bytes())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(args: argparse.Namespace) -> None:
    print(f"The archive: {pack(chosen(args), layout.PACKED)}")
