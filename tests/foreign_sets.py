"""Small sets as annotation tools export them, written here by hand from the tools' documentation.

Each has an image im0.png of 24x32 with shapes of every kind, and im1.png with none.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from small_sets import picture, save

SIZE = (24, 32)
STENCIL = np.random.default_rng(5).random((6, 9)) < 0.6
STENCIL[0, 0] = STENCIL[-1, -1] = True
TRIANGLE = [[2, 3], [20, 3], [2, 21]]
SQUARE = [[4, 4], [8, 4], [8, 8], [4, 8]]


def inside(corners, size=SIZE) -> np.ndarray:
    """Pixels whose centres lie inside a polygon, by counting crossings of a ray."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    found = np.zeros(size, bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]]):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            found ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found


def assert_same_but_for_edges(found: np.ndarray, expected: np.ndarray) -> None:
    """The COCO API rounds corners to a fifth of a pixel: only pixels at the outline may differ."""
    pixels = expected.astype(np.uint8)
    clear = cv2.erode(pixels, np.ones((3, 3))) == cv2.dilate(pixels, np.ones((3, 3)))
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert (found & expected).sum() > 0.9 * (found | expected).sum()


def images(folder: Path) -> None:
    for number in range(2):
        save(folder / f"im{number}.png", picture(number))


def png_of(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def labelme_shape(kind, points, label="crack", group=None, **more) -> dict:
    return {"label": label, "points": points, "group_id": group, "description": "",
            "shape_type": kind, "flags": {}, **more}  # fmt: skip


def labelme_document(shapes, name="im0.png", size=SIZE, data=None) -> dict:
    return {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": name,
            "imageData": data, "imageHeight": size[0], "imageWidth": size[1]}  # fmt: skip


def stencil_text() -> str:
    return base64.b64encode(png_of(STENCIL)).decode()


def labelme(root: Path) -> None:
    images(root)
    shapes = [
        labelme_shape("polygon", TRIANGLE, group=1),
        labelme_shape("polygon", [[22, 12], [30, 12], [30, 20]], group=1),
        labelme_shape("rectangle", [[9, 8], [4.5, 2]], "spot", flags={"hard": True}),
        labelme_shape("circle", [[16, 12], [16, 17]], "spot", description="round"),
        labelme_shape("mask", [[3, 2], [11, 7]], "spot", mask=stencil_text()),
        labelme_shape("linestrip", [[1, 1], [5, 5]]),
    ]
    (root / "im0.json").write_text(json.dumps(labelme_document(shapes)))
    (root / "im1.json").write_text(json.dumps(labelme_document([], "im1.png")))


def runs(pixels: np.ndarray) -> list[int]:
    """Along the rows, zeros first, pixel by pixel."""
    found, value = [0], False
    for pixel in pixels.ravel().tolist():
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>2</size><labels>
    <label><name>spot</name><color>#ff8000</color><type>any</type><attributes/></label>
    <label><name>crack</name><color>#0080ff</color><type>any</type><attributes/></label>
    <label><name>person</name><color>#00ff00</color><type>skeleton</type></label>
    <label><name>1</name><type>points</type><parent>person</parent></label>
  </labels></task></meta>
  <image id="0" name="im0.png" width="32" height="24">
    <box label="spot" source="manual" occluded="1" xtl="4.5" ytl="2" xbr="9" ybr="8" z_order="0">
      <attribute name="deep">yes</attribute></box>
    <polygon label="crack" occluded="0" points="2,3;20,3;2,21" z_order="0" group_id="1"/>
    <polygon label="crack" occluded="0" points="22,12;30,12;30,20" z_order="0" group_id="1"/>
    <mask label="spot" occluded="0" rle="{rle}" left="3" top="2" width="9" height="6"/>
    <ellipse label="spot" occluded="0" cx="16" cy="12" rx="8" ry="5" rotation="30"/>
    <polyline label="crack" points="1,1;5,5"/>
    <tag label="crack"/>
  </image>
  <image id="1" name="im1.png" width="32" height="24"/>
</annotations>
"""


def cvat(root: Path) -> None:
    images(root / "images")
    (root / "annotations.xml").write_text(CVAT.replace("{rle}", ", ".join(map(str, runs(STENCIL)))))


def via_region(drawn, **attributes) -> dict:
    return {"shape_attributes": drawn, "region_attributes": attributes}


def via_entries() -> dict:
    x, y = zip(*TRIANGLE)
    polygon = {"name": "polygon", "all_points_x": [*x], "all_points_y": [*y]}
    regions = [
        via_region(polygon, name="crack", depth="3"),
        via_region({"name": "rect", "x": 4, "y": 2, "width": 5, "height": 6}, name="spot"),
        via_region({"name": "circle", "cx": 16, "cy": 12, "r": 5}, name="spot"),
        via_region({"name": "ellipse", "cx": 16, "cy": 12, "rx": 8, "ry": 5, "theta": 0.5},
                   name="spot"),
        via_region({"name": "point", "cx": 1, "cy": 1}, name="spot"),
    ]  # fmt: skip
    return {
        "im0.png99": {"filename": "im0.png", "size": 99, "regions": regions, "file_attributes": {}},
        "im1.png9": {"filename": "im1.png", "size": 9, "regions": [], "file_attributes": {}},
    }


def via(root: Path) -> None:
    images(root)
    (root / "via_region_data.json").write_text(json.dumps(via_entries()))


def datumaro_entry(kind, number, label=0, **more) -> dict:
    return {"id": number, "type": kind, "attributes": {}, "group": 0, "label_id": label,
            "z_order": 0, **more}  # fmt: skip


def datumaro_document() -> dict:
    from maskwright.core import Mask  # its COCO form is held against pycocotools elsewhere

    whole = np.zeros(SIZE, bool)
    whole[2:8, 3:12] = STENCIL
    found = [
        datumaro_entry("polygon", 0, 1, points=[2, 3, 20, 3, 2, 21], group=4),
        datumaro_entry("polygon", 1, 1, points=[22, 12, 30, 12, 30, 20], group=4),
        datumaro_entry("bbox", 2, bbox=[4.5, 2, 4.5, 6], attributes={"occluded": True}),
        datumaro_entry("mask", 3, rle=Mask.encode(whole).to_coco(), attributes={"is_crowd": True}),
        datumaro_entry("ellipse", 4, points=[8, 7, 24, 17]),
        datumaro_entry("points", 5, points=[1, 1, 2]),
        datumaro_entry("label", 6, 1),
    ]
    media = [{"path": f"im{i}.png", "size": list(SIZE)} for i in range(2)]
    return {
        "dm_format_version": "1.0", "media_type": 2, "infos": {},
        "categories": {
            "label": {"labels": [{"name": n, "parent": "", "attributes": []}
                                 for n in ("spot", "crack")], "attributes": []},
            "mask": {"colormap": [{"label_id": 0, "r": 255, "g": 128, "b": 0},
                                  {"label_id": 1, "r": 0, "g": 128, "b": 255}]},
        },
        "items": [
            {"id": "im0", "annotations": found, "attr": {"frame": 0}, "image": media[0]},
            {"id": "im1", "annotations": [], "attr": {"frame": 1}, "image": media[1]},
        ],
    }  # fmt: skip


def datumaro(root: Path) -> None:
    images(root / "images" / "default")
    (root / "annotations").mkdir()
    (root / "annotations" / "default.json").write_text(json.dumps(datumaro_document()))


def supervisely_object(kind, label="spot", exterior=(), interior=(), bitmap=None) -> dict:
    return {"id": 1, "classTitle": label, "description": "", "geometryType": kind, "tags": [],
            "points": {"exterior": [*exterior], "interior": [*interior]},
            "bitmap": bitmap}  # fmt: skip


def supervisely(root: Path) -> None:
    images(root / "ds" / "img")
    colours = {"spot": "#FF8000", "crack": "#0080FF"}
    classes = [{"title": n, "shape": "any", "color": c} for n, c in colours.items()]
    (root / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    data = base64.b64encode(zlib.compress(png_of(STENCIL))).decode()
    found = [
        supervisely_object("polygon", "crack", TRIANGLE, [SQUARE]),
        supervisely_object("rectangle", "spot", [[9, 8], [4, 2]]),
        supervisely_object("bitmap", "spot", bitmap={"data": data, "origin": [3, 2]}),
        supervisely_object("line", "crack", [[1, 1], [5, 5]]),
    ]
    for name, objects in (("im0.png", found), ("im1.png", [])):
        document = {"description": "", "tags": [], "size": {"height": 24, "width": 32},
                    "objects": objects}  # fmt: skip
        (root / "ds" / "ann").mkdir(exist_ok=True)
        (root / "ds" / "ann" / f"{name}.json").write_text(json.dumps(document))


def packed(values: np.ndarray, sizes=(2, 3, 7, 16)) -> list[int]:
    """thi.ng/rle-pack of uint8, with runs where values repeat, and lists where they don't."""
    text = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    at = 0
    while at < len(values):
        same = 1
        while at + same < len(values) and values[at + same] == values[at] and same < 2 ** sizes[3]:
            same += 1
        if same > 2:
            which = next(i for i, size in enumerate(sizes) if same <= 2**size)
            text += f"1{which:02b}{same - 1:0{sizes[which]}b}{values[at]:08b}"
        else:
            same = min(3, len(values) - at)
            own = "".join(f"{value:08b}" for value in values[at : at + same])
            text += f"000{same - 1:0{sizes[0]}b}" + own
        at += same
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush() -> list[int]:
    channels = np.zeros((*SIZE, 4), np.uint8)
    channels[2:8, 3:12] = STENCIL[..., None] * np.uint8(255)
    return packed(channels.ravel())


def studio_result(kind, value) -> dict:
    return {"id": "r", "type": kind, "from_name": "label", "to_name": "image", "value": value,
            "original_width": 32, "original_height": 24, "image_rotation": 0}  # fmt: skip


def studio_tasks() -> list[dict]:
    shares = [[x * 100 / 32, y * 100 / 24] for x, y in TRIANGLE]
    box = {"x": 25, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["spot"]}
    round_ = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 30}
    results = [
        studio_result("polygonlabels", {"points": shares, "polygonlabels": ["crack"]}),
        studio_result("rectanglelabels", box),
        studio_result("ellipselabels", round_ | {"ellipselabels": ["spot"]}),
        studio_result("brushlabels", {"format": "rle", "rle": brush(), "brushlabels": ["spot"]}),
        studio_result("choices", {"choices": ["crack"]}),
        studio_result("keypointlabels", {"x": 1, "y": 1, "keypointlabels": ["spot"]}),
    ]
    tasks = []
    for number, found in enumerate((results, [])):
        own = {"id": 1, "was_cancelled": False, "result": found}
        data = {"image": f"/data/upload/1/0123abcd-im{number}.png"}
        tasks.append({"id": number, "annotations": [own], "predictions": [], "data": data})
    return tasks


def label_studio(root: Path) -> None:
    images(root / "images")
    (root / "project-1.json").write_text(json.dumps(studio_tasks()))


FOREIGN = {
    "labelme": labelme, "cvat": cvat, "via": via, "datumaro": datumaro, "supervisely": supervisely,
    "label_studio": label_studio,
}  # fmt: skip
"""Format -> writes its set to a folder."""


def make(name: str, root: Path) -> Path:
    """The set of a format in a new folder."""
    root.mkdir(parents=True, exist_ok=True)
    FOREIGN[name](root)
    return root
