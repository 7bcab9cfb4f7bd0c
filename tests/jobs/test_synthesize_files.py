"""Generated sets: exact, the same however they were made, and taken up where they stopped."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from small_sets import CLASSES, ids, picture, sample

from maskwright import formats
from maskwright.core import Classes, ConfigError, DataError, Sample, Segmentation
from maskwright.jobs import synthesize
from maskwright.jobs.synthesize import SPLITS, split_of


def scene(seed, size=(24, 32)):
    return sample(seed, size=size)


def without_objects(seed):
    truth = Segmentation(size=(24, 32), classes=CLASSES, semantic=ids(seed))
    return Sample(name="x", image=picture(seed), truth_of=truth, tasks=frozenset({"semantic"}))


def changing(seed):
    names = ["a"] if seed % 2 else ["b"]
    truth = Segmentation(
        size=(2, 2), classes=Classes.of(names), semantic=np.zeros((2, 2), np.uint8)
    )
    return Sample(
        name="x", image=picture(seed, (2, 2)), truth_of=truth, tasks=frozenset({"semantic"})
    )


def boxes_only(seed):
    truth = Segmentation(size=(24, 32), classes=CLASSES, instances=())
    return Sample(name="x", image=picture(seed), truth_of=truth, tasks=frozenset({"boxes"}))


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_set_reads_back_exactly_in_both_formats(tmp_path):
    seeds = []

    def remembered(seed):
        seeds.append(seed)
        return scene(seed)

    done = synthesize(remembered, 10, tmp_path / "set", seed=4, suffix=".png")
    assert done.made == 10
    found = formats.read(tmp_path / "set")
    assert found.format == "index_masks"
    assert found.classes == CLASSES
    assert {split: len(own) for split, own in found.splits.items()} == done.images
    assert set(done.images) == set(SPLITS)
    objects = formats.read(tmp_path / "set", format="coco")
    assert objects.classes == CLASSES
    for split, own in found.splits.items():
        for one, with_objects in zip(own, objects.splits[split]):
            made = scene(seeds[int(one.name)])
            np.testing.assert_array_equal(one.read_image(), made.image)
            truth = one.read_truth()
            np.testing.assert_array_equal(truth.semantic, made.read_truth().semantic)
            assert with_objects.read_truth().instances == made.read_truth().instances


def test_workers_and_growth_and_interruption_change_nothing(tmp_path):
    synthesize(scene, 12, tmp_path / "whole", seed=1)
    synthesize(scene, 12, tmp_path / "shared", seed=1, workers=2)
    synthesize(scene, 5, tmp_path / "grown", seed=1)
    told = []
    assert (
        synthesize(
            scene, 12, tmp_path / "grown", seed=1, progress=lambda *step: told.append(step)
        ).made
        == 7
    )
    assert told[0] == (6, 12)
    assert told[-1] == (12, 12)
    expected = files(tmp_path / "whole")
    assert files(tmp_path / "shared") == expected
    assert files(tmp_path / "grown") == expected
    for name in ("train/instances.json", "classes.json"):
        (tmp_path / "grown" / name).unlink()
    synthesize(scene, 12, tmp_path / "grown", seed=1)
    assert files(tmp_path / "grown") == expected


def test_ctrl_c_in_the_middle_loses_nothing(tmp_path):
    calls = []

    def stopped(seed):
        calls.append(seed)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return scene(seed)

    with pytest.raises(KeyboardInterrupt):
        synthesize(stopped, 6, tmp_path / "set")
    assert synthesize(stopped, 6, tmp_path / "set").made == 3
    assert len(formats.read(tmp_path / "set").splits["train"]) >= 4


def test_another_seed_gives_other_pictures(tmp_path):
    synthesize(scene, 1, tmp_path / "a", seed=0)
    synthesize(scene, 1, tmp_path / "b", seed=1)
    name = "train/masks/000000.png"
    assert files(tmp_path / "a")[name] != files(tmp_path / "b")[name]


def test_scenes_without_objects_have_no_coco(tmp_path):
    synthesize(without_objects, 2, tmp_path / "set")
    assert not (tmp_path / "set/train/instances.json").exists()


def test_splits_keep_their_shares_at_every_size():
    for count in (9, 50, 333):
        names = [split_of(index, SPLITS) for index in range(count)]
        for split, share in SPLITS.items():
            assert abs(names.count(split) - share * count) <= 2
            assert split in names


def test_what_does_not_fit_is_refused(tmp_path):
    synthesize(partial(scene, size=(20, 20)), 3, tmp_path / "set")
    with pytest.raises(DataError, match="same settings"):
        synthesize(scene, 3, tmp_path / "set")
    with pytest.raises(DataError, match="more than 2"):
        synthesize(partial(scene, size=(20, 20)), 2, tmp_path / "set")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        synthesize(scene, 1, tmp_path / "other")
    with pytest.raises(DataError, match="same classes"):
        synthesize(changing, 9, tmp_path / "changing")
    with pytest.raises(DataError, match="no class map"):
        synthesize(boxes_only, 1, tmp_path / "boxes")
    for settings in (
        {"count": 0},
        {"seed": -1},
        {"splits": {}},
        {"suffix": ".gif"},
        {"workers": 0},
    ):
        with pytest.raises(ConfigError, match="expected"):
            synthesize(scene, **({"count": 1, "out": tmp_path / "x"} | settings))
