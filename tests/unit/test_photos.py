"""Photos that cannot be used are refused by name."""

import pytest
from PIL import Image

from effdet_bench.errors import BenchError
from effdet_bench.facts.photos import describe_photos, list_photos
from helpers import SHIPPED


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jpg", b"", "broken or no JPEG"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", "broken or no JPEG"),
        ("a.txt", b"", "without any JPEG file"),
    ],
)
def test_photos_that_cannot_be_used_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=words) as caught:
        describe_photos(list_photos(tmp_path))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["line\nbreak.jpg", "wild{card}.jpg", "bell\a.jpg"])
def test_a_name_that_snakemake_would_read_otherwise_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(BenchError, match="rename it"):
        list_photos(tmp_path)


def test_a_photo_that_is_a_bomb_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "a.jpg").write_bytes(next(SHIPPED.glob("*.jpg")).read_bytes())
    with pytest.raises(BenchError, match=r"a\.jpg is broken or no JPEG file \(Image size"):
        describe_photos(list_photos(tmp_path))


def test_a_photo_of_100_megapixels_is_one_like_any_other(tmp_path):
    Image.new("L", (12_500, 8_000)).save(tmp_path / "a.jpg")
    assert describe_photos(list_photos(tmp_path))[0]["width"] == 12_500


def test_a_truncated_photo_is_named(tmp_path):
    whole = next(SHIPPED.glob("*.jpg")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=r"cut\.jpg is broken"):
        describe_photos(list_photos(tmp_path))
