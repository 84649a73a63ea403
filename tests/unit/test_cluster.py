"""Machine types of a cluster: what a scheduler says of them, and what a node refuses."""

import json
import os
import platform
from pathlib import Path

import pytest
import yaml

from effdet_bench import records
from effdet_bench.__main__ import main
from effdet_bench.cluster import node, scheduler
from effdet_bench.config.settings import resolve
from effdet_bench.errors import BenchError
from effdet_bench.facts import machine

SINFO = """#!/bin/sh
case "$*" in
  *%R*) printf 'cpu\\ngpu\\nbroken\\n' ;;
  *partition=cpu) printf 'idle|64|257000|zen4,fast\\nmixed|32|128000+|zen3\\ndown*|8|1|zen4\\n' ;;
  *partition=gpu) printf 'idle|8|1000|(null)\\n' ;;
  *partition=broken) printf 'drained|8|1000|(null)\\ndown*|8|1000|(null)\\n' ;;
esac
"""
ACCOUNTS = "#!/bin/sh\nprintf 'Science\nscience\nteaching\n'\n"


@pytest.fixture(autouse=True)
def _asked_anew():
    scheduler._sinfo.cache_clear()
    scheduler._accounts.cache_clear()


@pytest.fixture
def sinfo(tmp_path, monkeypatch) -> Path:
    program = tmp_path / "bin" / "sinfo"
    program.parent.mkdir()
    for path, text in ((program, SINFO), (program.with_name("sacctmgr"), ACCOUNTS)):
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def kind(**more) -> dict:
    return {"name": "mine", "partition": "cpu", **more}


@pytest.mark.usefixtures("sinfo")
def test_a_type_is_given_what_each_of_its_nodes_that_takes_jobs_has():
    assert scheduler.standing(kind()) == (32, 128000, None)
    assert scheduler.standing(kind(constraint="zen4")) == (64, 257000, None)


@pytest.mark.usefixtures("sinfo")
def test_a_partition_that_is_down_has_a_reason():
    standing = scheduler.standing(kind(partition="broken"))
    reason = "no node of the partition broken takes jobs (down*, drained)."
    assert standing.why_not == reason


@pytest.mark.usefixtures("sinfo")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"account": "scince"},
            r"'scince' for mine, but the scheduler knows you by science, teaching \(did you mean",
        ),
        ({"partition": "gpus"}, r"knows broken, cpu, gpu \(did you mean 'gpu'\?\)"),
        (
            {"partition": "gpu", "constraint": "a100"},
            "nodes of the partition gpu have no features",
        ),
        (
            {"constraint": "zen5"},
            r"'zen5' for mine, but nodes of the partition cpu have fast, zen3",
        ),
    ],
)
def test_what_the_scheduler_does_not_know_is_named(given, sentence):
    with pytest.raises(BenchError, match=sentence):
        scheduler.standing(kind(**given))


def test_accounts_of_a_cluster_that_keeps_none_cannot_be_wrong(sinfo):
    sinfo.with_name("sacctmgr").write_text("#!/bin/sh\nexit 1\n")
    assert scheduler.standing(kind(account="mine")).why_not is None


def test_a_machine_without_a_scheduler_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchError, match="sinfo is not on this machine: run `cluster` on a login"):
        scheduler.standing(kind())


def test_a_scheduler_that_fails_is_quoted(sinfo):
    sinfo.write_text("#!/bin/sh\necho 'Unable to contact\n controller' >&2\nexit 1\n")
    with pytest.raises(BenchError, match="sinfo failed: Unable to contact controller"):
        scheduler.standing(kind())


@pytest.fixture
def on_node(tmp_path, monkeypatch) -> Path:
    """A folder in which a job of the partition `cpu` runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(node.ALLOCATED, "cpu")
    return tmp_path


@pytest.mark.usefixtures("on_node")
def test_a_node_of_another_type_is_refused():
    node.refuse_another_type(kind(), Path("results"))
    node.refuse_another_type(kind(expect=machine.default_name()), Path("results"))
    with pytest.raises(BenchError, match="on the partition gpu, but this job runs on cpu"):
        node.refuse_another_type(kind(partition="gpu"), Path("results"))
    name = f"expected to be a cray-1, but {platform.node()} is a {machine.default_name()}"
    with pytest.raises(BenchError, match=name):
        node.refuse_another_type(kind(expect="cray-1"), Path("results"))


def test_rounds_of_one_type_are_never_of_two_kinds_of_nodes(on_node):
    archive = on_node / "results" / "mine"
    archive.mkdir(parents=True)
    fingerprint = machine.fingerprint() | {"model": "another"}
    (archive / "environment.json").write_text(json.dumps({"fingerprint": fingerprint}))
    with pytest.raises(BenchError, match="results/mine holds the results of another machine"):
        node.refuse_another_type(kind(), Path("results"))


def test_a_login_node_is_no_machine_to_time(on_node, monkeypatch):
    monkeypatch.delenv(node.ALLOCATED)
    given = ["--type", json.dumps(kind()), "--settings", "{}"]
    with pytest.raises(SystemExit) as ended:
        main(["node", *given, "--output", str(on_node / "cluster/mine/node.json")])
    assert "this process is not a job of the scheduler" in str(ended.value)
    assert not (on_node / "cluster").exists()


def test_a_run_on_a_node_shares_checkpoints_and_results_and_finds_all_paths(on_node):
    for name in ("Snakefile", "workflow", "profiles"):
        (on_node / name).mkdir()
    folder = on_node / "cluster" / "mine"
    folder.mkdir(parents=True)
    settings = {"photos": "my photos", "rounds": 2, "cluster": [kind()], "machine": "auto"}
    settings["ensemble"] = [{"model": "tf_efficientdet_d0", "file": "mine.pth"}, "another"]
    pythons = ["venv/bin/python", "python3.12"]
    modes = [{"name": "a", "engine": "eager", "python": python} for python in pythons]
    settings["modes"] = [*modes, "baseline"]
    for _ in range(2):
        node.prepare(kind(settings={"rounds": 3}), settings, folder)
    (on_node / "results" / "measured").touch()
    assert (folder / "results" / "measured").exists()
    own = yaml.safe_load((folder / "config.yaml").read_text())
    assert own["photos"] == str(on_node / "my photos")
    assert own["ensemble"][0]["file"] == str(on_node / "mine.pth")
    assert [mode["python"] for mode in own["modes"][:2]] == [
        str(on_node / "venv/bin/python"), "python3.12",
    ]  # fmt: skip
    node.prepare(kind(), settings | {"modes": "all"}, folder)
    assert (own["rounds"], own["machine"]) == (3, "mine")
    assert "cluster" not in own


def test_types_of_settings_get_defaults_and_names_of_their_own():
    (found,) = resolve({"cluster": [kind()]})["cluster"]
    assert (found["minutes"], found["wait"], found["constraint"]) == (240, 1440, None)
    with pytest.raises(BenchError, match="cluster names 'mine' twice"):
        resolve({"cluster": [kind(), kind()]})
    with pytest.raises(BenchError, match=r"unknown key 'partion' in cluster\[0\]"):
        resolve({"cluster": [{"name": "mine", "partion": "cpu"}]})


def test_what_a_job_said_last_is_why_it_measured_nothing(on_node):
    log = on_node / "cluster" / "logs" / "mine.log"
    log.parent.mkdir(parents=True)
    log.write_text("much\neffdet-bench node: mine is expected to be a cray-1.\n")
    assert scheduler.why_not_measured("mine", 0) == "mine is expected to be a cray-1."
    assert "no node was free in time" in scheduler.why_not_measured("mine", 1e12)
    log.write_text("Traceback\n")
    assert "see cluster/logs/mine.log" in scheduler.why_not_measured("mine", 0)
    record = {"name": "mine", "partition": "cpu", "node": "n", "job": None, "machine": "m"}
    record |= {"fingerprint": {}, "started": "", "ended": ""}
    records.write_json(on_node / "cluster" / "mine" / "node.json", record, "node")
    assert scheduler.why_not_measured("mine", 0) is None
