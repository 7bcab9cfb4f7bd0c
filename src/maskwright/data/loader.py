"""Batches of augmented examples as tensors, in an order that any step can be resumed from."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
import torch
import torch.multiprocessing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskwright.core.errors import MaskwrightError
from maskwright.data.augment import Augmentation, Frame
from maskwright.data.cache import Cache
from maskwright.data.collate import collate_targets
from maskwright.data.derived import make_needs
from maskwright.data.example import Example
from maskwright.data.mixing import augment_mixed
from maskwright.data.sampling import draw_rare
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
        index, around = int(self.order[draw]), None
        if self.augmentation.rare_crops and rng.random() < self.augmentation.rare_crops:
            index, around = draw_rare(cache.pixels_NK, index, rng)
        example = augment_mixed(
            cache.__getitem__, index, len(cache), self.frame, self.augmentation, rng, around
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
    with ended_workers_told(workers, batch):
        for found in loader:
            if isinstance(found, MaskwrightError):
                raise found
            yield found


@contextmanager
def ended_workers_told(workers: int, batch: int) -> Iterator[None]:
    """Say what to do where a process that loads images was ended from outside.

    Torch tells it by a signal: the error comes up wherever the training process is at that moment.
    So a training loop belongs in here, and not `batches` alone.

    Args:
        workers: how many processes load images.
        batch: images a step.

    Raises:
        MaskwrightError: in the place of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):  # a worker's own fault is "Caught ..."
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


def _start_method() -> str | None:
    # The default of newer Pythons copies the cache; fork, where there is one, shares it.
    return "fork" if "fork" in torch.multiprocessing.get_all_start_methods() else None


def _one_thread(_worker: int) -> None:
    # Training owns the cores; a loader that spreads over them only gets in its way.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    sys.excepthook = _tell_of_the_main_thread


def _tell_of_the_main_thread(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What other threads raise is the end of training, met by the one that hands tensors over."""
    if threading.current_thread() is threading.main_thread():
        sys.__excepthook__(kind, error, trace)
