"""`Targets`: the torch form of a batch's truth."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The truth of a batch of B images, in the pixels of the network's input [H, W].

    A part that is None is labelled for no image of the batch.

    Attributes:
        class_map_BHW: int64 class ids; `void` where nothing is known. An image without semantic
            labels is void all over.
        boxes: per image float32 [N, 4], x1 y1 x2 y2 in input pixels.
        class_ids: per image int64 [N], of the boxes.
        masks: per image uint8 {0, 1} [N, H, W], of the boxes.
        crowds: per image bool [N].
        objects_known_B: bool [B], whether the image's objects are labelled at all: where not, its
            boxes are empty and mean nothing. None where `boxes` is None.
        labels_BC: float32 {0, 1}, classes of the whole image.
        void: the id of class_map_BHW that is ignored.
    """

    class_map_BHW: Tensor | None = None
    boxes: tuple[Tensor, ...] | None = None
    class_ids: tuple[Tensor, ...] | None = None
    masks: tuple[Tensor, ...] | None = None
    crowds: tuple[Tensor, ...] | None = None
    objects_known_B: Tensor | None = None
    labels_BC: Tensor | None = None
    void: int = 255
