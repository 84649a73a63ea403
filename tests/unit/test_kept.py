"""Answers of an accuracy pass: none is lost or taken for another mode's, whenever it ends."""

import numpy as np
import pytest

from effdet_bench import layout
from effdet_bench.accuracy import kept as module
from effdet_bench.accuracy.kept import Kept, Remaining, contents, read_tables
from effdet_bench.errors import BenchError
from helpers import SHIPPED

MODELS = ["d0", "d1"]


def tables_of(*tables: np.ndarray) -> bytes:
    """As an instance sends them."""
    return b"".join(table.tobytes() for table in tables)


def table(seed: int, rows: int = 3) -> np.ndarray:
    """Detections as engines return them: the best first, then rows of zeros."""
    generator = np.random.default_rng(seed)
    found = generator.uniform(0, 500, (rows, 6)).astype(np.float32)
    found[:, 4:] = np.column_stack([np.sort(generator.random(rows))[::-1], np.arange(rows) + 1])
    return np.concatenate([found, np.zeros((5, 6), np.float32)])


def answer(kept: Kept, *photos: int) -> None:
    for number in photos:
        kept.add(f"{number}.jpg", tables_of(table(number), table(100 + number)))


def test_what_was_kept_is_read_again_bit_for_bit(tmp_path):
    kept = Kept(tmp_path, MODELS, "a mode")
    answer(kept, 2, 0, 1)
    kept.finish()
    tables = read_tables(tmp_path, MODELS)
    assert list(tables["d0"]) == ["0.jpg", "1.jpg", "2.jpg"]
    for number in range(3):
        np.testing.assert_array_equal(tables["d0"][f"{number}.jpg"], table(number)[:3])
        np.testing.assert_array_equal(tables["d1"][f"{number}.jpg"], table(100 + number)[:3])
    shown = sorted(path.name for path in tmp_path.glob("[!.]*"))
    assert shown == ["d0.csv.gz", "d1.csv.gz"]


def test_a_finished_pass_is_known_until_what_it_depends_on_changes(tmp_path):
    """As after a kill before Snakemake noted the end."""
    kept = Kept(tmp_path, MODELS, "a mode")
    answer(kept, 0, 1)
    kept.finish()
    before = layout.pass_table(tmp_path, "d1").read_bytes()
    again = Kept(tmp_path, MODELS, "a mode")
    assert again.answered == {"0.jpg", "1.jpg"}
    again.finish()
    assert layout.pass_table(tmp_path, "d1").read_bytes() == before
    assert Kept(tmp_path, MODELS, "the mode, edited").answered == set()
    assert Kept(tmp_path, MODELS, "a mode").answered == set(), "its mark is gone"


def test_a_photo_without_detections_is_answered_too(tmp_path):
    kept = Kept(tmp_path, MODELS, "a mode")
    kept.add('a "b", c.jpg', tables_of(table(1), table(2)))
    kept.add("empty.jpg", tables_of(table(0, rows=0), table(1, rows=0)))
    kept.save()
    assert Kept(tmp_path, MODELS, "a mode").answered == {"empty.jpg", 'a "b", c.jpg'}
    kept.finish()
    (row,) = read_tables(tmp_path, MODELS)["d0"]["empty.jpg"]
    assert not row.any()


def test_a_pass_goes_on_after_a_kill(tmp_path):
    """It loses what was not kept yet. The files are the same as those of a pass without a kill."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    first = Kept(killed, MODELS, "a mode")
    answer(first, 3, 1)
    first.save()
    answer(first, 2)  # and the process is gone
    second = Kept(killed, MODELS, "a mode")
    assert second.answered == {"3.jpg", "1.jpg"}
    answer(second, 0, 2)
    second.finish()
    uninterrupted = Kept(whole, MODELS, "a mode")
    answer(uninterrupted, 0, 1, 2, 3)
    uninterrupted.finish()
    for model in MODELS:
        files = [layout.pass_table(folder, model).read_bytes() for folder in (killed, whole)]
        assert files[0] == files[1]


def test_a_part_is_written_when_it_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0)
    answer(Kept(tmp_path, MODELS, "a mode"), 0, 1)
    assert Kept(tmp_path, MODELS, "a mode").answered == {"0.jpg", "1.jpg"}


def test_answers_of_another_code_or_checkpoint_do_not_count(tmp_path):
    old = Kept(tmp_path, MODELS, "a mode")
    answer(old, 0)
    old.save()
    new = Kept(tmp_path, MODELS, "the mode, edited")
    assert new.answered == set()
    answer(new, 1)
    new.finish()
    assert list(read_tables(tmp_path, MODELS)["d0"]) == ["1.jpg"]
    assert not list(tmp_path.glob(f"{layout.PARTS}*/*"))


def test_a_photo_that_was_changed_is_refused():
    name = "000000005001.jpg"
    with pytest.raises(BenchError, match=f"{name} was changed while the run went on"):
        list(contents([{"file": name, "sha256": "0" * 64}], SHIPPED))


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
