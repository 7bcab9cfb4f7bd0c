"""Four channels of 16 bits, from the files to the answers of both runtimes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import small_sets

import maskwright.formats as formats
from maskwright.core import Pixels, with_pixels
from maskwright.core.errors import ConfigError, DataError
from maskwright.data.augment import Augmentation, augment
from maskwright.data.colour import Colour, change_colour
from maskwright.data.example import read_example
from maskwright.export import export_checkpoint
from maskwright.runtimes import Tiled, load
from maskwright.training import TrainConfig, resume, train
from maskwright.training.checkpoint_predictor import checkpoint_predictor
from maskwright.training.initial_network import initial_network

RGB_NIR = Pixels(channels=4, highest=4095)
SIZE = (32, 48)


def write_set(root):
    """The class of a pixel is told by its near-infrared alone."""
    rng = np.random.default_rng(0)
    for split, count in {"train": 6, "val": 2}.items():
        for number in range(count):
            ids = np.zeros(SIZE, np.uint8)
            top, left = rng.integers(2, 12, 2)
            ids[top : top + 14, left : left + 18] = 1
            image = rng.integers(0, 4096, (*SIZE, 4)).astype(np.uint16)
            image[:, :, 3] = np.where(ids == 1, 3600, 300)
            path = root / split / "images" / f"im{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image[:, :, [2, 1, 0, 3]])
            small_sets.save(root / split / "masks" / f"im{number}.png", ids)
    return root


def quick(**settings):
    plain = {
        "architecture": "unet", "options": {"width": 4, "levels": 2}, "size": SIZE, "batch": 2,
        "steps": 40, "lr": 0.02, "ema": 0.0, "precision": "fp32", "evaluate_every": 1,
        "workers": 0, "threads": 1, "augmentation": Augmentation(scale=(0.9, 1.1)),
    }  # fmt: skip
    return TrainConfig(**(plain | settings))


def test_from_files_to_both_runtimes(tmp_path):
    read = formats.read(write_set(tmp_path / "data"))
    dataset = with_pixels(read, RGB_NIR)
    run = tmp_path / "run"
    result = train(quick(), dataset, run)
    assert result.scores.headline().value > 0.8
    predictor = checkpoint_predictor(run / "best.safetensors", threads=1)
    assert predictor.card.pixels == RGB_NIR
    samples = dataset.splits["val"]
    images = [sample.read_image() for sample in samples]
    bundle = tmp_path / "x.mask"
    export_checkpoint(run / "best.safetensors", bundle, images, threads=1)
    for runtime in ("onnxruntime", "openvino"):
        shipped = load(bundle, threads=1, runtime=runtime)
        assert shipped.card.pixels == RGB_NIR
        for sample, image in zip(samples, images):
            wanted = predictor.predict(image).semantic
            assert (shipped.predict(sample.image).semantic == wanted).mean() > 0.999
            bgr = image[:, :, [2, 1, 0, 3]]
            assert (shipped.predict(bgr, "bgr").semantic == wanted).mean() > 0.999
            assert (wanted == sample.read_truth().semantic).mean() > 0.9
        for other in (images[0][:, :, :3], images[0].astype(np.uint8), images[0] + 4095):
            with pytest.raises(DataError, match=r"expected an image of 4 channels of 0\.\.4095"):
                shipped.predict(other)
    again = resume(read, run)
    assert again.scores is None  # it was finished; the set is read as it was


@pytest.mark.parametrize("kind", [Pixels(channels=1), RGB_NIR, Pixels(channels=6, highest=65535)])
def test_augmented_images_keep_kind_and_place(kind):
    rng = np.random.default_rng(0)
    image = rng.integers(0, kind.highest + 1, (20, 30, kind.channels)).astype(kind.dtype)
    sample = small_sets.sample(0, size=(20, 30))
    example = read_example(type(sample)(name="x", image=image, truth_of=sample.truth_of,
                                        tasks=sample.tasks, pixels=kind))  # fmt: skip
    for seed in range(5):
        settings = Augmentation(blur=1.0)
        found = augment(example, (16, 24), settings, np.random.default_rng(seed)).image
        assert (found.shape, found.dtype) == ((16, 24, kind.channels), kind.dtype)
        assert found.max() <= kind.highest
        assert found.std() > 0.02 * kind.highest


def test_brightness_and_contrast_of_many_bits_are_those_of_eight():
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    colour = Colour(brightness=1.2, contrast=0.8, saturation=None, turn=0.0)
    wanted = change_colour(image, colour)
    deep = image.astype(np.uint16) * 257
    kind = Pixels(channels=3, highest=65535)
    found = change_colour(deep, colour, kind)
    assert np.abs(found / 257 - wanted).max() <= 0.6


def test_a_network_made_for_other_images_is_told():
    config = quick(options={"width": 4, "levels": 2, "channels": 4})
    assert initial_network(config, 3, RGB_NIR).modifications == ()
    with pytest.raises(ConfigError, match=r"made for 4 channels.*images have 3 channels"):
        initial_network(config, 3)
    told = []
    initial_network(quick(), 3, Pixels(channels=1), note=told.append)
    assert "1 channel of 0..255: the weights that read RGB are taken over, their sum" in told[0]


@pytest.mark.parametrize("channels", [1, 6])
def test_tiles_of_other_channels(channels):
    kind = Pixels(channels=channels, highest=4095)
    from maskwright.core import Classes, ModelCard, Resize
    from maskwright.runtimes import Predictor

    card = ModelCard(
        name="x", architecture="none", config={}, classes=Classes.of(["a", "b"]),
        tasks=("semantic",), resize=Resize(size=(16, 16)), pixels=kind,
    )  # fmt: skip
    predictor = Predictor(
        card, lambda images: {"class_map": (images[:, -1] > 2000).astype(np.uint8)}, {"name": "x"}
    )
    with pytest.warns(UserWarning, match="without probabilities"):
        tiled = Tiled(predictor)
    for size in ((40, 30), (10, 12)):
        image = np.random.default_rng(0).integers(0, 4096, (*size, channels)).astype(np.uint16)
        found = tiled.predict(image).semantic
        np.testing.assert_array_equal(found, image[:, :, -1] > 2000)
