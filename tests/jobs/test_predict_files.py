"""Predicted files hold what the predictor said; bad ones stop it, or are counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from small_sets import CLASSES, picture, save

from maskwright import formats
from maskwright.core import DataError, ModelCard, Resize
from maskwright.core.image import JPEG_SIDE, read_image, write_image
from maskwright.jobs import predict_files
from maskwright.runtimes import Predictor, Tiled

CARD = ModelCard(
    name="stand-in",
    architecture="none",
    config={},
    classes=CLASSES,
    tasks=("semantic",),
    resize=Resize(size=(24, 32)),
)


def brightness(input_B3HW):
    """Bright pixels are lines."""
    return {"class_map": (input_B3HW[:, 0] > 128).astype(np.uint8)}


def with_a_box(input_B3HW):
    return brightness(input_B3HW) | {
        "boxes": np.array([[[2, 3, 10, 12]]], np.float32),
        "scores": np.array([[0.75]], np.float32),
        "class_ids": np.array([[2]]),
    }


@pytest.fixture
def photos(tmp_path):
    for number in range(3):
        save(tmp_path / "in" / f"deep/{number}.png", picture(number))
    return tmp_path / "in"


def predictor(run=brightness):
    return Predictor(CARD, run, {})


def test_masks_overlays_and_names_are_written(tmp_path, photos):
    told = []
    summary = predict_files(
        predictor(), photos, tmp_path / "out", progress=lambda *step: told.append(step)
    )
    assert (summary.images, summary.bad, told[-1]) == (3, (), (3, 3))
    assert set(summary.mean_times) == {"read", "preprocess", "network", "postprocess"}
    with Image.open(tmp_path / "out/masks/deep/1.png") as mask:
        assert mask.getpalette()[3:6] == list(CLASSES.colours[1])
        np.testing.assert_array_equal(np.array(mask), picture(1)[..., 0] > 128)
    with Image.open(tmp_path / "out/overlays/deep/1.jpg") as overlay:
        assert overlay.size == (32, 24)
    assert json.loads((tmp_path / "out/classes.json").read_text())["names"] == list(CLASSES.names)
    assert not (tmp_path / "out/instances.json").exists()


def test_tiles_are_written_alike(tmp_path, photos):
    save(photos / "large.png", picture(9, (60, 100)))
    with pytest.warns(UserWarning, match="without probabilities"):
        tiled = Tiled(predictor())
    summary = predict_files(tiled, photos, tmp_path / "out")
    assert summary.images == 4
    assert set(summary.mean_times) == {"read", "preprocess", "network", "postprocess"}
    with Image.open(tmp_path / "out/masks/large.png") as mask:
        np.testing.assert_array_equal(np.array(mask), picture(9, (60, 100))[..., 0] > 128)


def test_an_image_too_long_for_jpeg_gets_another_overlay(tmp_path):
    photo = np.zeros((2, JPEG_SIDE + 1, 3), np.uint8)
    save(tmp_path / "in/long.png", photo)
    predict_files(predictor(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/overlays").iterdir()] == ["long.png"]
    assert read_image(tmp_path / "out/overlays/long.png").shape == photo.shape
    with pytest.raises(DataError, match=f"at most {JPEG_SIDE} .*got {JPEG_SIDE + 1}x2"):
        write_image(tmp_path / "long.jpg", photo)
    assert not (tmp_path / "long.jpg").exists()


def test_objects_become_coco_with_scores(tmp_path, photos):
    predict_files(predictor(with_a_box), photos, tmp_path / "out", overlays=False)
    assert not (tmp_path / "out/overlays").exists()
    (tmp_path / "out/images").symlink_to(photos)
    found = formats.read(tmp_path / "out", format="coco")
    (instance,) = found.splits["all"][2].read_truth().instances
    assert (instance.class_id, instance.score, instance.box_xyxy) == (2, 0.75, (2, 3, 10, 12))


def test_a_bad_image_stops_or_is_counted(tmp_path, photos):
    (photos / "deep/1.png").write_text("no image")
    with pytest.raises(DataError, match=r"1\.png is not an image"):
        predict_files(predictor(), photos, tmp_path / "first")
    summary = predict_files(predictor(), photos, tmp_path / "second", skip_bad=True)
    assert summary.images == 2
    ((path, why),) = summary.bad
    assert path.name == "1.png"
    assert "not an image" in why
    with pytest.raises(DataError, match="none of 1 images could be read"):
        predict_files(predictor(), photos / "deep/1.png", tmp_path / "third", skip_bad=True)


def test_results_are_not_mixed_or_predicted_again(tmp_path, photos):
    predict_files(predictor(), photos, photos / "out")
    with pytest.raises(DataError, match="not empty"):
        predict_files(predictor(), photos, photos / "out")
    assert predict_files(predictor(), photos, photos / "out", overwrite=True).images == 3


def test_what_can_not_be_meant(tmp_path, photos):
    save(photos / "other/1.png", picture(9))
    with pytest.raises(DataError, match=r"both be written as 1\.png"):
        predict_files(predictor(), [photos / "deep/1.png", photos / "other/1.png"], tmp_path / "o")
    with pytest.raises(DataError, match="is no file"):
        predict_files(predictor(), photos / "9.png", tmp_path / "o")
    with pytest.raises(DataError, match="at least one image"):
        predict_files(predictor(), [], tmp_path / "o")
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        predict_files(predictor(), tmp_path / "void", tmp_path / "o")


def test_an_interruption_leaves_whole_files_only(tmp_path, photos):
    calls = []

    def interrupted(input_B3HW):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return brightness(input_B3HW)

    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor(interrupted), photos, tmp_path / "out")
    written = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert written == [".predictions", "0.jpg", "0.png"]
