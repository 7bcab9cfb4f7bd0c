"""Run a predictor over files: palette masks, overlays, and a COCO file where there are objects."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.core import draw
from maskwright.core.errors import DataError
from maskwright.core.files import refuse_output, write_bytes, write_json
from maskwright.core.image import JPEG_SIDE, write_image
from maskwright.core.locking import alone
from maskwright.core.pixels import read_as
from maskwright.core.segmentation import Segmentation
from maskwright.formats import coco
from maskwright.formats.class_ids import write_classes
from maskwright.formats.folders import find_images, require_empty
from maskwright.jobs.inspect import Progress
from maskwright.runtimes.predictor import Predictor
from maskwright.runtimes.tiling import Tiled

_MASKS, _OVERLAYS = "masks", "overlays"

MARK = ".predictions"
"""Written first: by it `overwrite` knows a folder of predictions, and replaces nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionSummary:
    """What `predict_files` did.

    Attributes:
        out: the folder written to.
        images: how many were predicted.
        bad: (file, why) of those that could not be read and were skipped.
        seconds: in all, with reading and writing.
        mean_times: seconds an image for each step that the predictor tells, and for "read".
    """

    out: Path
    images: int
    bad: tuple[tuple[Path, str], ...]
    seconds: float
    mean_times: dict[str, float]


@alone("out")
def predict_files(
    predictor: Predictor | Tiled,
    inputs: Path | str | Iterable[Path | str],
    out: Path | str,
    *,
    overlays: bool = True,
    opacity: float = 0.5,
    overwrite: bool = False,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Predict images and write what is in them below `out`.

    masks/NAME.png holds class ids with the classes' colours, overlays/NAME.jpg (.png where an image
    is too large for JPEG) shows them on the photo, instances.json holds the objects with their
    scores, classes.json the names. Each file is whole or absent, also after an interruption;
    instances.json comes last.

    Args:
        predictor: what `runtimes.load` returned, or `Tiled` of it.
        inputs: an image, a folder (with its subfolders), or several images.
        out: a new or empty folder.
        overlays: whether to draw them.
        opacity: of the tint in overlays, 0..1.
        overwrite: allow a folder that holds earlier predictions; files of the same name are
            replaced.
        skip_bad: go on past images that can't be read, and count them.
        progress: called after each image.

    Raises:
        DataError: no image, two of one name, one that can't be read (without `skip_bad`), or `out`
            holds something.
        ConfigError: `out` is or holds one of the images, or with `overwrite` something other than
            predictions.
    """
    out = Path(out)
    images = find_inputs(inputs, out)
    take_folder(out, list(images.values()), predictor.card.name, overwrite=overwrite)
    started = time.perf_counter()
    bad: list[tuple[Path, str]] = []
    entries: list[coco.Entry] = []
    spent: dict[str, float] = defaultdict(float)
    for done, (name, path) in enumerate(images.items(), start=1):
        try:
            found = _predict_one(predictor, path, out, name, opacity if overlays else None)
        except DataError as error:
            if not skip_bad:
                raise
            bad.append((path, str(error)))
        else:
            for step, seconds in found.times.items():
                spent[step] += seconds
            if found.instances is not None:
                entries.append(coco.image_entry(f"{name}{path.suffix}", found))
        if progress is not None:
            progress(done, len(images))
    predicted = len(images) - len(bad)
    if not predicted:
        raise DataError(f"none of {len(bad)} images could be read; the first: {bad[0][1]}")
    write_classes(out / "classes.json", predictor.card.classes)
    if entries:
        coco.write_entries(out / "instances.json", entries, predictor.card.classes)
    return PredictionSummary(
        out=out,
        images=predicted,
        bad=tuple(bad),
        seconds=time.perf_counter() - started,
        mean_times={step: seconds / predicted for step, seconds in spent.items()},
    )


def take_folder(out: Path, inputs: Sequence[Path], model: str, *, overwrite: bool) -> None:
    """Make sure that predictions may be written to `out`, and mark it as theirs.

    Raises:
        DataError: it holds something, without `overwrite`.
        ConfigError: it is or holds one of the inputs, or holds something other than predictions.
    """
    if not overwrite:
        require_empty(out)
    one_a_folder = {path.resolve().parent: path for path in inputs}
    refuse_output(out, "predictions", one_a_folder.values())
    write_json(out / MARK, {"made by": "maskwright predict", "model": model})


def find_inputs(
    inputs: Path | str | Iterable[Path | str], out: Path | None = None
) -> dict[str, Path]:
    """The images meant by a path, a folder or several paths: name without suffix -> file.

    Args:
        inputs: as of `predict_files`.
        out: earlier results in its masks/ and overlays/ are left out.

    Raises:
        DataError: nothing is there, or two images have the same name.
    """
    if isinstance(inputs, str | Path):
        folder = Path(inputs)
        if folder.is_dir():
            written = () if out is None else (out / _MASKS, out / _OVERLAYS)
            found = {
                name: path
                for name, path in find_images(folder).items()
                if not any(path.is_relative_to(place) for place in written)
            }
            if not found:
                raise DataError(
                    f"{folder} holds no image; expected a folder of photos. (Videos are named one "
                    "by one.)"
                )
            return found
        inputs = [folder]
    named: dict[str, Path] = {}
    for path in (Path(each) for each in inputs):
        if not path.is_file():
            raise DataError(f"{path} is no file; expected an image, or one folder of images.")
        if named.setdefault(path.stem, path) != path:
            raise DataError(
                f"{named[path.stem]} and {path} would both be written as {path.stem}.png; rename "
                "one, or pass the folder above both."
            )
    if not named:
        raise DataError("expected at least one image, got none.")
    return named


def _predict_one(
    predictor: Predictor | Tiled, path: Path, out: Path, name: str, opacity: float | None
) -> Segmentation:
    started = time.perf_counter()
    pixels = predictor.card.pixels
    image = read_as(path, pixels)
    read = time.perf_counter() - started
    found = predictor.predict(image)
    if found.semantic is not None:
        write_bytes(out / _MASKS / f"{name}.png", draw.index_png(found.semantic, found.classes))
    if opacity is not None:
        picture = draw.overlay(pixels.viewable(image), found, opacity=opacity)
        suffix = "jpg" if max(found.size) <= JPEG_SIDE else "png"
        write_image(out / _OVERLAYS / f"{name}.{suffix}", picture)
    found.times["read"] = read
    return found
