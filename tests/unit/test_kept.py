"""Answers of an accuracy pass: none is lost or taken for another mode's, whenever it ends."""

import numpy as np
import pytest

from effdet_bench import layout
from effdet_bench.accuracy import kept as module
from effdet_bench.accuracy.kept import KeptAnswers, Remaining, contents, read_tables
from effdet_bench.errors import BenchError
from helpers import SHIPPED

MODELS = ["d0", "d1"]
RESULT = {"outcome": "completed", "photos": 3}


def tables_of(*tables: np.ndarray) -> bytes:
    """As an instance sends them."""
    return b"".join(table.tobytes() for table in tables)


def table(seed: int, rows: int = 3) -> np.ndarray:
    """Detections as engines return them: the best first, then rows of zeros."""
    generator = np.random.default_rng(seed)
    found = generator.uniform(0, 500, (rows, 6)).astype(np.float32)
    found[:, 4:] = np.column_stack([np.sort(generator.random(rows))[::-1], np.arange(rows) + 1])
    return np.concatenate([found, np.zeros((5, 6), np.float32)])


def answer(kept: KeptAnswers, *photos: int) -> None:
    for number in photos:
        kept.add(f"{number}.jpg", tables_of(table(number), table(100 + number)))


def test_what_was_kept_is_read_again_bit_for_bit(tmp_path):
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    answer(kept, 2, 0, 1)
    kept.finish(RESULT)
    tables = read_tables(tmp_path, MODELS)
    assert list(tables["d0"]) == ["0.jpg", "1.jpg", "2.jpg"]
    for number in range(3):
        np.testing.assert_array_equal(tables["d0"][f"{number}.jpg"], table(number)[:3])
        np.testing.assert_array_equal(tables["d1"][f"{number}.jpg"], table(100 + number)[:3])
    shown = sorted(path.name for path in tmp_path.glob("[!.]*"))
    assert shown == ["d0.csv.gz", "d1.csv.gz"]


def test_a_finished_pass_is_known_until_what_it_depends_on_changes(tmp_path):
    """As after a kill before Snakemake noted the end."""
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    answer(kept, 0, 1)
    assert kept.result is None
    kept.finish(RESULT)
    again = KeptAnswers(tmp_path, MODELS, "a mode")
    assert again.answered == {"0.jpg", "1.jpg"}
    assert again.result == RESULT
    assert KeptAnswers(tmp_path, MODELS, "the mode, edited").answered == set()
    forgotten = KeptAnswers(tmp_path, MODELS, "a mode")
    assert forgotten.answered == set(), "its mark is gone"
    assert forgotten.result is None


def test_tables_of_an_old_mode_are_not_taken_for_those_of_a_new_one(tmp_path):
    """As after a full disk, which leaves the folder of the parts empty."""
    old = KeptAnswers(tmp_path, MODELS, "a mode")
    answer(old, 0)
    old.finish(RESULT)
    new = KeptAnswers(tmp_path, MODELS, "the mode, edited")
    new._parts.mkdir()
    assert KeptAnswers(tmp_path, MODELS, "the mode, edited").answered == set()


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_kill_while_parts_are_deleted_loses_nothing(tmp_path, gone):
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    for number in range(4):
        answer(kept, number)
        kept.save()
    parts = {path: path.read_bytes() for path in kept._files()}
    kept.finish(RESULT)
    for path in list(parts)[gone:]:
        path.write_bytes(parts[path])
    again = KeptAnswers(tmp_path, MODELS, "a mode")
    assert again.answered == {f"{number}.jpg" for number in range(4)}
    assert again.result == RESULT


def test_a_broken_part_is_answered_again(tmp_path):
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    for number in range(3):
        answer(kept, number)
        kept.save()
    first, second, _ = kept._files()
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:30])
    again = KeptAnswers(tmp_path, MODELS, "a mode")
    assert again.answered == {"2.jpg"}
    answer(again, 0, 1)
    again.finish(RESULT)
    assert list(read_tables(tmp_path, MODELS)["d1"]) == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize("broken", [None, b"", b"no gzip", "cut"])
def test_a_broken_table_is_told_with_its_remedy(tmp_path, broken):
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    answer(kept, 0, 1, 2)
    kept.finish(RESULT)
    path = layout.pass_table(tmp_path, "d1")
    if broken is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if broken == "cut" else broken)
    with pytest.raises(BenchError, match="delete this folder and run again"):
        read_tables(tmp_path, MODELS)


def test_a_photo_without_detections_is_answered_too(tmp_path):
    kept = KeptAnswers(tmp_path, MODELS, "a mode")
    kept.add('a "b", c.jpg', tables_of(table(1), table(2)))
    kept.add("empty.jpg", tables_of(table(0, rows=0), table(1, rows=0)))
    kept.save()
    assert KeptAnswers(tmp_path, MODELS, "a mode").answered == {"empty.jpg", 'a "b", c.jpg'}
    kept.finish(RESULT)
    (row,) = read_tables(tmp_path, MODELS)["d0"]["empty.jpg"]
    assert not row.any()


def test_a_pass_goes_on_after_a_kill(tmp_path):
    """It loses what was not kept yet. The files are the same as those of a pass without a kill."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    first = KeptAnswers(killed, MODELS, "a mode")
    answer(first, 3, 1)
    first.save()
    answer(first, 2)  # and the process is gone
    second = KeptAnswers(killed, MODELS, "a mode")
    assert second.answered == {"3.jpg", "1.jpg"}
    answer(second, 0, 2)
    second.finish(RESULT)
    uninterrupted = KeptAnswers(whole, MODELS, "a mode")
    answer(uninterrupted, 0, 1, 2, 3)
    uninterrupted.finish(RESULT)
    for model in MODELS:
        files = [layout.pass_table(folder, model).read_bytes() for folder in (killed, whole)]
        assert files[0] == files[1]


def test_a_part_is_written_when_it_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0)
    answer(KeptAnswers(tmp_path, MODELS, "a mode"), 0, 1)
    assert KeptAnswers(tmp_path, MODELS, "a mode").answered == {"0.jpg", "1.jpg"}


def test_answers_of_another_code_or_checkpoint_do_not_count(tmp_path):
    old = KeptAnswers(tmp_path, MODELS, "a mode")
    answer(old, 0)
    old.save()
    new = KeptAnswers(tmp_path, MODELS, "the mode, edited")
    assert new.answered == set()
    answer(new, 1)
    new.finish(RESULT)
    assert list(read_tables(tmp_path, MODELS)["d0"]) == ["1.jpg"]
    assert not list(tmp_path.glob(f"{layout.PARTS}*/*.csv.gz"))


def test_a_photo_that_was_changed_is_refused():
    name = "000000005001.jpg"
    for photo in (name, "gone.jpg"):
        with pytest.raises(BenchError, match=f"{photo} was changed or removed while the run"):
            list(contents([{"file": photo, "sha256": "0" * 64}], SHIPPED))


def test_the_time_left_is_that_of_the_photos_that_remain(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    remaining = Remaining("cpu mine", 40, 100)
    now[0] += 2
    remaining.tell(41)
    assert capsys.readouterr().err == "[41%] cpu mine: 41 of 100 photos\n"
    now[0] += 18
    remaining.tell(50)  # ten in 20 s
    assert capsys.readouterr().err == "[50%] cpu mine: 50 of 100 photos, 100 s left\n"
    remaining.tell(51)
    assert capsys.readouterr().err == "", "less than a second later"
    remaining.tell(100)
    assert "[100%] cpu mine: 100 of 100 photos" in capsys.readouterr().err
