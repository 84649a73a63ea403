"""Brings in an archive of another machine: unpacks the .zip file that `pack` made."""

import argparse
import errno
import re
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from effdet_bench import layout
from effdet_bench.archive.manifest import check_manifest, read_manifest
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive

MACHINE = re.compile(r"[a-z0-9][a-z0-9._-]*")  # as for the setting `machine`
MOST_BYTES = 4 * 2**30
# what zipfile raises for a damaged file; RuntimeError: encrypted, or compressed by a method that
# this Python lacks; ValueError: a name that is no text
DAMAGES = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
FULL = (errno.ENOSPC, errno.EDQUOT)


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
        except DAMAGES as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise BenchError(
                f"{path} cannot be read as an archive ({error or type(error).__name__}): give a "
                ".zip that `effdet-bench pack` wrote."
            ) from None
        arrived, target = Archive(Path(temporary) / machine), Archive(folder / machine)
        if differences := _differences(arrived, path):
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
        raise BenchError(f"{path} is no archive of one machine: give one of `effdet-bench pack`.")
    return top


def _refuse_bomb(packed: zipfile.ZipFile, path: Path) -> None:
    """Checks the declared sizes, which suffices: zipfile never unpacks more of an entry."""
    size = sum(entry.file_size for entry in packed.infolist())
    if size > MOST_BYTES:
        raise BenchError(
            f"{path} would take {size / 2**30:.1f} GiB, more than any archive of effdet-bench "
            "needs: it was not unpacked."
        )


def _differences(arrived: Archive, path: Path) -> list[str]:
    """The differences between `arrived`, unpacked from `path`, and its manifest."""
    name = arrived.manifest.name
    if not arrived.manifest.exists():
        raise BenchError(f"{path} holds no {name}: give a .zip that `effdet-bench pack` wrote.")
    try:
        return check_manifest(arrived)
    except BenchError:  # its text names a temporary folder
        return [f"its {name} is not a list of `digest  file`"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .zip file")


def run(args: argparse.Namespace) -> None:
    print(f"Brought in: {unpack(args.file, layout.RESULTS)}")
