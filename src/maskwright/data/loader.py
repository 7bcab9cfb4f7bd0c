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

from maskwright.core.errors import MaskwrightError
from maskwright.data.augment import Augmentation, Frame
from maskwright.data.cache import Cache
from maskwright.data.derived import DERIVED, make_needs
from maskwright.data.example import Example
from maskwright.data.mixing import augment_mixed
from maskwright.losses.targets import Made, Need, Targets


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B images of one size and their truth.

    Attributes:
        images_B3HW: uint8 RGB, channels last in memory.
        targets: in the same pixels.
    """

    images_B3HW: Tensor
    targets: Targets

    def to(self, device: torch.device, non_blocking: bool = True) -> Batch:
        """On another device; without waiting, where the memory is pinned."""
        if self.images_B3HW.device == device:
            return self
        return Batch(
            images_B3HW=self.images_B3HW.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking),
        )

    def pin_memory(self) -> Batch:
        """In memory that a card copies from by itself; torch's loader calls this."""
        return Batch(images_B3HW=self.images_B3HW.pin_memory(), targets=self.targets.pin_memory())


class Draws(Dataset[Example]):
    """Training example number n is a pure function of n and the seed.

    Args:
        cache: the decoded split.
        order: which image each draw reads.
        size: (height, width) of the examples; or what they are cut from and to.
        augmentation: how far they are changed.
        seed: of the augmentation.
    """

    def __init__(
        self,
        cache: Cache,
        order: Sequence[int] | np.ndarray,
        size: tuple[int, int] | Frame,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.cache = cache
        self.order = np.asarray(order)
        self.frame = size if isinstance(size, Frame) else Frame(size=size)
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, draw: int) -> Example:
        rng = np.random.default_rng((self.seed, 1, draw))
        cache = self.cache
        example = augment_mixed(
            cache.__getitem__,
            int(self.order[draw]),
            len(cache),
            self.frame,
            self.augmentation,
            rng,
        )
        for when in ("sample", "crop"):  # a mixture lost what was made of its parts
            example = make_needs(example, cache.needs, cache.classes, when)
        return example


def batches(
    draws: Draws,
    batch: int,
    first_step: int = 0,
    workers: int = 1,
    part: tuple[int, int] = (0, 1),
    pin: bool = False,
) -> Iterator[Batch]:
    """Batches of `batch` consecutive draws, from step `first_step` on; a partial last one is left.

    Args:
        draws: the examples.
        batch: how many make one.
        first_step: steps that were made already.
        workers: processes that augment; 0 does it here.
        part: (number, count): only this part of each batch. The parts are equally long, and in
            the order of their numbers they are the batch.
        pin: hand batches out in memory that a card copies from by itself.

    Raises:
        DataError: an image that isn't in the cache can't be read any more.
        MaskwrightError: a process that augments was ended from outside.
    """
    number, count = part
    images = batch // count
    first = number * images
    loader = DataLoader(
        _Told(draws),
        batch_sampler=[
            list(range(step * batch + first, step * batch + first + images))
            for step in range(first_step, len(draws) // batch)
        ],
        num_workers=workers,
        collate_fn=_collate_told,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
        multiprocessing_context=_start_method() if workers else None,
        pin_memory=pin,
    )
    try:
        for found in loader:
            if isinstance(found, MaskwrightError):
                raise found
            yield found
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MaskwrightError(
            "a process that loads images was ended from outside, most likely because memory ran "
            f"out ({str(error).splitlines()[0]}). Go on with --resume; fewer workers (now "
            f"{workers}), a smaller batch (now {batch}) or a smaller cache take less memory."
        ) from error


class _Told(Dataset[Example | MaskwrightError]):
    """Draws whose faults are handed over as they are: torch wraps what is raised in a traceback."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws

    def __getitem__(self, draw: int) -> Example | MaskwrightError:
        try:
            return self.draws[draw]
        except MaskwrightError as error:
            return error


def _collate_told(found: Sequence[Example | MaskwrightError]) -> Batch | MaskwrightError:
    examples = []
    for one in found:
        if isinstance(one, MaskwrightError):
            return one
        examples.append(one)
    return collate(examples)


def collate(examples: Sequence[Example]) -> Batch:
    """Examples of one size -> a batch."""
    images_BHWC = torch.from_numpy(np.stack([example.image for example in examples]))
    return Batch(images_B3HW=images_BHWC.permute(0, 3, 1, 2), targets=collate_targets(examples))


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
    masks = any(example.masks is not None for example in examples)
    labels_BC, labels_known_B = _collate_labels(examples)
    return Targets(
        class_map_BHW=class_map_BHW,
        boxes=tuple(torch.from_numpy(e.boxes) for e in examples) if boxes else None,
        class_ids=tuple(torch.from_numpy(e.class_ids) for e in examples) if boxes else None,
        masks=tuple(_stack(e) for e in examples) if masks else None,
        has_mask=tuple(torch.from_numpy(e.has_mask) for e in examples) if masks else None,
        crowds=tuple(torch.from_numpy(e.crowds) for e in examples) if boxes else None,
        objects_known_B=torch.tensor([e.has_boxes for e in examples]) if boxes else None,
        labels_BC=labels_BC,
        labels_known_B=labels_known_B,
        made={need: _collate_made(need, examples) for need in examples[0].made},
        void=void,
    )


def _collate_labels(examples: Sequence[Example]) -> tuple[Tensor | None, Tensor | None]:
    known = [example.labels is not None for example in examples]
    if not any(known):
        return None, None
    classes = next(len(one.labels) for one in examples if one.labels is not None)
    rows = [np.zeros(classes, np.float32) if e.labels is None else e.labels for e in examples]
    return torch.from_numpy(np.stack(rows)), torch.tensor(known)


def _collate_made(need: Need, examples: Sequence[Example]) -> Made:
    arrays = [torch.from_numpy(example.made[need]) for example in examples]
    return tuple(arrays) if DERIVED[need.name].kind == "points" else torch.stack(arrays)


def _stack(example: Example) -> Tensor:
    if not example.masks:
        return torch.zeros((len(example.boxes), *example.size), dtype=torch.uint8)
    nothing = np.zeros(example.size, np.uint8)
    masks = [nothing if mask is None else mask for mask in example.masks]
    return torch.from_numpy(np.stack(masks))


def _start_method() -> str | None:
    # The default of newer Pythons copies the cache; fork, where there is one, shares it.
    return "fork" if "fork" in torch.multiprocessing.get_all_start_methods() else None


def _one_thread(_worker: int) -> None:
    # Training owns the cores; a loader that spreads over them only gets in its way.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
