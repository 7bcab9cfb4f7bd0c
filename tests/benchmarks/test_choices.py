"""Rows of `train` beside a plain script: each once, written as they come, scored alike."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import small_sets
import torch
from torch import nn

import maskwright.formats as formats
from benchmarks import choices


def options(folder, **changes) -> argparse.Namespace:
    plain = {"data": [folder], "minutes": [0.05], "seeds": [0], "contenders": ["train"],
             "ignore": [], "out": folder.parent / "choices.json"}  # fmt: skip
    return argparse.Namespace(**(plain | changes))


@pytest.fixture
def folder(tmp_path):
    return small_sets.mask_folder(tmp_path / "set", {"train": 4, "val": 1, "test": 1})


def test_rows_are_made_once_and_kept_as_they_come(folder, monkeypatch):
    made = []

    def row(contender, data, minutes, seed, ignore):
        made.append((contender, seed))
        if len(made) == 3:
            raise KeyboardInterrupt
        own = {"numbers": {"mIoU": 0.5}}
        return {"contender": contender, "data": data.name, "minutes": minutes, "seed": seed,
                "steps": 1, "seconds": 1.0, "scores": {"val": own}}  # fmt: skip

    monkeypatch.setattr(choices, "row_of", row)
    wanted = options(folder, seeds=[0, 1], contenders=["train", "script"])
    with pytest.raises(KeyboardInterrupt):
        choices.measure(wanted)
    kept = json.loads((folder.parent / "choices.rows.json").read_text())["rows"]
    assert [(one["contender"], one["seed"]) for one in kept] == [("train", 0), ("script", 0)]
    found = choices.measure(wanted)["rows"]
    assert [(one["contender"], one["seed"]) for one in found] == [
        ("train", 0), ("script", 0), ("train", 1), ("script", 1),
    ]  # fmt: skip
    assert made == [("train", 0), ("script", 0), ("train", 1), ("train", 1), ("script", 1)]
    wanted.out.write_text(json.dumps({"rows": found}))  # as the runner writes it
    assert choices.measure(options(folder, seeds=[0, 1, 2]))["rows"][:4] == found
    assert made[5:] == [("train", 2)]
    assert not (folder.parent / "choices.rows.json").exists()


def test_the_script_crops_and_scores_at_the_images_own_scale(folder):
    script = pytest.importorskip("benchmarks.plain_script", exc_type=ImportError)
    dataset = formats.read(folder)
    rng = np.random.default_rng(0)
    sample = dataset.splits["train"][0]
    pairs = [(sample.read_image(), sample.read_truth().semantic)]
    images, maps = script.crops(pairs, (16, 24), rng)
    assert images.shape == (8, 3, 16, 24)
    assert maps.shape == (8, 16, 24)

    class Blind(nn.Module):
        def forward(self, images):
            return torch.stack([torch.zeros(images.shape[2:]), torch.ones(images.shape[2:])])[None]

    found = script.predict(Blind(), sample)
    assert found.shape == sample.read_truth().semantic.shape
    assert (found == 1).all()
    assert choices._crop((320, 480)) == (160, 256)
    assert choices._crop((1000, 90)) == (256, 64)


def test_losses_of_the_script_are_those_of_the_package():
    script = pytest.importorskip("benchmarks.plain_script", exc_type=ImportError)
    from maskwright.losses import Targets, pixel_loss

    torch.manual_seed(0)
    logits, truth = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    truth[0, :2] = 255
    wanted = pixel_loss("ce+dice")(logits, Targets(class_map_BHW=truth))
    assert float(script.loss_of(logits, truth, 3)) == pytest.approx(float(wanted), rel=1e-5)
