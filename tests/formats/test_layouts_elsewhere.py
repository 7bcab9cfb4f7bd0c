"""Sets as annotation tools and public data sets lay them: found, read and told."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from small_sets import ids, picture, save

from maskwright import formats
from maskwright.core import DataError
from maskwright.formats.label_colours import voc_colour

NAMES = ["grass", "line", "ball"]
TABLE = [(0, 0, 0), (48, 112, 32), (176, 112, 32)]
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}


def coco(**changes):
    document = {
        "images": [{"id": 1, "file_name": "x.png", "height": 24, "width": 32}],
        "annotations": [BOX],
        "categories": [{"id": 1, "name": "fish", "supercategory": "none"}],
    }
    return json.dumps(document | changes)


def named(name):
    return [{"id": 1, "file_name": name, "height": 24, "width": 32}]


def put(root, files):
    for name, content in files.items():
        path = root / name
        if isinstance(content, np.ndarray):
            save(path, content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return root


# --- COCO ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "open_file"),
    [
        ({"labels.json": coco(), "data/x.png": picture(1)}, "labels.json"),  # FiftyOne
        ({"result.json": coco(images=named("images/x.png")), "images/x.png": picture(1)},
         "result.json"),  # Label Studio
        ({"result.json": coco(images=named("images\\x.png")), "images/x.png": picture(1)},
         "result.json"),  # Label Studio on Windows
        ({"annotations/person_keypoints_train2017.json": coco(), "train2017/x.png": picture(1)},
         "annotations/person_keypoints_train2017.json"),
        ({"annotations/instances_default.json": coco(), "images/default/x.png": picture(1)},
         "annotations/instances_default.json"),  # CVAT
        ({"annotations/train.json": coco(), "images/train/x.png": picture(1)},
         "annotations/train.json"),
        ({"train.json": coco(), "images/x.png": picture(1)}, "train.json"),
        ({"export.json": coco(), "x.png": picture(1)}, "export.json"),  # beside
        ({"export.json": coco(), "photos/x.png": picture(1)}, "export.json"),  # below
        ({"train/_annotations.coco.json": coco(), "train/x.png": picture(1)},
         "train/_annotations.coco.json"),  # Roboflow
    ],
)  # fmt: skip
def test_coco_files_and_images_are_found(tmp_path, files, open_file):
    root = put(tmp_path, files)
    for path in (root, root / open_file):
        found = formats.read(path)
        assert found.format == "coco"
        ((one,),) = found.splits.values()
        assert one.read_image().shape == (24, 32, 3)
        assert one.read_truth().instances[0].box_xyxy == (1, 2, 4, 6)


def test_instances_go_before_key_points_and_that_is_told(tmp_path):
    point = coco(annotations=[])
    found = formats.read(
        put(
            tmp_path,
            {
                "annotations/instances_train2017.json": coco(),
                "annotations/person_keypoints_train2017.json": point,
                "train2017/x.png": picture(1),
            },
        )
    )
    assert len(found.splits["train"][0].read_truth().instances) == 1
    assert any("person_keypoints_train2017.json are not" in note for note in found.notes)


@pytest.mark.parametrize(
    ("categories", "left"),
    [
        ([(0, "fish", "none"), (1, "fish", "fish")], ("fish",)),
        ([(0, "animals", "none"), (1, "cat", "animals"), (2, "dog", "animals")], ("cat", "dog")),
        ([(0, "cat", "none"), (1, "dog", "none")], ("cat", "dog")),
    ],
)
def test_a_category_that_only_stands_above_is_left_out(tmp_path, categories, left):
    entries = [{"id": i, "name": n, "supercategory": s} for i, n, s in categories]
    root = put(
        tmp_path, {"train/instances.json": coco(categories=entries), "train/x.png": picture(1)}
    )
    found = formats.read(root)
    assert found.classes.names == left
    assert any("stands above" in note for note in found.notes) == (len(left) < len(categories))
    used = coco(categories=entries, annotations=[BOX, BOX | {"id": 2, "category_id": 0}])
    put(root, {"train/instances.json": used})
    if len({name for _, name, _ in categories}) == len(categories):
        assert len(formats.read(root).classes) == len(categories)
    else:
        with pytest.raises(DataError, match="ids and names must agree"):
            formats.read(root)


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "mask", "split"),
    [
        ("images/training/a.png", "annotations/training/a.png", "train"),  # ADE20K
        ("img_dir/val/a.png", "ann_dir/val/a.png", "val"),  # MMSegmentation
        (
            "img_dir/val/bonn/a_1_leftImg8bit.png",
            "ann_dir/val/bonn/a_1_gtFine_labelTrainIds.png",
            "val",
        ),  # Cityscapes in it
        ("train/a.png", "trainannot/a.png", "train"),  # CamVid
        ("test/a.png", "test_labels/a_L.png", "test"),  # CamVid on Kaggle
        ("train/a.jpg", "train/a_mask.png", "train"),  # Roboflow
        ("train/images/a.png", "train/masks/a_mask.png", "train"),
        ("images/a.png", "masks/a.tif", "all"),
        ("images/a.png", "masks/a.bmp", "all"),
    ],
)
def test_masks_are_found(tmp_path, image, mask, split):
    drawn = ids(3)
    put(tmp_path, {image: picture(1), mask: drawn, "classes.json": json.dumps(NAMES)})
    found = formats.read(tmp_path)
    assert (found.format, list(found.splits)) == ("index_masks", [split])
    (one,) = found.splits[split]
    np.testing.assert_array_equal(one.read_truth().semantic, drawn)


def test_photos_called_as_masks_are_photos_where_annotations_name_them(tmp_path):
    images = [{"id": i, "file_name": n} for i, n in enumerate(["x.png", "x_mask.png"], start=1)]
    root = put(tmp_path, {"x.png": picture(1), "x_mask.png": picture(2)})
    put(root, {"_annotations.coco.json": coco(images=images)})
    found = formats.read(root)
    assert (found.format, [one.name for one in found.splits["all"]]) == ("coco", ["x", "x_mask"])


def test_no_mask_belongs_to_two_images(tmp_path):
    names = ("x", "x_mask")
    root = put(tmp_path, {f"images/{name}.png": picture(1) for name in names})
    put(root, {"masks/x_mask.png": ids(1), "masks/x_mask_mask.png": ids(2)})
    put(root, {"classes.json": json.dumps(NAMES)})
    with pytest.raises(DataError, match="lack a mask: x"):
        formats.read(root)


def test_roboflows_table_names_the_values(tmp_path):
    drawn = ids(3, classes=2)
    table = "Pixel Value, Class\n0, background\n1, crack\n"
    root = put(
        tmp_path,
        {"train/a.jpg": picture(1), "train/a_mask.png": drawn, "train/_classes.csv": table},
    )
    found = formats.read(root)
    assert found.classes.names == ("background", "crack")
    np.testing.assert_array_equal(found.splits["train"][0].read_truth().semantic, drawn)


def test_colours_of_a_class_dict_are_read(tmp_path):
    drawn = ids(3)
    table = "name,r,g,b\n" + "".join(f"{n},{r},{g},{b}\n" for n, (r, g, b) in zip(NAMES, TABLE))
    coloured = np.array([*TABLE, *[(224, 224, 192)] * 253], np.uint8)[drawn]
    root = put(
        tmp_path,
        {"train/a.png": picture(1), "train_labels/a_L.png": coloured, "class_dict.csv": table},
    )
    found = formats.read(root)
    assert found.classes.names == tuple(NAMES)
    assert found.classes.colours == tuple(TABLE)
    np.testing.assert_array_equal(found.splits["train"][0].read_truth().semantic, drawn)
    coloured[0, 0] = (1, 2, 3)
    put(root, {"train_labels/a_L.png": coloured})
    with pytest.raises(DataError, match=r"a_L.png holds the colours \(1, 2, 3\)"):
        found.splits["train"][0].read_truth()


def test_masks_of_0_and_255_beside_two_names_are_read_as_0_and_1(tmp_path):
    drawn = [np.where(ids(i, classes=2) == 1, 255, 0).astype(np.uint8) for i in range(2)]
    files = {f"train/images/{i}.png": picture(i) for i in range(2)}
    files |= {f"train/masks/{i}.png": mask for i, mask in enumerate(drawn)}
    root = put(tmp_path, files | {"classes.json": json.dumps(["background", "crack"])})
    found = formats.read(root)
    assert any("255 is read as crack (1)" in note for note in found.notes)
    for one, mask in zip(found.splits["train"], drawn, strict=True):
        np.testing.assert_array_equal(one.read_truth().semantic, mask // 255)
    # void is void where it is said, and where any mask holds 1
    told = {"names": ["background", "crack"], "ignore_index": 255}
    put(root, {"classes.json": json.dumps(told)})
    np.testing.assert_array_equal(
        formats.read(root).splits["train"][0].read_truth().semantic, drawn[0]
    )
    drawn[1][0, 0] = 1
    put(root, {"classes.json": json.dumps(told["names"]), "train/masks/1.png": drawn[1]})
    np.testing.assert_array_equal(
        formats.read(root).splits["train"][1].read_truth().semantic, drawn[1]
    )


def test_answers_of_0_and_255_mean_the_same_as_the_truth(tmp_path):
    from maskwright import evaluate

    mask = np.where(ids(1, classes=2) == 1, 255, 0).astype(np.uint8)
    root = put(
        tmp_path / "set",
        {
            "val/images/a.png": picture(1),
            "val/masks/a.png": mask,
            "classes.json": '["bg", "crack"]',
        },
    )
    shutil.copytree(root / "val/masks", tmp_path / "answers")
    scores = evaluate(tmp_path / "answers", root)
    assert scores.numbers()["mIoU"] == 1.0


# --- Pascal VOC ---------------------------------------------------------------------------------


def voc(root, class_mask, object_mask, table):
    put(root, {"JPEGImages/x.png": picture(1), "labelmap.txt": table})
    put(root, {"ImageSets/Segmentation/default.txt": "x\n"})
    for folder, mask in (("SegmentationClass", class_mask), ("SegmentationObject", object_mask)):
        (root / folder).mkdir(parents=True)
        mask.save(root / folder / "x.png")
    return root


def label_map(order):
    rows = "".join(f"{NAMES[i]}:{','.join(map(str, TABLE[i]))}::\n" for i in order)
    return "# label:color_rgb:parts:actions\n" + rows


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("palette", [False, True])
def test_colours_of_a_label_map_decide_whatever_its_order(tmp_path, order, palette):
    """As CVAT writes them: pictures of colours, or palette PNGs."""
    drawn = ids(3, classes=3)
    drawn[drawn == 255] = 0
    numbers = np.zeros((24, 32), np.uint8)
    numbers[2:9, 3:8], numbers[12:20, 10:30] = 1, 2
    pictures = np.array(TABLE, np.uint8)[drawn]
    objects = np.array([voc_colour(i) for i in range(3)], np.uint8)[numbers]
    masks = [Image.fromarray(pixels) for pixels in (pictures, objects)]
    if palette:
        masks[0] = Image.fromarray(drawn, "P")
        masks[0].putpalette(bytes(np.array(TABLE, np.uint8).ravel()))
    found = formats.read(voc(tmp_path, *masks, label_map(order)))
    (one,) = found.splits["all" if "all" in found.splits else "default"]
    truth = one.read_truth()
    assert [found.classes.names[i] for i in range(3)] == [NAMES[i] for i in order]
    shown = np.array([NAMES.index(name) for name in found.classes.names])[truth.semantic]
    np.testing.assert_array_equal(shown, drawn)
    areas = sorted(instance.mask.area for instance in truth.instances)
    assert areas == [35, 160]
    assert any("labelmap.txt" in note and "0 " in note for note in found.notes)


def test_ids_without_colours_go_by_the_order_and_that_is_told(tmp_path):
    drawn = ids(3, classes=3)
    drawn[drawn == 255] = 0
    grey = Image.fromarray(drawn)
    text = "# label\nCat:48,112,32::\nbackground:0,0,0::\nDog:176,112,32::\n"
    found = formats.read(voc(tmp_path, grey, Image.fromarray(drawn * 0), text))
    assert found.classes.names == ("Cat", "background", "Dog")
    ((one,),) = found.splits.values()
    np.testing.assert_array_equal(one.read_truth().semantic, drawn)
    (note,) = [note for note in found.notes if "labelmap.txt" in note]
    assert "0 Cat, 1 background, 2 Dog" in note
    assert "background isn't first" in note


def test_the_colour_map_of_pascal_voc():
    """The first colours as the challenge's page shows them: aeroplane, bicycle ... tvmonitor."""
    assert [voc_colour(i) for i in (0, 1, 2, 8, 15, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (64, 0, 0), (192, 128, 128), (0, 64, 128),
        (224, 224, 192),
    ]  # fmt: skip


# --- YOLO ---------------------------------------------------------------------------------------


def yolo(root, row, **described):
    put(root, {"images/train/a.png": picture(1), "labels/train/a.txt": row + "\n"})
    told = {"train": "images/train", "names": ["person"], **described}
    return put(root, {"data.yaml": yaml.safe_dump(told)})


@pytest.mark.parametrize("each", [2, 3])
def test_rows_of_key_points_are_boxes(tmp_path, each):
    points = [[0.25, 0.5, 1], [0.5, 0.25, 2], [0, 0, 0]]
    row = "0 0.5 0.5 0.5 0.25 " + " ".join(str(v) for point in points for v in point[:each])
    found = formats.read(yolo(tmp_path, row, kpt_shape=[3, each]))
    assert found.format == "yolo_boxes"
    assert any("1 rows hold key points" in note for note in found.notes)
    (one,) = found.splits["train"]
    (person,) = one.read_truth().instances
    assert (person.box_xyxy, person.score, person.mask) == ((8, 9, 24, 15), None, None)
    expected = [v for x, y, seen in points for v in (x * 32, y * 24, seen if each == 3 else 2)]
    assert person.extras["keypoints"] == expected


def test_a_shape_of_key_points_that_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'expected "kpt_shape" as \[POINTS, 2\]'):
        formats.read(yolo(tmp_path, "0 0.5 0.5 0.5 0.25", kpt_shape=[3]))


def test_a_test_split_that_an_export_lacks_is_left_out(tmp_path):
    root = yolo(tmp_path, "0 0.5 0.5 0.5 0.25", test="../test/images")
    found = formats.read(root)
    assert list(found.splits) == ["train"]
    assert any("'test' names" in note and "Left out" in note for note in found.notes)
    with pytest.raises(DataError, match="'val' names"):
        formats.read(yolo(tmp_path, "0 0.5 0.5 0.5 0.25", val="../valid/images"))


@pytest.mark.parametrize("place", ["/", "..", "../.."])
def test_a_folder_that_the_set_lies_in_is_no_split(tmp_path, place):
    with pytest.raises(DataError, match="in which the set itself lies"):
        formats.read(yolo(tmp_path / "one/two", "0 0.5 0.5 0.5 0.25", train=place))


def test_faulty_images_beside_polygons_are_kept_to_be_told(tmp_path):
    row = "0.1 0.1 0.5 0.1 0.5 0.5\n"
    root = yolo(tmp_path, f"0 {row}")
    put(root, {"images/train/b.png": picture(2), "labels/train/b.txt": f"7 {row}"})
    put(root, {"images/train/c.png": picture(2), "labels/train/c.txt": f"0 {row}"})
    put(root, {"images/train/a.jpg": picture(2)})  # a second image of that name
    twice, unnamed, good = formats.read(root, strict=False).splits["train"]
    with pytest.raises(DataError, match="rename or remove"):
        twice.read_truth()
    with pytest.raises(DataError, match="class id 7 has no name"):
        unnamed.read_truth()
    assert good.read_truth().instances[0].mask is not None


# --- folders of classes -------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["images", "labels", "masks"])
def test_folders_of_other_layouts_are_no_classes(tmp_path, inner):
    from maskwright.formats import class_folders

    root = put(tmp_path, {f"{split}/{inner}/a.png": picture(1) for split in ("train", "val")})
    assert class_folders.detect(root) is None
    put(root, {f"{split}/crack/b.png": picture(2) for split in ("train", "val")})
    assert class_folders.detect(root) is None
