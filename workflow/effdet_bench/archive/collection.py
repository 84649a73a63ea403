"""Many archives in one folder: as folders, or as the zip files that `pack` wrote."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from effdet_bench.archive.unpack import unpack
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive


def archives_in(folder: Path) -> Iterator[Archive]:
    """The archives in `folder`, sorted by name.

    A zip file is unpacked until the next archive is asked for.

    Raises:
        BenchError: there is no such folder, or a zip file is no archive.
    """
    if not folder.is_dir():
        raise BenchError(f"{folder} is no folder: give one with archives, folders or .zip files.")
    for path in sorted(folder.iterdir()):
        if path.suffix == ".zip":
            with tempfile.TemporaryDirectory(prefix="effdet-bench-archive-") as temporary:
                yield Archive(unpack(path, Path(temporary)))
        elif Archive(path).summary.exists():
            yield Archive(path)
