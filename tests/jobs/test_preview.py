"""The sheet holds the chosen samples, the same ones for the same seed."""

from __future__ import annotations

import pytest
from PIL import Image
from small_sets import dataset

from maskwright.core import DataError
from maskwright.jobs import contact_sheet


def test_the_seed_chooses_and_all_are_shown_where_there_are_fewer(tmp_path):
    many = dataset(train=6, val=3)
    first = contact_sheet(many, tmp_path / "a.png", count=4, seed=1)
    assert len(set(first)) == 4
    assert first == contact_sheet(many, tmp_path / "b.png", count=4, seed=1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    others = {contact_sheet(many, tmp_path / "c.png", count=4, seed=s) for s in range(2, 5)}
    assert others != {first}
    everything = contact_sheet(many, tmp_path / "d.jpg", count=100)
    assert len(everything) == 9
    assert contact_sheet(many, tmp_path / "e.png", splits=["val"]) == everything[6:]
    with Image.open(tmp_path / "d.jpg") as sheet:
        assert sheet.width > 3 * 320


def test_what_can_not_be_drawn_is_refused(tmp_path):
    with pytest.raises(DataError, match="splits test"):
        contact_sheet(dataset(train=1), tmp_path / "a.png", splits=["test"])
    with pytest.raises(DataError, match="count 0"):
        contact_sheet(dataset(train=1), tmp_path / "a.png", count=0)
