"""The names of Ultralytics' YOLOv8 and YOLO11, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from maskwright.architectures.renaming import rename

_PLACES = {
    # number of a module in the reference -> ours; a second row where attention shifts them by one
    False: ("downs.0", "downs.1", "stages.0", "downs.2", "stages.1", "downs.3", "stages.2",
            "downs.4", "stages.3", "pool", "", "", "neck.ups.0", "", "", "neck.ups.1",
            "neck.downs.0", "", "neck.outs.0", "neck.downs.1", "", "neck.outs.1", "heads"),
    True: ("downs.0", "downs.1", "stages.0", "downs.2", "stages.1", "downs.3", "stages.2",
           "downs.4", "stages.3", "pool", "attend", "", "", "neck.ups.0", "", "", "neck.ups.1",
           "neck.downs.0", "", "neck.outs.0", "neck.downs.1", "", "neck.outs.1", "heads"),
}  # fmt: skip


def from_reference(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Ultralytics' names -> ours; the fixed numbers 0 to R - 1 of "dfl" are left out."""
    later = any(name.startswith("model.10.") for name in weights)
    known = {name: tensor for name, tensor in weights.items() if ".dfl." not in name}
    places = [
        (rf"^model\.{number}\.", f"{ours}.") for number, ours in enumerate(_PLACES[later]) if ours
    ]
    return rename(
        known,
        *places,
        (r"\.bn\.", ".norm."),
        (r"^pool\.cv1\.", "pool.reduce."),
        (r"^pool\.cv2\.", "pool.merge."),
        (r"^attend\.m\.(\d+)\.attn\.qkv\.", r"attend.blocks.\1.project."),
        (r"^attend\.m\.(\d+)\.attn\.proj\.", r"attend.blocks.\1.combine."),
        (r"^attend\.m\.(\d+)\.attn\.pe\.", r"attend.blocks.\1.position."),
        (r"^attend\.m\.(\d+)\.ffn\.0\.", r"attend.blocks.\1.widen."),
        (r"^attend\.m\.(\d+)\.ffn\.1\.", r"attend.blocks.\1.narrow."),
        (r"^heads\.cv2\.", "heads.boxes."),
        (r"^heads\.cv3\.", "heads.classes."),
        (r"^heads\.cv4\.", "heads.coefficients."),
        (r"^heads\.proto\.cv1\.", "heads.prototypes.first."),
        (r"^heads\.proto\.upsample\.", "heads.prototypes.enlarge."),
        (r"^heads\.proto\.cv2\.", "heads.prototypes.second."),
        (r"^heads\.proto\.cv3\.", "heads.prototypes.third."),
        # steps, and what is nested in them
        (r"\.m\.(\d+)\.m\.(\d+)\.cv1\.", r".steps.\1.steps.\2.first."),
        (r"\.m\.(\d+)\.m\.(\d+)\.cv2\.", r".steps.\1.steps.\2.second."),
        (r"\.m\.(\d+)\.cv3\.", r".steps.\1.merge."),
        *(
            rule
            for step in _nested_steps(known, places)
            for rule in (
                (rf"^{step}\.cv1\.", f"{_ours(step)}.through."),
                (rf"^{step}\.cv2\.", f"{_ours(step)}.past."),
            )
        ),
        (r"\.m\.(\d+)\.cv1\.", r".steps.\1.first."),
        (r"\.m\.(\d+)\.cv2\.", r".steps.\1.second."),
        (r"^((?:stages|neck\.\w+)\.\d+|attend)\.cv1\.", r"\1.split."),
        (r"^((?:stages|neck\.\w+)\.\d+|attend)\.cv2\.", r"\1.merge."),
    )


def _nested_steps(weights: Mapping[str, Tensor], places: Sequence[tuple[str, str]]) -> list[str]:
    """Names, under our places, of the steps that hold pairs themselves."""
    ours = rename(weights, *places)
    found = (re.match(r"(.+\.m\.\d+)\.cv3\.", name) for name in ours)
    return sorted({re.escape(match[1]) for match in found if match})


def _ours(step: str) -> str:
    return re.sub(r"\\?\.m\\?\.(\d+)$", r".steps.\1", step).replace("\\", "")
