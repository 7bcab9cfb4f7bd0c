"""Results -> sections: what is told, in which order, and that it is true."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core import Classes, Segmentation
from maskwright.jobs import MapScorer
from maskwright.metrics import confusion_matrix
from maskwright.report import (
    Example,
    Facts,
    Speed,
    choose_examples,
    circumstances,
    confusion_section,
    example_gallery,
    score_tables,
    settings,
    speed_bars,
)
from maskwright.report.history import POINTS, history_curves
from maskwright.report.results import ERROR

CLASSES = Classes.of(("grass", "line", "ball", "robot"))
SPEEDS = (
    Speed(label="PyTorch", milliseconds=50.0, note="median of 20"),
    Speed(label="ONNX Runtime", milliseconds=20.0),
)


def maps():
    """Truth with a void border; grass and line, a ball that is seen as line."""
    truth = np.zeros((30, 40), np.uint8)
    truth[10:14] = 1
    truth[20:24, 20:24] = 2
    prediction = truth.copy()
    prediction[truth == 2] = 1
    truth[0] = 255
    return truth, prediction


def example(**changes):
    truth, prediction = maps()
    parts = {
        "name": "a.png",
        "image": np.full((30, 40, 3), 100, np.uint8),
        "truth": truth,
        "prediction": prediction,
        "score": 0.5,
    }
    return Example(**(parts | changes))


def plain(detail: bool = True):
    """Scores of the two maps as a file holds them."""
    scorer = MapScorer(CLASSES, detail=detail)
    truth, prediction = (
        Segmentation(size=ids.shape, classes=CLASSES, semantic=ids) for ids in maps()
    )
    scorer.update("a.png", truth, prediction)
    return json.loads(json.dumps({"maps": scorer.scores().to_dict()}))


def test_the_class_table_holds_the_scores():
    [table] = score_tables(plain(detail=False), CLASSES)
    assert [column.name for column in table.columns] == [
        "Class", "IoU", "Precision", "Recall", "Pixels"
    ]  # fmt: skip
    assert [row[0] for row in table.rows] == list(CLASSES.names)
    assert table.rows[2][1] == 0.0
    assert table.rows[3][1] is None
    assert "robot" in table.note
    assert sum(row[4] for row in table.rows) == pytest.approx(1.0)
    [whole] = score_tables(plain(), CLASSES)
    assert [column.name for column in whole.columns][2:5] == [
        "Boundary IoU", "Boundary F", "Thin IoU"
    ]  # fmt: skip
    assert [row[:2] for row in whole.rows] == [row[:2] for row in table.rows]
    assert whole.rows[0][2] == plain()["maps"]["boundary_iou"]["classes"][0]["iou"]


def test_circumstances_end_in_the_machine():
    command, machine = circumstances({"cores": 2, "versions": {"numpy": "2"}, "command": "a b"})
    assert (command.text, command.code) == ("a b", True)
    assert machine.facts == [("cores", "2"), ("versions.numpy", "2")]
    assert len(circumstances({"cores": 2})) == 1


def test_speeds_are_compared_with_the_first():
    bars = speed_bars(SPEEDS)
    assert [bar.value for bar in bars.bars] == [20.0, 50.0]
    assert [bar.strong for bar in bars.bars] == [False, True]
    assert [bar.note for bar in bars.bars] == ["50 ms · median of 20", "20 ms · 2.50×"]


def test_the_largest_confusion_is_named():
    matrix = confusion_section(confusion_matrix(*maps(), 4), CLASSES)
    assert matrix.title == "Confusion matrix"
    assert matrix.note == "What is taken for what. Most often confused: ball as line (100.0%)."
    right = confusion_section(np.eye(4, 5, dtype=int), CLASSES)
    assert right.note == "What is taken for what. Not a pixel is misclassified."


def test_examples_show_their_mistakes():
    gallery = example_gallery({"best": [example()], "worst": [example()]}, CLASSES)
    row = gallery.rows[0]
    assert [row.badge for row in gallery.rows] == ["best", "worst"]
    assert [name for name, _ in gallery.legend] == ["grass", "line", "ball"]
    image, truth, prediction, mistakes = (picture.image for picture in row.pictures)
    wrong = (mistakes == ERROR).all(axis=2)
    expected = np.zeros((30, 40), bool)
    expected[20:24, 20:24] = True
    np.testing.assert_array_equal(wrong, expected)
    differs = (truth != prediction).any(axis=2)
    assert differs[20:24, 20:24].all()
    assert image.shape == truth.shape == (30, 40, 3)
    assert row.pictures[3].label == f"errors: {16 / (29 * 40):.1%} of the pixels"


def test_thin_mistakes_stay_loud_when_reduced():
    truth = np.zeros((1120, 1120), np.uint8)
    prediction = truth.copy()
    prediction[:, 501] = 1
    black = np.zeros((1120, 1120, 3), np.uint8)
    thin = example(image=black, truth=truth, prediction=prediction)
    gallery = example_gallery({"best": [thin]}, CLASSES)
    mistakes = gallery.rows[0].pictures[3].image
    assert (mistakes[:, 250] == ERROR).all()


@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=20), st.integers(1, 4))
def test_chosen_examples_are_best_median_and_worst(scores, each):
    chosen = choose_examples(scores, each)
    everything = [index for group in chosen.values() for index in group]
    defined = sorted(score for score in scores if score == score)
    assert len(set(everything)) == len(everything)
    assert len(everything) == min(3 * each, len(defined))
    count = len(chosen["best"])
    assert [scores[i] for i in chosen["best"]] == defined[::-1][:count]
    assert [scores[i] for i in chosen["worst"]] == defined[: len(chosen["worst"])]
    for index in chosen["median"]:
        assert scores[chosen["worst"][-1]] <= scores[index] <= scores[chosen["best"][-1]]


def test_the_median_example_of_an_odd_number_is_the_median():
    assert choose_examples([0.1, 0.9, 0.5, 0.3, 0.7], each=1) == {
        "best": [1],
        "median": [2],
        "worst": [0],
    }


def test_history_reads_csv_rows_with_blanks():
    curves = history_curves(
        [
            {"step": "1", "loss": "2.5", "lr": "0.001", "miou": "", "seconds": "0.4"},
            {"step": "2", "loss": "nan", "lr": "0.002", "miou": "0.75", "seconds": "0.5"},
            {"step": "3", "loss": "1.5", "lr": "", "miou": "0.7", "seconds": "word"},
        ]
    )
    loss, score, rate = curves.panels
    assert (loss.series[0].x, loss.series[0].y) == ([1.0, 3.0], [2.5, 1.5])
    assert (score.series[0].x, score.note) == ([2.0, 3.0], "Best miou: 0.750 at step 2.")
    assert rate.series[0].y == [0.001, 0.002]
    assert not curves.note


def test_long_histories_are_averaged_and_it_is_said():
    rows = [{"step": step, "loss": float(step)} for step in range(10 * POINTS)]
    curves = history_curves(rows)
    series = curves.panels[0].series[0]
    assert len(series.x) == POINTS
    assert (series.x[0], series.y[0]) == (4.5, 4.5)
    assert "average" in curves.note


def test_history_counts_rows_where_there_is_no_step():
    assert history_curves([{"loss": 3}, {"loss": 2}]).panels[0].series[0].x == [0.0, 1.0]
    assert history_curves([]).panels == []


def test_settings_are_flattened():
    facts = settings("Configuration", {"a": {"b": 1, "c": (2, 3)}, "d": None, "e": []})
    assert isinstance(facts, Facts)
    assert facts.facts == [("a.b", "1"), ("a.c", "2, 3"), ("d", "–"), ("e", "none")]
