"""A machine's results as an archive: its manifest, one file to hand on, and back again.

The manifest names every file with its SHA-256, in the format of sha256sum. Logs, and what can be
made again (figures as PNG, and the outputs of the reference, which are large), do not belong to an
archive.
"""

import argparse
import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from effdet_bench import records
from effdet_bench.errors import BenchError

MANIFEST = "MANIFEST.sha256"
DERIVED = ("summary.", "report.", "figures/")  # how files begin that are rendered from the others


def files_of(results: Path) -> list[str]:
    """Paths of the files that the archive `results` consists of, its manifest aside."""
    found = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if path.as_posix() != MANIFEST
        and path.parts[0] != "logs"
        and not path.match("reference/*.npy")
        and not path.match("figures/*.png")
        and not any(part.startswith(".") for part in path.parts)
    )


def write_manifest(results: Path) -> None:
    """Writes the manifest of the archive `results` as it is now."""
    _write_manifest(results, {name: _digest(results / name) for name in files_of(results)})


def renew_manifest(results: Path) -> None:
    """Brings the manifest up to date for what was rendered; where other files differ from it, they
    still do. Writes it where there was none.
    """
    if not (results / MANIFEST).exists():
        write_manifest(results)
        return
    listed = _read_manifest(results).items()
    rendered = [name for name in files_of(results) if name.startswith(DERIVED)]
    kept = {name: digest for name, digest in listed if not name.startswith(DERIVED)}
    _write_manifest(results, kept | {name: _digest(results / name) for name in rendered})


def _write_manifest(results: Path, digests: dict[str, str]) -> None:
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
    records.write_text(results / MANIFEST, "".join(lines))


def check_manifest(results: Path) -> list[str]:
    """What differs between the archive `results` and its manifest, in words; empty if nothing."""
    listed = _read_manifest(results)
    present = files_of(results)
    found = [f"{name} is in the manifest, but missing" for name in listed if name not in present]
    found += [f"{name} is not in the manifest" for name in present if name not in listed]
    return found + [
        f"{name} is not what the manifest says: it was changed"
        for name in present
        if name in listed and _digest(results / name) != listed[name]
    ]


def pack(results: Path, folder: Path) -> Path:
    """Packs the archive `results` to `folder`/<machine>-<date>.zip; the same bytes for the same
    files. The date is that of the measurement.

    Raises:
        BenchError: the archive is not what its manifest says.
    """
    if found := check_manifest(results):
        raise BenchError(f"{results}: {found[0]}; run `snakemake --cores 1`, or take it back.")
    started = records.read_json(results / "summary.json", "summary")["started"]
    path = folder / f"{results.name}-{started[:10]}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        packed = Path(place) / path.name
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
            for name in (MANIFEST, *files_of(results)):
                entry = zipfile.ZipInfo(f"{results.name}/{name}")
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                out.writestr(entry, (results / name).read_bytes())
        packed.replace(path)
    return path


def unpack(path: Path, folder: Path) -> Path:
    """Brings the archive `path` in as `folder`/<machine>, once it is known to be whole.

    Raises:
        BenchError: it is no archive, damaged, or would replace other results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        try:
            with zipfile.ZipFile(path) as packed:
                machine = _only_machine(packed.namelist(), path)
                packed.extractall(place)
        except (OSError, zipfile.BadZipFile) as error:
            raise BenchError(
                f"{path} cannot be read as an archive ({error}): give a .zip that "
                "`snakemake archive` wrote."
            ) from None
        found = check_manifest(Path(place) / machine)
        if found:
            raise BenchError(f"{path} is damaged: {found[0]}; copy it again.")
        target = folder / machine
        if target.exists():
            same = (target / MANIFEST).exists() and not check_manifest(target)
            if not same or _read_manifest(target) != _read_manifest(Path(place) / machine):
                raise BenchError(
                    f"{target} holds other results than {path}: rename that folder first."
                )
        else:
            shutil.move(Path(place) / machine, target)
    return target


def _only_machine(names: list[str], path: Path) -> str:
    """The one folder at the top of an archive whose entries are all inside of it."""
    parts = [PurePosixPath(name).parts for name in names]
    tops = {one[0] for one in parts if one}
    if len(tops) != 1 or any(".." in one or one[0] == "/" for one in parts):
        raise BenchError(f"{path} is no archive of one machine: give one of `snakemake archive`.")
    return tops.pop()


def _read_manifest(results: Path) -> dict[str, str]:
    path = results / MANIFEST
    try:
        lines = path.read_text().splitlines()
    except OSError:
        raise BenchError(f"{path} is missing: run `snakemake --cores 1` to write it.") from None
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 for pair in pairs):
        raise BenchError(f"{path} is no list of `digest  file`: take the archive back.")
    return {name: digest for digest, name in pairs}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--manifest", metavar="RESULTS", help="write the manifest of this folder")
    what.add_argument("--pack", metavar="RESULTS", help="pack this folder")
    what.add_argument("--unpack", metavar="FILE", help="bring this file in")
    parser.add_argument("--folder", default=".", help="where to: of the file, or of all results")


def run(args: argparse.Namespace) -> None:
    if args.manifest:
        write_manifest(Path(args.manifest))
    elif args.pack:
        print(f"The archive: {pack(Path(args.pack), Path(args.folder))}")
    elif not args.unpack:
        raise BenchError(
            "no archive is named: snakemake --cores 1 import_archive --config archive=FILE.zip"
        )
    else:
        print(f"Brought in: {unpack(Path(args.unpack), Path(args.folder))}")
