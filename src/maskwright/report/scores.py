"""Scores of class maps, objects and panoptic segments -> sections of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskwright.core import draw
from maskwright.core.classes import Classes
from maskwright.core.segmentation import Segmentation
from maskwright.report.page import (
    Column,
    Curves,
    Gallery,
    GalleryRow,
    Panel,
    Picture,
    Series,
    Table,
)

_CURVES_SHOWN = 12

_MAP_DETAILS = (
    ("Boundary IoU", "boundary_iou", "iou", "IoU of the bands along edges"),
    ("Boundary F", "boundary_f", "f", "outline pixels met within a tolerance"),
    ("Thin IoU", "thin_iou", "iou", "IoU inside thin parts of the truth"),
)
"""Column, its key in `MapScores.to_dict()`, the key of a class there, what it is."""


def score_tables(plain: Mapping[str, Any], classes: Classes) -> list[Table]:
    """Every table that scores fill.

    Args:
        plain: as `jobs.Scores.to_dict()` returns.
        classes: names and colours.
    """
    tables = [map_table(plain["maps"], classes)] if "maps" in plain else []
    tables += object_tables(plain["objects"], classes) if "objects" in plain else []
    tables += [panoptic_table(plain["panoptic"], classes)] if "panoptic" in plain else []
    return tables + ([label_table(plain["labels"], classes)] if "labels" in plain else [])


def map_table(plain: Mapping[str, Any], classes: Classes) -> Table:
    """One row per class: areas; boundaries and thin parts, where they were counted.

    Args:
        plain: as `jobs.MapScores.to_dict()` returns.
        classes: names and colours.
    """
    areas = plain["areas"]["classes"]
    total = sum(row["truth_pixels"] for row in areas) or 1
    details = [(name, key, of) for name, key, of, _ in _MAP_DETAILS if key in plain]
    missing = [row["name"] for row in areas if row["iou"] is None]
    note = "IoU is the share of a class's true or predicted pixels that are both."
    if details:
        note = (
            "IoU counts areas, so large regions decide it; the boundary scores look at edges only, "
            "thin IoU only where the truth is narrow."
        )
    if missing:
        note += f" Neither there nor predicted, so no part of the mean: {', '.join(missing)}."
    hints = {name: hint for name, _, _, hint in _MAP_DETAILS}
    return Table(
        title="Class by class",
        columns=(
            Column(name="Class"),
            Column(name="IoU", format=".3f", bar=1.0, hint="TP / (TP + FP + FN)"),
            *(Column(name=name, format=".3f", hint=hints[name]) for name, _, _ in details),
            Column(name="Precision", format=".3f", hint="TP / (TP + FP)"),
            Column(name="Recall", format=".3f", hint="TP / (TP + FN)"),
            Column(name="Pixels", format=".2%", hint="share of the labelled pixels"),
        ),
        rows=[
            (
                area["name"],
                area["iou"],
                *(plain[key]["classes"][k][of] for _, key, of in details),
                area["precision"],
                area["recall"],
                area["truth_pixels"] / total,
            )
            for k, area in enumerate(areas)
        ],
        swatches=classes.colours,
        note=note,
    )


def object_tables(plain: Mapping[str, Any], classes: Classes) -> list[Table]:
    """The protocol's numbers, then one row per class.

    Args:
        plain: as `jobs.ObjectScores.to_dict()` returns.
        classes: names and colours.
    """
    kinds = [kind for kind in ("masks", "boundary", "boxes") if kind in plain]
    names = list(plain[kinds[0]]["summary"])
    protocol = plain[kinds[0]]["protocol"]
    first = plain[kinds[0]]
    shown = [row for row in first["classes"] if row["truths"] or row["detections"]]
    left = len(first["classes"]) - len(shown)
    sizes = [size for size in first["classes"][0]["sizes"] if size != "all"]
    summary = Table(
        title=f"Objects, protocol {protocol}",
        columns=(Column(name="Compared"), *(Column(name=name, format=".3f") for name in names)),
        rows=[(kind, *(plain[kind]["summary"][name] for name in names)) for kind in kinds],
        note="Means over the classes that have truth.",
    )
    table = Table(
        title=f"Objects class by class ({kinds[0]})",
        columns=(
            Column(name="Class"),
            Column(name="AP", format=".3f", bar=1.0),
            Column(name=f"AP{round(100 * first['ious'][0])}", format=".3f"),
            *(Column(name=f"AP {size}", format=".3f") for size in sizes),
            Column(name="AR", format=".3f"),
            Column(name="Truth", format=","),
            Column(name="Found", format=","),
        ),
        rows=[
            (
                row["name"], row["ap"], row["ap50"], *(row["sizes"][size] for size in sizes),
                row["ar"], row["truths"], row["detections"],
            )
            for row in shown
        ],
        swatches=[classes.colours[classes.index(row["name"])] for row in shown],
        note=f"{left} classes are neither there nor found." if left else "",
    )  # fmt: skip
    return [summary, table]


def precision_recall_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], counts: Mapping[str, int]
) -> Curves:
    """Precision over recall at IoU 0.5: all classes pooled, then the most frequent ones.

    Args:
        curves: class name -> (recall, precision); "" is all classes pooled.
        counts: class name -> true objects.
    """
    usual = sorted((name for name in curves if name and counts[name]), key=lambda n: -counts[n])
    shown = ["", *usual[:_CURVES_SHOWN]]
    left = len(usual) - _CURVES_SHOWN
    return Curves(
        title="Precision over recall",
        panels=[
            Panel(
                title=name or "all classes, pooled",
                series=[Series(name="precision", x=curves[name][0], y=curves[name][1])],
                x_label="recall",
                note=f"{counts[name]:,} objects" if name else "",
            )
            for name in shown
        ],
        note="At IoU 0.5." + (f" The {left} rarest classes are left out." if left > 0 else ""),
    )


def gain_table(gains: Mapping[str, Any], other: str) -> Table:
    """Differences to another model with their intervals, in points.

    Args:
        gains: score -> an interval of the difference, 0..1.
        other: what was compared with.
    """
    return Table(
        title=f"Against {other}",
        columns=(
            Column(name="Score"),
            Column(name="Difference", format="+.2f"),
            Column(name="from", format="+.2f"),
            Column(name="to", format="+.2f"),
            Column(name="Verdict"),
        ),
        rows=[
            (name, 100 * gain.value, 100 * gain.low, 100 * gain.high, gain.verdict)
            for name, gain in gains.items()
        ],
        note="In points, with the 95 % interval over the images. An interval that holds 0 says "
        "that the difference may be chance.",
    )


def object_gallery(
    examples: Sequence[tuple[str, str, np.ndarray, Segmentation, Segmentation]],
) -> Gallery:
    """Truth and prediction of some images side by side.

    Args:
        examples: (name, what is said of it, uint8 RGB image, truth, prediction).
    """
    return Gallery(
        title="Worst images",
        rows=[
            GalleryRow(
                pictures=(
                    Picture(image=image, label="image"),
                    Picture(image=draw.overlay(image, truth, opacity=0.5), label="truth"),
                    Picture(image=draw.overlay(image, found, opacity=0.5), label="prediction"),
                ),
                caption=name,
                badge="worst",
                value=said,
            )
            for name, said, image, truth, found in examples
        ],
        note="Predictions at the confidence whose F1 over the whole set is best.",
    )


def panoptic_table(plain: Mapping[str, Any], classes: Classes) -> Table:
    """One row per class: PQ and what it is made of.

    Args:
        plain: as `jobs.SegmentScores.to_dict()` returns.
        classes: names and colours.
    """
    return Table(
        title="Panoptic quality",
        columns=(
            Column(name="Class"),
            Column(name="PQ", format=".3f", bar=1.0, hint="SQ x RQ"),
            Column(name="SQ", format=".3f", hint="mean IoU of the segments that match"),
            Column(name="RQ", format=".3f", hint="F1 of the segments"),
            Column(name="TP", format=","),
            Column(name="FP", format=","),
            Column(name="FN", format=","),
        ),
        rows=[
            (
                r["name"], r["pq"], r["sq"], r["rq"],
                r["true_positives"], r["false_positives"], r["false_negatives"],
            )
            for r in plain["classes"]
        ],
        swatches=classes.colours,
    )  # fmt: skip


def label_table(plain: Mapping[str, Any], classes: Classes) -> Table:
    """One row per class: average precision, and what is told at confidence 0.5.

    Args:
        plain: as `jobs.LabelScores.to_dict()` returns.
        classes: names and colours.
    """
    counts = ("true_positives", "false_positives", "false_negatives")
    return Table(
        title="Labels of images",
        columns=(
            Column(name="Class"),
            Column(name="AP", format=".3f", bar=1.0, hint="area under precision over recall"),
            Column(name="TP", format=","),
            Column(name="FP", format=","),
            Column(name="FN", format=","),
        ),
        rows=[(r["name"], r["ap"], *(r[kind] for kind in counts)) for r in plain["classes"]],
        swatches=classes.colours,
        note="AP ranks the images by confidence; true and false positives at confidence 0.5.",
    )
