"""Many archives in one folder: as folders, or as the zip files that `pack` wrote."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from effdet_bench.archive.unpack import unpack
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive


@contextmanager
def archives_in(folder: Path) -> Iterator[list[Archive]]:
    """The archives in `folder`, sorted by name; zip files are unpacked for the time of the block.

    Raises:
        BenchError: there is no such folder, or a zip file is no archive.
    """
    if not folder.is_dir():
        raise BenchError(
            f"{folder} is not a folder: give one with archives, folders or .zip files."
        )
    with tempfile.TemporaryDirectory(prefix="effdet-bench-archives-") as temporary:
        found = []
        for path in sorted(folder.iterdir()):
            if path.suffix == ".zip":
                found.append(Archive(unpack(path, Path(temporary) / path.stem)))
            elif Archive(path).summary.exists():
                found.append(Archive(path))
        yield found
