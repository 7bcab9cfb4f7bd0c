"""How images come to the input: as what ships does, told where it changes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapes import Listener, config, make_dataset, quick

import maskwright.formats as formats
from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.core import Classes, Dataset, Sample
from maskwright.core.errors import ConfigError, DataError
from maskwright.training import resume, train
from maskwright.training.sizes import choose_fit, suggest_size


def chosen(sizes: list[tuple[int, int]], **settings) -> tuple[str, list[str]]:
    notes: list[str] = []
    return choose_fit(config(**settings), np.array(sizes), notes.append), notes


def test_images_of_the_inputs_aspect_are_stretched_and_nothing_is_told():
    assert chosen([(64, 64), (128, 120)], size=(32, 32)) == ("stretch", [])
    assert chosen([(64, 64)], size=(32, 32), resize="letterbox") == ("letterbox", [])


def test_another_aspect_is_letterboxed_unless_asked_and_told():
    sizes = [(64, 64), (64, 128), (60, 120)]
    fit, (note,) = chosen(sizes, size=(32, 32))
    assert fit == "letterbox"
    assert "2 of 3 training images have another aspect" in note
    assert "1.00 to 2.00" in note
    assert "32x32" in note
    fit, (note,) = chosen(sizes, size=(32, 32), resize="stretch")
    assert fit == "stretch"
    assert "stretched, here and in use" in note


def test_images_that_fit_are_not_enlarged_where_that_is_the_sets_scale():
    sizes = [(60, 90)] * 8 + [(30, 40)] * 4 + [(120, 90)]
    fit, (note,) = chosen(sizes, size=(64, 96))
    assert fit == "pad"
    assert "keep their pixels where they fit" in note
    # too few of the pixels fit; all fit, but the input is far larger than what is shown
    assert chosen([*sizes, (120, 90)], size=(64, 96))[0] == "letterbox"
    assert chosen(sizes, size=(256, 256))[0] == "letterbox"


def sized(*sizes: tuple[int, int]) -> Dataset:
    samples = tuple(
        Sample(
            name=str(number),
            image=np.zeros((*size, 3), np.uint8),
            truth_of=lambda: None,
            tasks=frozenset(),
        )
        for number, size in enumerate(sizes)
    )
    return Dataset(root=Path("x"), format="x", classes=Classes.of(["a"]), splits={"train": samples})


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(360, 480)] * 3 + [(100, 90), (200, 50)], (360, 480)),
        ([(960, 999)] * 2, (504, 520)),
        # 520x696 and what is smaller hold 84 % of the pixels, in multiples of 32
        ([(520, 696)] * 10 + [(256, 256)] * 25 + [(768, 768)] * 2 + [(256, 320)] * 12
         + [(360, 360)] * 9, (544, 704)),
        # nothing below 640x640 would hold four fifths: the mean area at the median aspect
        ([(1000, 2000), (2000, 1000), (700, 700), (600, 1200)], (416, 640)),
    ],
)  # fmt: skip
def test_the_input_is_made_for_the_images(sizes, expected):
    assert suggest_size(sized(*sizes)) == expected


def test_class_maps_are_mirrored_around_and_what_is_set_stays(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    for border, expected in (("auto", "mirror"), ("fill", "fill")):
        train(quick(steps=1, border=border, resize="letterbox"), dataset, tmp_path / border)
        card = load_checkpoint(tmp_path / border / "best.safetensors")[1]
        assert (card.resize.border, card.resize.mode) == (expected, "letterbox")
        assert json.loads((tmp_path / border / "config.json").read_text())["border"] == expected


def test_the_card_ships_what_training_did(tmp_path):
    make_dataset(tmp_path / "set")
    wide = cv2.imread(str(tmp_path / "set/train/images/0.png"))
    ids = cv2.imread(str(tmp_path / "set/train/masks/0.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tmp_path / "set/train/images/0.png"), np.hstack([wide, wide]))
    cv2.imwrite(str(tmp_path / "set/train/masks/0.png"), np.hstack([ids, ids]))
    dataset = formats.read(tmp_path / "set")
    listener = Listener()
    train(quick(steps=2, crop=(16, 24)), dataset, tmp_path / "run", progress=listener)
    assert any("1 of 6 training images have another aspect" in note for note in listener.notes)
    card = load_checkpoint(tmp_path / "run/best.safetensors")[1]
    assert (card.resize.mode, card.resize.size) == ("letterbox", (32, 32))
    stored = json.loads((tmp_path / "run/config.json").read_text())
    assert (stored["resize"], stored["crop"]) == ("letterbox", [16, 24])


# --- what is refused before the first step ----------------------------------------------------


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_set_of_void_is_refused_before_the_first_step(tmp_path, split):
    dataset = make_dataset(tmp_path / "set")

    def void(sample):
        truth = sample.read_truth()
        return replace(sample, truth_of=replace(truth, semantic=np.full_like(truth.semantic, 255)))

    blank = replace(
        dataset, splits={**dataset.splits, split: tuple(map(void, dataset.splits[split]))}
    )
    listener = Listener()
    with pytest.raises(DataError, match=f"{split} of .* hold 0 labelled pixels"):
        train(quick(steps=2), blank, tmp_path / "run", progress=listener)
    assert not listener.steps
    assert not (tmp_path / "run").exists()


def test_a_class_that_never_occurs_is_told(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    (tmp_path / "set/classes.json").write_text(json.dumps(["grass", "box", "ball", "unicorn"]))
    dataset = formats.read(tmp_path / "set")
    listener = Listener()
    train(quick(steps=2), dataset, tmp_path / "run", progress=listener)
    assert any("unicorn" in note for note in listener.notes)


# --- what is compared when a run goes on ------------------------------------------------------


def stop(step: int) -> None:
    if step == 6:
        raise EOFError


@pytest.mark.parametrize("what", ["image", "mask", "validation image", "validation mask"])
def test_a_run_goes_on_only_with_the_same_pixels(tmp_path, what):
    """As many pixels of each class, the same names: but other images, or other places."""
    dataset = make_dataset(tmp_path / "set")
    with pytest.raises(EOFError):
        train(quick(steps=20), dataset, tmp_path / "run", progress=Listener(stop))
    split = "val" if what.startswith("validation") else "train"
    if what.endswith("image"):
        noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"set/{split}/images/1.png"), noise)
    else:
        path = str(tmp_path / f"set/{split}/masks/1.png")
        cv2.imwrite(path, cv2.imread(path, cv2.IMREAD_UNCHANGED)[:, ::-1])
    with pytest.raises(ConfigError, match="has other images or masks than"):
        resume(formats.read(tmp_path / "set"), tmp_path / "run")
