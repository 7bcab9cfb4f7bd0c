"""What intervals over images are worth: `python -m benchmarks intervals`.

Sets of images are drawn from a known world, so that what an interval should hold is known, too: a
world of class maps (five classes, the rarest on one image of ten; areas and difficulty vary
strongly) and one of boxes (three classes). Two models of one world are equally good: where their
difference is called sure, that is a false alarm. A third is better: seeing that is power. Beside
the interval stands the plain percentile bootstrap of the same draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskwright.core import Classes, Instance, Segmentation
from maskwright.metrics import AveragePrecision, PairedInterval, bootstrap
from maskwright.metrics.ap_interval import ap_of_draws
from maskwright.metrics.bootstrap import FEWEST, counted_draws
from maskwright.metrics.overlap import mean_iou

IMAGES = (3, 5, 8, 12, 20, 50, 100)
CLASSES = ("a", "b", "c")

Draw = Callable[[np.ndarray], np.ndarray]
World = Callable[[np.random.Generator, int], "Models"]

_SHARE = np.array([0.7, 0.2, 0.07, 0.02, 0.01])
_PRESENT = np.array([1.0, 0.9, 0.5, 0.25, 0.1])


@dataclass(frozen=True)
class Models:
    """The scores of three models on the same images, by how often each is drawn.

    Attributes:
        one, other: equally good.
        better: than both.
    """

    one: Draw
    other: Draw
    better: Draw


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--trials", type=int, default=1000, help="of class maps, for each number")
    parser.add_argument("--box-trials", type=int, default=200, help="of boxes")
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES))
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """For each world and number of images: shares of trials, 0..1."""
    rows = []
    for name, world, trials, resamples in (
        ("class maps", class_maps, options.trials, 1000),
        ("boxes", boxes, options.box_trials, 200),
    ):
        rng = np.random.default_rng([options.seed, len(name)])
        many = 20_000 if world is class_maps else 2_000
        true_value = float(world(rng, many).one(np.ones((1, many), np.int64))[0])
        for images in options.images:
            shares = _shares(world, rng, images, trials, resamples, true_value)
            rows.append({"world": name, "images": images, "trials": trials, **shares})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return {"threads": 1, "seed": options.seed, "fewest": FEWEST, "rows": rows}


def _shares(
    world: World,
    rng: np.random.Generator,
    images: int,
    trials: int,
    resamples: int,
    true_value: float,
) -> dict[str, float]:
    seen: dict[str, list[bool]] = {}
    for trial in range(trials):
        for name, yes in _trial(world(rng, images), images, resamples, true_value, trial):
            seen.setdefault(name, []).append(yes)
    return {name: round(float(np.mean(values)), 4) for name, values in seen.items()}


def _trial(
    models: Models, images: int, resamples: int, true_value: float, seed: int
) -> Iterator[tuple[str, bool]]:
    for name, first in (("false_alarms", models.one), ("power", models.better)):
        difference = _difference(first, models.other)
        found = bootstrap(difference, images, resamples=resamples, seed=seed, bounds=(-1, 1))
        yield name, PairedInterval(**asdict(found)).sure
        low, high = _percentiles(difference, images, resamples, seed)
        yield f"{name}_of_percentiles", low > 0 or high < 0
    alone = bootstrap(models.one, images, resamples=resamples, seed=seed)
    yield "coverage", alone.low <= true_value <= alone.high
    low, high = _percentiles(models.one, images, resamples, seed)
    yield "coverage_of_percentiles", low <= true_value <= high


def _difference(first: Draw, second: Draw) -> Draw:
    return lambda times_RN: first(times_RN) - second(times_RN)


def _percentiles(draw: Draw, images: int, resamples: int, seed: int) -> tuple[float, float]:
    """The interval as it is taught: what most programs give."""
    times = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples
    )
    low, high = np.nanpercentile(draw(times), (2.5, 97.5))
    return float(low), float(high)


def class_maps(rng: np.random.Generator, images: int) -> Models:
    """Three models on images of five classes."""
    counts = np.zeros((3, images, len(_SHARE), 3))
    for place in range(images):
        size = 1e5 * np.exp(rng.normal(0, 0.3))
        present = rng.random(len(_SHARE)) < _PRESENT
        area = _SHARE * present * np.exp(rng.normal(0, 1.0, len(_SHARE)))
        area *= size / area.sum()
        difficulty = rng.normal()
        for model, skill in enumerate((1.5, 1.5, 1.9)):
            noise = rng.normal(0, 0.8, len(_SHARE)) + 0.4 * rng.normal()
            share = 1 / (1 + np.exp(-(skill + 0.8 * difficulty + noise)))
            invented = (~present & (rng.random(len(_SHARE)) < 0.15)) * _SHARE * size / 10
            found = area * share
            spilled = area * (1 - share) * rng.uniform(0.5, 1.5, len(_SHARE)) + invented
            counts[model, place] = np.stack([found, area, found + spilled], axis=-1)
    return Models(*(counted_draws(one, mean_iou) for one in counts))


def boxes(rng: np.random.Generator, images: int) -> Models:
    """Three models on images of up to six objects of three classes, AP50..95."""
    totals = [AveragePrecision(CLASSES, kinds=["boxes"]) for _ in range(3)]
    for _ in range(images):
        truth = [
            (int(rng.choice(3, p=(0.7, 0.25, 0.05))), rng.uniform(0, 60, 2), rng.uniform(10, 30, 2))
            for _ in range(rng.integers(0, 7))
        ]
        difficulty = rng.normal()
        known = _segmentation([(c, at, side, None) for c, at, side in truth])
        for total, skill in zip(totals, (1.2, 1.2, 1.7)):
            total.update(known, _segmentation(_found(rng, truth, skill + 0.6 * difficulty)))
    return Models(*map(ap_of_draws, totals))


def _found(rng: np.random.Generator, truth: list[Any], skill: float) -> list[Any]:
    share = 1 / (1 + np.exp(-skill))
    rows = [
        (c, at + rng.normal(0, 1.5 * (1.3 - share), 2), side, float(rng.beta(4, 2)))
        for c, at, side in truth
        if rng.random() < share
    ]
    invented = rng.poisson(1 - share)
    rows += [
        (int(rng.integers(3)), rng.uniform(0, 60, 2), rng.uniform(10, 30, 2),
         float(rng.beta(2, 3)))
        for _ in range(invented)
    ]  # fmt: skip
    return rows


def _edges(at: np.ndarray, side: np.ndarray) -> tuple[float, float, float, float]:
    return float(at[0]), float(at[1]), float(at[0] + side[0]), float(at[1] + side[1])


def _segmentation(rows: list[Any]) -> Segmentation:
    instances = tuple(
        Instance(class_id=c, box_xyxy=_edges(at, side), score=score) for c, at, side, score in rows
    )
    return Segmentation(size=(120, 120), classes=Classes.of(CLASSES), instances=instances)
