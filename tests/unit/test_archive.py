"""Archives: a manifest that sees every change, and files that come back as they were packed."""

import errno
import hashlib
import random
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from archive import render_archive, write_archive
from effdet_bench.__main__ import main
from effdet_bench.archive.manifest import check_manifest, files_of, write_manifest
from effdet_bench.archive.pack import pack
from effdet_bench.archive.unpack import unpack
from effdet_bench.errors import BenchError
from effdet_bench.layout import Archive


@pytest.fixture
def results(tmp_path):
    latencies = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    made = write_archive(tmp_path / "results" / "test", {("cpu", "baseline", 1): latencies})
    render_archive(made)
    (made / "logs").mkdir()
    (made / "logs" / "timing.log").write_text("not of the archive")
    (made / "figures" / "speedup.png").write_text("not either")
    write_manifest(Archive(made))
    return made


def test_a_manifest_is_of_every_file_but_logs_and_png(results):
    lines = (results / "MANIFEST.sha256").read_text().splitlines()
    names = [line.split("  ", 1)[1] for line in lines]
    assert names == files_of(Archive(results))
    assert {"report.md", "report.html", "summary.json", "settings.json"} <= set(names)
    assert "timing/cpu/baseline/round-1/requests.csv" in names
    assert not any(name.startswith("logs/") or name.endswith(".png") for name in names)
    assert check_manifest(Archive(results)) == []


def test_a_manifest_sees_what_is_changed_missing_or_added(results):
    (results / "photos.json").write_text("{}")
    (results / "report.md").unlink()
    (results / "more.txt").write_text("more")
    assert check_manifest(Archive(results)) == [
        "report.md is in the manifest, but missing",
        "more.txt is not in the manifest",
        "photos.json is not what the manifest says: it was changed",
    ]


def test_the_same_files_give_the_same_archive_and_come_back(results, tmp_path):
    first, second = (
        pack(Archive(results), tmp_path / name).read_bytes() for name in ("one", "two")
    )
    assert first == second
    packed = next((tmp_path / "one").glob("*.zip"))
    assert packed.name == "test-2026-01-02T030401Z.zip"
    came = unpack(packed, tmp_path / "elsewhere")
    assert came == tmp_path / "elsewhere" / "test"
    assert [(came / name).read_bytes() for name in files_of(Archive(results))] == [
        (results / name).read_bytes() for name in files_of(Archive(results))
    ]
    assert unpack(packed, tmp_path / "elsewhere") == came, "a second time changes nothing"


def test_an_archive_is_packed_from_within_and_by_a_name_that_can_come_back(
    results, tmp_path, monkeypatch
):
    monkeypatch.chdir(results)
    assert pack(Archive(Path()), tmp_path / "one").name.startswith("test-2026")
    renamed = results.rename(results.with_name("Old-x"))
    with pytest.raises(BenchError, match=r"Old-x has a name .* rename the folder"):
        pack(Archive(renamed), tmp_path)


def test_a_copy_of_a_round_that_was_set_aside_is_no_round(results):
    archive = Archive(results)
    round_1 = archive.job("cpu", "baseline", 1)
    for name in ("round-1.old", "round-7 (copy)"):
        shutil.copytree(round_1, round_1.with_name(name))
    assert archive.rounds("cpu", "baseline") == [1]
    assert archive.last_round("cpu") == 1
    assert [*archive.job_records()] == [round_1 / "job.json"]


def test_a_changed_archive_is_not_packed(results, tmp_path):
    (results / "photos.json").write_text("{}")
    with pytest.raises(BenchError, match=r"photos\.json is not what the manifest says"):
        pack(Archive(results), tmp_path)


def test_other_results_are_not_replaced(results, tmp_path):
    packed = pack(Archive(results), tmp_path)
    (results / "photos.json").write_text("{}")
    write_manifest(Archive(results))
    with pytest.raises(BenchError, match="holds other results than"):
        unpack(packed, results.parent)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["../evil.txt"], "no archive of one machine"),
        (["a/../../evil.txt"], "no archive of one machine"),
        (["/etc/evil.txt"], "no archive of one machine"),
        (["<b>a</b>/x"], "no archive of one machine"),
        ([".snakemake/x"], "no archive of one machine"),
        ([], "no archive of one machine"),
        (["a/x", "b/y"], "no archive of one machine"),
        (["a/x"], "wrong.zip holds no MANIFEST.sha256"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, names, words):
    with zipfile.ZipFile(tmp_path / "wrong.zip", "w") as out:
        for name in names:
            out.writestr(name, "text")
    with pytest.raises(BenchError, match=words):
        unpack(tmp_path / "wrong.zip", tmp_path)
    assert not (tmp_path / "a").exists()


def test_a_link_out_of_an_archive_is_unpacked_as_the_text_that_it_is(tmp_path):
    link = zipfile.ZipInfo("a/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
        digest = hashlib.sha256(b"/etc/passwd").hexdigest()
        out.writestr("a/MANIFEST.sha256", f"{digest}  link\n")
    unpack(tmp_path / "a.zip", tmp_path)
    assert not (tmp_path / "a" / "link").is_symlink()


def test_what_would_fill_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("effdet_bench.archive.unpack.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/zeros", bytes(1001))
    with pytest.raises(BenchError, match="more than any archive of effdet-bench"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_manifest_that_lies_is_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("a/x", "text")
        out.writestr("a/MANIFEST.sha256", f"{'0' * 64}  x\n{'0' * 64}  ../../etc/passwd\n")
    with pytest.raises(BenchError, match="is damaged"):
        unpack(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"no zip"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BenchError, match="cannot be read as an archive"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_a_damaged_archive_is_refused(results, tmp_path):
    packed = pack(Archive(results), tmp_path)
    with zipfile.ZipFile(packed) as whole:
        entries = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(packed, "w") as out:
        for name, data in entries.items():
            out.writestr(name, data.replace(b"0", b"1", 1) if name.endswith(".csv") else data)
    with pytest.raises(BenchError, match="is damaged"):
        unpack(packed, tmp_path)


def test_any_damage_of_a_zip_ends_in_one_sentence_that_names_the_file(results, tmp_path):
    packed = pack(Archive(results), tmp_path)
    whole, generator = packed.read_bytes(), random.Random(0)
    refused = 0
    for number in range(200):
        damaged = bytearray(whole)
        for _ in range(generator.choice((1, 20))):
            # the directory of a .zip is its end
            start = generator.choice((0, len(whole) - 2000))
            damaged[generator.randrange(start, len(whole))] = generator.randrange(256)
        packed.write_bytes(damaged[: generator.choice((len(whole), len(whole) - 100))])
        try:
            unpack(packed, tmp_path / str(number))
        except BenchError as error:
            refused += 1
            assert str(packed) in str(error)
            assert "/tmp" not in str(error).replace(str(tmp_path), "")
    assert refused > 150


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr("a/MANIFEST.sha256", b"\xff\xfe")
    with pytest.raises(BenchError, match=r"a\.zip is damaged: its MANIFEST\.sha256 is not a list"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_a_full_disk_is_not_taken_for_a_damaged_archive(results, tmp_path, monkeypatch):
    packed = pack(Archive(results), tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(SystemExit, match="No space left on device: free some space"):
        main(["import", str(packed)])


def test_a_reader_that_ends_early_ends_a_command_in_silence(results):
    command = [sys.executable, "-m", "effdet_bench", "recommend", str(results)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_what_is_rendered_anew_is_in_the_manifest_and_raw_data_that_differ_still_do(results):
    requests = results / "timing/cpu/baseline/round-1/requests.csv"
    requests.write_text(requests.read_text().replace("1000000000", "1000000001"))
    main(["render", str(results)])
    assert check_manifest(Archive(results)) == [
        "timing/cpu/baseline/round-1/requests.csv is not what the manifest says: it was changed"
    ]


def test_a_newer_version_is_refused_in_one_sentence(results):
    path = results / "photos.json"
    path.write_text(re.sub(r'"schema_version": \d', '"schema_version": 9', path.read_text()))
    with pytest.raises(SystemExit, match=r"does not follow the photos schema, version 6"):
        main(["render", str(results)])
