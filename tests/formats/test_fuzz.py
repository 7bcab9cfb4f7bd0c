"""Every field of every format, replaced by what doesn't belong there: read or told, no crash."""

from __future__ import annotations

import json
import random
import shutil
import traceback
import xml.etree.ElementTree as ET

import foreign_sets
import numpy as np
import pytest
from test_answer_classes import class_map, memory

import maskwright.jobs as jobs
from maskwright.core import MaskwrightError
from maskwright.formats import FORMATS, read, read_predictions, write

JUNK = (
    None, [], {}, "", "text", "0", "false", True, -1, 0, 3, 1.5, 1e300, 10**400, -(10**30),
    float("nan"), float("inf"), "\ud800", "../../out", "a" * 300, "\x00", [[]], [None], {"a": None},
    [1, 2, 3], [[1e308, -1e308, 5, 5, 7, 1]], {"counts": "@@@@", "size": [24, 32]},
    {"counts": [-5], "size": [1]},
)  # fmt: skip
TASKS = {
    "index_masks": {"semantic"}, "coco": {"instances", "boxes"}, "yolo_seg": {"instances", "boxes"},
    "yolo_boxes": {"instances", "boxes"}, "coco_panoptic": {"panoptic"},
    "voc": {"semantic", "instances", "boxes"}, "cityscapes": {"semantic", "instances", "boxes"},
    "labelme": {"instances", "boxes"}, "cvat": {"instances", "boxes"}, "folders": set(),
}  # fmt: skip
CASES = 100


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Format -> a set of it; Cityscapes with polygons alone, too."""
    root = tmp_path_factory.mktemp("sets")
    for name, tasks in TASKS.items():
        if tasks:
            write(memory(root, tasks), root / name, name)
    polygons = root / "cityscapes_polygons"
    shutil.copytree(root / "cityscapes", polygons)
    for png in [*polygons.rglob("*Ids.png")]:
        png.unlink()
    for name in foreign_sets.FOREIGN:
        foreign_sets.make(name, root / f"tool_{name}")
    return root


TOOLS = [f"tool_{name}" for name in foreign_sets.FOREIGN]
"""Sets as the tools themselves export them, with shapes of every kind."""


def read_all(path):
    """As `data check`, `data stats` and a conversion read it: set, images, truths."""
    for strict in (True, False):
        try:
            dataset = read(path, strict=strict)
        except MaskwrightError:
            continue
        if strict:
            jobs.check(dataset)
        for own in dataset.splits.values():
            for sample in own:
                try:
                    sample.read_image()
                    sample.read_truth()
                except MaskwrightError:
                    pass


def places(value, at=()):
    """The path of every field, and of each thing in a list."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def changed(document, place, junk):
    made = json.loads(json.dumps(document))
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    return made


def without(document, place):
    made = json.loads(json.dumps(document))
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return made


def chosen(seed, candidates):
    candidates = list(candidates)
    return random.Random(seed).sample(candidates, min(CASES, len(candidates)))


def dumped(document):
    return json.dumps(document).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "name",
    ["coco", "coco_panoptic", "cityscapes_polygons", "index_masks", "voc", "labelme", *TOOLS],
)
def test_json_fields(sets, tmp_path, name, trial):
    shutil.copytree(sets / name, tmp_path / "set")
    files = sorted(path for path in (tmp_path / "set").rglob("*.json"))
    assert files or name in {"voc", "tool_cvat"}
    for file in files[:3]:
        good = file.read_bytes()
        document = json.loads(good)
        found = [*places(document)]
        for place, junk in chosen(name, [(p, j) for p in found for j in JUNK]):
            file.write_bytes(dumped(changed(document, place, junk)))
            trial.of((file.name, place, junk), lambda: read_all(tmp_path / "set"))
        for place in found[:20]:
            file.write_bytes(dumped(without(document, place)))
            trial.of((file.name, place, "left out"), lambda: read_all(tmp_path / "set"))
        for junk in JUNK:
            file.write_bytes(dumped(junk))
            trial.of((file.name, junk), lambda: read_all(tmp_path / "set"))
        file.write_bytes(good)


class Trial:
    """Keeps what raised anything but our own errors, one of each place in the code."""

    def __init__(self):
        self.failures = {}

    def of(self, what, work):
        try:
            work()
        except MaskwrightError:
            pass
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(last) if "maskwright" in f.filename), last[-1])
            kind = f"{type(error).__name__} at {place.filename}:{place.lineno}"
            self.failures.setdefault(kind, f"{kind}: {str(error)[:100]} with {str(what)[:200]}")


@pytest.fixture
def trial():
    found = Trial()
    yield found
    assert not found.failures, "\n".join(found.failures.values())


@pytest.mark.parametrize("name", ["coco_results", "panoptic_results", "classes"])
def test_answers(sets, tmp_path, name, trial):
    data = {"coco_results": "coco", "panoptic_results": "coco_panoptic", "classes": "index_masks"}
    dataset = read(sets / data[name])
    samples = next(iter(dataset.splits.values()))
    found = tmp_path / "found"
    found.mkdir()
    if name == "classes":
        file = found / "classes.json"
        document = {"names": list(dataset.classes.names), "palette": [[1, 2, 3]] * 3,
                    "ignore_index": 2, "things": [0]}  # fmt: skip
        for mask in (sets / "index_masks").rglob("masks/*.png"):
            shutil.copy(mask, found / mask.name)
        path = found
    elif name == "coco_results":
        [truth] = (sets / "coco").rglob("*.json")
        keys = ("image_id", "category_id", "segmentation", "bbox")
        document = [{key: one[key] for key in keys} | {"score": 0.5, "iscrowd": 0}
                    for one in json.loads(truth.read_text())["annotations"]][:2]  # fmt: skip
        path = file = found / "results.json"
    else:
        [truth] = (sets / "coco_panoptic" / "annotations").glob("*.json")
        shutil.copytree(truth.with_suffix(""), found / "results")
        document = json.loads(truth.read_text())
        path = file = found / "results.json"
    for place, junk in chosen(name, [(p, j) for p in places(document) for j in JUNK]):
        file.write_bytes(dumped(changed(document, place, junk)))
        trial.of((place, junk), lambda: answered(path, dataset, samples))


def answered(path, dataset, samples):
    predictions = read_predictions(path, dataset, samples)
    for sample in samples:
        predictions.read(sample, (24, 32))


@pytest.mark.parametrize("name", ["yolo_seg", "yolo_boxes"])
def test_yolo_rows_and_description(sets, tmp_path, name, trial):
    shutil.copytree(sets / name, tmp_path / "set")
    junk = ["", "nan", "inf", "1e300", "-1", "9" * 400, "text", "\x00", "ü", "0x10", "1e-400", "[]"]
    row = next(iter((tmp_path / "set").rglob("im0.txt")))
    good = row.read_text()
    words = good.splitlines()[0].split()
    for at in range(min(len(words), 8)):
        for one in junk:
            row.write_text(
                "\n".join([" ".join([*words[:at], one, *words[at + 1 :]]), *good.splitlines()[1:]])
            )
            trial.of((at, one), lambda: read_all(tmp_path / "set"))
    row.write_bytes(b"\xff\xfe\x00\x80 0.5 0.5")
    trial.of("bytes", lambda: read_all(tmp_path / "set"))
    row.write_text(good)
    described = tmp_path / "set" / "data.yaml"
    good = described.read_text()
    values = ["null", "[]", "{}", "1000000000", "-1", "[null]", "{a: b}", "text", "[[1]]", ".nan",
              '"\\ud800"', "{1: {2: 3}}", "../../x", "'" + "a" * 300 + "'", "true",
              "&a [*a, *a]", "!!python/object:os.system x", "1" * 400]  # fmt: skip
    for key in ("path", "train", "val", "names", "nc", "vertices", "palette", "things", "other"):
        for value in values:
            lines = [line for line in good.splitlines() if not line.startswith((f"{key}:", " "))]
            if key != "names" and "names:" in good:
                lines = [line for line in good.splitlines() if not line.startswith(f"{key}:")]
            described.write_text("\n".join([*lines, f"{key}: {value}"]))
            trial.of((key, value), lambda: read_all(tmp_path / "set"))


def test_cvat_attributes(sets, tmp_path, trial):
    shutil.copytree(sets / "tool_cvat", tmp_path / "set")
    file = tmp_path / "set" / "annotations.xml"
    video = CVAT_VIDEO.encode()
    values = ["", "nan", "inf", "1e300", "-5", "9" * 400, "text", "../../x", "a" * 300, "0x1",
              "1_0", "1,2;3", "1,2;3,4;nan,1", "1e308,1;-1e308,2;3,4", "-1, 3",
              "99999999999999999999, 1", "\u202e"]  # fmt: skip
    for good in (file.read_bytes(), video):
        for at, element in enumerate(ET.fromstring(good).iter()):
            for key in element.attrib:
                for value in values:
                    tree = ET.fromstring(good)
                    [*tree.iter()][at].set(key, value)
                    file.write_bytes(ET.tostring(tree))
                    trial.of((element.tag, key, value), lambda: read_all(tmp_path / "set"))
            tree = ET.fromstring(good)
            one = [*tree.iter()][at]
            one.attrib.clear()
            file.write_bytes(ET.tostring(tree))
            trial.of((element.tag, "bare"), lambda: read_all(tmp_path / "set"))
            one.tag, one.text = "x", "junk"
            file.write_bytes(ET.tostring(tree))
            trial.of((element.tag, "another tag"), lambda: read_all(tmp_path / "set"))
    for content in (b"", b"<annotations>", b"\xff\xfe", good[:-9], b"<annotations/>",
                    b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>&b;</annotations>"):  # fmt: skip
        file.write_bytes(content)
        trial.of(content, lambda: read_all(tmp_path / "set"))


CVAT_VIDEO = """<annotations><version>1.1</version><meta><task><size>2</size>
<original_size><width>32</width><height>24</height></original_size></task></meta>
<track id="0" label="a"><box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="9"
ybr="8"/><box frame="1" outside="1" occluded="0" keyframe="0" xtl="1" ytl="2" xbr="9" ybr="8"/>
</track><track id="1" label="b"><polygon frame="1" outside="0" keyframe="1" points="1,1;9,1;9,9"/>
</track></annotations>"""


def test_xml_fields(sets, tmp_path, trial):
    shutil.copytree(sets / "voc", tmp_path / "set")
    file = next(iter((tmp_path / "set").rglob("Annotations/*.xml")))
    good = file.read_bytes()
    count = len([*ET.fromstring(good).iter()])
    values = ["", "nan", "1e300", "-5", "9" * 400, "text", "../../x", "a" * 300, "0x1", "\u202e"]
    for at in range(count):
        for value in values:
            tree = ET.fromstring(good)
            one = [*tree.iter()][at]
            one.text = value
            file.write_bytes(ET.tostring(tree))
            trial.of((one.tag, value), lambda: read_all(tmp_path / "set"))
        tree = ET.fromstring(good)
        one = [*tree.iter()][at]
        for parent in tree.iter():
            if one in list(parent):
                parent.remove(one)
                break
        file.write_bytes(ET.tostring(tree))
        trial.of((one.tag, "left out"), lambda: read_all(tmp_path / "set"))
    for content in (
        b"",
        b"<a>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        good[:-9],
        b"\xff\xfe",
    ):
        file.write_bytes(content)
        trial.of(content, lambda: read_all(tmp_path / "set"))


@pytest.mark.parametrize("name", [*(name for name in FORMATS if TASKS.get(name)), *TOOLS])
def test_bytes(sets, tmp_path, name, trial):
    """Bytes flipped, cut and put in, in every kind of file, pictures too."""
    shutil.copytree(sets / name, tmp_path / "set")
    rng = np.random.default_rng(0)
    for file in sorted(path for path in (tmp_path / "set").rglob("*") if path.is_file())[:8]:
        good = file.read_bytes()
        for _ in range(4):
            data = bytearray(good)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(0, 256)
            file.write_bytes(
                bytes(data[: rng.integers(0, len(data) + 1)] if rng.random() < 0.3 else data)
            )
            trial.of((file.name, bytes(data)[:200]), lambda: read_all(tmp_path / "set"))
        file.write_bytes(good)


@pytest.mark.parametrize("name", foreign_sets.FOREIGN)
def test_the_tools_sets_are_read_when_nothing_is_changed(sets, name):
    dataset = read(sets / f"tool_{name}")
    assert dataset.format == name
    assert [one.name for one in dataset.splits["all"]] == ["im0", "im1"]
    assert len(dataset.splits["all"][0].read_truth().instances) >= 3


def test_the_sets_are_read_when_nothing_is_changed(sets):
    for name, tasks in TASKS.items():
        if tasks:
            dataset = read(sets / name)
            [split] = dataset.splits.values()
            assert [one.name.rpartition("/")[2] for one in split] == ["im0", "im1"], name
            truth = split[0].read_truth()
            if truth.semantic is not None and name == "index_masks":
                np.testing.assert_array_equal(truth.semantic, class_map(0))
