"""Files that a run leaves: written whole or not at all, read back against their schema."""

import json
import os
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from effdet_bench.errors import BenchError

SCHEMAS = Path(__file__).parents[1] / "schemas"
SCHEMA_VERSION = 1

# The raw data of a timing job; the last column of each is integer nanoseconds.
RAW_COLUMNS = {
    "requests.csv": ["request", "phase", "photo", "latency_ns"],
    "stages.csv": ["request", "photo", "stage", "model", "duration_ns"],
}


def load_schema(name: str) -> dict:
    """The JSON schema `workflow/schemas/<name>.schema.yaml`."""
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes `data` under a temporary name and renames it: `path` is never half written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` of `text` in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, record: dict[str, Any], schema: str) -> None:
    """Writes `record`, with its schema version, after checking it against `schema`.

    Raises:
        jsonschema.ValidationError: the record breaks its schema, which is a mistake in this code.
    """
    record = {"schema": schema, "schema_version": SCHEMA_VERSION, **record}
    Draft202012Validator(load_schema(schema)).validate(record)
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path, schema: str) -> dict[str, Any]:
    """Reads a record written by `write_json`.

    Raises:
        BenchError: the file is missing, is not JSON, or does not follow `schema`.
    """
    try:
        record = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise BenchError(f"{path} is missing: run `snakemake --cores 1` to make it.") from None
    except ValueError as error:
        raise BenchError(f"{path} is not JSON ({error}): delete it and run again.") from None
    for error in Draft202012Validator(load_schema(schema)).iter_errors(record):
        where = ".".join(map(str, error.absolute_path)) or "the record"
        raise BenchError(
            f"{path} does not follow the {schema} schema, version {SCHEMA_VERSION}: at {where}, "
            f"{error.message}; delete it and run again."
        )
    return record
