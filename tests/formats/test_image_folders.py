"""Images of a folder by their names, for those who have images only."""

from __future__ import annotations

import pytest
from small_sets import picture, save

from maskwright.core import DataError
from maskwright.formats.folders import find_images


def test_every_image_is_found_by_its_name(tmp_path):
    for name in ("b.png", "a.png", "deep/a.jpg", ".hidden.png"):
        save(tmp_path / name, picture(0))
    (tmp_path / "notes.txt").write_text("no image")
    found = find_images(tmp_path)
    assert list(found) == ["a", "b", "deep/a"]
    assert found["deep/a"] == tmp_path / "deep/a.jpg"


def test_two_images_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "b.png", "b.jpg"):
        save(tmp_path / name, picture(0))
    with pytest.raises(DataError, match=r"b\.(png|jpg)"):
        find_images(tmp_path)
