"""The named ways to score detections, as data: one visible dict.

They differ in what they compare, in who may match whom, and in how a curve becomes a number:

* `voc07`, `voc10`: Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010,
  section 4.2, and the development kit. Each detection looks at its best truth only, taken or not;
  truth marked difficult (here: `crowd`) is left out, and so are detections whose best truth it is.
* `coco`: Lin et al., "Microsoft COCO", ECCV 2014, as pycocotools computes it, to the last bit.
* `cityscapes`: Cordts et al., CVPR 2016, section 4.3, for masks: truth below 100 pixels, groups
  (`crowd`) and void are no objects; a detection that lies in them by more than the threshold is
  forgiven.
* `ultralytics-8.3`: what `yolo val` of that version reports: each detection takes its best truth,
  each truth keeps the surest of those; crowds don't exist; an area under a curve that is joined by
  straight lines and falls to (1, 0) from its last point.
* `ultralytics-8.4` (as of 8.4.190; `ultralytics` means the newest): each detection takes the best
  truth still free, and precision is 0 from the last recall on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from maskwright.core.errors import ConfigError

Kind = Literal["boxes", "masks", "boundary"]
"""What is compared: boxes, masks, or masks and their boundaries (the smaller of the two IoUs)."""

KINDS: tuple[Kind, ...] = ("boxes", "masks", "boundary")

TEN_IOUS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.5, 0.55, ... 0.95, in the floats that pycocotools takes."""

SIZES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 1024.0),
    "medium": (1024.0, 9216.0),
    "large": (9216.0, 1e10),
}
"""COCO's area ranges in pixels, both ends included; the first is the one that is reported."""

CITYSCAPES_IOUS: tuple[float, ...] = tuple(np.arange(0.5, 1.0, 0.05).tolist())
"""The same in the floats of the benchmark's script: 0.6 and 0.7 are a little more than COCO's."""

Rule = Literal["coco", "voc", "cityscapes", "best_truth", "best_free_truth"]
Curve = Literal["points11", "every_point", "points101", "steps", "lines101", "lines101_cut"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way to score.

    Attributes:
        name: as reports tell it.
        ious: the thresholds, ascending; AP is the mean over them.
        rule: who matches whom (`matching.py`).
        curve: how precision over recall becomes AP (`curves.py`).
        sizes: name -> smallest and largest area in pixels; truth outside is ignored, and so are
            unmatched detections outside. The first is the reported one.
        max_detections: of one image (and class, if `per_class_limit`), the surest first; AP uses
            the last, average recall each. None: all of them.
        per_class_limit: whether the limit holds for each class of an image or for the image.
        smallest_region: pixels below which truth is ignored (Cityscapes).
    """

    name: str
    ious: tuple[float, ...]
    rule: Rule
    curve: Curve
    sizes: tuple[tuple[str, tuple[float, float]], ...] = (("all", (0.0, float("inf"))),)
    max_detections: tuple[int | None, ...] = (None,)
    per_class_limit: bool = True
    smallest_region: float = 0.0


PROTOCOLS: dict[str, Protocol] = {
    "voc07": Protocol(name="voc07", ious=(0.5,), rule="voc", curve="points11"),
    "voc10": Protocol(name="voc10", ious=(0.5,), rule="voc", curve="every_point"),
    "coco": Protocol(
        name="coco",
        ious=TEN_IOUS,
        rule="coco",
        curve="points101",
        sizes=tuple(SIZES.items()),
        max_detections=(1, 10, 100),
    ),
    "cityscapes": Protocol(
        name="cityscapes",
        ious=CITYSCAPES_IOUS,
        rule="cityscapes",
        curve="steps",
        smallest_region=100.0,
    ),
    "ultralytics-8.3": Protocol(
        name="ultralytics-8.3",
        ious=TEN_IOUS,
        rule="best_truth",
        curve="lines101",
        max_detections=(300,),
        per_class_limit=False,
    ),
    "ultralytics-8.4": Protocol(
        name="ultralytics-8.4",
        ious=TEN_IOUS,
        rule="best_free_truth",
        curve="lines101_cut",
        max_detections=(300,),
        per_class_limit=False,
    ),
}

NEWEST = {"ultralytics": "ultralytics-8.4"}
"""A name without a version -> the newest that is known; scores tell the whole name."""


def protocol_of(protocol: str | Protocol, max_detections: Sequence[int] | None = None) -> Protocol:
    """A protocol by name, or the one that is given; with other limits where they are asked.

    Args:
        protocol: a key of `PROTOCOLS` or `NEWEST`, or a `Protocol` of your own.
        max_detections: limits to use instead, such as (1, 10, 300).

    Raises:
        ConfigError: an unknown name, limits below 1, or thresholds that aren't in 0.5..1.
    """
    if isinstance(protocol, str):
        name = NEWEST.get(protocol, protocol)
        if name not in PROTOCOLS:
            raise ConfigError(f"no protocol {name!r}; expected one of {', '.join(PROTOCOLS)}.")
        protocol = PROTOCOLS[name]
    if max_detections is not None:
        limits = tuple(sorted(max_detections))
        if not limits or limits[0] < 1:
            raise ConfigError(f"expected limits of 1 or more, got {tuple(max_detections)}.")
        protocol = replace(protocol, max_detections=limits)
    if not protocol.ious or min(protocol.ious) < 0.5 or max(protocol.ious) > 1:
        raise ConfigError(
            f"expected IoU thresholds in 0.5..1, got {protocol.ious}; overlaps below "
            "0.5 are not kept."
        )
    return protocol
