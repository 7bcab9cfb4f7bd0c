"""Scores as a line, as a notebook shows them, as pandas and as JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import small_sets

import maskwright.jobs as jobs
from maskwright.core import Classes, Label, Sample, Segmentation
from maskwright.core.errors import ConfigError

CLASSES = small_sets.CLASSES


def scored(classes=CLASSES, tasks=frozenset({"semantic"}), labels=False):
    """Of random maps against random truths, and of labels, where they are wanted."""
    samples = []
    for seed in range(4):
        size = (24, 32)
        samples.append(
            Sample(
                name=f"im{seed}",
                image=small_sets.picture(seed),
                truth_of=Segmentation(
                    size=size,
                    classes=classes,
                    semantic=small_sets.ids(seed),
                    labels=(Label(class_id=seed % 2),) if labels else None,
                ),
                tasks=tasks,
            )
        )

    def find(sample, size):
        seed = 50 + int(sample.name[2:])
        told = tuple(Label(class_id=k, score=0.1 + 0.2 * k) for k in range(3)) if labels else None
        return Segmentation(
            size=size, classes=classes, semantic=small_sets.ids(seed) % 3, labels=told
        )

    return jobs.score(samples, find, classes, tasks=tasks)


def test_a_line_tells_the_headline():
    scores = scored()
    head = scores.headline()
    assert repr(scores) == f"Scores(mIoU {head.value:.3f}, 3 classes, 4 images)"


def test_a_row_a_class_as_the_scorer_counts_it():
    pandas = pytest.importorskip("pandas")
    scores = scored()
    table = scores.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.index) == list(CLASSES.names)
    areas = scores.maps.areas
    np.testing.assert_array_equal(table["IoU"], areas.iou)
    assert table["Precision"].between(0, 1).all()
    assert table["Pixels"].sum() == pytest.approx(1.0)


def test_columns_of_several_tasks_have_their_names():
    pytest.importorskip("pandas")
    scores = scored(tasks=frozenset({"semantic", "labels"}), labels=True)
    table = scores.to_pandas()
    assert {"maps IoU", "labels AP"} <= set(table.columns)
    given = scores.of_classes()
    assert table["maps IoU"].to_dict() == given
    assert repr(scores).startswith("Scores(mean of mIoU, mAP ")


def test_pandas_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        scored().to_pandas()


def test_json_is_the_plain_data():
    scores = scored()
    assert json.loads(scores.to_json()) == json.loads(json.dumps(scores.to_dict()))


def test_a_notebook_shows_headline_interval_and_classes():
    evil = Classes.of(["grass", "<script>alert(1)</script>", "ball"])
    scores = scored(evil)
    shown = scores._repr_html_()
    sure = scores.headline_interval()
    assert f"{scores.headline().value:.3f}" in shown
    assert f"95 % interval {sure.low:.3f} to {sure.high:.3f}" in shown
    for value in scores.maps.areas.iou:
        assert f"{value:.3f}" in shown
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
