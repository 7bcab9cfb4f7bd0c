"""Conversion: the same bytes however it is run, ended and started again; bad samples are told."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared import shared_path
from small_sets import dataset, exif, ids, mask_folder, picture, save

from maskwright import formats
from maskwright.core import ConfigError, DataError, MaskwrightError
from maskwright.formats import FORMATS, WRITABLE
from maskwright.jobs import convert

PATIENCE = 120.0


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def source(tmp_path):
    FORMATS["coco"].write(dataset(train=5, val=2), tmp_path / "set")
    return formats.read(tmp_path / "set")


class Ended(BaseException):
    """As Ctrl-C: no error of the data."""


def end_after(monkeypatch, name: str, count: int) -> None:
    """The format's writer ends the process's work at the image after `count`."""
    left = [count]
    known = FORMATS[name]

    def write_sample(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise Ended
        return known.write_sample(*arguments)

    monkeypatch.setitem(FORMATS, name, replace(known, write_sample=write_sample))


@pytest.mark.parametrize("to", ["coco", "voc", "coco_panoptic", "yolo_seg", "cvat"])
def test_ended_and_started_again_ends_in_the_same_bytes(source, tmp_path, monkeypatch, to):
    whole = convert(source, tmp_path / "whole", to, workers=1)
    assert whole.made == 7
    for count in (0, 3):
        with monkeypatch.context() as patch:
            end_after(patch, to, count)
            with pytest.raises(Ended):
                convert(source, tmp_path / "out", to, workers=1)
    (tmp_path / "out/.half.xml.abc.part").write_bytes(b"half")
    calls = []
    done = convert(source, tmp_path / "out", to, workers=1, progress=lambda *now: calls.append(now))
    assert calls == [(4, 7), (5, 7), (6, 7), (7, 7)]
    assert done.made == 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = convert(source, tmp_path / "out", to, workers=1)
    assert (again.made, again.images, again.losses) == (0, whole.images, whole.losses)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}


SCRIPT = """
import sys
from maskwright import formats
from maskwright.jobs import convert
if __name__ == "__main__":
    source = formats.read(sys.argv[1])
    convert(source, sys.argv[2], "coco", workers=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are Unix's")
def test_killed_with_two_workers_and_started_again(tmp_path):
    mask_folder(tmp_path / "set", {"train": 120, "val": 20}, ["a", "b", "c"])
    (tmp_path / "run.py").write_text(SCRIPT)
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path / "set", out])
    end = time.monotonic() + PATIENCE
    while len(list(out.glob(".parts/*/*.json"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "conversion.json").exists()
    time.sleep(0.5)  # its workers see that it is gone
    source = formats.read(tmp_path / "set")
    done = convert(source, out, "coco", workers=1)
    assert 0 < done.made < 140
    convert(source, tmp_path / "whole", "coco", workers=1)
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(out.rglob("*.part"))


def test_a_part_that_a_crash_has_damaged_is_made_anew(source, tmp_path, monkeypatch):
    convert(source, tmp_path / "whole", "yolo_seg", workers=1)
    with monkeypatch.context() as patch:
        end_after(patch, "yolo_seg", 5)
        with pytest.raises(Ended):
            convert(source, tmp_path / "out", "yolo_seg", workers=1)
    parts = sorted(tmp_path.glob("out/.parts/*/*.json"))
    assert len(parts) == 5
    parts[0].write_bytes(b"")
    parts[1].write_bytes(bytes(parts[1].stat().st_size))
    parts[2].write_bytes(parts[2].read_bytes()[:-9])
    labels = sorted(tmp_path.glob("out/labels/*/*.txt"))
    labels[1].write_bytes(b"")
    done = convert(source, tmp_path / "out", "yolo_seg", workers=1)
    assert done.made == 5
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_no_part_tells_of_files_that_have_not_reached_the_disk(source, tmp_path, monkeypatch):
    flushed = []
    sync = os.fsync

    def fsync(handle):
        file = Path(f"/proc/self/fd/{handle}").readlink()
        if "images" in file.parts:
            assert not list(tmp_path.glob("out/.parts/*/*.json"))
            flushed.append(file.name)
            if len(flushed) == 3:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(MaskwrightError, match="could not write"):
            convert(source, tmp_path / "out", "yolo_seg", workers=1)
    assert not list(tmp_path.glob("out/.parts/*/*.json"))
    assert len(flushed) >= 3
    assert convert(source, tmp_path / "out", "yolo_seg", workers=1).made == 7


def test_other_settings_do_not_mix(source, tmp_path):
    convert(source, tmp_path / "out", "coco", workers=1)
    with pytest.raises(DataError, match=r"other settings \(polygons differ\)"):
        convert(source, tmp_path / "out", "coco", options={"polygons": True}, workers=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        convert(source, tmp_path / "full", "coco", workers=1)
    assert contents(tmp_path / "full") == {"mine.txt": b"keep"}


def test_options_that_make_no_sense(source, tmp_path):
    for options, wanted in (
        ({"to": "pascal"}, "no format 'pascal'"),
        ({"to": "voc", "options": {"polygons": True}}, "polygons is an option of coco"),
        ({"to": "coco", "workers": 0}, "workers >= 1, got 0"),
        ({"to": "yolo_seg", "options": {"vertices": "corner"}}, "'corner'"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            convert(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_images_are_copied_or_linked(source, tmp_path):
    for link in (False, True):
        out = tmp_path / f"out_{link}"
        convert(source, out, "yolo_boxes", link=link, workers=1)
        for split, samples in source.splits.items():
            for one in samples:
                (image,) = (out / "images" / split).glob(f"{one.name}.*")
                assert image.read_bytes() == one.image.read_bytes()
                assert image.samefile(one.image) == link


def test_bad_samples_stop_it_or_are_listed(tmp_path):
    root = mask_folder(tmp_path / "set", {"train": 4}, ["a", "b", "c"])
    save(root / "train/masks/im1.png", ids(1, (9, 9)))
    (root / "train/masks/im2.png").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"im1\.png is 9x9"):
        convert(formats.read(root), tmp_path / "out", "coco", workers=1)
    lenient = formats.read(root, strict=False)
    done = convert(lenient, tmp_path / "some", "coco", workers=1, skip_bad=True)
    assert done.images == {"train": 2}
    assert [name for name, _ in done.skipped] == ["train/im1", "train/im2"]
    summary = json.loads((tmp_path / "some/conversion.json").read_text())
    assert "im2.png" in summary["skipped"][1][1]
    names = [one.name for one in formats.read(tmp_path / "some").splits["train"]]
    assert names == ["im0", "im3"]
    for mask in (root / "train/masks").iterdir():
        mask.write_bytes(b"no mask")
    with pytest.raises(DataError, match="none of 4 images could be used"):
        convert(lenient, tmp_path / "none", "coco", workers=1, skip_bad=True)


def test_objects_become_a_class_map_with_or_without_background(tmp_path):
    FORMATS["coco"].write(dataset(train=1), tmp_path / "set")
    source = formats.read(tmp_path / "set")
    done = convert(source, tmp_path / "background", "index_masks", workers=1)
    assert any("1 objects that are boxes without a mask" in text for text in done.losses)
    truth = formats.read(tmp_path / "background").splits["train"][0].read_truth()
    assert truth.classes.names == ("background", "grass", "line", "ball")
    assert set(np.unique(truth.semantic)) == {0, 3}
    convert(source, tmp_path / "void", "index_masks", background="void", workers=1)
    truth = formats.read(tmp_path / "void").splits["train"][0].read_truth()
    assert truth.classes.names == ("grass", "line", "ball")
    assert set(np.unique(truth.semantic)) == {2, 255}


def test_equal_names_in_different_splits_and_folders(tmp_path):
    root = tmp_path / "set"
    for split in ("train", "val"):
        for name in ("a", "day/a", "night/a"):
            save(root / split / "images" / f"{name}.png", picture(len(name)))
            save(root / split / "masks" / f"{name}.png", ids(len(name + split)))
    source = formats.read(root)
    for to in [to for to in WRITABLE if to != "folders"]:  # it holds no class maps
        convert(source, tmp_path / to, to, workers=1)
        after = formats.read(tmp_path / to, format=to)
        for split, samples in source.splits.items():
            assert [s.name for s in after.splits[split]] == [s.name for s in samples]
            for one, other in zip(samples, after.splits[split]):
                np.testing.assert_array_equal(one.read_image(), other.read_image())


# --- real sets, read by others ------------------------------------------------------------------


def few(path: str, count: int = 3, format: str | None = None):
    """The first images of each split of a real set."""
    found = formats.read(shared_path(f"data/{path}"), format=format)
    return replace(found, splits={split: own[:count] for split, own in found.splits.items()})


REAL = [
    ("coco_mini", "coco"),
    ("facades", None),
    ("nuclei_dsb2018", None),
    ("pennfudan", "coco"),
    ("camvid", None),
]


@pytest.mark.parametrize(("name", "format"), REAL)
def test_real_sets_are_read_by_pycocotools_and_supervision(tmp_path, name, format):
    import supervision as sv
    from pycocotools.coco import COCO

    source = few(name, 2, format)
    split = next(iter(source.splits))
    truths = {one.name: one.read_truth() for one in source.splits[split]}
    for polygons in (False, True):
        out = tmp_path / f"coco_{polygons}"
        convert(source, out, "coco", options={"polygons": polygons}, workers=1)
        file = out / split / "instances.json"
        api = COCO(str(file))
        samples = formats.read(out).splits[split]
        for image, one in zip(api.loadImgs(api.getImgIds()), samples):
            assert image["file_name"].startswith(one.name)
            found = api.loadAnns(api.getAnnIds(imgIds=image["id"]))
            expected = one.read_truth().instances
            assert len(found) == len(expected) > 0
            for annotation, instance in zip(found, expected):
                np.testing.assert_array_equal(api.annToMask(annotation) > 0, instance.mask.decode())
            if truths[one.name].instances:
                wanted = {i.mask.packed for i in truths[one.name].instances}
                assert {i.mask.packed for i in expected} == wanted
        detections = sv.DetectionDataset.from_coco(
            str(file.parent / "images"), str(file), force_masks=True
        )
        assert len(detections) == len(samples)
    convert(source, tmp_path / "yolo", "yolo_seg", workers=1)
    yolo = tmp_path / "yolo"
    detections = sv.DetectionDataset.from_yolo(
        str(yolo / "images" / split), str(yolo / "labels" / split), str(yolo / "data.yaml")
    )
    assert len(detections) == len(truths)
    convert(source, tmp_path / "voc", "voc", workers=1)
    if all(truth.instances is not None for truth in truths.values()):
        voc = tmp_path / "voc"
        detections = sv.DetectionDataset.from_pascal_voc(
            str(voc / "JPEGImages"), str(voc / "Annotations")
        )
        boxes = {Path(path).stem: found.xyxy for path, _, found in detections}
        for key, truth in truths.items():
            own = np.array([i.box_xyxy for i in truth.instances]).reshape(-1, 4)
            np.testing.assert_allclose(boxes[Path(key).name], own, atol=1e-3)


def test_the_result_may_not_lie_inside_the_source(source, tmp_path):
    with pytest.raises(DataError, match="lies inside the set"):
        convert(source, tmp_path / "set/out", "voc")
    assert not (tmp_path / "set/out").exists()


@pytest.mark.parametrize("to", [to for to in WRITABLE if to != "folders"])  # it holds no objects
def test_quirks_of_others_files_survive(tmp_path, to):
    """A byte-order mark, Windows line ends, gaps in ids, an upright photo that is stored lying,
    a name that isn't ASCII, objects without area or outside the image."""
    save(tmp_path / "set/images/ä b.jpg", picture(1), exif=exif(6))  # 24x32 stored, 32x24 upright
    rows = [
        {"id": 9, "category_id": 40, "segmentation": [[2, 2, 10, 2, 10, 20, 2, 20]]},
        {"id": 10, "category_id": 7, "segmentation": [[1, 1, 1, 1, 1, 1]], "bbox": [1, 1, 0, 0]},
        {"id": 11, "category_id": 7, "segmentation": [[90, 90, 99, 90, 99, 99]]},
        {"id": 12, "category_id": 7, "segmentation": [], "bbox": [-5, -5, 20, 20]},
    ]
    document = {
        "images": [{"id": 5, "file_name": "ä b.jpg", "height": 32, "width": 24}],
        "annotations": [{"image_id": 5} | row for row in rows],
        "categories": [{"id": 40, "name": "ö"}, {"id": 7, "name": "x"}],
    }
    text = "\ufeff" + json.dumps(document, indent=1).replace("\n", "\r\n")
    (tmp_path / "set/instances.json").write_bytes(text.encode())
    done = convert(formats.read(tmp_path / "set"), tmp_path / "out", to, workers=1)
    (one,) = formats.read(tmp_path / "out", to).splits["all"]
    truth = one.read_truth()
    assert (one.name, truth.size, one.read_image().shape) == ("ä b", (32, 24), (32, 24, 3))
    names = truth.classes.names
    if truth.semantic is not None:
        assert (truth.semantic == names.index("ö")).sum() == 144
    if to in {"coco", "coco_panoptic", "voc", "cityscapes", "yolo_seg", "labelme", "cvat"}:
        areas = [i.mask.area for i in truth.instances if i.mask is not None and i.mask.area]
        assert areas == [144]
    if to in {"coco", "voc", "yolo_seg", "yolo_boxes", "labelme", "cvat"}:
        assert [names[i.class_id] for i in truth.instances] == ["ö", "x", "x", "x"]
    assert bool(done.losses) == (to != "coco")
