"""Plain results -> the sections that train, evaluate, benchmark and demo have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maskwright.core import draw
from maskwright.core.classes import Classes
from maskwright.core.segmentation import Segmentation
from maskwright.report.page import (
    Bar,
    Bars,
    Facts,
    Gallery,
    GalleryRow,
    Matrix,
    Picture,
    Section,
    Text,
)
from maskwright.report.pictures import reduce

ERROR = (255, 64, 48)
"""RGB of pixels that are misclassified, in the fourth picture."""

_CONFUSIONS_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image with its truth and prediction, for the gallery.

    Attributes:
        name: such as the file's.
        image: uint8 RGB [H, W, 3].
        truth: class ids [H, W], void included.
        prediction: class ids [H, W].
        score: mIoU of this image, or None.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Time of one way to run the model, first the plain one, then the better ones.

    Attributes:
        label: such as "PyTorch fp32" or "ONNX Runtime, 2 threads".
        milliseconds: per image.
        note: such as "median of 50".
    """

    label: str
    milliseconds: float
    note: str = ""


def choose_examples(scores: Sequence[float], each: int = 2) -> dict[str, list[int]]:
    """Indices of the best, median and worst scores, no image twice, NaN left out.

    Args:
        scores: one per image.
        each: how many of each kind; fewer where there are fewer than 3 * each images.

    Returns:
        {"best": [...], "median": [...], "worst": [...]}, the worst one first in its list.
    """
    order = [i for i in np.argsort(scores, kind="stable")[::-1].tolist() if scores[i] == scores[i]]
    each = min(each, math.ceil(len(order) / 3))
    best, rest = order[:each], order[each:]
    worst = rest[::-1][:each]
    rest = rest[: len(rest) - len(worst)]
    start = (len(rest) - each + 1) // 2
    return {"best": best, "median": rest[max(0, start) :][:each], "worst": worst}


def confusion_section(matrix: np.ndarray, classes: Classes) -> Matrix:
    """The confusion matrix, its largest shares told in words.

    Args:
        matrix: counts [K, K] or [K, K + 1] (last column: unpredicted), row = truth.
        classes: names and colours.
    """
    note = f"What is taken for what. {_confusions(matrix, classes.names)}"
    return Matrix(title="Confusion matrix", names=classes.names, counts=matrix, note=note)


def circumstances(environment: Mapping[str, Any]) -> list[Section]:
    """The command, where one is told, and everything else in which a result came to be.

    Args:
        environment: processor, threads, versions ...; nested mappings are flattened. What stands
            under "command" becomes a section of its own.
    """
    facts = dict(environment)
    command = facts.pop("command", "")
    told: list[Section] = [Text(title="Command", text=str(command), code=True)] if command else []
    return [*told, settings("Environment", facts)]


def speed_bars(speeds: Sequence[Speed]) -> Bars:
    """Images per second, with the gain over the first; the fastest is set off."""
    fastest = min(speeds, key=lambda speed: speed.milliseconds)
    bars = []
    for speed in speeds:
        gain = speeds[0].milliseconds / speed.milliseconds
        parts = [f"{speed.milliseconds:.3g} ms", speed.note]
        if speed is not speeds[0]:
            parts.insert(1, f"{gain:.2f}×")
        bars.append(
            Bar(
                label=speed.label,
                value=1000 / speed.milliseconds,
                note=" · ".join(filter(None, parts)),
                strong=speed is fastest,
            )
        )
    note = (
        "Longer is faster."
        if len(speeds) < 2
        else f"Longer is faster; × compares with {speeds[0].label}."
    )
    return Bars(title="Speed", bars=bars, unit="images/s", note=note)


def example_gallery(examples: Mapping[str, Sequence[Example]], classes: Classes) -> Gallery:
    """Image, truth, prediction and errors, side by side, one row per example."""
    shown = [example for kind in examples.values() for example in kind]
    present = np.unique(
        np.concatenate([np.unique(ids) for e in shown for ids in (e.truth, e.prediction)])
    )
    return Gallery(
        title="Examples",
        rows=[
            _row(kind, example, classes) for kind, group in examples.items() for example in group
        ],
        legend=[
            (name, colour)
            for index, (name, colour) in enumerate(zip(classes.names, classes.colours))
            if index in present
        ],
        note="Click a picture to enlarge it; the arrow keys lead on. Pixels without a label are "
        "no errors.",
    )


def settings(title: str, values: Mapping[str, Any], folded: bool = False) -> Facts:
    """Nested plain data as facts: {"a": {"b": 1}} becomes "a.b", "1"."""
    return Facts(title=title, facts=_flatten(values), folded=folded)


def _row(kind: str, example: Example, classes: Classes) -> GalleryRow:
    wrong = (example.truth != example.prediction) & (example.truth < len(classes))
    labelled = int((example.truth < len(classes)).sum())
    share = f"{wrong.sum() / labelled:.1%} of the pixels" if labelled else "nothing labelled"
    pictures = (
        Picture(image=example.image, label="image"),
        Picture(image=_painted(example.image, example.truth, classes), label="truth"),
        Picture(image=_painted(example.image, example.prediction, classes), label="prediction"),
        Picture(image=_errors(example.image, wrong), label=f"errors: {share}"),
    )
    value = "" if example.score is None else f"mIoU {_score(example.score)}"
    return GalleryRow(pictures=pictures, caption=example.name, badge=kind, value=value)


def _painted(image: np.ndarray, ids: np.ndarray, classes: Classes) -> np.ndarray:
    wanted = np.uint8 if classes.void == 255 else np.uint16
    semantic = np.where(ids < len(classes), ids, classes.void).astype(wanted)
    found = Segmentation(size=(ids.shape[0], ids.shape[1]), classes=classes, semantic=semantic)
    return draw.overlay(image, found, opacity=0.6)


def _errors(image: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The image in dim grey, its wrong pixels in one loud colour; thin ones don't fade.

    Made at the size it is shown in: a pixel that stands for nine, three of them wrong, is wrong.
    """
    small = reduce(image)
    height, width = small.shape[:2]
    share = cv2.resize(wrong.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    strength = np.minimum(1.0, 3.0 * share)[..., None]
    grey = small.mean(axis=2, keepdims=True) * 0.45 + 30
    return (grey + strength * (np.array(ERROR) - grey)).round().astype(np.uint8)


def _confusions(matrix: np.ndarray, names: Sequence[str]) -> str:
    """The largest shares of a class that are taken for another, in words."""
    counts = np.asarray(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    columns = [*names, "nothing"]
    told = []
    for flat in np.argsort(-shares, axis=None, kind="stable")[:_CONFUSIONS_TOLD].tolist():
        row, column = divmod(flat, shares.shape[1])
        if shares[row, column] > 0:
            told.append(f"{names[row]} as {columns[column]} ({shares[row, column]:.1%})")
    return f"Most often confused: {', '.join(told)}." if told else "Not a pixel is misclassified."


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            facts += _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            facts.append((f"{prefix}{name}", ", ".join(map(str, value)) or "none"))
        else:
            facts.append((f"{prefix}{name}", "–" if value is None else str(value)))
    return facts


def _score(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
