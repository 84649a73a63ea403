"""Answers of an accuracy pass: kept while the pass goes on, and read again.

A gzip-compressed CSV file has the detections of one model. The file has the columns of the other
tables in an archive, any tool reads it, and 5,000 photos take about 10 MB.
"""

import gzip
import shutil
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.progress import progress
from effdet_bench.records import DETECTION, Record

EVERY = 30  # seconds after which new answers are kept: a kill loses these
SETTLED = 10  # seconds after which the rate of answers is known
COLUMNS = ["model", "photo", *DETECTION]


class Kept:
    """The detections of `models` by photo, in parts in a hidden folder inside `folder`.

    `depends` says in words what the answers depend on. Parts that depend on anything else are
    deleted. `answered` has the file names of all photos with kept answers. The folder of the parts
    stays empty once the pass has finished: so a run that was killed before Snakemake noted the end
    finds all answers.
    """

    def __init__(self, folder: Path, models: Sequence[str], depends: str) -> None:
        self._folder, self._models = folder, models
        own = sha256(f"{COLUMNS} {depends}".encode()).hexdigest()[:12]
        self._parts = folder / f"{layout.PARTS}{own}"
        for other in folder.glob(f"{layout.PARTS}*"):
            if other != self._parts:
                shutil.rmtree(other)
        self._number = len(self._files())
        self._rows: list[list[str]] = []
        self._due = time.monotonic() + EVERY
        tables = [layout.pass_table(folder, model) for model in models]
        self._finished = (
            self._parts.is_dir() and not self._number and all(path.exists() for path in tables)
        )
        read = map(_read, tables[:1] if self._finished else self._files())
        self.answered = {photo for part in read for photo in part["photo"]}

    def add(self, photo: str, tables: bytes) -> None:
        """Adds the detections float32 [models, n, 6] of all models; writes a part if it is due."""
        shape = len(self._models), -1, len(DETECTION)
        every = np.frombuffer(tables, np.float32).reshape(shape)
        for model, table in zip(self._models, every, strict=True):
            found = table[table[:, DETECTION.index("score")] > 0]
            # a row of zeros says that there is an answer without detections
            for row in found if len(found) else np.zeros((1, len(DETECTION)), np.float32):
                # in the fewest digits that give the same float32
                self._rows.append([model, photo, *map(str, row)])
        self.answered.add(photo)
        if time.monotonic() > self._due:
            self.save()

    def save(self) -> None:
        """Writes what was added since the last part as another one."""
        if self._rows:
            part = pd.DataFrame(self._rows, columns=COLUMNS)
            _write(self._parts / f"{self._number:06}.csv.gz", part)
            self._number, self._rows = self._number + 1, []
        self._due = time.monotonic() + EVERY

    def finish(self) -> None:
        """Writes the table of each model in the order of photos, and deletes the parts."""
        if self._finished:
            return
        self.save()
        every = pd.concat(list(map(_read, self._files()))).sort_values("photo", kind="stable")
        for model in self._models:
            own = every[every["model"] == model][COLUMNS[1:]]
            _write(layout.pass_table(self._folder, model), own)
        for path in self._files():
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._parts.glob("*.csv.gz"))


def _read(path: Path) -> pd.DataFrame:
    """A table with all columns as text, so that no digit changes."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _write(path: Path, table: pd.DataFrame) -> None:
    # without a time in the file, equal answers give equal bytes
    text = table.to_csv(index=False)
    records.write_bytes(path, gzip.compress(text.encode(), 6, mtime=0))


def read_tables(folder: Path, models: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The detections float32 [n, 6] of a finished pass in `folder`, by model and photo.

    A photo without detections has one row of zeros.

    Raises:
        BenchError: a file is missing or broken.
    """
    return {
        model: records.read_detections(layout.pass_table(folder, model), "photo")
        for model in models
    }


def accuracy_records(archive: Archive) -> list[Path]:
    """The records of the step `measure` of the run that wrote `archive`, the reference's first.

    The list is empty if the run had no accuracy passes.
    """
    config = records.settings_of(archive)
    if not config.get("accuracy"):
        return []
    folders = [
        archive.accuracy_pass(device, mode["name"])
        for device in config["devices"]
        for mode in config["modes"]
    ]
    every = [folder / layout.ACCURACY for folder in (archive.reference_pass, *folders)]
    return [record for record in every if record.exists()]


def contents(photos: Sequence[Record], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of `photos` (file, sha256) in `folder`, one after the other.

    Raises:
        BenchError: a photo was changed since the step `photos` recorded it.
    """
    for photo in photos:
        encoded = (folder / photo["file"]).read_bytes()
        if sha256(encoded).hexdigest() != photo["sha256"]:
            raise BenchError(
                f"{folder / photo['file']} was changed while the run went on: run again; photos "
                "that are answered already are kept."
            )
        yield photo["file"], encoded


class Remaining:
    """Shows the progress of a pass of `total` photos, of which `done` were answered before."""

    def __init__(self, label: str, done: int, total: int) -> None:
        self._label, self._first, self._total = label, done, total
        self._begin = self._told = time.monotonic()

    def tell(self, done: int) -> None:
        """Says once a second how many photos are `done`, and how long the others will take."""
        now = time.monotonic()
        if now < self._told + 1 and done < self._total:
            return
        self._told = now
        left = (self._total - done) * (now - self._begin) / max(done - self._first, 1)
        text = f"{self._label}: {done:,} of {self._total:,} photos"
        # the first answers come at once, from all processes together
        known = now > self._begin + SETTLED
        progress(done / self._total, f"{text}, {_duration(left)} left" if known else text)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
