"""Our networks' speed beside their peers': `python -m benchmarks peers`.

Each network runs in two implementations with the same weights, images and threads, in turns. The
memory of attention over a whole street scene is measured beside it, each in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.alone import alone
from benchmarks.peer_pairs import CLASSES, PAIRS, Pair, build_both, logits_of, parameters
from maskwright.architectures import build
from maskwright.benchmarks.memory import peak_mib
from maskwright.core.errors import ConfigError

ATTENTION = ("danet-resnet101", "dranet-resnet101", "hrnetv2-w48-ocr", "caa-b7")
STREET = (512, 1024)
PACKAGES = ("torchvision", "segmentation-models-pytorch", "transformers")


def measure_peers(
    pairs: Sequence[Pair] = PAIRS,
    *,
    rounds: int = 6,
    threads: int = 1,
    forward_side: int = 512,
    training_side: int = 256,
    training_batch: int = 2,
    channels_last: bool = False,
    told: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Time forward passes and training steps by turns: ours, the peer, ours, the peer.

    A forward pass is one image in evaluation, to logits of its size; a training step is forward,
    cross entropy, backward and a step of SGD with momentum. The first of each isn't timed.

    Args:
        pairs: which networks.
        rounds: timed turns of each.
        threads: that PyTorch may use, for both.
        forward_side: H and W of the image.
        training_side, training_batch: H, W and B of a step.
        channels_last: memory layout of both networks and of the images.
        told: told each row when it is measured.

    Returns:
        A row for each pair: "name", "ours" (our architecture's name), "parameters" of both, and for
        "forward" and "training" of each "median_ms", "min_ms", "max_ms"; "ratio" is our median over
        the peer's. Where the peer isn't installed: "name" and "skipped".

    Raises:
        ConfigError: fewer than one round, or two networks that aren't the same.
    """
    if rounds < 1:
        raise ConfigError(f"expected at least one round, got {rounds}.")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image_13HW = _images(1, forward_side, layout)
    images_B3HW = _images(training_batch, training_side, layout)
    rows = []
    with _threads(threads):
        for pair in pairs:
            try:
                networks = build_both(pair)
            except ModuleNotFoundError:
                row: dict[str, Any] = {"skipped": f"pip install {pair.install}"}
            else:
                for network in networks.values():
                    network.to(memory_format=layout)
                row = {
                    "ours": pair.ours,
                    "parameters": {side: parameters(one) for side, one in networks.items()},
                    "forward": _compare(_forwards(networks, image_13HW), rounds),
                    "training": _compare(_steps(networks, images_B3HW), rounds),
                } | ({"note": pair.note} if pair.note else {})
            rows.append({"name": pair.name, **row})
            told(_line(rows[-1]))
    return rows


def measure_attention(
    names: Sequence[str] = ATTENTION,
    *,
    threads: int = 1,
    size: tuple[int, int] = STREET,
    told: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Peak memory of one forward pass, each network in a process of its own.

    Args:
        names: of architectures.
        threads: that PyTorch may use.
        size: (height, width) of the image.
        told: told each row when it is measured.

    Returns:
        A row for each: "name", "size", "peak_mib" (2^20 bytes that were resident at most,
        interpreter, PyTorch and weights included), "before_mib" (of these, before the pass).

    Raises:
        ConfigError: no such architecture, or its process ended without an answer.
    """
    rows = []
    for name in names:
        rows.append({"name": name, "size": list(size), **alone(one_forward, name, size, threads)})
        told(f"{name}: {rows[-1]['peak_mib']:.0f} MiB")
    return rows


def _images(batch: int, side: int, layout: torch.memory_format) -> torch.Tensor:
    images_B3HW = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
    return images_B3HW.contiguous(memory_format=layout)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _forwards(
    networks: Mapping[str, nn.Module], images_B3HW: torch.Tensor
) -> dict[str, Callable[[], None]]:
    def forward(network: nn.Module) -> Callable[[], None]:
        def run() -> None:
            network.eval()
            with torch.inference_mode():
                logits_of(network, images_B3HW)

        return run

    return {side: forward(network) for side, network in networks.items()}


def _steps(
    networks: Mapping[str, nn.Module], images_B3HW: torch.Tensor
) -> dict[str, Callable[[], None]]:
    shape = (images_B3HW.shape[0], *images_B3HW.shape[-2:])
    truth_BHW = torch.randint(CLASSES, shape, generator=torch.Generator().manual_seed(2))

    def step(network: nn.Module) -> Callable[[], None]:
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)

        def run() -> None:
            network.train()
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits_of(network, images_B3HW), truth_BHW).backward()
            optimiser.step()

        return run

    return {side: step(network) for side, network in networks.items()}


def _compare(runs: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Any]:
    """Time in turns, each beginning a round as often as the other."""
    spent: dict[str, list[float]] = {side: [] for side in runs}
    for number in range(rounds + 1):
        for side in sorted(runs, reverse=bool(number % 2)):
            start = time.perf_counter()
            runs[side]()
            spent[side].append(1000 * (time.perf_counter() - start))
    rows = {side: _row(times[1:]) for side, times in spent.items()}
    ours, peer = (statistics.median(spent[side][1:]) for side in ("ours", "peer"))
    return {**rows, "ratio": round(ours / peer, 3)}


def _row(times_ms: Sequence[float]) -> dict[str, float]:
    found = {
        "median_ms": statistics.median(times_ms),
        "min_ms": min(times_ms),
        "max_ms": max(times_ms),
    }
    return {name: round(value, 3) for name, value in found.items()}


def _line(row: Mapping[str, Any]) -> str:
    if "skipped" in row:
        return f"{row['name']}: not installed; {row['skipped']}"
    parts = [
        f"{what} {row[what]['ours']['median_ms']:.0f} / {row[what]['peer']['median_ms']:.0f} ms = "
        f"{row[what]['ratio']:.2f}"
        for what in ("forward", "training")
    ]
    return f"{row['name']}: " + ", ".join(parts)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def one_forward(name: str, size: tuple[int, int], threads: int) -> dict[str, float]:
    """Run one network once; "peak_mib" of this process, and of these "before_mib" the pass."""
    torch.set_num_threads(threads)
    network = build(name, 19).eval()
    before = peak_mib()
    with torch.inference_mode():
        network(torch.zeros(1, 3, *size))
    return {"peak_mib": round(peak_mib(), 1), "before_mib": round(before, 1)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both the speed of the pairs and the memory of attention."""
    pairs = [pair for pair in PAIRS if options.only.lower() in pair.name.lower()]
    rows = measure_peers(
        pairs,
        rounds=options.rounds,
        threads=options.threads,
        channels_last=options.channels_last,
        told=print,
    )
    return {
        "rounds": options.rounds,
        "threads": options.threads,
        "channels_last": options.channels_last,
        "peers": _versions(),
        "speed": rows,
        "attention": measure_attention(threads=options.threads, told=print),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which pairs, how often, and how they are laid out."""
    parser.add_argument("--rounds", type=int, default=6, help="timed turns of each")
    parser.add_argument("--threads", type=int, default=1, help="that PyTorch may use")
    parser.add_argument("--channels-last", action="store_true", help="memory layout of both")
    parser.add_argument("--only", default="", help="pairs whose name has this word")
