"""Fixtures of tests that build networks."""

import dataclasses
from pathlib import Path

import pytest
import torch

from effdet_bench import records
from effdet_bench.export.check import ExportCheck
from effdet_bench.export.export import Exporter, ExportSpec
from helpers import CALIBRATION, make_references, verified


@pytest.fixture(scope="session")
def lite0_files(lite0, tmp_path_factory) -> Path:
    """A folder with the verified checkpoint of lite0, and its reference."""
    folder = tmp_path_factory.mktemp("lite0")
    make_references([lite0], folder)
    return folder


@pytest.fixture(scope="session")
def exports(lite0, tmp_path_factory):
    """Makes and keeps exports of lite0: the model that has one, its record, and its check."""
    folder = tmp_path_factory.mktemp("exports")
    record, file = verified(lite0, folder)
    made = {}

    def export(engine: str, precision: str = "fp32", rewritten: bool = True):
        key = engine, precision, rewritten
        if key not in made:
            spec = ExportSpec(
                engine=engine,
                device="cpu",
                options={"precision": precision, "rewritten": rewritten},
                threads=torch.get_num_threads(),
                checkpoint=records.read_json(record, "checkpoint"),
                file=str(file),
                photos=str(CALIBRATION),
                record=str(folder / f"{engine}-{precision}-{rewritten}.json"),
            )
            exported = Exporter(spec).export()
            model = dataclasses.replace(lite0, export=spec.folder)
            made[key] = model, exported | ExportCheck(spec).check(), spec
        return made[key]

    return export
