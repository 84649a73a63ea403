"""Mistakes of users, made through Snakemake: one clear sentence and no traceback."""

import subprocess

import pytest

from effdet_bench.facts.machine import default_name
from helpers import ROOT, SHIPPED, Workspace


def refused(workspace: Workspace, *args: str) -> str:
    done = workspace.snakemake(*args)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert not (workspace.path / "results").exists()
    return done.stdout


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("requets=5", "config: unknown key 'requets' (did you mean 'requests'?)"),
        ("photos=nowhere", "config: photos is 'nowhere', but there is no such folder."),
        ("threads=999", "config: threads is 999, but this process may use"),
        ("ablation=[openvinno]", "ablation[0] is 'openvinno', but no mode has that name (did you"),
        ("weights_folder=nowhere", "config: weights_folder is 'nowhere', but there is no such"),
    ],
)
def test_a_bad_setting(workspace, setting, sentence):
    """A mistake of each place that looks for them; `test_config` has all others."""
    assert sentence in refused(workspace, "--config", setting)


def test_settings_that_are_not_there(workspace):
    """Snakemake alone would end with a traceback."""
    given = ["make", "--dry-run", "report", "SETTINGS=smoke.yaml nowhere.yaml"]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "SETTINGS names nowhere.yaml, but there is no such file" in done.stderr


def test_a_profile_that_is_not_there_times_no_login_node(workspace):
    """Snakemake ignores it, and takes the Snakefile of a machine."""
    said = refused(workspace, "--workflow-profile", "workflow/profiles/slrm", "cluster")
    assert "No rule to produce cluster" in said


def test_load_without_its_package(workspace):
    (workspace.path / "workflow" / "mlperf_loadgen.py").write_text("raise ImportError\n")
    said = refused(workspace, "-n", "--config", "load=quick")
    assert "load needs the package mlcommons-loadgen, which is not installed: run `pip" in said


def test_a_cluster_without_machine_types(workspace):
    said = refused(workspace, "--snakefile", "workflow/cluster.smk")
    assert "cluster names no machine type to time" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rounds: 3\n", "smoke.yaml has the key 'rounds' twice, in line"),
        ("cluster: [{name: a, partition: x, name: b}]\n", "the key 'name' twice"),
        # ten lines that are ten thousand million settings
        ("".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'lol'] * 9)}]\n"
                 for n in range(10)), "has the alias *a0 in line"),
        ("devices:\n\t- cpu\n", "whitespace and tab indentation"),
    ],
    ids=["a key twice", "in a mode", "a bomb", "a tab"],
)  # fmt: skip
def test_a_file_of_settings_that_means_something_else(workspace, text, sentence):
    workspace.append("smoke.yaml", text)
    assert sentence in refused(workspace, "-n")


def test_a_bad_mode(workspace):
    workspace.set("modes: [{name: fast, engine: egaer}]")
    sentence = (
        "modes[0].engine is 'egaer', but must be one of compile, coreml, eager, executorch, graph, "
        "grouped, mnn, no_network, onnxruntime, openvino, tensorrt, vmap (did you mean 'eager'?)"
    )
    assert sentence in refused(workspace)


def test_a_device_without_a_mode(workspace):
    workspace.set("{devices: [cuda], modes: [openvino]}")
    assert "none of the modes (openvino) is for cuda: add one that is" in refused(workspace)


def test_an_engine_that_cannot_be_planned_with_is_named(workspace):
    (workspace.package / "engines" / "mine.py").write_text("OPTIONS = {1: 2}\ndef load(*_): ...\n")
    workspace.set("modes: [{name: fast, engine: mine}]")
    assert "engines/mine.py: OPTIONS is {1: 2}, but must be a dictionary of lists" in refused(
        workspace
    )


def test_an_archive_of_another_machine_is_not_replaced(workspace):
    """A name of the user's is refused, the automatic one gets a suffix."""
    another = workspace.path / "results" / "smoke"
    another.mkdir(parents=True)
    (another / "environment.json").write_text('{"cpu": "Another", "fingerprint": {"cores": 99}}')
    done = workspace.snakemake("--dry-run")
    assert done.returncode != 0
    sentence = "config: machine is 'smoke', but results/smoke holds the results of another machine"
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout

    name = default_name()
    another.rename(another.with_name(name))
    done = workspace.snakemake("--dry-run", "--config", "machine=auto")
    assert done.returncode == 0, done.stdout
    assert f"this run writes to results/{name}-2" in done.stdout
    planned = workspace.planned("--config", "machine=auto")
    assert f"report results/{name}-2/report.md" in planned


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["pack"], "this folder has no results of a latest run: give results/<machine>."),
        (["audit", "results/smoke"], "results/smoke is not a folder: give results/<machine>."),
        (["import", "mine.zip"], "mine.zip cannot be read as an archive"),
        (["compare"], "results/ holds no archive to compare: run `snakemake --cores 1` first."),
        (["compare", "old.zip"], "old.zip is one run: give the run to compare it with, too."),
        (["compare", "old.zip", "new.zip"], "old.zip"),
    ],
)
def test_an_archive_that_is_not_there(workspace, asked, sentence):
    done = workspace.effdet_bench(*asked)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert sentence in done.stdout
    assert not workspace.results.exists()


def test_annotations_of_other_photos_are_refused_before_any_timing(workspace):
    content = '{"images": [], "annotations": [], "categories": []}'
    (workspace.path / "instances.json").write_text(content)
    done = workspace.snakemake("--config", "annotations=instances.json", "weights=synthetic")
    assert done.returncode != 0
    assert "lacks the photo 000000005001.jpg (8 of 8 are missing)" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.results / "timing").exists()


def test_a_broken_photo_is_named_before_any_timing(workspace):
    folder = workspace.path / "mine"
    folder.mkdir()
    shipped = SHIPPED / "000000005001.jpg"
    (folder / "cut.jpg").write_bytes(shipped.read_bytes()[:5000])
    done = workspace.snakemake("--config", "photos=mine", "weights=synthetic")
    assert done.returncode != 0
    assert "cut.jpg is broken or no JPEG file" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.results / "timing").exists()


def test_a_wrong_checkpoint_is_an_error_and_no_reason_to_fall_back(workspace):
    folder = workspace.path / "checkpoints"
    folder.mkdir()
    (folder / "tf_efficientdet_d0_34-f153e0cf.pth").write_bytes(b"wrong")
    done = workspace.snakemake("--config", "ensemble=[tf_efficientdet_d0]", "weights=auto")
    assert done.returncode != 0
    assert "tf_efficientdet_d0_34-f153e0cf.pth has 5 bytes instead of 15839413" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.path / "checkpoints" / "synthetic").exists()


def test_without_network_the_fallback_is_announced(workspace):
    mirror = "mirror=https://no-such-host.invalid/"
    setting = ("--config", mirror, "ensemble=[tf_efficientdet_d0]", "weights=auto")
    done = workspace.snakemake("--dry-run", *setting)
    assert "SYNTHETIC WEIGHTS for tf_efficientdet_d0" in done.stdout
    assert "https://no-such-host.invalid/ could not be reached" in done.stdout
    assert "download_checkpoint" not in done.stdout


def test_release_weights_without_network_fail_in_one_sentence(workspace):
    workspace.replace("checkpoints/download.py", "WAIT_SECONDS = 1.0", "WAIT_SECONDS = 0.0")
    setting = ("mirror=https://no-such-host.invalid/", "ensemble=[tf_efficientdet_d0]")
    done = workspace.snakemake("checkpoints", "--config", *setting, "weights=release")
    assert done.returncode != 0
    assert "could not be downloaded in 5 attempts" in done.stdout
    assert "Traceback" not in done.stdout


def test_accuracy_without_annotations_or_trained_weights_is_refused(workspace):
    said = refused(workspace, "--config", "accuracy=on")
    assert "config: accuracy is on, but annotations is null: give the COCO instances file" in said
    (workspace.path / "instances.json").write_text("{}")
    said = refused(workspace, "--config", "accuracy=on", "annotations=instances.json")
    assert "config: accuracy is on, but all models have synthetic weights" in said
