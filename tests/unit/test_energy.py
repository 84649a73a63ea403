"""Energy under load: what counters of the processor say, and joules of a request."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from effdet_bench import records
from effdet_bench.errors import UnavailableError
from effdet_bench.load import capacities, energy


@pytest.fixture
def powercap(tmp_path, monkeypatch) -> Path:
    """A machine with one package, and a part of it that must not be counted twice."""
    for name, kind, value in (("0", "package-0", 900), ("0:0", "core", 500)):
        folder = tmp_path / f"intel-rapl:{name}"
        folder.mkdir()
        (folder / "name").write_text(f"{kind}\n")
        (folder / "energy_uj").write_text(f"{value}\n")
        (folder / "max_energy_range_uj").write_text("1000000\n")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path / "intel-rapl:0" / "energy_uj"


@pytest.mark.parametrize(("now", "joules"), [("500900", 0.5), ("400", 0.9995)])
def test_energy_is_what_packages_count_round_their_end(powercap, now, joules):
    meter = energy.Meter("cpu")
    powercap.write_text(now)
    assert meter.joules() == {"package-0": pytest.approx(joules)}


def test_energy_that_is_not_told_has_a_reason(powercap, monkeypatch):
    def refuse(_path):
        raise PermissionError

    monkeypatch.setattr(energy, "_read", refuse)
    with pytest.raises(UnavailableError, match="may only be read by root"):
        energy.Meter("cpu")
    monkeypatch.setattr(energy, "POWERCAP", powercap / "nowhere")
    with pytest.raises(UnavailableError, match="no counter"):
        energy.Meter("cpu")


def test_joules_of_a_request_are_all_that_was_counted_over_all_requests():
    counted = {"idle_joules": {"package-0": 20}, "idle_seconds": 2, "reason": None}
    counted |= {"busy_joules": {"package-0": 90, "gpu": 10}, "busy_seconds": 5, "requests": 20}
    shape = {"instances": 1, "threads": 2, "batch": 1}
    passes = [
        shape | {"kind": "closed", "pass": 3},
        shape | counted | {"kind": "energy", "pass": 4},
    ]
    found = capacities._energy(passes)
    schema = records.load_schema("capacities")["properties"]["modes"]["items"]
    Draft202012Validator(schema["properties"]["energy"]).validate(found)
    assert found["pass"] == 4
    assert found["joules_per_request"] == 5
    assert found["busy_watts"] == {"package-0": 18, "gpu": 2}
    assert found["idle_watts"] == {"package-0": 10}
