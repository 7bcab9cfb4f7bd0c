"""Training on a device beside a plain PyTorch loop: `python -m benchmarks devices --device cuda`.

For each network: images a second of our loop and of a loop written here in plain PyTorch (the same
network, loss, optimiser, precision and batch, random images that lie on the card), in turns; and
the losses of the same steps on the processor and on the card, in fp32 and in fp64. Dropout is off
there: each device draws its own random numbers. The fp64 losses tell rounding from a fault: where
only fp32 drifts apart, it is rounding that training amplifies.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.architectures import build
from maskwright.architectures.contract import Network
from maskwright.data import Batch
from maskwright.layers.drop_path import DropPath
from maskwright.losses import Targets
from maskwright.training import TrainConfig, TrainingStep
from maskwright.training.device import find_device, name_of, wait_for
from maskwright.training.optimiser import build_optimiser
from maskwright.training.precision import Precision, PrecisionName, candidates
from maskwright.training.steps import backward

CLASSES = 19


def batch_of(images: int, side: int, seed: int) -> Batch:
    """Random images and class maps, on the processor."""
    generator = torch.Generator().manual_seed(seed)
    size = (images, 3, side, side)
    pixels = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    ids = torch.randint(0, CLASSES, (images, side, side), generator=generator)
    return Batch(
        images_B3HW=pixels.contiguous(memory_format=torch.channels_last),
        targets=Targets(class_map_BHW=ids),
    )


class Ours:
    """A network in the loop's own parts."""

    def __init__(self, name: str, device: torch.device, precision: PrecisionName) -> None:
        torch.manual_seed(0)
        self.network = build(name, CLASSES).to(device).to(memory_format=torch.channels_last).train()
        self.step = TrainingStep(self.network)
        config = TrainConfig(architecture=name, steps=1, lr=1e-3)
        self.optimiser = build_optimiser(self.network, config)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"]
        self.precision = Precision(precision, device)

    def train(self, batch: Batch) -> Tensor:
        """One step; its loss."""
        loss = backward(self.step, batch, self.precision)
        self.precision.update(self.optimiser, self.network.parameters(), 5.0)
        return loss


class Plain:
    """The same network in a loop as one writes it by hand."""

    def __init__(self, name: str, device: torch.device, precision: PrecisionName) -> None:
        torch.manual_seed(0)
        self.network: Network = build(name, CLASSES).to(device).train()
        self.network = self.network.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.01)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.type = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.device = device

    def train(self, batch: Batch) -> Tensor:
        """One step; its loss."""
        network, truth_BHW = self.network, batch.targets.class_map_BHW
        assert truth_BHW is not None  # batch_of makes it
        with torch.autocast(self.device.type, self.type, enabled=self.type is not None):
            outputs = network((batch.images_B3HW.float() / 255 - network.mean) / network.std)
        weights = {"logits": 1.0, **getattr(network, "auxiliary_weights", {})}
        loss = sum(
            weights[head] * F.cross_entropy(
                F.interpolate(logits.float(), truth_BHW.shape[-2:], mode="bilinear"), truth_BHW
            )
            for head, logits in outputs.items()
        )  # fmt: skip
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.detach()


def images_a_second(
    name: str, device: torch.device, precision: PrecisionName, images: int, side: int, turns: int
) -> dict[str, Any]:
    """Medians over turns of our loop and the plain one, and the median of their ratios."""
    batch = batch_of(images, side, 0).to(device)
    both: dict[str, Ours | Plain] = {
        "ours": Ours(name, device, precision),
        "plain": Plain(name, device, precision),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in both}
    for turn in range(turns + 2):
        for kind, loop in both.items():
            wait_for(device)
            start = time.perf_counter()
            for _ in range(5):
                loop.train(batch)
            wait_for(device)
            if turn > 1:  # kernels are chosen in the first ones
                seconds[kind].append((time.perf_counter() - start) / 5)
    ratios = [plain / ours for ours, plain in zip(seconds["ours"], seconds["plain"])]
    return {
        "images_a_second": {k: images / statistics.median(v) for k, v in seconds.items()},
        "ours_over_plain": statistics.median(ratios),
        "ratios": sorted(ratios),
        "precision": precision,
        "batch": images,
        "side": side,
    }


def agreement(
    name: str, device: torch.device, steps: int, images: int, side: int
) -> dict[str, Any]:
    """The losses of the same steps on the processor and on the device, by number format."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    found: dict[str, Any] = {"steps": steps, "images": images, "side": side}
    for numbers in ("fp32", "fp64"):
        losses: dict[str, list[float]] = {}
        for place in (torch.device("cpu"), device):
            loop = Ours(name, place, "fp32")
            without_dropout(loop.network)
            if numbers == "fp64":
                loop.network.double()
            losses[place.type] = [
                float(loop.train(batch_of(images, side, step).to(place))) for step in range(steps)
            ]
        here, there = losses["cpu"], losses[device.type]
        found[numbers] = {
            "losses_cpu": here,
            "losses_device": there,
            "largest_difference": max(abs(a - b) for a, b in zip(here, there)),
        }
    return found


def without_dropout(network: torch.nn.Module) -> None:
    """Nothing is drawn in training any more."""
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d | DropPath):
            module.eval()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Device, networks, sizes."""
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", default="unet,bisenetv2,segformer-b0")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50, help="that are held against each other")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every network's figures."""
    device = find_device(options.device)
    precision = candidates(device)[1] if device.type != "cpu" else "fp32"
    rows = {}
    for name in options.models.split(","):
        rows[name] = images_a_second(
            name, device, precision, options.batch, options.side, options.turns
        )
        if device.type != "cpu":
            rows[name]["agreement"] = agreement(name, device, options.steps, 2, 64)
    return {"device": name_of(device), "rows": rows, "threads": torch.get_num_threads()}
