"""The truth of several examples -> `Targets` of a batch.

Legend: B images, C image labels, H W their size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maskwright.data.derived import DERIVED
from maskwright.data.example import Example
from maskwright.losses.targets import Made, Need, Targets


def collate_targets(examples: Sequence[Example]) -> Targets:
    """The truth of examples of one size; what no example is labelled for is None."""
    boxes = any(example.objects_known for example in examples)
    masks = any(example.masks is not None for example in examples)
    labels_BC, labels_known_B = _collate_labels(examples)
    return Targets(
        class_map_BHW=_collate_class_maps(examples),
        boxes=tuple(torch.from_numpy(e.boxes) for e in examples) if boxes else None,
        class_ids=tuple(torch.from_numpy(e.class_ids) for e in examples) if boxes else None,
        masks=tuple(_stack(e) for e in examples) if masks else None,
        has_mask=tuple(torch.from_numpy(e.has_mask) for e in examples) if masks else None,
        crowds=tuple(torch.from_numpy(e.crowds) for e in examples) if boxes else None,
        objects_known_B=torch.tensor([e.objects_known for e in examples]) if boxes else None,
        labels_BC=labels_BC,
        labels_known_B=labels_known_B,
        made={need: _collate_made(need, examples) for need in examples[0].made},
        void=examples[0].void,
    )


def _collate_class_maps(examples: Sequence[Example]) -> Tensor | None:
    if all(example.class_map is None for example in examples):
        return None
    ids = np.full((len(examples), *examples[0].size), examples[0].void, np.int64)
    for number, example in enumerate(examples):
        if example.class_map is not None:
            ids[number] = example.class_map
    return torch.from_numpy(ids)


def _collate_labels(examples: Sequence[Example]) -> tuple[Tensor | None, Tensor | None]:
    known = [example.labels is not None for example in examples]
    if not any(known):
        return None, None
    classes = next(len(one.labels) for one in examples if one.labels is not None)
    rows = [np.zeros(classes, np.float32) if e.labels is None else e.labels for e in examples]
    return torch.from_numpy(np.stack(rows)), torch.tensor(known)


def _collate_made(need: Need, examples: Sequence[Example]) -> Made:
    arrays = [torch.from_numpy(example.made[need]) for example in examples]
    return torch.stack(arrays) if DERIVED[need.name].stacks else tuple(arrays)


def _stack(example: Example) -> Tensor:
    """uint8 [N, H, W]; zeros of the objects whose mask isn't known."""
    masks = np.zeros((len(example.boxes), *example.size), np.uint8)
    for number, mask in enumerate(example.masks or ()):
        if mask is not None:
            masks[number] = mask
    return torch.from_numpy(masks)
