"""An archive belongs to a machine: which one is told by its fingerprint."""

import json

import pytest

from effdet_bench.errors import BenchError
from effdet_bench.facts import machine

EPYC = {"vendor": "AuthenticAMD", "family": "26", "model": "2"}


@pytest.fixture(autouse=True)
def this_machine(monkeypatch):
    monkeypatch.setattr(machine, "cpu_name", lambda: "AMD EPYC 9655 96-Core Processor")
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "gpu_names", lambda: [])
    made = machine.fingerprint() | EPYC
    monkeypatch.setattr(machine, "fingerprint", lambda: dict(made))


def archive(results, name, **record):
    (results / name).mkdir(parents=True)
    (results / name / "environment.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["avx2", "avx512bw"], "amd-epyc-9655-zen5-2-core"),
        (["avx2"], "amd-epyc-9655-zen5-without-avx512-2-core"),
    ],
)
def test_the_name_tells_generations_and_instruction_sets_apart(monkeypatch, sets, expected):
    facts = machine.fingerprint() | {"instruction_sets": sets}
    monkeypatch.setattr(machine, "fingerprint", lambda: facts)
    assert machine.default_name() == expected


def test_a_run_goes_on_in_the_archive_of_its_machine_and_beside_that_of_another(tmp_path):
    name, ours = machine.default_name(), machine.fingerprint()
    assert machine.archive_name("auto", tmp_path) == name
    archive(tmp_path, name, fingerprint=ours | {"stepping": "another"})
    assert machine.archive_name("auto", tmp_path) == f"{name}-2"
    archive(tmp_path, f"{name}-2", fingerprint=ours | {"memory_gib": ours["memory_gib"] + 1})
    assert machine.archive_name("auto", tmp_path) == f"{name}-2"


def test_a_name_of_the_users_that_is_anothers_is_refused(tmp_path):
    archive(tmp_path, "mine", fingerprint=machine.fingerprint() | {"gpus": ["another"]})
    with pytest.raises(BenchError, match=r"machine is 'mine', but .* another machine"):
        machine.archive_name("mine", tmp_path)
    assert machine.archive_name("free", tmp_path) == "free"
