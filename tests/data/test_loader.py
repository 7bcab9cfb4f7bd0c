"""Cache, examples and batches: what is read, what is kept, and that any step can be resumed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_sets
import torch

from maskwright.core import Instance, Mask, Sample, Segmentation
from maskwright.core.errors import DataError
from maskwright.data import (
    NONE,
    Augmentation,
    Batch,
    Cache,
    Draws,
    batches,
    class_weights,
    collate,
    draw_order,
    read_example,
)

EVERYTHING = 10**9


def semantic(seed: int) -> Sample:
    truth = Segmentation(size=(24, 32), classes=small_sets.CLASSES, semantic=small_sets.ids(seed))
    return Sample(
        name=f"s{seed}",
        image=small_sets.picture(seed),
        truth_of=truth,
        tasks=frozenset({"semantic"}),
    )


def objects(seed: int, masks: bool = True) -> Sample:
    pixels = np.zeros((24, 32), bool)
    pixels[4:12, 6:20] = True
    one = Instance(class_id=2, box_xyxy=(6, 4, 20, 12), mask=Mask.encode(pixels) if masks else None)
    truth = Segmentation(size=(24, 32), classes=small_sets.CLASSES, instances=(one,))
    tasks = frozenset({"instances", "boxes"} if masks else {"boxes"})
    return Sample(name=f"o{seed}", image=small_sets.picture(seed), truth_of=truth, tasks=tasks)


def draws(count: int = 24, augmentation: Augmentation | None = None, seed: int = 5) -> Draws:
    samples = [semantic(i) for i in range(5)]
    cache = Cache(samples, classes=3, budget=EVERYTHING)
    order = draw_order(np.ones(5), count, seed)
    return Draws(cache, order, (16, 20), augmentation or Augmentation(), seed)


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.images_B3HW, other.images_B3HW)
    assert torch.equal(one.targets.class_map_BHW, other.targets.class_map_BHW)


def test_batches_are_what_the_loss_wants():
    (batch,) = batches(draws(4), 4, workers=0)
    assert batch.images_B3HW.shape == (4, 3, 16, 20)
    assert batch.images_B3HW.dtype == torch.uint8
    assert batch.images_B3HW.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.class_map_BHW.shape == (4, 16, 20)
    assert batch.targets.class_map_BHW.dtype == torch.int64
    assert batch.targets.boxes is None


def test_a_partial_last_batch_is_left():
    assert len(list(batches(draws(11), 4, workers=0))) == 2
    assert list(batches(draws(3), 4, workers=0)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_is_resumed_goes_on_as_if_it_had_not_stopped(workers):
    whole = list(batches(draws(), 4, workers=0))
    assert len(whole) == 6
    assert not torch.equal(whole[0].images_B3HW, whole[1].images_B3HW)
    for first in (0, 2, 5, 6):
        rest = list(batches(draws(), 4, first_step=first, workers=workers))
        assert len(rest) == 6 - first
        for one, other in zip(rest, whole[first:]):
            assert_same(one, other)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("first", [0, 3])
def test_the_parts_of_many_processes_are_the_batches_of_one(count, first):
    whole = list(batches(draws(23), 4, first, workers=0))
    parts = [list(batches(draws(23), 4, first, 0, (number, count))) for number in range(count)]
    assert [len(part) for part in parts] == [5 - first] * count
    for batch, *shares in zip(whole, *parts):
        images = torch.cat([share.images_B3HW for share in shares])
        assert torch.equal(images, batch.images_B3HW)
        maps = torch.cat([share.targets.class_map_BHW for share in shares])
        assert torch.equal(maps, batch.targets.class_map_BHW)


def test_draws_depend_on_number_and_seed_alone():
    one, again, other = draws(), draws(), draws(seed=6)
    for number in (7, 3, 7):  # in any order, any number of times
        np.testing.assert_array_equal(one[number].image, again[number].image)
    assert not np.array_equal(one[7].image, other[7].image)
    # the same image is drawn anew in the next epoch
    first, second = np.flatnonzero(one.order == one.order[0])[:2]
    assert not np.array_equal(one[int(first)].image, one[int(second)].image)


def test_a_cache_holds_no_more_than_its_budget():
    samples = [semantic(i) for i in range(6)]
    each = read_example(samples[0]).nbytes
    assert each == 24 * 32 * 4
    reads = []
    counted = [
        replace(one, truth_of=lambda one=one: reads.append(one.name) or one.truth_of)
        for one in samples
    ]
    for budget, held in [(0, 0), (each - 1, 0), (each, 1), (3 * each + 5, 3), (EVERYTHING, 6)]:
        told = []
        cache = Cache(counted, 3, budget, progress=told.append)
        assert told == [1, 2, 3, 4, 5, 6]
        assert cache.nbytes == held * each <= max(budget, 0)
        reads.clear()
        for i in range(len(cache)):
            np.testing.assert_array_equal(cache[i].image, samples[i].read_image())
        assert len(reads) == 6 - held


def test_a_cache_counts_the_labelled_pixels():
    samples = [semantic(0), objects(1), semantic(2)]
    cache = Cache(samples, 3, EVERYTHING)
    for row, sample in zip(cache.pixels_NK, samples):
        truth = sample.read_truth().semantic
        expected = [0] * 3 if truth is None else [int((truth == k).sum()) for k in range(3)]
        assert row.tolist() == expected
    assert (class_weights(cache.pixels_NK) > 0).all()


def test_nothing_to_train_on_is_told():
    with pytest.raises(DataError, match="at least one training image, got none"):
        Cache([], 3, 0)


def test_faults_of_samples_come_through():
    def fault() -> Segmentation:
        raise DataError("scene_3: the mask is damaged.")

    with pytest.raises(DataError, match="scene_3"):
        Cache([semantic(0), replace(semantic(3), truth_of=fault), semantic(1)], 3, EVERYTHING)


def test_what_a_sample_lacks_is_none():
    example = read_example(semantic(0))
    assert example.masks is None
    assert not example.has_boxes
    assert example.boxes.shape == (0, 4)
    example = read_example(objects(0))
    assert example.class_map is None
    assert example.has_boxes
    assert example.masks[0].sum() == 8 * 14
    assert read_example(objects(0, masks=False)).masks is None
    # looked, found none: labelled all the same
    empty = Segmentation(size=(24, 32), classes=small_sets.CLASSES, instances=())
    example = read_example(replace(objects(0), truth_of=empty))
    assert example.has_boxes
    assert example.masks == ()


def test_batches_of_samples_that_lack_different_tasks():
    both = [read_example(one) for one in (semantic(0), objects(1), small_sets.sample(2))]
    targets = collate(both[:2]).targets
    assert (targets.class_map_BHW[0] != 255).any()
    assert (targets.class_map_BHW[1] == 255).all()
    assert [len(boxes) for boxes in targets.boxes] == [0, 1]
    assert targets.objects_known_B.tolist() == [False, True]
    assert [len(ids) for ids in targets.class_ids] == [0, 1]
    assert [len(crowds) for crowds in targets.crowds] == [0, 1]
    assert targets.boxes[1].dtype == torch.float32
    assert targets.class_ids[1].tolist() == [2]
    # the first has no object that could lack a mask
    assert [tuple(masks.shape) for masks in targets.masks] == [(0, 24, 32), (1, 24, 32)]
    assert targets.masks[1].dtype == torch.uint8
    # the third has an object without a mask: no mask of the batch is used
    assert collate(both).targets.masks is None
    assert collate(both[:1]).targets.boxes is None
    assert collate(both[1:2]).targets.class_map_BHW is None


def test_objects_survive_a_loader_process():
    cache = Cache([objects(i) for i in range(3)], 3, EVERYTHING)
    augmented = Draws(cache, np.array([0, 1, 2]), (24, 32), NONE, 0)
    for batch in batches(augmented, 3, workers=1):
        assert [boxes.tolist() for boxes in batch.targets.boxes] == [[[6, 4, 20, 12]]] * 3
        assert all(masks.sum() == 8 * 14 for masks in batch.targets.masks)
