"""Packs the results of a machine as one .zip file, and unpacks such a file."""

import argparse
import re
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from effdet_bench.archive.manifest import check_manifest, files_of, read_manifest, write_manifest
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.summary.summary import read_summary

MACHINE = re.compile(r"[a-z0-9][a-z0-9._-]*")  # as for the setting `machine`
MOST_BYTES = 4 * 2**30


def pack(archive: Archive, folder: Path) -> Path:
    """Packs the archive to `folder`/<machine>-<date>.zip. The date is that of the measurement.

    The same files always give the same bytes.

    Raises:
        BenchError: the archive differs from its manifest.
    """
    if differences := check_manifest(archive):
        raise BenchError(
            f"{archive.root}: {differences[0]}; run `snakemake --cores 1`, or restore the file."
        )
    started = read_summary(archive)["started"]
    path = folder / f"{archive.root.name}-{started[:10]}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        packed = Path(temporary) / path.name
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
            for name in (archive.manifest.name, *files_of(archive)):
                entry = zipfile.ZipInfo(f"{archive.root.name}/{name}")
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                out.writestr(entry, (archive.root / name).read_bytes())
        packed.replace(path)
    return path


def unpack(path: Path, folder: Path) -> Path:
    """Unpacks the archive `path` to `folder`/<machine>, after checking it against its manifest.

    Raises:
        BenchError: it is not an archive, is damaged, or would replace other results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        try:
            with zipfile.ZipFile(path) as packed:
                machine = _only_machine(packed.namelist(), path)
                _refuse_bomb(packed, path)
                packed.extractall(temporary)
        # RuntimeError: encrypted, or compressed by a method that this Python lacks
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise BenchError(
                f"{path} cannot be read as an archive ({error}): give a .zip that "
                "`snakemake archive` wrote."
            ) from None
        arrived, target = Archive(Path(temporary) / machine), Archive(folder / machine)
        if differences := check_manifest(arrived):
            raise BenchError(f"{path} is damaged: {differences[0]}; copy it again.")
        if target.root.exists():
            whole = target.manifest.exists() and not check_manifest(target)
            if not whole or read_manifest(target) != read_manifest(arrived):
                raise BenchError(
                    f"{target.root} holds other results than {path}: rename that folder first."
                )
        else:
            shutil.move(arrived.root, target.root)
    return target.root


def _only_machine(entries: list[str], path: Path) -> str:
    """The name of the single top folder, which must contain all `entries` of the archive."""
    parts = [PurePosixPath(name).parts for name in entries]
    tops = {names[0] for names in parts if names}
    inside = all(names and ".." not in names for names in parts)
    if len(tops) != 1 or not inside or not MACHINE.fullmatch(top := tops.pop()):
        raise BenchError(f"{path} is no archive of one machine: give one of `snakemake archive`.")
    return top


def _refuse_bomb(packed: zipfile.ZipFile, path: Path) -> None:
    """Checks the declared sizes, which suffices: zipfile never unpacks more of an entry."""
    size = sum(entry.file_size for entry in packed.infolist())
    if size > MOST_BYTES:
        raise BenchError(
            f"{path} would take {size / 2**30:.1f} GiB, more than any archive of effdet-bench "
            "needs: it was not unpacked."
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--manifest", metavar="RESULTS", help="write the manifest of this folder")
    what.add_argument("--pack", metavar="RESULTS", help="pack this folder")
    what.add_argument("--unpack", metavar="FILE", help="unpack this file")
    parser.add_argument("--folder", default=".", help="of packed files, or of all results")


def run(args: argparse.Namespace) -> None:
    if args.manifest:
        write_manifest(Archive(Path(args.manifest)))
    elif args.pack:
        print(f"The archive: {pack(Archive(Path(args.pack)), Path(args.folder))}")
    elif not args.unpack:
        raise BenchError(
            "no archive is given: run snakemake --cores 1 import_archive --config archive=FILE.zip"
        )
    else:
        print(f"Brought in: {unpack(Path(args.unpack), Path(args.folder))}")
