"""What one writes around segmentation_models_pytorch, to hold `maskwright train` against.

U-Net on EfficientNet-Lite0 with the same ImageNet weights, cross entropy and Dice, crops at the
images' own scale, batches of 8, AdamW with a cosine, bf16, flips; no averages, the last weights.

    python -m benchmarks.plain_script DATA --seconds 180 --crop 160 240 --out MASKS
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

import maskwright.formats as formats
from maskwright.architectures.encoders.imagenet import packaged_weights
from maskwright.core.files import write_bytes, write_json
from maskwright.core.image import encode_png
from maskwright.core.sample import Dataset, Sample

ENCODER = "tf_efficientnet_lite0"
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""That this encoder was trained with."""


def network_of(classes: int) -> torch.nn.Module:
    """The U-Net, its encoder from ImageNet."""
    network = smp.Unet(f"tu-{ENCODER}", encoder_weights=None, classes=classes)
    blocks: Any = timm.create_model(ENCODER).blocks
    stages = tuple(len(stage) for stage in blocks)
    network.encoder.model.load_state_dict(packaged_weights(ENCODER, stages), strict=False)
    return network.to(memory_format=torch.channels_last)


def normalised(images_BHW3: np.ndarray) -> Tensor:
    """uint8 RGB -> what the encoder expects."""
    images = torch.from_numpy(images_BHW3).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def crops(
    pairs: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of 8 random crops, mirrored half of the time."""
    images, maps = [], []
    for _ in range(8):
        image, ids = pairs[rng.integers(len(pairs))]
        height, width = (max(0, have - want) for have, want in zip(ids.shape, size))
        pad = [(0, max(0, want - have)) for have, want in zip(ids.shape, size)]
        image, ids = np.pad(image, [*pad, (0, 0)]), np.pad(ids, pad, constant_values=255)
        top, left = rng.integers(height + 1), rng.integers(width + 1)
        window = np.s_[top : top + size[0], left : left + size[1]]
        step = -1 if rng.random() < 0.5 else 1
        images.append(image[window][:, ::step])
        maps.append(ids[window][:, ::step])
    return normalised(np.stack(images)), torch.from_numpy(np.stack(maps).astype(np.int64))


def loss_of(logits: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Cross entropy and Dice."""
    known = truth != 255
    total = F.cross_entropy(logits, truth, ignore_index=255)
    found = logits.softmax(dim=1) * known.unsqueeze(1)
    wanted = F.one_hot(truth.clamp_max(classes - 1), classes).movedim(-1, 1) * known.unsqueeze(1)
    overlap, areas = (found * wanted).sum((0, 2, 3)), (found + wanted).sum((0, 2, 3))
    return total + 1 - (2 * overlap / areas.clamp_min(1)).mean()


def train(
    network: torch.nn.Module, dataset: Dataset, seconds: float, crop: tuple[int, int], seed: int
) -> int:
    """Train for so long, everything included; the number of steps."""
    started, rng = time.perf_counter(), np.random.default_rng(seed)
    classes = len(dataset.classes)
    samples = dataset.split("train", "all")
    read = [(one.read_image(), one.read_truth().semantic) for one in samples]
    pairs = [(image, ids) for image, ids in read if ids is not None]
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    network.train()
    step = 0
    while (share := (time.perf_counter() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 + math.cos(math.pi * share)) / 2
        images, truth = crops(pairs, crop, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images)
        loss = loss_of(logits.float(), truth, classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
    return step


def predict(network: torch.nn.Module, sample: Sample) -> np.ndarray:
    """The class map of one image, at its own size; sides are padded to multiples of 32."""
    image = sample.read_image()
    pad = [(0, -side % 32) for side in image.shape[:2]]
    with torch.inference_mode():
        logits = network.eval()(normalised(np.pad(image, [*pad, (0, 0)])[None]))
    return logits[0].argmax(0).numpy().astype(np.uint8)[: image.shape[0], : image.shape[1]]


def main() -> None:
    """Train, and write a mask for each image of val and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--crop", type=int, nargs=2, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ignore", nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    dataset = formats.read(options.data, ignore=options.ignore)
    network = network_of(len(dataset.classes))
    steps = train(network, dataset, options.seconds, tuple(options.crop), options.seed)
    for split in ("val", "test"):
        for sample in dataset.splits.get(split, ()):
            path = options.out / split / f"{sample.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, encode_png(predict(network, sample)))
    write_json(options.out / "steps.json", {"steps": steps})


if __name__ == "__main__":
    main()
