"""Images of other channels and bits: read as they were told to be, and refused otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_sets
from PIL import Image

from maskwright.core import Pixels, Sample, with_pixels
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import read_image
from maskwright.core.pixels import RGB, read_as

FOUR = Pixels(channels=4, highest=65535)


def values(channels, highest=65535, size=(5, 7), seed=0):
    drawn = np.random.default_rng(seed).integers(0, highest + 1, (*size, channels))
    return drawn.astype(np.uint8 if highest <= 255 else np.uint16)


def write(path: Path, image: np.ndarray) -> Path:
    """By OpenCV, whose channels are BGR and what else there is."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[image.shape[2]]
    assert cv2.imwrite(str(path), image[:, :, order])
    return path


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("highest", [255, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_was_written_is_read(tmp_path, suffix, highest, channels):
    image = values(channels, highest)
    path = write(tmp_path / f"x{suffix}", image)
    found = read_as(path, Pixels(channels=channels, highest=highest))
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_dark_fourth_channel_does_not_darken_the_others(tmp_path, suffix):
    image = values(4, 255)
    image[:, :, 3] = 0
    Image.fromarray(image, "RGBA").save(tmp_path / f"x{suffix}")
    found = read_as(tmp_path / f"x{suffix}", Pixels(channels=4))
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("channels", [2, 6])
def test_the_pages_of_a_tiff_are_channels(tmp_path, channels):
    image = values(channels, 4095)
    assert cv2.imwritemulti(str(tmp_path / "x.tif"), list(np.moveaxis(image, 2, 0)))
    found = read_as(tmp_path / "x.tif", Pixels(channels=channels, highest=4095))
    np.testing.assert_array_equal(found, image)


def test_photos_are_read_as_ever_and_alpha_is_dropped_from_three_channels(tmp_path):
    image = values(4)
    path = write(tmp_path / "x.png", image)
    np.testing.assert_array_equal(read_as(path, RGB), read_image(path))
    found = read_as(path, Pixels(channels=3, highest=65535))
    np.testing.assert_array_equal(found, image[:, :, :3])


def test_grey_is_a_channel_of_its_own(tmp_path):
    image = small_sets.picture(1)
    Image.fromarray(image).save(tmp_path / "colour.png")
    found = read_as(tmp_path / "colour.png", Pixels(channels=1))
    wanted = image @ np.array([0.299, 0.587, 0.114])  # BT.601
    assert found.shape == (*image.shape[:2], 1)
    assert np.abs(found[:, :, 0] - wanted).max() <= 1
    Image.fromarray(image[:, :, 0]).save(tmp_path / "grey.png")
    found = read_as(tmp_path / "grey.png", Pixels(channels=1))
    np.testing.assert_array_equal(found[:, :, 0], image[:, :, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_four_channels_are_turned_as_three_are(tmp_path, orientation, suffix):
    image = values(4, 255)
    image[:, :, 3] = 255
    path = tmp_path / f"x{suffix}"
    Image.fromarray(image, "RGBA").save(path, exif=small_sets.exif(orientation))
    three, four = read_as(path, RGB), read_as(path, Pixels(channels=4))
    np.testing.assert_array_equal(four[:, :, :3], three)


@pytest.mark.parametrize(
    ("channels", "highest", "told", "reason"),
    [
        (3, 255, Pixels(channels=4), r"4 channels of 0\.\.255 .*\(5, 7, 3\)"),
        (4, 255, Pixels(channels=5), r"5 channels"),
        (4, 255, FOUR, r"0\.\.65535 \(uint16\).*uint8"),
        (1, 65535, Pixels(channels=1), r"1 channel of 0\.\.255 \(uint8\).*uint16"),
        (4, 65535, Pixels(channels=4, highest=1000), r"0\.\.1000, got the value \d{5}"),
    ],
)
def test_other_files_are_refused(tmp_path, channels, highest, told, reason):
    path = write(tmp_path / "x.png", values(channels, highest))
    with pytest.raises(DataError, match=rf"x\.png.*{reason}"):
        read_as(path, told)


def test_damaged_files_are_refused(tmp_path):
    for name, data in (("x.tif", b"II*\0 and no more"), ("x.png", b"text"), ("e.png", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            read_as(tmp_path / name, FOUR)
    with pytest.raises(DataError, match="does not exist"):
        read_as(tmp_path / "gone.tif", FOUR)


@pytest.mark.parametrize("numbers", [(0, 255), (3, 0), (3, 65536), (513, 255)])
def test_numbers_out_of_range_are_told(numbers):
    with pytest.raises(ConfigError, match=rf"got {numbers[0]} and {numbers[1]}"):
        Pixels(channels=numbers[0], highest=numbers[1])


def test_a_set_is_told_what_its_images_are(tmp_path):
    image = values(4)
    path = write(tmp_path / "x.png", image)
    told = with_pixels(small_sets.dataset(train=2, val=1), FOUR)
    assert told.pixels == FOUR
    assert all(one.pixels == FOUR for samples in told.splits.values() for one in samples)
    assert small_sets.dataset(train=1).pixels == small_sets.sample(0).pixels == RGB
    with pytest.raises(DataError, match=r"scene_0.*4 channels"):
        told.splits["train"][0].read_image()
    truth = small_sets.sample(0).truth_of
    one = Sample(name="x", image=path, truth_of=truth, tasks=frozenset(), pixels=FOUR)
    np.testing.assert_array_equal(one.read_image(), image)
    in_memory = Sample(name="x", image=image, truth_of=truth, tasks=frozenset(), pixels=FOUR)
    np.testing.assert_array_equal(in_memory.read_image(), image)


@pytest.mark.parametrize("kind", [Pixels(channels=1), FOUR, Pixels(channels=2, highest=4095)])
def test_every_kind_can_be_looked_at(kind):
    image = values(kind.channels, kind.highest)
    shown = kind.viewable(image)
    assert (shown.dtype, shown.shape) == (np.uint8, (5, 7, 3))
    wanted = image[:, :, [0, 1, 2] if kind.channels >= 3 else [0, 0, 0]] / kind.highest * 255
    assert np.abs(shown - wanted).max() <= 0.5
    assert Pixels.from_dict(json.loads(json.dumps(kind.to_dict()))) == kind
