"""`Targets`: the torch form of a batch's truth; `Need`: what else of it a loss wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Made = Tensor | tuple[Tensor, ...]
"""One tensor for the batch, [B, ...], or one an image where their shapes differ."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something made of the truth in the loader: distance maps, boundary bands, points.

    A loss or network names it in its `needs`, and finds it in `Targets.made` under itself.

    Attributes:
        name: key of `data.derived.DERIVED`.
        parameters: (name, value) of its settings, in the order of their names.
    """

    name: str
    parameters: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The truth of a batch of B images, in the pixels of the network's input [H, W].

    A part that is None is labelled for no image of the batch. Images may be labelled for different
    tasks: each part tells for which images it is known.

    Attributes:
        class_map_BHW: int64 class ids; `void` where nothing is known. An image without semantic
            labels is void all over.
        boxes: per image float32 [N, 4], x1 y1 x2 y2 in input pixels.
        class_ids: per image int64 [N], of the boxes.
        masks: per image uint8 {0, 1} [N, H, W], of the boxes; zeros where `has_mask` is false.
        has_mask: per image bool [N], whether the object's mask is known. None where `masks` is.
        crowds: per image bool [N].
        objects_known_B: bool [B], whether the image's objects are labelled at all: where not, its
            boxes are empty and mean nothing. None where `boxes` is None.
        labels_BC: float32 {0, 1}, classes of the whole image.
        labels_known_B: bool [B], whether they are known. None where `labels_BC` is.
        made: what the loader made for those that declared it.
        void: the id of class_map_BHW that is ignored.
    """

    class_map_BHW: Tensor | None = None
    boxes: tuple[Tensor, ...] | None = None
    class_ids: tuple[Tensor, ...] | None = None
    masks: tuple[Tensor, ...] | None = None
    has_mask: tuple[Tensor, ...] | None = None
    crowds: tuple[Tensor, ...] | None = None
    objects_known_B: Tensor | None = None
    labels_BC: Tensor | None = None
    labels_known_B: Tensor | None = None
    made: Mapping[Need, Made] = field(default_factory=dict)
    void: int = 255

    @property
    def masks_known_B(self) -> Tensor | None:  # noqa: N802 (the suffix tells the shape)
        """bool [B]: whether every object of the image has its mask; None without any masks."""
        if self.masks is None or self.has_mask is None or self.objects_known_B is None:
            return None
        return self.objects_known_B & torch.stack([known.all() for known in self.has_mask])

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> Targets:
        """The same targets with every tensor changed, such as moved to a device."""

        def changed(part: Made | None) -> Made | None:
            if isinstance(part, tuple):
                return tuple(change(tensor) for tensor in part)
            return None if part is None else change(part)

        parts = {
            name: changed(getattr(self, name))
            for name in self.__dataclass_fields__
            if name not in ("made", "void")
        }
        made = {need: changed(part) for need, part in self.made.items()}
        return replace(self, **parts, made=made)  # type: ignore[arg-type]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Targets:
        """On another device."""
        return self.map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Targets:
        """In memory that a card copies from by itself; the loader calls this."""
        return self.map_tensors(lambda tensor: tensor.pin_memory())
