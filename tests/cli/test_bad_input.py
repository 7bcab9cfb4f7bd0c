"""Every bad input ends in one clear message that names what is wrong, exit code 2, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import small_sets
from cases import QUICK, contents
from PIL import Image

from maskwright.architectures import load_checkpoint

MASK, IMAGE = "train/masks/im3.png", "train/images/im3.png"


@pytest.fixture
def refused_by_all(refused, run, tmp_path):
    """Each command that reads a whole set refuses it; returns the messages, check's own first."""

    def refuse(labelled):
        before = contents(labelled)
        checked = run("data", "check", labelled)
        assert checked.code == 2
        messages = [
            checked.out,
            refused("data", "stats", labelled),
            refused("train", labelled, *QUICK, "--steps", 2, "--out", tmp_path / "run"),
        ]
        assert contents(labelled) == before
        assert not (tmp_path / "run" / "best.safetensors").exists()
        return messages

    return refuse


# --- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("data", "stats"), ("data", "check"), ("train",)])
def test_missing_folder(refused, tmp_path, command):
    message = refused(*command, tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'} does not exist" in message


def test_image_without_mask(refused_by_all, labelled):
    (labelled / MASK).unlink()
    for message in refused_by_all(labelled):
        assert "im3" in message
        assert "masks/im3.png" in message
        assert "add the mask" in message


def test_mask_of_another_size(refused_by_all, labelled):
    small_sets.save(labelled / MASK, small_sets.ids(3, (32, 64)))
    for message in refused_by_all(labelled):
        assert f"{labelled / MASK} is 32x64" in message
        assert "64x64" in message


def test_ids_out_of_range(refused_by_all, labelled):
    ids = small_sets.ids(3, (64, 64))
    ids[2, 5] = 7
    small_sets.save(labelled / MASK, ids)
    for message in refused_by_all(labelled):
        assert MASK in message
        assert "7" in message
        assert "grass" in message or "3 classes" in message or "0..2" in message


@pytest.mark.parametrize("file", [MASK, IMAGE])
def test_truncated_file(refused_by_all, labelled, file):
    data = (labelled / file).read_bytes()
    (labelled / file).write_bytes(data[: len(data) // 2])
    for message in refused_by_all(labelled):
        assert str(labelled / file) in message
        assert "truncated" in message


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_file_that_is_no_image(refused_by_all, labelled, content):
    (labelled / IMAGE).write_bytes(content)
    for message in refused_by_all(labelled):
        assert str(labelled / IMAGE) in message


def test_empty_set(refused, labelled):
    for split in ("train", "val"):
        shutil.rmtree(labelled / split / "images")
        (labelled / split / "images").mkdir()
    for command in (("data", "stats"), ("data", "check"), ("train",)):
        assert f"{labelled} is an empty set" in refused(*command, labelled)


def test_nothing_in_the_folder(refused, tmp_path):
    assert "found nothing" in refused("data", "stats", tmp_path)


def test_unusual_images_are_handled(run, labelled, bundle, tmp_path):
    images = labelled / "val" / "images"
    picture = small_sets.picture(0, (64, 64))
    small_sets.save(images / "im0.png", picture[..., 0].astype(np.uint16) * 257)
    small_sets.save(images / "im1.png", picture[..., 0])
    small_sets.save(images / "im2.png", np.dstack([picture, picture[..., :1]]))
    turned = small_sets.picture(1, (48, 64))
    Image.fromarray(turned).save(images / "im3.jpg", exif=small_sets.exif(6))
    small_sets.save(labelled / "val" / "masks" / "im3.png", small_sets.ids(3, (64, 48)))
    assert run("data", "check", labelled).code == 0
    result = run("evaluate", bundle, labelled)
    assert result.code == 0, result
    assert "over 4 images" in result.out
    assert run("predict", bundle, images, "--out", tmp_path / "found").code == 0
    with Image.open(tmp_path / "found" / "masks" / "im3.png") as mask:
        assert (mask.height, mask.width) == (64, 48)


def test_classes_that_do_not_match(refused, labelled, trained, bundle):
    (labelled / "classes.json").write_text(json.dumps(["sky", "road", "car"]))
    for model in (trained, bundle):
        message = refused("evaluate", model, labelled)
        assert "grass, line, ball" in message
        assert "sky, road, car: none in common" in message
        message = refused("evaluate", model, labelled, "--map", "ball=tree")
        assert "ball to stand for void or a class of the labelled set (sky, road, car)" in message
    assert "NAME=VALUE" in refused("evaluate", bundle, labelled, "--map", "ball")


def test_damaged_class_names(refused, labelled):
    (labelled / "classes.json").write_text('["grass", ')
    assert "classes.json" in refused("data", "stats", labelled)


def test_predict_with_a_model_and_no_photos(refused, bundle, tmp_path):
    assert "expected photos or videos after the model" in refused(
        "predict", bundle, "--out", tmp_path / "none"
    )


def test_predict_on_what_is_no_photo(refused, bundle, labelled, tmp_path, run):
    images = labelled / "val" / "images"
    (images / "im1.png").write_bytes(b"no picture")
    assert "im1.png" in refused("predict", bundle, images, "--out", tmp_path / "found")
    result = run("predict", bundle, images, "--out", tmp_path / "rest", "--skip-bad")
    assert result.code == 0
    assert "2 images" in result.out
    assert "skipped" in result.out
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no image" in refused("predict", bundle, empty, "--out", tmp_path / "none")


# --- weights and bundles ---------------------------------------------------------------------


class Code:
    """What a stranger's pickle may hold."""

    def __reduce__(self):
        return (os.mkdir, ("was-run",))


@pytest.mark.parametrize("option", ["weights", "evaluate", "export"])
def test_checkpoint_that_is_none(refused, original, tmp_path, option):
    path = tmp_path / "none.safetensors"
    path.write_text("no weights at all")
    commands = {
        "weights": ("train", original, *QUICK, "--weights", path, "--out", tmp_path / "run"),
        "evaluate": ("evaluate", path, original),
        "export": ("export", path, "--images", original, "--out", tmp_path / "model.mask"),
    }
    assert str(path) in refused(*commands[option])
    assert contents(tmp_path).keys() == {"none.safetensors"}


def test_checkpoint_that_holds_code(refused, original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "stranger.pth"
    path.write_bytes(pickle.dumps({"weight": Code()}, protocol=2))
    message = refused("train", original, *QUICK, "--weights", path, "--out", tmp_path / "run")
    assert str(path) in message
    assert "mkdir" in message
    assert not (tmp_path / "was-run").exists()
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_exist(refused, original, tmp_path):
    path = tmp_path / "nowhere.pth"
    assert f"{path} does not exist" in refused("train", original, *QUICK, "--weights", path)


@pytest.mark.parametrize("cut", [True, False])
def test_damaged_bundle(refused, bundle, original, tmp_path, cut):
    data = bundle.read_bytes()
    path = tmp_path / "model.mask"
    path.write_bytes(data[: len(data) // 2] if cut else b"no bundle")
    message = refused("predict", path, original / "val" / "images", "--out", tmp_path / "found")
    assert str(path) in message
    assert not (tmp_path / "found").exists()


def test_missing_model(refused, original, tmp_path):
    assert "nowhere.mask" in refused("evaluate", tmp_path / "nowhere.mask", original)
    assert "best.safetensors" in refused("evaluate", tmp_path, original)


# --- writing ---------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """`full_disk(n)`: from the n-th file on, the disk is full."""

    def fill(after: int = 0) -> None:
        left = [after]
        sync = os.fsync

        def fsync(handle: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    return fill


def parts(folder):
    return [path for path in folder.rglob("*") if path.suffix == ".part"]


def test_full_disk_before_training(refused, original, tmp_path, full_disk):
    full_disk()
    message = refused("train", original, *QUICK, "--steps", 2, "--out", tmp_path / "run")
    assert "config.json: No space left on device" in message
    assert not parts(tmp_path)


def test_full_disk_while_training(refused, original, tmp_path, full_disk):
    full_disk(after=7)  # settings, recipe, environment, state; row and weights of a score
    message = refused("train", original, *QUICK, "--steps", 4, "--out", tmp_path / "run")
    assert "No space left on device" in message
    assert str(tmp_path / "run") in message
    assert not parts(tmp_path)
    load_checkpoint(tmp_path / "run" / "best.safetensors")


def test_full_disk_while_writing_results(refused, original, trained, bundle, tmp_path, full_disk):
    images = original / "val" / "images"
    target = tmp_path / "model.mask"
    before = b"PK\x03\x04: a bundle that stood there before"
    target.write_bytes(before)
    full_disk()
    message = refused("predict", bundle, images, "--out", tmp_path / "found")
    assert "No space left on device" in message
    refused("data", "preview", original, "--out", tmp_path / "sheet.png")
    refused("evaluate", bundle, original, "--out", tmp_path / "scores.json")
    refused("synthesize", tmp_path / "scenes", "--count", 2, "--size", "32x32", "--workers", 1)
    refused("export", trained, "--images", images, "--out", target, "--count", 1, "--threads", 1)
    assert contents(tmp_path) == {"model.mask": before}


def test_existing_run(refused, run, original, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    before = contents(folder)
    message = refused("train", original, *QUICK, "--steps", 1, "--out", folder)
    assert f"{folder} holds a run already" in message
    assert "--overwrite" in message
    assert contents(folder) == before


def test_existing_results(refused, original, bundle, tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    (found / "mine.txt").write_text("keep")
    message = refused("predict", bundle, original / "val" / "images", "--out", found)
    assert f"{found} exists and is not empty" in message
    assert contents(found) == {"mine.txt": b"keep"}
    assert str(found) in refused("synthesize", found, "--count", 2)
    assert str(found) in refused("demo", "--out", found)
    assert contents(found) == {"mine.txt": b"keep"}


def test_folder_that_is_a_file(refused, original, tmp_path):
    path = tmp_path / "file"
    path.write_text("keep")
    assert str(path) in refused("train", original, *QUICK, "--steps", 1, "--out", path)
    assert path.read_text() == "keep"


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--budget", "30x"), ["'30x'", "30m"]),
        (("--budget", "0s"), ["'0s'"]),
        (("--size", "12"), ["'12'", "HEIGHTxWIDTH"]),
        (("--size", "0x0"), ["'0x0'"]),
        (("--set", "foo=1"), ["foo", "1"]),
        (("--set", "foo"), ["'foo'", "NAME=VALUE"]),
        (("--set", "lr=much"), ["lr", "'much'"]),
        (("--set", "lr=-1"), ["lr=-1"]),
        (("--set", "optimiser=lion"), ["optimiser", "'lion'", "adamw"]),
        (("--set", "augmentation.foo=1"), ["foo", "flip"]),
        (("--set", "augmentation.flip=much"), ["flip", "'much'"]),
        (("--set", "classes=4"), ["classes"]),
        (("--set", "loss=hinge"), ["hinge", "dice"]),
        (("--set", "threads=0"), ["threads", "0"]),
        (("--model", "unet-light0"), ["'unet-light0'", "unet-lite0"]),
        (("--model", "unet-encoder", "--set", "encoder=resnet1"), ["resnet1"]),
        (("--batch", "0"), ["batch", "0"]),
        (("--steps", "0"), ["steps=0"]),
        (("--steps", "3", "--epochs", "2"), ["steps=3", "epochs=2"]),
        (("--ignore", "goal"), ["goal", "ball"]),
        (("--steps", "many"), ["--steps", "integer"]),
        (("--nonsense",), ["--nonsense"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_of_train(refused, original, tmp_path, options, wanted):
    message = refused("train", original, "--out", tmp_path / "run", *options)
    for text in wanted:
        assert text in message
    assert not (tmp_path / "run").exists()


def test_options_of_the_others(refused, original, trained, bundle, tmp_path):
    images = original / "val" / "images"
    out, mask = ("--out", tmp_path / "out"), ("--out", tmp_path / "a.mask")
    told = {
        ("predict", bundle, images, *out, "--runtime", "tensorrt"): "tensorrt",
        ("predict", bundle, images, *out, "--threads", 0): "0",
        ("predict", bundle, images, *out, "--tile", "big"): "big",
        ("predict", bundle, images, *out, "--tile", "0x32"): "0x32",
        ("predict", bundle, images, *out, "--tile", "auto", "--overlap", 1): "got 1.0",
        ("predict", bundle, images, *out, "--overlap", 0.5): "--tile auto",
        ("evaluate", bundle, original, "--split", "dev"): "dev",
        ("evaluate", bundle, original, "--ignore", "goal"): "goal",
        ("data", "stats", original, "--format", "yolo"): "yolo",
        ("data", "preview", original, "--out", tmp_path / "out.bmp"): ".bmp",
        ("data", "preview", original, "--count", 0, "--out", tmp_path / "a.png"): "count 0",
        ("export", trained, "--images", images, *mask, "--count", 0): "--count 1 or more",
        ("export", trained, "--images", tmp_path / "nowhere", *mask): "nowhere is no file",
        ("export", trained, "--images", images, *out): "to end in .mask",
        ("benchmark", trained, "--bundle", bundle, "--images", images, *out, "--rounds", 0): "0",
        ("benchmark", trained, bundle, "--bundle", bundle, *out): "got 2 models",
        ("benchmark", trained, *out, "--size", "32x32"): "32x32",
        ("benchmark", "bisenetv7", *out): "bisenetv1",
        ("benchmark", "bisenetv1", *out, "--device", "tpu"): "tpu",
        ("benchmark", tmp_path / "nowhere.mask", *out): "nowhere.mask",
        ("synthesize", tmp_path / "out", "--count", 0): "0",
        ("synthesize", tmp_path / "out", "--size", "big"): "big",
        ("synthesize", tmp_path / "out", "--size", "0x0"): "0",
        ("synthesize", tmp_path / "out", "--workers", 0): "0",
        ("demo", *out, "--scenes", 5): "5",
        ("demo", *out, "--size", "1"): "1",
        ("models", "segfromer-b0"): "segformer-b0",
        ("models", "--nonsense"): "--nonsense",
        ("nonsense",): "nonsense",
    }
    for arguments, wanted in told.items():
        assert wanted in refused(*arguments), arguments
    assert not contents(tmp_path)


def test_a_refused_scene_does_not_claim_the_folder(refused, run, tmp_path):
    scenes = ("synthesize", tmp_path / "scenes", "--count", 1, "--workers", 1, "--size")
    assert "got 8 x 8" in refused(*scenes, "8x8")
    assert run(*scenes, "32x32").code == 0
