"""LabelMe: what is drawn is what is covered, what is written is read, what isn't kept is told."""

from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_sets import (
    SIZE,
    STENCIL,
    TRIANGLE,
    assert_same_but_for_edges,
    images,
    inside,
    labelme_document,
    labelme_shape,
    make,
    png_of,
    stencil_text,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from small_sets import picture, save

from maskwright.core import Classes, DataError, Dataset, Instance, Mask, Sample, Segmentation
from maskwright.formats import DrawingOptions, labelme, read
from maskwright.jobs import convert

CLASSES = Classes.of(["spot", "crack"], None, [0, 1])


def put(root: Path, document, name="im0") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}.json").write_text(json.dumps(document))
    return root


def one_shape(root: Path, *shapes: dict):
    """The objects of a set of one image with these shapes."""
    save(root / "im0.png", picture(0))
    put(root, labelme_document([*shapes]))
    (sample,) = read(root).splits["all"]
    return sample.read_truth().instances


def test_every_kind_of_shape(tmp_path):
    dataset = read(make("labelme", tmp_path))
    assert dataset.format == "labelme"
    assert dataset.classes.names == ("crack", "spot")
    told = " ".join(dataset.notes)
    for text in ("1 lines and points cover", "those that occur"):
        assert text in told
    first, empty = dataset.splits["all"]
    assert (first.tasks, empty.tasks) == ({"boxes"}, {"boxes", "instances"})
    joined, box, circle, mask = first.read_truth().instances
    two = inside(TRIANGLE) | inside([[22, 12], [30, 12], [30, 20]])
    assert_same_but_for_edges(joined.mask.decode(), two)
    assert (box.mask, box.box_xyxy) == (None, (4.5, 2, 9, 8))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    np.testing.assert_array_equal(circle.mask.decode(), np.hypot(x - 16, y - 12) <= 5)
    np.testing.assert_array_equal(mask.mask.decode()[2:8, 3:12], STENCIL)
    assert mask.mask.area == STENCIL.sum()
    assert empty.read_truth().instances == ()
    assert (box.extras, circle.extras) == ({"flags": {"hard": True}}, {"description": "round"})


def test_what_was_drawn_is_written_again(tmp_path):
    make("labelme", tmp_path / "set")
    done = convert(read(tmp_path / "set"), tmp_path / "out", "labelme", workers=1)
    assert done.losses == ()
    shapes = [json.loads((tmp_path / place / "im0.json").read_text())["shapes"]
              for place in ("set", "out")]  # fmt: skip
    assert [one["points"] for one in shapes[1][:2]] == [one["points"] for one in shapes[0][:2]]
    assert [one["flags"] for one in shapes[1]][2:4] == [{"hard": True}, {}]
    assert shapes[1][3]["description"] == "round"
    before, after = (read(tmp_path / place).splits["all"][0] for place in ("set", "out"))
    assert before.read_truth().instances == after.read_truth().instances
    to_voc = convert(read(tmp_path / "set"), tmp_path / "voc", "voc", workers=1)
    assert any("the field 'flags' of 1 objects" in text for text in to_voc.losses)


def test_flags_of_images_and_groups_of_one_shape_are_kept(tmp_path):
    shapes = [
        labelme_shape("rectangle", [[2, 2], [9, 9]], "spot") | {"group_id": 7},
        labelme_shape("polygon", [[2, 2], [9, 2], [9, 9]], "crack") | {"group_id": 7},
        labelme_shape("polygon", [[12, 2], [19, 2], [19, 9]], "spot"),
        labelme_shape("polygon", [[12, 12], [19, 12], [19, 19]], "crack") | {"group_id": 1},
        labelme_shape("polygon", [[22, 12], [29, 12], [29, 19]], "crack") | {"group_id": 1},
    ]
    save(tmp_path / "set/im0.png", picture(0))
    put(tmp_path / "set", labelme_document(shapes) | {"flags": {"blurred": True, "night": False}})
    done = convert(read(tmp_path / "set"), tmp_path / "out", "labelme", workers=1)
    assert done.losses == ()
    found = json.loads((tmp_path / "out/im0.json").read_text())
    assert found["flags"] == {"blurred": True, "night": False}
    assert [one["group_id"] for one in found["shapes"]] == [7, 7, None, 1, 1]
    before, after = (read(tmp_path / at).splits["all"][0].read_truth() for at in ("set", "out"))
    assert before.instances == after.instances
    to_coco = convert(read(tmp_path / "set"), tmp_path / "coco", "coco", workers=1)
    assert to_coco.losses == ()  # it holds any field
    to_yolo = convert(read(tmp_path / "set"), tmp_path / "yolo", "yolo_seg", workers=1)
    assert any("'group_id' of 3 objects" in text for text in to_yolo.losses)
    assert any("'flags' of 1 images" in text for text in to_yolo.losses)


def test_what_reading_left_out_is_listed_as_lost(tmp_path):
    make("labelme", tmp_path / "set")
    convert(read(tmp_path / "set"), tmp_path / "out", "labelme", workers=1)
    rows = (tmp_path / "out/losses.csv").read_text().splitlines()
    assert any("lines and points cover no area and are left out,1" in row for row in rows)


def test_drawn_polygons_stay_what_they_are_in_coco(tmp_path):
    make("labelme", tmp_path / "set")
    convert(read(tmp_path / "set"), tmp_path / "out", "coco", workers=1)
    document = json.loads((tmp_path / "out/instances.json").read_text())
    joined = document["annotations"][0]["segmentation"]
    assert joined == [[2, 3, 20, 3, 2, 21], [22, 12, 30, 12, 30, 20]]
    convert(read(tmp_path / "out"), tmp_path / "back", "labelme", workers=1)
    shape = json.loads((tmp_path / "back/im0.json").read_text())["shapes"][0]
    assert (shape["points"], shape["group_id"]) == (TRIANGLE, 1)


def test_polygons_are_filled_as_pycocotools_and_nearly_as_pillow(tmp_path):
    from pycocotools import mask as api

    corners = [[3.2, 2.7], [27.9, 5.1], [20.4, 21.3], [11.8, 12.2]]
    (found,) = one_shape(tmp_path, labelme_shape("polygon", corners))
    whole = api.decode(api.merge(api.frPyObjects([np.ravel(corners).tolist()], *SIZE))) > 0
    np.testing.assert_array_equal(found.mask.decode(), whole)
    drawn = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawn).polygon([(x - 0.5, y - 0.5) for x, y in corners], fill=1)
    assert Mask.encode(np.array(drawn)).iou(found.mask) > 0.8  # it draws the line, too


def test_an_ellipse_and_shapes_over_the_edge(tmp_path):
    wide, over = one_shape(
        tmp_path,
        labelme_shape("ellipse", [[4, 4], [24, 12]]),
        labelme_shape("mask", [[-2, 20], [6, 25]], mask=stencil_text()),
    )
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    np.testing.assert_array_equal(
        wide.mask.decode(), ((x - 14) / 10) ** 2 + ((y - 8) / 4) ** 2 <= 1
    )
    np.testing.assert_array_equal(over.mask.decode()[20:, :7], STENCIL[:4, 2:])


def test_splits_and_listed_classes(tmp_path):
    for split in ("train", "valid"):
        images(tmp_path / split)
        put(tmp_path / split, labelme_document([labelme_shape("polygon", TRIANGLE)]))
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nspot\n")
    dataset = read(tmp_path)
    assert {split: len(own) for split, own in dataset.splits.items()} == {"train": 1, "val": 1}
    assert dataset.classes.names == ("spot", "crack")
    told = " ".join(dataset.notes)
    assert "labels.txt doesn't list crack" in told
    assert "1 images have no JSON file: im1.png. Left out." in told
    assert read(tmp_path, ignore=["crack"]).classes.names == ("spot",)


def test_images_in_a_folder_of_their_own_or_inside_the_file(tmp_path):
    images(tmp_path / "set" / "images")
    document = labelme_document([labelme_shape("polygon", TRIANGLE)], "..\\images\\im0.png")
    (sample,) = read(put(tmp_path / "set" / "annotations", document).parent).splits["all"]
    np.testing.assert_array_equal(sample.read_image(), picture(0))
    data = base64.b64encode(png_of(picture(3))).decode()
    inside_it = labelme_document([labelme_shape("polygon", TRIANGLE)], "gone.png", data=data)
    (sample,) = read(put(tmp_path / "alone", inside_it)).splits["all"]
    np.testing.assert_array_equal(sample.read_image(), picture(3))
    assert read(tmp_path / "alone" / "im0.json").format == "labelme"


def test_no_image_is_looked_for_outside(tmp_path):
    save(tmp_path / "secret.png", picture(0))
    for name in ("../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png"):
        root = put(tmp_path / "set", labelme_document([], name))
        with pytest.raises(DataError, match=r"there is no image .* beside it"):
            read(root)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ({"label": None}, 'shape 1: expected "label" to be a text, got None'),
        ({"points": [[1, 2], [3, 4]]}, "shape 1: expected at least 3 corners, got 2"),
        ({"points": [[1, 2], [3, 4], [5, float("nan")]]}, "to be a finite number, got nan"),
        ({"points": [[1, 2], [3, 4], [5]]}, r"to be pairs x, y, got \[5\]"),
        ({"points": [[1, 2], [3, 4], [5, 1e9]]}, "expected corners in pixels of the image"),
        ({"shape_type": "spline"}, "\"shape_type\" to be one of polygon.*got 'spline'"),
        ({"group_id": "a"}, "\"group_id\" to be a finite number, got 'a'"),
        ({"shape_type": "circle"}, '"points" to be two'),
        ({"shape_type": "mask", "points": [[1, 1], [3, 3]]}, '"mask" to be a text in base64'),
    ],
)
def test_faults_are_named_and_kept_to_their_image(tmp_path, shape, wanted):
    make("labelme", tmp_path)
    (tmp_path / "labels.txt").write_text("crack\nspot\n")
    put(tmp_path, labelme_document([labelme_shape("polygon", TRIANGLE) | shape]))
    with pytest.raises(DataError, match=f"im0.json: .*{wanted}"):
        read(tmp_path)
    faulty, sound = read(tmp_path, strict=False).splits["all"]
    with pytest.raises(DataError, match=wanted):
        faulty.read_truth()
    assert sound.read_truth().instances == ()


def test_a_mask_of_another_size_is_told_when_it_is_read(tmp_path):
    with pytest.raises(DataError, match=r"im0.json: shape 1 \(crack\): expected a PNG of 4x9"):
        one_shape(tmp_path, labelme_shape("mask", [[3, 2], [11, 5]], mask=stencil_text()))


def test_what_would_fill_the_memory_is_refused_by_its_stated_size(tmp_path):
    wide = labelme_shape("mask", [[0, 0], [30000, 30000]], mask=stencil_text())
    with pytest.raises(
        DataError, match=r"its pixels are 30001x30001 .* more than the image's 24x32"
    ):
        one_shape(tmp_path, wide)
    header = png_of(picture(0))
    told = header[12:16] + (100_000).to_bytes(4, "big") * 2 + header[24:29]
    forged = header[:12] + told + zlib.crc32(told).to_bytes(4, "big") + header[33:]
    for data, wanted in ((forged, "more than 268435456 pixels in all"), (b"x" * 50, "is no image")):
        text = base64.b64encode(data).decode()
        shapes = [labelme_shape("polygon", TRIANGLE)]
        document = labelme_document(shapes, "gone.png", data=text)
        with pytest.raises(DataError, match=wanted):
            read(put(tmp_path / "inside", document))


def memory(*masks: np.ndarray, **more) -> Dataset:
    objects = tuple(
        Instance(class_id=i % 2, box_xyxy=(m := Mask.encode(pixels)).box_xyxy, mask=m, **more)
        for i, pixels in enumerate(masks)
    )
    truth = Segmentation(size=masks[0].shape, classes=CLASSES, instances=objects)
    sample = Sample(name="a b/ä", image=picture(0, masks[0].shape), truth_of=truth,
                    tasks=frozenset({"instances", "boxes"}))  # fmt: skip
    return Dataset(root=Path("m"), format="m", classes=CLASSES, splits={"train": (sample,)})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.02, 0.98), masks=st.booleans())
def test_what_is_written_is_read_to_the_pixel(tmp_path_factory, seed, share, masks):
    pixels = np.random.default_rng(seed).random((2, 13, 17)) < share
    pixels[:, seed % 13, seed % 17] = True
    root = tmp_path_factory.mktemp("set") / "out"
    before = memory(*pixels)
    assert labelme.write(before, root, DrawingOptions(masks=masks)) == ()
    after = read(root)
    assert after.classes.names == before.classes.names
    (sample,) = after.splits["train"]
    assert sample.name == "a b/ä"
    own = before.splits["train"][0].read_truth().instances
    assert [one.mask for one in sample.read_truth().instances] == [one.mask for one in own]


def test_the_file_is_as_labelme_writes_it(tmp_path):
    pixels = np.zeros(SIZE, bool)
    pixels[3:9, 4:20] = True
    pixels[15:20, 4:20] = True
    for masks in (False, True):
        root = tmp_path / str(masks)
        labelme.write(memory(pixels), root, {"masks": masks})
        document = json.loads((root / "train/a b/ä.json").read_text())
        assert {*document} == {"version", "flags", "shapes", "imagePath", "imageData",
                               "imageHeight", "imageWidth"}  # fmt: skip
        assert (root / "train/a b" / document["imagePath"]).is_file()
        kinds = [(one["shape_type"], one["group_id"]) for one in document["shapes"]]
        assert kinds == ([("mask", None)] if masks else [("polygon", 1)] * 2)
        if masks:
            (shape,) = document["shapes"]
            assert shape["points"] == [[4, 3], [19, 19]]
            found = np.array(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
            np.testing.assert_array_equal(found > 0, pixels[3:20, 4:20])


def test_what_it_cant_hold_is_counted(tmp_path):
    pixels = np.zeros(SIZE, bool)
    pixels[3:9, 4:20] = True
    small = memory(pixels, np.zeros(SIZE, bool), crowd=True, score=0.5, track_id=3)
    (sample,) = small.splits["train"]
    truth = sample.read_truth()
    moved = (replace(truth.instances[0], box_xyxy=(0.0, 0.0, 20.0, 9.0)), truth.instances[1])
    small = replace(
        small, splits={"train": (replace(sample, truth_of=replace(truth, instances=moved)),)}
    )
    done = convert(small, tmp_path / "out", "labelme", workers=1)
    told = " ".join(done.losses)
    for text in ("that 2 objects are crowds", "empty masks of 1 objects, now boxes",
                 "boxes of 1 objects that are not those", "scores of 2",
                 "track ids of 2"):  # fmt: skip
        assert text in told
    assert any("take corners for pixels see 1 masks otherwise" in text for text in done.remarks)
    odd = Classes.of(["a\nb", "c"], None, [0, 1])
    one = replace(sample, truth_of=replace(truth, classes=odd))
    small = replace(small, classes=odd, splits={"train": (one,)})
    with pytest.raises(DataError, match="labelme can't hold the name"):
        labelme.write(small, tmp_path / "odd")
