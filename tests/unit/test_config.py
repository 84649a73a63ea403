"""config.yaml: what is accepted, what is refused, and in which words."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effdet_bench.config.modes import export_of
from effdet_bench.config.settings import known_models, options, resolve
from effdet_bench.errors import BenchError
from effdet_bench.facts.engines import engine_names
from effdet_bench.layout import MODES, SHIPPED_PHOTOS
from effdet_bench.records import load_schema
from effdet_bench.report.commands import command_with
from helpers import ROOT

SHA = "0" * 64


def config(**changes):
    return {"devices": ["cpu"], "threads": 1, "machine": "test", **changes}


def test_config_yaml_holds_the_defaults_of_the_schema():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert resolve(written) == resolve({})
    assert set(written) == set(load_schema("config")["properties"])


NAMES = st.one_of(
    st.sampled_from([*load_schema("config")["properties"], "name", "model", "engine", "partition"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(
            ["auto", "all", "off", "cpu", "cuda", "eager", "tf_efficientdet_d0", "../x"]
        ),
        st.text(max_size=20),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_settings_are_accepted_or_refused_in_one_sentence(given):
    try:
        resolved = resolve(given)
    except BenchError as error:
        assert str(error).startswith("config: ")
        assert str(error).endswith(".")
    else:
        json.dumps(resolved, allow_nan=False)
        assert resolved["machine"]


def test_auto_is_resolved_for_this_machine():
    resolved = resolve({})
    assert resolved["devices"][0] == "cpu"
    assert resolved["threads"] >= 1
    assert resolved["machine"] not in ("", "auto")
    assert resolved["photos"] == str(SHIPPED_PHOTOS)


def test_every_engine_and_model_is_known_without_importing_torch():
    assert {"eager", "no_network", "onnxruntime", "openvino"} <= set(engine_names())
    assert {"tf_efficientdet_d0", "tf_efficientdet_lite0", "efficientdet_d0"} <= set(known_models())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reqests": 5}, ["unknown key 'reqests'", "did you mean 'requests'?"]),
        ({"requests": -1}, ["requests is -1", "a whole number from 1"]),
        ({"requests": 0}, ["requests is 0", "a whole number from 1"]),
        ({"requests": 2.5}, ["requests is 2.5", "whole number"]),
        ({"requests": True}, ["requests is True", "whole number"]),
        ({"rounds": "three"}, ["rounds is 'three'", "whole number"]),
        ({"warmup": 0}, ["warmup is 0", "a whole number from 1"]),
        ({"threads": "all"}, ["threads is 'all'", "auto or a whole number"]),
        ({"devices": []}, ["devices is []", "at least one of cpu, cuda, mps"]),
        ({"devices": ["gpu"]}, ["devices[0] is 'gpu'", "cpu, cuda or mps"]),
        ({"devices": ["cudo"]}, ["devices[0] is 'cudo'", "did you mean 'cuda'?"]),
        ({"devices": ["cpu", "cpu"]}, ["devices is ['cpu', 'cpu']", "each once"]),
        ({"devices": "cpu"}, ["devices is 'cpu'", "auto, or a list"]),
        ({"modes": []}, ["modes is []", "at least one"]),
        (
            {"modes": [{"name": "a"}]},
            ["modes[0]", "{name, engine, and its options, env and python}"],
        ),
        ({"modes": [{"name": "A b", "engine": "eager"}]}, ["modes[0].name is 'A b'", "lower-case"]),
        ({"modes": [{"name": "a", "engine": "egaer"}]}, ["'egaer'", "did you mean 'eager'?"]),
        (
            {"modes": [{"name": "a", "engine": "eager", "rewriten": 1}]},
            ["modes[0] has the option 'rewriten'", "did you mean 'rewritten'?"],
        ),
        ({"modes": [{"name": "a", "engine": "eager"}] * 2}, ["modes names 'a' twice"]),
        ({"modes": ["fussed"]}, ["modes[0] is 'fussed'", "did you mean 'fused'?"]),
        (
            {"modes": ["eager"]},
            ["'eager', which is an engine and no shipped mode", "{name: eager, engine: eager}"],
        ),
        ({"modes": "every"}, ["modes is 'every'", "all, or a list"]),
        (
            {"modes": [{"name": "a", "engine": "eager", "precision": "int9"}]},
            ["modes[0].precision is 'int9'", "fp32, tf32, bf16"],
        ),
        (
            {"modes": [{"name": "baseline", "engine": "eager", "rewritten": True}]},
            ["baseline", "without options"],
        ),
        (
            {"modes": [{"name": "a", "engine": "no_network", "precision": "bf16"}]},
            ["modes[0] has the option 'precision'", "takes channels_last, sparse_postprocess"],
        ),
        ({"modes": [{"name": "baseline", "engine": "no_network"}]}, ["baseline", "engine eager"]),
        (
            {"modes": [{"name": "baseline-twin", "engine": "eager"}]},
            ["named baseline-twin, which the setting `twin` adds by itself"],
        ),
        ({"annotations": "nowhere"}, ["annotations is 'nowhere', but there is no such file."]),
        ({"ensemble": []}, ["ensemble is []", "at least one"]),
        ({"ensemble": ["tf_efficientdet_d0"] * 2}, ["ensemble names 'tf_efficientdet_d0' twice"]),
        ({"ensemble": ["tf_eficientdet_d0"]}, ["did you mean 'tf_efficientdet_d0'?"]),
        ({"ensemble": [{"model": "efficientdet_d0", "file": "x"}]}, ["ensemble[0]", "sha256"]),
        (
            {"ensemble": [{"model": "tf_efficientdet_d0", "classes": 0}]},
            ["ensemble[0].classes is 0", "at least 1"],
        ),
        ({"modes": [{"name": "a", "engine": "eager", "where": 1}]}, ["the option 'where'"]),
        ({"modes": [{"name": "a", "engine": "eager", True: 1}]}, ["the key True", "in quotes"]),
        (
            {"cluster": [{"name": "a", "partition": "p", "settings": {"lod": "quick"}}]},
            ["cluster, settings of a: unknown key 'lod'", "did you mean 'load'?"],
        ),
        (
            {"cluster": [{"name": "a", "partition": "p", "settings": {"rounds": "many"}}]},
            ["cluster, settings of a: rounds is 'many'"],
        ),
        ({"weights": "sinthetic"}, ["weights is 'sinthetic'", "did you mean 'synthetic'?"]),
        ({"mirror": "ftp://x/"}, ["mirror is 'ftp://x/'", "http"]),
        ({"machine": "My Mac"}, ["machine is 'My Mac'", "lower-case"]),
        ({"report": {"targets": []}}, ["unknown key 'targets'", "in report"]),
        ({"report": {"throughput_targets": [0]}}, ["report.throughput_targets[0] is 0", "above 0"]),
    ],
)
def test_a_mistake_is_one_sentence_that_names_key_value_and_what_is_allowed(change, words):
    with pytest.raises(BenchError) as caught:
        resolve(config(**change))
    text = str(caught.value)
    assert text.startswith("config: ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_an_ensemble_entry_may_name_a_file_of_the_users():
    entry = {"model": "efficientdet_d0", "file": "mine.pth", "sha256": SHA}
    own = {"architecture": "efficientdet_d0", "classes": 90}
    assert resolve(config(ensemble=[entry]))["ensemble"] == [entry | own]


def test_an_ensemble_may_have_one_architecture_twice():
    entry = {"model": "tf_efficientdet_d0", "name": "traffic", "classes": 7}
    found = resolve(config(ensemble=["tf_efficientdet_d0", entry], weights="synthetic"))["ensemble"]
    assert [(one["model"], one["architecture"], one["classes"]) for one in found] == [
        ("tf_efficientdet_d0", "tf_efficientdet_d0", 90),
        ("traffic", "tf_efficientdet_d0", 7),
    ]


@pytest.mark.parametrize("name", ["smoke.yaml", "three-d0.yaml"])
def test_the_other_configs_are_accepted(name):
    assert resolve(yaml.safe_load((ROOT / name).read_text()))["modes"]


@pytest.mark.parametrize(("given", "value"), [("true", True), ("false", False), (False, False)])
def test_booleans_may_come_from_a_terminal(given, value):
    assert resolve(config(twin=given))["twin"] is value
    mode = {"name": "mine", "engine": "eager", "rewritten": given}
    assert resolve(config(modes=[mode]))["modes"][0]["options"]["rewritten"] is value


def test_a_variable_may_be_a_word_that_means_a_boolean_elsewhere():
    mode = {"name": "mine", "engine": "eager", "env": {"OMP_PROC_BIND": "true"}}
    mine = resolve(config(modes=["baseline", mode]))["modes"][-1]
    assert mine["env"] == {"OMP_PROC_BIND": "true"}


def test_the_commands_of_a_report_have_the_settings_of_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "my settings.yaml", "/elsewhere/b.yaml", "config.yaml"]
    config = {"rounds": 2, "photos": "/home/me/val2017", "again": True, "modes": ["a", "b"]}
    command = command_with(options(files, config))
    given = "--configfile 'my settings.yaml' b.yaml --config"
    modes = """'modes=["a", "b"]'"""
    assert command() == f"snakemake --cores 1 {given} rounds=2 photos=val2017 {modes}"
    assert command("bundle").startswith("snakemake --cores 1 bundle --configfile")
    assert command(rounds=9).endswith(f"{given} photos=val2017 {modes} rounds=9")
    assert command_with(options(["config.yaml"], {}))() == "snakemake --cores 1"
    inside = {"photos": "mine/photos", "annotations": str(tmp_path / "mine/a.json")}
    assert options(["../up.yaml"], inside) == [
        "--configfile", "up.yaml", "--config", "photos=mine/photos", "annotations=mine/a.json",
    ]  # fmt: skip
    assert options([], {"photos": "shipped"}) == ["--config", "photos=shipped"]
    assert command_with([])(load="quick") == "snakemake --cores 1 --config load=quick"


def test_the_twin_follows_its_baseline():
    names = [mode["name"] for mode in resolve({})["modes"]]
    assert names[:3] == ["baseline", "baseline-twin", "baseline-malloc"]
    assert "baseline-twin" not in [m["name"] for m in resolve({"twin": False})["modes"]]


def test_all_is_every_mode_that_is_shipped():
    named = resolve(config(modes=list(yaml.safe_load(MODES.read_text()))))
    assert resolve(config(modes="all")) == named


def test_modes_share_an_export_that_serves_both():
    modes = {mode["name"]: export_of(mode, "cpu") for mode in resolve(config(modes="all"))["modes"]}
    assert modes["baseline"] is None
    assert modes["openvino-bf16"] == modes["openvino-bf16-parallel"]
    assert modes["openvino-bf16"]["name"] == "openvino-cpu-bf16-rewritten"
