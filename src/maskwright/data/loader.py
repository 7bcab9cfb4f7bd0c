"""Batches of augmented examples as tensors, in an order that any step can be resumed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.multiprocessing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskwright.data.augment import Augmentation, augment
from maskwright.data.cache import Cache
from maskwright.data.example import Example
from maskwright.losses.targets import Targets


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B images of one size and their truth.

    Attributes:
        images_B3HW: uint8 RGB, or as the samples' `pixels` tell; channels last in memory.
        targets: in the same pixels.
    """

    images_B3HW: Tensor
    targets: Targets


class Draws(Dataset[Example]):
    """Training example number n is a pure function of n and the seed.

    Args:
        cache: the decoded split.
        order: which image each draw reads.
        size: (height, width) of the examples.
        augmentation: how far they are changed.
        seed: of the augmentation.
    """

    def __init__(
        self,
        cache: Cache,
        order: Sequence[int] | np.ndarray,
        size: tuple[int, int],
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.cache = cache
        self.order = np.asarray(order)
        self.size = size
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, draw: int) -> Example:
        rng = np.random.default_rng((self.seed, 1, draw))
        return augment(self.cache[int(self.order[draw])], self.size, self.augmentation, rng)


def batches(
    draws: Draws,
    batch: int,
    first_step: int = 0,
    workers: int = 1,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Batches of `batch` consecutive draws, from step `first_step` on; a partial last one is left.

    Args:
        draws: the examples.
        batch: images a batch.
        first_step: how many batches to skip, for a resumed run.
        workers: processes that augment; 0 does it in this one.
        part: (number, count): only this part of each batch. The parts are equally long, and in
            the order of their numbers they are the batch.
    """
    number, count = part
    images = batch // count
    first = number * images
    loader = DataLoader(
        draws,
        batch_sampler=[
            list(range(step * batch + first, step * batch + first + images))
            for step in range(first_step, len(draws) // batch)
        ],
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
        multiprocessing_context=_start_method() if workers else None,
    )
    yield from loader


def collate(examples: Sequence[Example]) -> Batch:
    """Examples of one size -> a batch."""
    images_BHW3 = torch.from_numpy(np.stack([example.image for example in examples]))
    return Batch(images_B3HW=images_BHW3.permute(0, 3, 1, 2), targets=collate_targets(examples))


def collate_targets(examples: Sequence[Example]) -> Targets:
    """The truth of examples of one size; what no example is labelled for is None."""
    void = examples[0].void
    class_map_BHW = None
    if any(example.class_map is not None for example in examples):
        maps = [
            np.full(example.size, void) if example.class_map is None else example.class_map
            for example in examples
        ]
        class_map_BHW = torch.from_numpy(np.stack([one.astype(np.int64) for one in maps]))
    boxes = any(example.has_boxes for example in examples)
    # those without labelled objects have no boxes either, so that they lack no mask
    masks = boxes and all(e.masks is not None for e in examples if e.has_boxes)
    return Targets(
        class_map_BHW=class_map_BHW,
        boxes=tuple(torch.from_numpy(e.boxes) for e in examples) if boxes else None,
        class_ids=tuple(torch.from_numpy(e.class_ids) for e in examples) if boxes else None,
        masks=tuple(_stack(e) for e in examples) if masks else None,
        crowds=tuple(torch.from_numpy(e.crowds) for e in examples) if boxes else None,
        objects_known_B=torch.tensor([e.has_boxes for e in examples]) if boxes else None,
        void=void,
    )


def _stack(example: Example) -> Tensor:
    if not example.masks:
        return torch.zeros((0, *example.size), dtype=torch.uint8)
    return torch.from_numpy(np.stack(example.masks))


def _start_method() -> str | None:
    # The default of newer Pythons copies the cache; fork, where there is one, shares it.
    return "fork" if "fork" in torch.multiprocessing.get_all_start_methods() else None


def _one_thread(_worker: int) -> None:
    # Training owns the cores; a loader that spreads over them only gets in its way.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
