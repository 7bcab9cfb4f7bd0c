"""Cache, examples and batches: what is read, what is kept, and that any step can be resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import small_sets
import torch

from maskwright.core import Instance, Label, Mask, Sample, Segmentation
from maskwright.core.errors import DataError, MaskwrightError
from maskwright.data import (
    NONE,
    Augmentation,
    Batch,
    Cache,
    Draws,
    Frame,
    batches,
    class_weights,
    collate,
    draw_order,
    ended_workers_told,
    read_example,
)
from maskwright.data.derived import signed_distance
from maskwright.data.example import read_packed
from maskwright.losses import Need, Targets

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
    each = 24 * 32 * 4  # of the image and its class map
    assert read_packed(samples[0]).nbytes == each
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
    assert not example.objects_known
    assert example.boxes.shape == (0, 4)
    example = read_example(objects(0))
    assert example.class_map is None
    assert example.objects_known
    assert example.masks[0].sum() == 8 * 14
    assert read_example(objects(0, masks=False)).masks is None
    # looked, found none: labelled all the same
    empty = Segmentation(size=(24, 32), classes=small_sets.CLASSES, instances=())
    example = read_example(replace(objects(0), truth_of=empty))
    assert example.objects_known
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
    # the third has an object without a mask: it hides no other
    targets = collate(both).targets
    assert [tuple(masks.shape) for masks in targets.masks] == [(n, 24, 32) for n in (0, 1, 2)]
    assert [known.tolist() for known in targets.has_mask] == [[], [True], [True, False]]
    assert targets.masks[1].sum() == 8 * 14
    assert targets.masks[2][0].sum() == 6 * 7 - 1
    assert not targets.masks[2][1].any()
    assert targets.masks_known_B.tolist() == [False, True, False]
    assert collate(both[:1]).targets.boxes is None
    assert collate(both[1:2]).targets.class_map_BHW is None


def test_one_image_with_boxes_alone_hides_no_masks():
    both = [read_example(one) for one in (objects(0, masks=False), objects(1))]
    targets = collate(both).targets
    assert [known.tolist() for known in targets.has_mask] == [[False], [True]]
    assert [int(masks.sum()) for masks in targets.masks] == [0, 8 * 14]
    assert targets.masks_known_B.tolist() == [False, True]
    assert targets.objects_known_B.tolist() == [True, True]
    # of an image where nothing was found, every mask is known
    nothing = replace(both[1].keep(np.zeros(1, bool)))
    targets = collate([both[1], nothing]).targets
    assert [tuple(masks.shape) for masks in targets.masks] == [(1, 24, 32), (0, 24, 32)]
    assert targets.masks_known_B.tolist() == [True, True]
    boxes_only = collate(both[:1]).targets
    assert boxes_only.masks is None
    assert boxes_only.masks_known_B is None
    assert collate([read_example(semantic(0))]).targets.masks_known_B is None


def test_masks_are_kept_as_runs():
    """Thirty masks of an image are a tenth of it, not ten times as large."""
    size = (120, 160)
    found = []
    for number in range(30):
        pixels = np.zeros(size, bool)
        pixels[3 * number : 3 * number + 9, number : number + 90] = True
        box = (number, 3 * number, number + 90, 3 * number + 9)
        found.append(Instance(class_id=2, box_xyxy=box, mask=Mask.encode(pixels)))
    truth = Segmentation(size=size, classes=small_sets.CLASSES, instances=tuple(found))
    sample = replace(objects(0), truth_of=truth, image=small_sets.picture(0, size))
    image = 120 * 160 * 3
    packed = read_packed(sample)
    assert image + 30 * 90 * 2 * 4 <= packed.nbytes < 1.5 * image
    example = packed.unpack()
    assert len(example.masks) == 30
    for mask, one in zip(example.masks, found):
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, one.mask.decode())
    assert Cache([sample], 3, packed.nbytes - 1).nbytes == 0
    cache = Cache([sample], 3, packed.nbytes)
    assert cache.nbytes == packed.nbytes
    assert cache.objects_NK.tolist() == [[0, 0, 30]]
    assert cache.sizes_N2.tolist() == [[120, 160]]


def labelled(seed: int, *class_ids: int) -> Sample:
    labels = tuple(Label(class_id=one) for one in class_ids)
    truth = Segmentation(size=(24, 32), classes=small_sets.CLASSES, labels=labels)
    return replace(semantic(seed), truth_of=truth, tasks=frozenset({"labels"}))


def test_labels_of_the_image_reach_the_batch():
    cache = Cache([labelled(0, 0, 2), labelled(1), semantic(2)], 3, EVERYTHING)
    made = Draws(cache, np.array([1, 2, 0]), (16, 20), Augmentation(mosaic=0.5), 0)
    (batch,) = batches(made, 3, workers=1)
    assert batch.targets.labels_BC.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert batch.targets.labels_BC.dtype == torch.float32
    assert batch.targets.labels_known_B.tolist() == [True, False, True]
    assert (batch.targets.class_map_BHW[[0, 2]] == 255).all()
    unlabelled = collate([read_example(semantic(0))]).targets
    assert unlabelled.labels_BC is None
    assert unlabelled.labels_known_B is None


NEEDS = (
    Need(name="boundary-band", parameters=(("width", 1.5),)),
    Need(name="extreme-points"),
    Need(name="signed-distance"),
)


def mixed_draws(needs: tuple[Need, ...] = NEEDS, budget: int = EVERYTHING) -> Draws:
    samples = [small_sets.sample(0), objects(1), semantic(2), objects(3, masks=False)]
    cache = Cache(samples, 3, budget, needs=reversed(needs))
    everything = Augmentation(mosaic=0.5, copy_paste=0.5, rotate=10, smallest_box=0)
    return Draws(
        cache, np.tile(np.arange(4), 3), Frame(size=(24, 32), crop=(16, 20)), everything, 3
    )


def assert_targets(one: Targets, other: Targets) -> None:
    """Equal in every part, those included that were made."""
    assert one.made.keys() == other.made.keys()
    for name in one.__dataclass_fields__:
        mine, yours = getattr(one, name), getattr(other, name)
        pairs = [(mine, yours)]
        if name == "made":
            pairs = [(mine[need], yours[need]) for need in mine]
        for left, right in pairs:
            assert type(left) is type(right)
            for a, b in zip(*((x,) if not isinstance(x, tuple) else x for x in (left, right))):
                if isinstance(a, torch.Tensor):
                    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
                else:
                    assert a == b


@pytest.mark.parametrize("budget", [EVERYTHING, 0])
def test_what_a_loss_needs_is_made_in_the_loader(budget):
    made = mixed_draws(budget=budget)
    here = list(batches(made, 4, workers=0))
    there = list(batches(mixed_draws(), 4, workers=1))
    assert len(here) == len(there) == 3
    for batch, other in zip(here, there):
        torch.testing.assert_close(batch.images_B3HW, other.images_B3HW, rtol=0, atol=0)
        assert_targets(batch.targets, other.targets)
        found = batch.targets
        assert set(found.made) == set(NEEDS)
        band, points, distance = (found.made[need] for need in NEEDS)
        assert (band.shape, band.dtype) == ((4, 16, 20), torch.uint8)
        assert (distance.shape, distance.dtype) == ((4, 3, 16, 20), torch.float32)
        assert isinstance(points, tuple)
        for one, boxes in zip(points, found.boxes):
            assert one.shape == (len(boxes), 4, 2)
        for one, known in zip(points, found.has_mask):
            assert torch.equal(one.isfinite().all(dim=2).all(dim=1), known)
    assert not any(batch.targets.made for batch in batches(mixed_draws(needs=()), 4, workers=0))


def test_mixtures_depend_on_number_and_seed_alone():
    one, again = mixed_draws(), mixed_draws()
    for number in (7, 3, 0, 7):
        assert_targets(collate([one[number]]).targets, collate([again[number]]).targets)
        np.testing.assert_array_equal(one[number].image, again[number].image)


def test_what_was_made_of_a_mixture_is_that_of_the_mixture():
    made = mixed_draws()
    made.augmentation = Augmentation(mosaic=1.0)
    example = made[0]
    np.testing.assert_array_equal(example.made[NEEDS[2]], signed_distance(example, 3))


def full_targets() -> Targets:
    examples = [mixed_draws()[number] for number in range(4)]
    labels = [np.ones(3, np.float32), None, None, None]
    return collate([replace(e, labels=one) for e, one in zip(examples, labels)]).targets


def test_targets_keep_everything_where_they_go():
    targets = full_targets()
    assert all(getattr(targets, name) is not None for name in targets.__dataclass_fields__)
    assert_targets(targets.map_tensors(torch.clone), targets)
    assert_targets(targets.to("cpu"), targets)
    seen = []
    far = targets.to("meta")
    far.map_tensors(lambda tensor: seen.append(tensor.device.type) or tensor)
    assert set(seen) == {"meta"}
    assert len(seen) == 4 + 5 * 4 + 2 + 4  # tensors a batch; those an image; made: two and points
    assert far.void == targets.void
    batch = collate([mixed_draws()[0]]).to(torch.device("meta"))
    assert batch.images_B3HW.device.type == batch.targets.class_map_BHW.device.type == "meta"
    same = collate([mixed_draws()[0]])
    assert same.to(torch.device("cpu")) is same


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a card")
def test_pinned_batches_are_the_same():
    for batch, other in zip(batches(mixed_draws(), 4, pin=True), batches(mixed_draws(), 4)):
        assert batch.images_B3HW.is_pinned()
        told = batch.targets.map_tensors(lambda tensor: torch.tensor(tensor.is_pinned()))
        assert told.class_map_BHW.all()
        assert told.made[NEEDS[2]].all()
        assert all(
            pinned for pinned, masks in zip(told.masks, batch.targets.masks) if masks.numel()
        )
        assert_targets(batch.targets, other.targets)


def late(name: str, act: Callable[[], object]) -> Draws:
    """One good image, and one that does something where it is read by a loader process."""
    training = os.getpid()

    def truth() -> Segmentation:
        if os.getpid() != training:
            act()
        return semantic(1).truth_of

    samples = [semantic(0), replace(semantic(1), name=name, truth_of=truth)]
    return Draws(Cache(samples, 3, budget=0), np.array([0, 0, 1, 0]), (16, 20), NONE, 0)


def fail(error: Exception) -> None:
    raise error


def test_faults_in_a_loader_process_come_out_as_they_are():
    told = "scene_3: the mask is damaged; write it again."
    feed = batches(late("scene_3", lambda: fail(DataError(told))), 2, workers=1)
    next(feed)
    with pytest.raises(DataError) as error:
        next(feed)
    assert str(error.value) == told  # and nothing of torch's


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_defects_in_a_loader_process_are_not_taken_for_its_end(kind):
    feed = batches(late("scene_3", lambda: fail(kind("a defect of ours"))), 2, workers=1)
    with pytest.raises(kind, match="a defect of ours"):
        list(feed)


def test_a_loader_process_that_is_killed_is_told():
    feed = batches(late("s", lambda: os.kill(os.getpid(), signal.SIGKILL)), 2, workers=1)
    with pytest.raises(
        MaskwrightError, match=r"ended from outside.*fewer workers \(now 1\)"
    ) as error:
        list(feed)
    assert "smaller batch (now 2)" in str(error.value)


def test_the_end_of_a_loader_process_is_told_wherever_it_comes_up():
    """Torch raises it by a signal: in the middle of a step, as likely as not."""
    feed = batches(late("s", lambda: os.kill(os.getpid(), signal.SIGKILL)), 2, workers=1)
    with pytest.raises(MaskwrightError, match="fewer workers"), ended_workers_told(1, 2):
        next(feed) and time.sleep(20)  # the step
    with pytest.raises(RuntimeError, match="out of memory"), ended_workers_told(1, 2):
        raise RuntimeError("CUDA out of memory")


def test_objects_survive_a_loader_process():
    cache = Cache([objects(i) for i in range(3)], 3, EVERYTHING)
    augmented = Draws(cache, np.array([0, 1, 2]), (24, 32), NONE, 0)
    for batch in batches(augmented, 3, workers=1):
        assert [boxes.tolist() for boxes in batch.targets.boxes] == [[[6, 4, 20, 12]]] * 3
        assert all(masks.sum() == 8 * 14 for masks in batch.targets.masks)
