"""The manifest of an archive: every file with its SHA-256, in the format of sha256sum.

Logs do not belong to an archive, nor do files that can be made again: figures as PNG, and the
outputs of the reference, which are large.
"""

import argparse
import hashlib
from pathlib import Path

from effdet_bench import records
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive

# how the names of files begin that are rendered from other files
DERIVED = ("summary.", "capacities.", "report.", "details.", "figures/")


def files_of(archive: Archive) -> list[str]:
    """Paths of all files of the archive except its manifest, relative to the archive, sorted."""
    files = (path.relative_to(archive.root) for path in archive.root.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in files
        if path.as_posix() != archive.manifest.name
        and path.parts[0] != "logs"
        and not path.match("reference/*.npy")
        and not path.match("figures/*.png")
        and not any(part.startswith(".") for part in path.parts)
    )


def write_manifest(archive: Archive) -> None:
    """Writes the manifest of the archive as it is now."""
    _write_manifest(archive, {name: _digest(archive.root / name) for name in files_of(archive)})


def renew_manifest(archive: Archive) -> None:
    """Updates the manifest for rendered files; writes it if there was none.

    Entries of all other files stay, so `check_manifest` still finds a changed file of raw data.
    """
    if not archive.manifest.exists():
        write_manifest(archive)
        return
    listed = read_manifest(archive).items()
    rendered = [name for name in files_of(archive) if name.startswith(DERIVED)]
    kept = {name: digest for name, digest in listed if not name.startswith(DERIVED)}
    _write_manifest(archive, kept | {name: _digest(archive.root / name) for name in rendered})


def _write_manifest(archive: Archive, digests: dict[str, str]) -> None:
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
    records.write_text(archive.manifest, "".join(lines))


def check_manifest(archive: Archive) -> list[str]:
    """Differences between the archive and its manifest, in words; empty if there are none."""
    listed = read_manifest(archive)
    present = files_of(archive)
    missing = [f"{name} is in the manifest, but missing" for name in listed if name not in present]
    extra = [f"{name} is not in the manifest" for name in present if name not in listed]
    return [*missing, *extra] + [
        f"{name} is not what the manifest says: it was changed"
        for name in present
        if name in listed and _digest(archive.root / name) != listed[name]
    ]


def read_manifest(archive: Archive) -> dict[str, str]:
    path = archive.manifest
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        raise BenchError(f"{path} is missing: run `snakemake --cores 1` to write it.") from None
    pairs = [line.split("  ", 1) for line in lines]
    if not all(len(pair) == 2 for pair in pairs):
        raise BenchError(f"{path} is not a list of `digest  file`: restore it from a copy.")
    return {name: digest for digest, name in pairs}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    write_manifest(Archive(args.results))
