"""Results over time: every archive has its place, and a step is found where it is."""

import json
import random
import shutil
from pathlib import Path

import pytest

from archive import summarise_archive, write_archive
from effdet_bench.__main__ import main
from effdet_bench.archive.manifest import write_manifest
from effdet_bench.archive.pack import pack
from effdet_bench.layout import Archive

COUNT, AT = 12, 7  # archives, and the first one after the step


def make(
    folder: Path,
    number: int,
    name: str = "test",
    fused_ms: float = 50,
    verdicts: dict[str, str] | None = None,
    timed: tuple[str, ...] = ("baseline", "fused", "steady"),
) -> Path:
    """The archive of a machine whose speed drifts, measured on day `number` of a month.

    The modes that were not `timed` keep rounds of the first day. `verdicts` are those of modes that
    are not valid.
    """
    generator = random.Random(number)
    machine = generator.uniform(0.8, 1.2)
    jobs = {}
    for count in (1, 2, 3):
        for mode, ms in (("baseline", 100), ("fused", fused_ms), ("steady", 40)):
            noisy = [round(generator.gauss(1, 0.01) * machine * ms * 1e6) for _ in range(13)]
            jobs["cpu", mode, count] = {"latencies_ns": noisy, "stages_ns": [10**6] * 7}
            if mode in (verdicts or {}):
                jobs["cpu", mode, count]["verdict"] = verdicts[mode]
    made = write_archive(folder / name, jobs)
    for job in made.glob("timing/*/*/*/job.json"):
        record = json.loads(job.read_text()) | {"machine": name}
        day = number + 1 if record["mode"] in timed else 1
        record["started"] = f"2026-01-{day:02}T06:00:00.000+00:00"
        record["code"] = {"commit": f"{number:07x}", "changed": False, "harness": "1"}
        job.write_text(json.dumps(record | {"code": {**record["code"], "engine": "2"}}))
    summarise_archive(made)
    return made


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """Zip files of twelve archives; `fused` is 10 % slower from the eighth on."""
    folder = tmp_path_factory.mktemp("archives")
    for number in range(COUNT):
        made = make(folder / "one", number, fused_ms=50 if number < AT else 55)
        write_manifest(Archive(made))
        pack(Archive(made), folder / "packed")
        shutil.rmtree(made)
    return folder / "packed"


def test_zip_files_sort_by_time_and_none_is_overwritten(packed, tmp_path):
    names = sorted(path.name for path in packed.iterdir() if path.suffix == ".zip")
    assert len(names) == COUNT
    assert names[0] == "test-2026-01-01T060000Z.zip"
    assert names[-1] == "test-2026-01-12T060000Z.zip"
    made = Archive(make(tmp_path, 0))
    write_manifest(made)
    first = pack(made, tmp_path / "packed")
    assert pack(made, tmp_path / "packed") == first, "the same files, the same zip file"
    (made.root / "more.md").write_text("a report of other templates")
    write_manifest(made)
    again = pack(made, tmp_path / "packed")
    assert again.name == "test-2026-01-01T060000Z-2.zip"
    assert first.read_bytes() != again.read_bytes()


def test_a_step_is_found_at_its_place_and_drift_is_none(packed, capsys):
    main(["history", str(packed)])
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith("Archives: 12. Steps: 1. ")
    assert told[0].startswith("STEP CPU fused: 0.9")
    assert told[0].endswith("between 2026-01-07 06:00 0000006 and 2026-01-08 06:00 0000007")
    text = (packed / "history.md").read_text()
    assert "| **CPU fused** | 0.9" in text
    assert "commit 0000007 in place of 0000006" in text
    page = (packed / "history.html").read_text()
    assert "data:image/svg+xml" in page
    assert "CPU steady: times as fast as baseline" in (packed / "history.svg").read_text()


def test_tools_read_a_line_for_each_archive(packed):
    main(["history", str(packed)])
    lines = [json.loads(line) for line in (packed / "history.jsonl").read_text().splitlines()]
    assert [line["commit"] for line in lines] == [f"{number:07x}" for number in range(COUNT)]
    benchmarks = lines[-1]["benchmarks"]
    assert list(benchmarks) == ["cpu/baseline", "cpu/fused", "cpu/steady"]
    ratio = benchmarks["cpu/steady"]["ratio"]
    assert ratio["lower_value"] < ratio["value"] < ratio["upper_value"]
    assert 2.4 < ratio["value"] < 2.6
    assert 3e7 < benchmarks["cpu/steady"]["latency"]["value"] < 6e7


def test_what_cannot_be_compared_is_left_out_with_the_reason(tmp_path):
    for number in range(3):
        made = make(tmp_path, number, "test")
        if number == 0:
            for job in made.glob("timing/*/*/*/job.json"):
                job.write_text(job.read_text().replace("0" * 64, "1" * 64))
            summarise_archive(made)
        made.rename(tmp_path / f"run-{number}")
    main(["history", str(tmp_path)])
    text = (tmp_path / "history.md").read_text()
    assert text.startswith("# test over time\n\n2 archives")
    assert "| 2026-01-01 06:00 0000000 | other weights" in text


def test_an_archive_of_which_some_modes_alone_were_timed_again_comes_last(tmp_path, capsys):
    """As after a change of one engine: `baseline` keeps its rounds for other modes."""
    for number in range(3):
        made = make(tmp_path / "one", number, timed=("fused",))
        write_manifest(Archive(made))
        pack(Archive(made), tmp_path / "packed")
        shutil.rmtree(made)
    names = sorted(path.name for path in (tmp_path / "packed").iterdir())
    assert names == [f"test-2026-01-0{day}T060000Z.zip" for day in (1, 2, 3)]
    main(["history", str(tmp_path / "packed")])
    assert capsys.readouterr().out.startswith("Archives: 3. Steps: 0.")


def test_archives_without_a_valid_baseline_make_no_step(tmp_path, capsys):
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(COUNT):
        odd = {"baseline": "invalid"} if number in (4, 5) else None
        make(tmp_path, number, verdicts=odd).rename(folder / f"run-{number}")
    main(["history", str(folder)])
    assert "Steps: 0." in capsys.readouterr().out


def test_without_a_valid_mode_there_is_nothing_to_show(tmp_path):
    make(tmp_path, 0, verdicts=dict.fromkeys(("baseline", "fused", "steady"), "invalid"))
    with pytest.raises(SystemExit, match="no archive of test has a valid mode to show over time"):
        main(["history", str(tmp_path)])


@pytest.mark.parametrize(
    ("names", "words"),
    [((), "holds no archive: give a folder"), (("a", "b"), "archives of a, b: name one of them")],
)
def test_a_folder_of_no_or_of_many_machines_ends_in_a_sentence(tmp_path, names, words):
    for name in names:
        make(tmp_path, 0, name)
    with pytest.raises(SystemExit, match=words):
        main(["history", str(tmp_path)])


def test_the_machine_can_be_named(tmp_path, capsys):
    for number, name in enumerate(("a", "b")):
        make(tmp_path, number, name)
    main(["history", str(tmp_path), "--machine", "b"])
    assert "Archives: 1. Steps: 0." in capsys.readouterr().out


def test_the_comparison_takes_the_latest_archive_of_each_machine(packed, tmp_path):
    folder = tmp_path / "all"
    shutil.copytree(packed, folder)
    made = make(tmp_path / "other", 3, "other")
    write_manifest(Archive(made))
    pack(Archive(made), folder)
    main(["compare", "--results", str(folder)])
    text = (folder / "comparison.md").read_text()
    assert "| **test** | Test Processor, 4 cores | – | Debian (x86_64) | 2026-01-12 |" in text
    assert "| **other** | Test Processor" in text
    assert "CPU `steady`" in text
