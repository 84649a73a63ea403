"""Answers of an accuracy pass: kept while the pass goes on, and read again.

A gzip-compressed CSV file has the detections of one model, because it has the columns of the other
tables in an archive and any tool reads it. 5,000 photos take 11 to 13 MB.
"""

import gzip
import json
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from effdet_bench import layout, records
from effdet_bench.config.names import REFERENCE
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive
from effdet_bench.progress import progress
from effdet_bench.records import DETECTION, Record

EVERY = 30  # seconds after which new answers are kept: a kill loses these
SETTLED = 10  # seconds after which the rate of answers is known
COLUMNS = ["model", "photo", *DETECTION]


class KeptAnswers:
    """The detections of `models` by photo, in parts in a hidden folder inside `folder`.

    `depends` says in words what the answers depend on. Parts that depend on anything else are
    deleted. `answered` has the file names of all photos with kept answers. `result` is what
    `finish` was given, if all photos are answered; else `None`.
    """

    def __init__(self, folder: Path, models: Sequence[str], depends: str) -> None:
        self._folder, self._models = folder, models
        own = sha256(f"{COLUMNS} {depends}".encode()).hexdigest()[:12]
        self._parts = folder / f"{layout.PARTS}{own}"
        for other in folder.glob(f"{layout.PARTS}*"):
            if other != self._parts:
                shutil.rmtree(other)
        # A run may be killed after a pass has finished and before Snakemake notes the end. The mark
        # tells the next run that the tables are those of this pass.
        self._mark = self._parts / "finished.json"
        self._rows: list[list[str]] = []
        self._due = time.monotonic() + EVERY
        self.result: Record | None = None
        self.answered: set[str] = set()
        if (
            self._mark.exists()
            and (table := _read(layout.pass_table(folder, models[0]))) is not None
        ):
            self.result, self.answered = json.loads(self._mark.read_text()), {*table["photo"]}
            return
        for path in self._files():
            if (part := _read(path)) is None:
                path.unlink()
            else:
                self.answered |= {*part["photo"]}

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
            number = max((int(path.name.split(".")[0]) for path in self._files()), default=-1) + 1
            part = pd.DataFrame(self._rows, columns=COLUMNS)
            _write(self._parts / f"{number:06}.csv.gz", part)
            self._rows = []
        self._due = time.monotonic() + EVERY

    def finish(self, result: Record) -> None:
        """Writes the table of each model, in the order of photos, and the `result` of the pass."""
        self.save()
        files = self._files()
        parts = [part for part in map(_read, files) if part is not None]
        every = pd.concat(parts).sort_values("photo", kind="stable")
        for model in self._models:
            own = every[every["model"] == model][COLUMNS[1:]]
            _write(layout.pass_table(self._folder, model), own)
        records.write_text(self._mark, json.dumps(result))
        for path in files:
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._parts.glob("*.csv.gz"))


def _read(path: Path) -> pd.DataFrame | None:
    """A table with all columns as text, so that no digit changes; `None` if it is broken."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, EOFError, zlib.error):
        return None


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
    paths = {model: layout.pass_table(folder, model) for model in models}
    try:
        return {model: records.read_detections(path, "photo") for model, path in paths.items()}
    except (BenchError, EOFError, zlib.error) as error:
        raise BenchError(
            f"a table of detections in {folder} is missing or broken ({error}): delete this folder "
            "and run again."
        ) from None


def accuracy_folders(archive: Archive) -> dict[tuple[str, str], Path]:
    """The folders of the passes of the run that wrote `archive`, by device and mode.

    The first is that of the reference, `REFERENCE` on the CPU. The result is empty if the run had
    no accuracy passes.
    """
    config = records.settings_of(archive)
    if not config.get("accuracy"):
        return {}
    passes = {
        (device, mode["name"]): archive.accuracy_pass(device, mode["name"])
        for device in config["devices"]
        for mode in config["modes"]
        if device in mode["devices"]
    }
    every = {("cpu", REFERENCE): archive.reference_pass} | passes
    return {mode: folder for mode, folder in every.items() if (folder / layout.ACCURACY).exists()}


def contents(photos: Sequence[Record], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of `photos` (file, sha256) in `folder`, one after the other.

    Raises:
        BenchError: a photo was changed since the step `photos` recorded it.
    """
    for photo in photos:
        path = folder / photo["file"]
        encoded = path.read_bytes() if path.exists() else b""
        if sha256(encoded).hexdigest() != photo["sha256"]:
            raise BenchError(f"{path} was changed or removed while the run went on: run again.")
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
