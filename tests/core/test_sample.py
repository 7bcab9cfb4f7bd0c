"""What a data set shows of itself: short, whole, and safe to put on a page."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_sets import CLASSES, dataset

from maskwright.core import Classes, ConfigError, DataError, Dataset, Sample


def test_reprs_are_one_short_line():
    small = dataset(train=300, val=2)
    assert repr(small) == (
        "Dataset('memory', memory, 3 classes: grass, line, ball; images: train 300, val 2; "
        "tasks: boxes, instances, semantic)"
    )
    one = small.splits["val"][1]
    assert repr(one) == "Sample('scene_101', image 24x32, tasks boxes, instances, semantic)"
    assert "image 'a/b.png'" in repr(replace(one, image=Path("a/b.png")))
    many = Classes.of([f"c{i}" for i in range(150)], None, range(9))
    assert repr(many) == "Classes(150: c0, c1, c2, c3, c4, ..., 9 things)"
    assert len(repr(replace(small, classes=many))) < 200
    nothing = Dataset(root=Path("x"), format="x", classes=CLASSES, splits={})
    assert "images: none; tasks: none" in repr(nothing)


def test_a_notebook_shows_counts_classes_and_at_most_four_pictures():
    def faulty():
        raise DataError("damaged")

    small = dataset(train=3, val=9)
    bad = replace(small.splits["val"][0], truth_of=faulty)
    named = Classes.of(["<b>grass", "line", "ball"], CLASSES.colours)
    splits = {**small.splits, "val": (bad, *small.splits["val"][1:])}
    shown = replace(small, splits=splits, classes=named)._repr_html_()
    assert shown.count("<img") == 3  # the fourth can't be read
    assert dataset(train=9)._repr_html_().count("<img") == 4
    assert "<tr><td>val</td><td>9</td><td>9</td>" in shown
    assert "&lt;b&gt;grass" in shown
    assert "<b>grass" not in shown
    assert "background:rgb(10, 120, 20)" in shown


def test_a_table_has_a_row_an_image(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "pandas", SimpleNamespace(DataFrame=lambda r, columns: (r, columns))
    )
    small = dataset(train=1, val=1)
    on_disk = Sample(name="b", image=Path("x/b.png"), truth_of=None, tasks=frozenset({"labels"}))
    rows, columns = replace(small, splits={**small.splits, "test": (on_disk,)}).to_pandas()
    tasks = ["semantic", "instances", "boxes", "panoptic", "labels"]
    assert columns == ["split", "name", "image", *tasks]
    assert rows == [
        ("train", "scene_0", "", True, True, True, False, False),
        ("val", "scene_100", "", True, True, True, False, False),
        ("test", "b", "x/b.png", False, False, False, False, True),
    ]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="run pip install pandas"):
        small.to_pandas()
