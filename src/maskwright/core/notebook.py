"""What notebooks show of a data set: counts, classes in their colours, a few small pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape

import cv2
import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.draw import overlay
from maskwright.core.image import encode_png
from maskwright.core.segmentation import Segmentation
from maskwright.core.text import ink_on

_HEIGHT = 120  # of a thumbnail, pixels


def set_html(
    title: str,
    counts: Mapping[str, Mapping[str, object]],
    classes: Classes,
    thumbnails: Iterable[tuple[str, str]],
) -> str:
    """A fragment of HTML that needs no other file.

    Args:
        title: plain text.
        counts: split -> column -> value.
        classes: shown as chips in their colours.
        thumbnails: (caption, its `thumbnail`).
    """
    columns = list(next(iter(counts.values()), {}))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("split", *columns))
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in (split, *row.values()))
        + "</tr>"
        for split, row in counts.items()
    )
    pictures = "".join(
        f'<figure style="display:inline-block;margin:4px"><img src="{source}" '
        f'height="{_HEIGHT}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>'
        "</figure>"
        for caption, source in thumbnails
    )
    return (
        f"<div><p><b>{escape(title)}</b></p><table><tr>{head}</tr>{rows}</table>"
        f"<p>{classes_html(classes)}</p>{pictures}</div>"
    )


def classes_html(classes: Classes) -> str:
    """The names as chips in their colours."""
    return " ".join(
        f'<span style="background:rgb{colour};color:rgb{ink_on(colour)};padding:1px 6px;'
        f'border-radius:3px">{escape(name)}</span>'
        for name, colour in zip(classes.names, classes.colours)
    )


def thumbnail(image: np.ndarray, truth: Segmentation) -> str:
    """A labelled image as the address of a small picture that holds its own data.

    Args:
        image: uint8 RGB [H, W, 3].
        truth: drawn over it.
    """
    height, width = image.shape[:2]
    size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
    small = cv2.resize(overlay(image, truth), size, interpolation=cv2.INTER_AREA)
    return f"data:image/png;base64,{base64.b64encode(encode_png(small)).decode()}"
