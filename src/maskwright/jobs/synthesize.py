"""Write generated scenes as a labelled set: index masks with splits, and COCO beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.draw import index_png
from maskwright.core.errors import ConfigError, DataError
from maskwright.core.files import write_bytes, write_json
from maskwright.core.image import write_image
from maskwright.core.locking import alone
from maskwright.core.sample import Sample
from maskwright.formats import coco
from maskwright.formats.class_ids import read_classes, write_classes
from maskwright.formats.folders import read_json, require_empty
from maskwright.jobs.inspect import Progress
from maskwright.jobs.workers import run_in_order

SceneMaker = Callable[[int], Sample]
"""A seed -> an image with its truth; the same seed gives the same pixels."""

SPLITS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Split -> its share of the images."""

_PLAN, _CLASSES = "synthesis.json", "classes.json"
_PARTS = ".objects"  # a file for each image, written last: it marks the image as done
_GOLDEN = 0.6180339887498949
_JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthesis:
    """What `synthesize` did.

    Attributes:
        out: the folder written to; `formats.read` reads it.
        images: split -> number of images that stand there now.
        made: how many of them this call made; the others were there already.
    """

    out: Path
    images: dict[str, int]
    made: int


@alone("out")
def synthesize(
    scene_maker: SceneMaker,
    count: int,
    out: Path | str,
    seed: int = 0,
    *,
    splits: Mapping[str, float] = SPLITS,
    suffix: str = ".jpg",
    workers: int = 1,
    progress: Progress | None = None,
) -> Synthesis:
    """Make `count` scenes and write them with their labels.

    Image i depends on the seed and i alone, and so does its split: the number of workers changes
    nothing, an interrupted call goes on where it stopped, and a larger count adds to what is there.

    Args:
        scene_maker: picklable (a function or a `functools.partial` of one) if workers > 1.
        count: how many images in all, >= 1.
        out: a new or empty folder, or one that this function wrote with the same settings.
        seed: of the set.
        splits: names and shares; the images are spread evenly, so that nine fill the default ones.
        suffix: ".jpg" (quality 95) or ".png" of the images.
        workers: processes; a script that asks for several needs `if __name__ == "__main__"`.
        progress: called after each image.

    Raises:
        DataError: `out` holds something else or a larger set, or a scene has no class map.
        ConfigError: count, seed, splits, suffix or workers make no sense.
    """
    out = Path(out)
    _check_settings(count, seed, splits, suffix, workers)
    _open_plan(out, scene_maker, seed, splits, suffix, count)
    named = (out / _CLASSES).is_file()  # else the first image is made again, to know the classes
    todo = [i for i in range(count) if not _part(out, i).is_file() or (i == 0 and not named)]
    make = partial(_make, scene_maker, seed, dict(splits), suffix, out)
    classes = read_classes(out / _CLASSES)[0] if named else None
    for done, made in enumerate(run_in_order(make, todo, workers), start=1):
        if classes is None:
            classes = made
            write_classes(out / _CLASSES, classes)
        elif made != classes:
            raise DataError(
                f"expected the same classes in every scene, got {', '.join(made.names)} after "
                f"{', '.join(classes.names)}; the scene maker must not change them."
            )
        if progress is not None:
            progress(count - len(todo) + done, count)
    images = _join_parts(out, count)
    return Synthesis(out=out, images=images, made=len(todo))


def split_of(index: int, splits: Mapping[str, float]) -> str:
    """The split of image `index`: shares are met evenly from the start (golden-ratio steps)."""
    position = index * _GOLDEN % 1.0 * sum(splits.values())
    for name, share in splits.items():
        position -= share
        if position < 0:
            return name
    return list(splits)[-1]


def _check_settings(
    count: int, seed: int, splits: Mapping[str, float], suffix: str, workers: int
) -> None:
    if count < 1 or workers < 1 or seed < 0:
        raise ConfigError(
            f"expected count and workers >= 1 and a seed >= 0, got {count}, {workers} and {seed}."
        )
    if not splits or min(splits.values()) < 0 or sum(splits.values()) <= 0:
        raise ConfigError(f"expected splits with shares >= 0 that sum to more, got {dict(splits)}.")
    if suffix not in {".jpg", ".png"}:
        raise ConfigError(f"expected the suffix .jpg or .png, got {suffix!r}.")


def _open_plan(
    out: Path,
    scene_maker: SceneMaker,
    seed: int,
    splits: Mapping[str, float],
    suffix: str,
    count: int,
) -> None:
    """Start the folder, or refuse one that was made otherwise."""
    plan = {"maker": _describe(scene_maker), "seed": seed, "splits": dict(splits), "suffix": suffix}
    planned = (out / _PLAN).is_file()
    if not planned:
        require_empty(out)
    if not planned or [path.name for path in out.iterdir()] == [_PLAN]:
        # a plan alone, left where the first scene failed, does not claim the folder
        write_json(out / _PLAN, plan)
        return
    before = read_json(out / _PLAN)
    if before != plan:
        raise DataError(
            f"{out} was made with {before}, not with {plan}; expected the same settings to go on. "
            "Choose another folder, or remove it."
        )
    if _part(out, count).is_file():
        raise DataError(
            f"{out} holds more than {count} images already; ask for as many or more, or choose "
            "another folder."
        )


def _describe(maker: Any) -> str:
    if isinstance(maker, partial):
        settings = [repr(value) for value in maker.args]
        settings += [f"{key}={value!r}" for key, value in sorted(maker.keywords.items())]
        return f"{_describe(maker.func)}({', '.join(settings)})"
    return str(getattr(maker, "__qualname__", type(maker).__qualname__))


def _make(
    scene_maker: SceneMaker,
    seed: int,
    splits: Mapping[str, float],
    suffix: str,
    out: Path,
    index: int,
) -> Classes:
    """Make and write one image; its part last."""
    own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    sample = scene_maker(own_seed)
    truth = sample.read_truth()
    if truth.semantic is None:
        raise DataError(f"the scene of seed {own_seed} has no class map; expected semantic truth.")
    split, name = split_of(index, splits), _name(index)
    write_image(out / split / "images" / f"{name}{suffix}", sample.read_image(), _JPEG_QUALITY)
    mask = index_png(truth.semantic, truth.classes)
    write_bytes(out / split / "masks" / f"{name}.png", mask)
    entry = None if truth.instances is None else coco.image_entry(f"{name}{suffix}", truth)
    write_json(_part(out, index), {"split": split, "entry": entry})
    return truth.classes


def _join_parts(out: Path, count: int) -> dict[str, int]:
    """Write each split's instances.json; the number of images in each."""
    classes = read_classes(out / _CLASSES)[0]
    by_split: dict[str, list[Any]] = defaultdict(list)
    for index in range(count):
        part = read_json(_part(out, index))
        by_split[part["split"]].append(part["entry"])
    for split, entries in by_split.items():
        if None not in entries:
            coco.write_entries(out / split / "instances.json", entries, classes)
    return {split: len(entries) for split, entries in by_split.items()}


def _part(out: Path, index: int) -> Path:
    return out / _PARTS / f"{_name(index)}.json"


def _name(index: int) -> str:
    return f"{index:06d}"
