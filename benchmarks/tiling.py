"""What tiles cost on a large image: `python -m benchmarks tiling`.

Told are the time beside the network's, and the memory beside the image and its class map. Each part
is measured in a process of its own without torch; another one, with torch, exports the network,
whose weights are random: neither time nor memory depends on them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.alone import alone, height_width
from maskwright.benchmarks.memory import peak_mib, resident_mib
from maskwright.core.card import ModelCard
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError
from maskwright.core.image import strips, write_image
from maskwright.core.resize import Resize
from maskwright.jobs import predict_files
from maskwright.runtimes import Predictor, Tiled, load, write_bundle
from maskwright.runtimes.loading import Runtime
from maskwright.runtimes.tiling import OVERLAP

CLASSES = 8


def measure_tiling(
    bundle: Path | str,
    size: tuple[int, int] = (10_000, 10_000),
    *,
    overlap: float = OVERLAP,
    threads: int | None = None,
    runtime: Runtime = "auto",
) -> dict[str, Any]:
    """Answer one large image by tiles, in memory; to be called in a fresh process.

    Args:
        bundle: a ".mask" file with probabilities.
        size: (height, width) of the image.
        overlap: of the tiles.
        threads: of the network; None takes every core. OpenCV works in one.
        runtime: as in `load`.

    Returns:
        Plain data: "size", "tile", "overlap", "tiles", "classes", "runtime"; "seconds" of the whole
        and "ms_per_tile" by the clock, "steps_s" as the answer tells them, "beside_the_network" (a
        share of the whole); "process_mib" before there was an image (interpreter, runtime, model),
        "image_mib", "class_map_mib", "peak_mib" of the process, "beyond_mib" (the peak without the
        other three) and "shared_rows_mib": of probabilities of the rows that two rows of tiles
        share; "torch", whether it was loaded.

    Raises:
        ConfigError: the bundle has no probabilities, or a setting that can't be kept.
        ModelFileError: the bundle can't be used.
    """
    model = load(bundle, threads=threads, runtime=runtime)
    if not model.gives_probabilities:
        raise ConfigError(f"expected a bundle with probabilities to blend, got {bundle} without.")
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        tiled = Tiled(model, overlap=overlap)
        tiled.predict(large_picture((tiled.tile[0] + 1, tiled.tile[1] + 1)))
        process = resident_mib()
        image_HW3 = large_picture(size)
        start = time.perf_counter()
        found = tiled.predict(image_HW3)
        seconds = time.perf_counter() - start
    finally:
        cv2.setNumThreads(before)
    peak = peak_mib()
    grid, classes = tiled.grid(size), len(model.card.classes)
    held = {"process_mib": process, "image_mib": image_HW3.nbytes / 2**20}
    held["class_map_mib"] = (0 if found.semantic is None else found.semantic.nbytes) / 2**20
    shared = 4 * classes * size[1] * grid.rows.most_carried() / 2**20
    return {
        "size": list(size),
        "tile": list(tiled.tile),
        "overlap": overlap,
        "tiles": grid.tiles,
        "classes": classes,
        "runtime": model.runtime,
        "seconds": round(seconds, 2),
        "ms_per_tile": round(1000 * seconds / grid.tiles, 3),
        "steps_s": {step: round(spent, 3) for step, spent in found.times.items()},
        "beside_the_network": round(1 - found.times["network"] / seconds, 4),
        **{name: round(value, 1) for name, value in held.items()},
        "peak_mib": round(peak, 1),
        "beyond_mib": round(peak - sum(held.values()), 1),
        "shared_rows_mib": round(shared, 1),
        "torch": "torch" in sys.modules,
    }


def measure_files(
    photo: Path,
    out: Path,
    *,
    tile: tuple[int, int],
    overlap: float = OVERLAP,
    classes: int = CLASSES,
) -> dict[str, Any]:
    """The way from file to files, with a network that costs next to nothing; in a fresh process.

    Args:
        photo: to read.
        out: folder for the class map and the overlay.
        tile: (height, width).
        overlap: of the tiles.
        classes: how many.

    Returns:
        Plain data: "seconds" of the whole, "read_s", "predict_s" (the tiles and their blend),
        "write_s" (both files, drawn and encoded), "process_mib" before and "peak_mib" of the
        process.
    """
    cv2.setNumThreads(1)
    bright = _by_brightness(classes, tile)
    process = resident_mib()
    summary = predict_files(Tiled(bright, overlap=overlap), photo, out)
    steps = summary.mean_times
    predicted = sum(steps.values()) - steps["read"]
    return {
        "seconds": round(summary.seconds, 2),
        "read_s": round(steps["read"], 2),
        "predict_s": round(predicted, 2),
        "write_s": round(summary.seconds - predicted - steps["read"], 2),
        "process_mib": round(process, 1),
        "peak_mib": round(peak_mib(), 1),
    }


def large_picture(size: tuple[int, int]) -> np.ndarray:
    """Waves and noise, uint8 RGB [H, W, 3], made in strips so that little else is in memory."""
    image_HW3 = np.empty((*size, 3), np.uint8)
    columns = np.arange(size[1])
    for rows in strips(image_HW3.shape):
        rng = np.random.default_rng(rows.start)
        down = np.arange(rows.start, rows.stop)[:, None]
        for channel in range(3):
            wave = 100 * np.sin((down * (channel + 1) + columns * (3 - channel)) / 97)
            image_HW3[rows, :, channel] = 118 + wave + rng.integers(0, 20, wave.shape)
    return image_HW3


def _by_brightness(classes: int, tile: tuple[int, int]) -> Predictor:
    """A pointwise network: steps of red are the classes."""
    probabilities_BKHW = np.zeros((1, classes, *tile), np.float32)
    step = -(-256 // classes)

    def run(images_B3HW: np.ndarray) -> dict[str, np.ndarray]:
        ids_BHW = images_B3HW[:, 0] // step
        for class_id in range(classes):
            np.equal(ids_BHW, class_id, out=probabilities_BKHW[:, class_id], casting="unsafe")
        return {"class_map": ids_BHW, "probabilities": probabilities_BKHW}

    return Predictor(
        _card("brightness", classes, tile), run, {"name": "numpy"}, run_probabilities=run
    )


def _card(name: str, classes: int, tile: tuple[int, int]) -> ModelCard:
    return ModelCard(
        name=name,
        architecture=name,
        config={},
        classes=Classes.of(f"class {index}" for index in range(classes)),
        tasks=("semantic",),
        resize=Resize(size=tile),
        training={"weights": "random"},
    )


def export_random(name: str, path: Path, classes: int, tile: tuple[int, int]) -> None:
    """Write a bundle with probabilities of an untrained network; needs torch.

    Args:
        name: key of `ARCHITECTURES`.
        path: of the bundle.
        classes: how many.
        tile: (height, width) of the input.

    Raises:
        ConfigError: no such architecture.
    """
    import torch

    from maskwright.architectures import build
    from maskwright.export import to_onnx

    torch.manual_seed(0)
    network = build(name, classes).eval()
    write_bundle(path, _card(name, classes, tile), to_onnx(network, tile, probabilities=True))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Export, and measure both parts."""
    with tempfile.TemporaryDirectory() as folder:
        bundle, photo = Path(folder) / "random.mask", Path(folder) / "photo.jpg"
        alone(export_random, options.model, bundle, options.classes, options.tile)
        blended = alone(
            measure_tiling, bundle, options.size, overlap=options.overlap, threads=options.threads
        )
        print(
            f"{blended['tiles']} tiles, {blended['ms_per_tile']:.1f} ms each, "
            f"{blended['beside_the_network']:.1%} of it beside the network; "
            f"{blended['beyond_mib']} MiB beyond image and class map"
        )
        write_image(photo, large_picture(options.size))
        files = alone(
            measure_files,
            photo,
            Path(folder) / "out",
            tile=options.tile,
            overlap=options.overlap,
            classes=options.classes,
        )
        print(
            f"files: read {files['read_s']} s, tiles {files['predict_s']} s, written "
            f"{files['write_s']} s; {files['peak_mib']} MiB"
        )
    threads = blended["runtime"]["threads"]
    return {"threads": threads, "model": options.model, "blended": blended, "files": files}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which network, image and tiles."""
    parser.add_argument("--model", default="unet-lite0", help="an architecture's name")
    parser.add_argument(
        "--size", type=height_width, default=(10_000, 10_000), help="of the image, HEIGHTxWIDTH"
    )
    parser.add_argument(
        "--tile", type=height_width, default=(512, 512), help="the network's input, HEIGHTxWIDTH"
    )
    parser.add_argument("--overlap", type=float, default=OVERLAP)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--threads", type=int, default=None, help="all cores unless given")
