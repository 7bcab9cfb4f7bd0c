"""Results -> sections: what is told, in which order, and that it is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.classes import Classes
from maskwright.metrics import confusion_matrix, semantic_scores
from maskwright.report import (
    Example,
    Facts,
    Report,
    Speed,
    choose_examples,
    render,
    semantic_headline,
    semantic_sections,
    semantic_summary,
    settings,
)
from maskwright.report.history import POINTS, history_curves
from maskwright.report.results import MISTAKE

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


def results():
    truth, prediction = maps()
    matrix = confusion_matrix(truth, prediction, 4)
    example = Example(
        name="a.png",
        image=np.full((30, 40, 3), 100, np.uint8),
        truth=truth,
        prediction=prediction,
        score=0.5,
    )
    return {
        "scores": semantic_scores(matrix, CLASSES.names).to_dict(),
        "matrix": matrix,
        "classes": CLASSES,
        "examples": {"best": [example], "worst": [example]},
        "history": [{"step": 1, "loss": 2.0, "lr": 0.1}, {"step": 2, "loss": 1.0, "miou": 0.5}],
        "speeds": SPEEDS,
        "environment": {"cores": 2, "versions": {"numpy": "2"}, "command": "maskwright demo"},
    }


def test_all_sections_in_their_order():
    sections = semantic_sections(**results())
    assert [section.title for section in sections] == [
        "Class by class",
        "Speed",
        "Examples",
        "What is taken for what",
        "Training",
        "Command",
        "Environment",
    ]
    html = render(Report(title="t", headline=semantic_headline(results()["scores"], SPEEDS)))
    assert "Mean IoU" in html
    assert render(Report(title="t", sections=sections)).count("<img") == 8 + 1


def test_what_is_missing_is_left_out():
    assert semantic_sections(classes=CLASSES) == []
    empty = semantic_sections(
        scores=None, matrix=np.zeros((4, 5), int), classes=CLASSES, examples={"best": []}
    )
    assert empty == []


def test_the_class_table_holds_the_scores():
    scores = results()["scores"]
    table = semantic_sections(scores=scores, classes=CLASSES)[0]
    assert [row[0] for row in table.rows] == list(CLASSES.names)
    assert table.rows[2][1] == 0.0
    assert table.rows[3][1] is None
    assert "robot" in table.note
    assert sum(row[4] for row in table.rows) == pytest.approx(1.0)


def test_the_headline_and_summary_tell_the_result():
    scores = results()["scores"]
    figures = semantic_headline(scores, SPEEDS)
    assert figures[0].value == f"{scores['miou']:.3f}"
    assert figures[0].note == "over 3 of 4 classes"
    assert [figure.value for figure in figures[2:]] == ["ball", "20 ms"]
    assert figures[3].note == "2.5× as fast as PyTorch"
    summary = semantic_summary(scores, SPEEDS)
    assert "0.00 for ball" in summary
    assert "50 images a second with ONNX Runtime" in summary


def test_nothing_scored_is_told_without_numbers():
    nothing = semantic_scores(np.zeros((4, 5), np.int64), CLASSES.names).to_dict()
    assert semantic_headline(nothing)[0].value == "–"
    assert semantic_summary(nothing) == "A mean IoU of –."
    assert render(Report(title="t", sections=semantic_sections(scores=nothing, classes=CLASSES)))


def test_speeds_are_compared_with_the_first():
    bars = semantic_sections(classes=CLASSES, speeds=SPEEDS)[0]
    assert [bar.value for bar in bars.bars] == [20.0, 50.0]
    assert [bar.strong for bar in bars.bars] == [False, True]
    assert [bar.note for bar in bars.bars] == ["50 ms · median of 20", "20 ms · 2.50×"]


def test_the_largest_confusion_is_named():
    matrix = next(s for s in semantic_sections(**results()) if s.title.startswith("What"))
    assert matrix.note == "Most often mistaken: ball as line (100.0%)."
    right = semantic_sections(matrix=np.eye(4, 5, dtype=int), classes=CLASSES)[0]
    assert right.note == "Not a pixel is mistaken."


def test_examples_show_their_mistakes():
    gallery = next(s for s in semantic_sections(**results()) if s.title == "Examples")
    row = gallery.rows[0]
    assert [row.badge for row in gallery.rows] == ["best", "worst"]
    assert [name for name, _ in gallery.legend] == ["grass", "line", "ball"]
    image, truth, prediction, mistakes = (picture.image for picture in row.pictures)
    wrong = (mistakes == MISTAKE).all(axis=2)
    expected = np.zeros((30, 40), bool)
    expected[20:24, 20:24] = True
    np.testing.assert_array_equal(wrong, expected)
    differs = (truth != prediction).any(axis=2)
    assert differs[20:24, 20:24].all()
    assert image.shape == truth.shape == (30, 40, 3)
    assert row.pictures[3].label == f"mistakes: {16 / (29 * 40):.1%} wrong"


def test_thin_mistakes_stay_loud_when_reduced():
    truth = np.zeros((1120, 1120), np.uint8)
    prediction = truth.copy()
    prediction[:, 501] = 1
    example = Example(
        name="x", image=np.zeros((1120, 1120, 3), np.uint8), truth=truth, prediction=prediction
    )
    gallery = semantic_sections(classes=CLASSES, examples={"best": [example]})[0]
    mistakes = gallery.rows[0].pictures[3].image
    assert (mistakes[:, 250] == MISTAKE).all()


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
