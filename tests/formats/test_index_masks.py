"""Index masks: what is read equals what was drawn, and every fault says what to do."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shared import shared_path
from small_sets import CLASSES, dataset, exif, ids, mask_folder, picture, save

from maskwright.core import Classes, ConfigError, DataError, Dataset, Sample, Segmentation
from maskwright.formats import index_masks

NAMES = ["grass", "line", "ball"]


def only(found):
    """The single sample of a set."""
    (samples,) = found.splits.values()
    (one,) = samples
    return one


def single(root, mask, classes=NAMES, image=None, **options):
    """A set of one image and its mask."""
    save(root / "images" / "a.png", picture(1) if image is None else image, **options)
    save(root / "masks" / "a.png", mask)
    (root / "classes.json").write_text(json.dumps(classes))
    return root


def test_each_split_is_read_with_its_pixels_and_ids(tmp_path):
    found = index_masks.read(mask_folder(tmp_path, {"val": 1, "train": 3, "odd": 1}, NAMES))
    assert {split: len(own) for split, own in found.splits.items()} == {
        "train": 3,
        "val": 1,
        "odd": 1,
    }
    assert list(found.splits) == ["train", "val", "odd"]
    second = found.splits["train"][1]
    assert second.name == "im101"
    assert second.tasks == {"semantic"}
    np.testing.assert_array_equal(second.read_image(), picture(101))
    np.testing.assert_array_equal(second.read_truth().semantic, ids(101))


@pytest.mark.parametrize("inner", ["{kind}/{split}", "{split}/{kind}"])
def test_splits_may_stand_above_or_below_and_be_called_valid(tmp_path, inner):
    for split in ("training", "valid"):
        save(tmp_path / inner.format(kind="images", split=split) / "a.jpg", picture(0))
        save(tmp_path / inner.format(kind="masks", split=split) / "a.png", ids(0))
    assert list(index_masks.read(tmp_path).splits) == ["train", "val"]


def test_without_splits_subfolders_are_part_of_the_name(tmp_path):
    save(tmp_path / "images" / "city" / "a.jpg", picture(0))
    save(tmp_path / "masks" / "city" / "a.png", ids(0))
    found = index_masks.read(tmp_path)
    assert list(found.splits) == ["all"]
    assert only(found).name == "city/a"


def test_ignored_classes_become_void_and_the_others_close_the_gap(tmp_path):
    mask = np.array([[0, 1, 2, 3], [4, 255, 1, 0]], np.uint8)
    entries = {"names": ["a", "b", "c", "d", "e"], "ignore_index": 3}
    entries["palette"] = [[i, i, i] for i in range(5)]
    single(tmp_path, mask, entries, picture(0, (2, 4)))
    found = index_masks.read(tmp_path, ignore=("b",))
    assert found.classes.names == ("a", "c", "e")
    assert found.classes.colours == ((0, 0, 0), (2, 2, 2), (4, 4, 4))
    expected = [[0, 255, 1, 255], [2, 255, 255, 0]]
    np.testing.assert_array_equal(only(found).read_truth().semantic, expected)
    assert any("b (id 1)" in note for note in found.notes)
    assert any("d (id 3)" in note for note in found.notes)


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(1, 12),
    ignored=st.sets(st.integers(0, 14)),
    seed=st.integers(0, 2**31),
    wide=st.booleans(),
)
def test_the_table_of_ids_agrees_with_a_loop_over_pixels(classes, ignored, seed, wide):
    names = [f"c{i}" for i in range(classes)]
    if set(range(classes)) <= ignored:
        with pytest.raises(ConfigError, match="keep at least one"):
            index_masks.leave_out(Classes.of(names), ignored, "here")
        return
    table = index_masks.leave_out(Classes.of(names), ignored, "here")
    drawn = np.random.default_rng(seed).choice([*range(classes), *ignored, 255], (6, 5))
    mask = drawn.astype(np.uint16 if wide else np.uint8)
    kept = [name for i, name in enumerate(names) if i not in ignored]
    expected = [
        [kept.index(names[i]) if i < classes and i not in ignored else 255 for i in row]
        for row in drawn.tolist()
    ]
    assert table.classes.names == tuple(kept)
    np.testing.assert_array_equal(table.apply(mask, "here"), expected)


def test_without_classes_json_the_ids_give_the_names(tmp_path):
    found = index_masks.read(mask_folder(tmp_path, {"train": 2}))
    assert found.classes.names == ("class_0", "class_1", "class_2")
    assert any("no classes.json" in note for note in found.notes)


def test_more_than_255_classes_are_kept_in_16_bits(tmp_path):
    mask = np.array([[0, 255, 299], [65535, 7, 256]], np.uint16)
    single(tmp_path / "in", mask, [f"c{i}" for i in range(300)], picture(0, (2, 3)))
    found = index_masks.read(tmp_path / "in")
    np.testing.assert_array_equal(only(found).read_truth().semantic, mask)
    index_masks.write(found, tmp_path / "out")
    again = index_masks.read(tmp_path / "out")
    np.testing.assert_array_equal(only(again).read_truth().semantic, mask)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(1, 254), things=st.booleans())
def test_written_sets_read_back_to_the_pixel(tmp_path_factory, seed, classes, things):
    chosen = Classes.of([f"c{i}" for i in range(classes)], things=[0] if things else [])
    mask = ids(seed, (9, 7), classes)
    truth = Segmentation(size=(9, 7), classes=chosen, semantic=mask)
    one = Sample(
        name="deep/er", image=picture(seed, (9, 7)), truth_of=truth, tasks=frozenset({"semantic"})
    )
    root = tmp_path_factory.mktemp("set")
    written = Dataset(root=root, format="x", classes=chosen, splits={"train": (one,), "val": ()})
    assert index_masks.write(written, root / "out") == ()
    found = index_masks.read(root / "out")
    assert found.classes == chosen
    assert found.splits["train"][0].name == "deep/er"
    np.testing.assert_array_equal(found.splits["train"][0].read_truth().semantic, mask)
    np.testing.assert_array_equal(found.splits["train"][0].read_image(), one.image)


def test_writing_copies_files_and_says_what_it_leaves_out(tmp_path):
    source = save(tmp_path / "photo.jpg", picture(3), quality=80)
    one = dataset(train=1).splits["train"][0]
    photo = Sample(name="p", image=source, truth_of=one.truth_of, tasks=one.tasks)
    written = Dataset(root=tmp_path, format="x", classes=CLASSES, splits={"all": (photo,)})
    (lost,) = index_masks.write(written, tmp_path / "out")
    assert "objects of 1 images" in lost
    assert (tmp_path / "out/images/p.jpg").read_bytes() == source.read_bytes()
    with Image.open(tmp_path / "out/masks/p.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[:9] == [
            channel for colour in CLASSES.colours for channel in colour
        ]
    with pytest.raises(DataError, match="not empty"):
        index_masks.write(written, tmp_path / "out")


def test_truth_can_be_sent_to_another_process(tmp_path):
    one = only(index_masks.read(single(tmp_path, ids(1))))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).read_truth().semantic, ids(1))


def test_other_kinds_of_photos_are_handled(tmp_path):
    grey16 = np.linspace(0, 65535, 12, dtype=np.uint16).reshape(3, 4)
    rgba = np.dstack([picture(2, (3, 4)), np.full((3, 4), 99, np.uint8)])
    for name, pixels in {"deep": grey16, "clear": rgba, "grey": picture(1, (3, 4))[..., 0]}.items():
        save(tmp_path / "images" / f"{name}.png", pixels)
        save(tmp_path / "masks" / f"{name}.png", np.zeros((3, 4), np.uint8))
    clear, deep, grey = index_masks.read(tmp_path).splits["all"]
    np.testing.assert_array_equal(deep.read_image()[..., 1], np.round(grey16 / 257))
    np.testing.assert_array_equal(clear.read_image(), rgba[..., :3])
    assert grey.read_image().shape == (3, 4, 3)
    assert {s.read_truth().size for s in (clear, deep, grey)} == {(3, 4)}


def test_a_rotated_photo_fits_the_mask_that_is_upright(tmp_path):
    lying = picture(5, (24, 32))
    single(tmp_path / "good", ids(1, (32, 24)), image=lying, exif=exif(6))
    one = only(index_masks.read(tmp_path / "good"))
    assert one.read_image().shape[:2] == one.read_truth().size == (32, 24)
    single(tmp_path / "bad", ids(1, (24, 32)), image=lying, exif=exif(6))
    with pytest.raises(DataError, match=r"24x32, the size of .* before its EXIF rotation"):
        only(index_masks.read(tmp_path / "bad")).read_truth()


class TestFaults:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match="does not exist"):
            index_masks.read(tmp_path / "nowhere")

    def test_no_layout(self, tmp_path):
        save(tmp_path / "images" / "a.png", picture(0))
        with pytest.raises(DataError, match=r"holds no index masks: expected .*; found images/"):
            index_masks.read(tmp_path)

    def test_empty_set(self, tmp_path):
        (tmp_path / "train/images").mkdir(parents=True)
        (tmp_path / "train/masks").mkdir()
        with pytest.raises(DataError, match="empty set"):
            index_masks.read(tmp_path)

    def test_images_without_masks_are_named(self, tmp_path):
        mask_folder(tmp_path, {"train": 2}, NAMES)
        (tmp_path / "train/masks/im1.png").unlink()
        with pytest.raises(DataError, match=r"1 of the images .* lack a mask: im1"):
            index_masks.read(tmp_path)
        kept, lacking = index_masks.read(tmp_path, strict=False).splits["train"]
        np.testing.assert_array_equal(kept.read_truth().semantic, ids(0))
        with pytest.raises(DataError, match=r"lack a mask: im1\. Expected .*im1\.png"):
            lacking.read_truth()

    def test_masks_without_image_are_noted(self, tmp_path):
        mask_folder(tmp_path, {"train": 2}, NAMES)
        (tmp_path / "train/images/im1.png").unlink()
        found = index_masks.read(tmp_path)
        assert len(found.splits["train"]) == 1
        assert any("1 masks have no image" in note and "im1" in note for note in found.notes)

    def test_a_split_without_masks_is_noted(self, tmp_path):
        mask_folder(tmp_path, {"train": 1}, NAMES)
        save(tmp_path / "test/images/a.png", picture(0))
        assert any("test/images has no masks" in n for n in index_masks.read(tmp_path).notes)

    def test_another_size(self, tmp_path):
        one = only(index_masks.read(single(tmp_path, ids(1, (24, 31)))))
        with pytest.raises(DataError, match=r"masks/a.png is 24x31, but .*a.png is 24x32"):
            one.read_truth()

    def test_ids_out_of_range(self, tmp_path):
        mask = ids(1)
        mask[0, :2] = 9, 40
        one = only(index_masks.read(single(tmp_path, mask)))
        with pytest.raises(DataError, match=r"a\.png holds ids 9, 40, but expected 0\.\.2"):
            one.read_truth()

    def test_colour_mask(self, tmp_path):
        one = only(index_masks.read(single(tmp_path, picture(4))))
        with pytest.raises(DataError, match="one channel"):
            one.read_truth()

    @pytest.mark.parametrize("which", ["images", "masks"])
    def test_truncated_or_no_image(self, tmp_path, which):
        one = only(index_masks.read(single(tmp_path, ids(1))))
        path = tmp_path / which / "a.png"
        path.write_bytes(path.read_bytes()[:-40])
        read = one.read_image if which == "images" else one.read_truth
        with pytest.raises(DataError, match=r"a\.png is truncated"):
            read()
        path.write_text("not an image")
        with pytest.raises(DataError, match=r"a\.png is not an image"):
            read()

    def test_two_images_of_one_name(self, tmp_path):
        single(tmp_path, ids(1))
        save(tmp_path / "images" / "a.jpg", picture(1))
        with pytest.raises(DataError, match="one image for each name"):
            index_masks.read(tmp_path)
        (one,) = index_masks.read(tmp_path, strict=False).splits["all"]
        with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
            one.read_truth()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "no valid JSON"),
            ("{}", "expected a list of class names"),
            ('["a", "a"]', "stand twice"),
            ('{"names": ["a"], "palette": [[1, 2]]}', "classes.json"),
            ('{"names": ["a"], "ignore_index": "b"}', "to be an id"),
        ],
    )
    def test_damaged_classes(self, tmp_path, text, message):
        single(tmp_path, ids(1))
        (tmp_path / "classes.json").write_text(text)
        with pytest.raises(DataError, match=message):
            index_masks.read(tmp_path)

    def test_ignoring_an_unknown_class_or_all(self, tmp_path):
        single(tmp_path, ids(1))
        with pytest.raises(ConfigError, match="no class 'sky'"):
            index_masks.read(tmp_path, ignore=("sky",))
        with pytest.raises(ConfigError, match="every class"):
            index_masks.read(tmp_path, ignore=NAMES)

    def test_black_and_white_masks_without_names(self, tmp_path):
        single(tmp_path, np.array([[0, 255]], np.uint8), image=picture(0, (1, 2)))
        (tmp_path / "classes.json").unlink()
        with pytest.raises(DataError, match="save 255 as 1"):
            index_masks.read(tmp_path)

    def test_writing_needs_class_maps(self, tmp_path):
        truth = Segmentation(size=(24, 32), classes=CLASSES, instances=())
        one = Sample(name="a", image=picture(0), truth_of=truth, tasks=frozenset({"boxes"}))
        boxes = Dataset(root=tmp_path, format="x", classes=CLASSES, splits={"all": (one,)})
        with pytest.raises(DataError, match="Write this set as coco"):
            index_masks.write(boxes, tmp_path / "out")


def test_camvid_is_read_whole():
    found = index_masks.read(shared_path("data/camvid"))
    assert {split: len(own) for split, own in found.splits.items()} == {"train": 367, "val": 101}
    assert len(found.classes) == 11
    assert found.classes.colours[3] == (128, 64, 128)
    one = found.splits["val"][50]
    with Image.open(shared_path(f"data/camvid/val/masks/{one.name}.png")) as file:
        drawn = np.array(file)
    np.testing.assert_array_equal(one.read_truth().semantic, np.where(drawn == 11, 255, drawn))
