"""The answers of a mode, read from the raw data of a timing job or of a load test."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from effdet_bench import layout, records
from effdet_bench.errors import BenchError
from effdet_bench.records import Record

WAKING = 0.002  # seconds of processor time, per turn, for falling asleep and waking up


class Answers(NamedTuple):
    """The answers of a mode in one round, read from the raw data of its timing job.

    `rows` are those of `outputs.csv`, one for each request and model. They give the numbers of the
    answer's entry in `tables` and in `errors`. `requests` are the rows of `requests.csv`. `outside`
    is the processor time that the mode used while other modes had their turn, as a share of the
    time in its own turns. `requests` and `outside` are `None` under load.
    """

    rows: pd.DataFrame
    tables: dict[int, np.ndarray]
    errors: pd.DataFrame
    requests: pd.DataFrame | None = None
    outside: float | None = None

    @property
    def old(self) -> bool:
        """Whether the limits of schema version 5 judge these answers."""
        return "sizes" not in self.errors


def read_captured(folder: Path) -> Answers:
    """The captured answers in `folder`, without `requests` and `outside`.

    Raises:
        BenchError: a file is missing or broken.
    """
    columns = records.RAW_COLUMNS
    rows = records.read_table(folder / layout.OUTPUTS, columns[layout.OUTPUTS])
    errors = records.read_table(folder / layout.ERRORS, columns[layout.ERRORS])
    tables = records.read_detections(folder / layout.DETECTIONS, "table")
    return Answers(rows, tables, errors)


def read_answers(folder: Path, record: Record) -> Answers:
    """The answers of the completed timing job in `folder`, whose record is `record`.

    Raises:
        BenchError: a file is missing or broken, or a timed request has no row.
    """
    answers = read_captured(folder)
    expected = record["requests"] * len(record["ensemble"])
    if len(answers.rows) != expected:
        raise BenchError(
            f"{folder / 'outputs.csv'} has {len(answers.rows)} rows, but {record['requests']} "
            f"timed requests of {len(record['ensemble'])} models make {expected}: run this timing "
            "again."
        )
    columns = records.RAW_COLUMNS[layout.REQUESTS]
    requests = records.read_table(folder / layout.REQUESTS, columns)
    used = record["conditions"].get("outside")  # older archives did not count it
    return answers._replace(requests=requests, outside=used and outside_share(used))


def outside_share(used: Record) -> float:
    """Processor time that a mode `used` between its turns, as a share of that in its turns."""
    seconds: float = used["seconds"] - WAKING * used["turns"]
    return max(0.0, seconds) / float(used["own_seconds"])
