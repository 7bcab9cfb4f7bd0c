"""The settings that suit a data set and a budget, each with its reason.

Rules, not a search: each is a function of plain facts and says what it looked at. Few of them rest
on measurements; where one does, its comment tells on what. The others are the field's practice and
are to be held against measurements before anybody relies on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskwright.training.facts import DataFacts

BATCH = 8
"""Images a step; no other number was tried."""

ENOUGH_STEPS = 1000
"""Steps that a budget should pay for before crops grow to the whole input.

It was not measured: runs of 193 to 323 steps of quarter-size crops had not levelled off, and the
best run of 30 minutes had some 1500 steps of whole inputs.
"""

SMALLEST_CROP = 128
"""Pixels: a side below it shows an encoder of stride 32 little but its own padding."""

MULTIPLE = 16
"""Sides of crops are multiples of it."""

SYMMETRIC = 0.025
"""`DataFacts.up_down` below which photos have no up and down."""

BACKGROUND = 0.75
"""Share of the pixels from which a class is the background that others lie on."""

SELDOM = 0.3
"""Share of the images below which a class is met too seldom by chance."""

AVERAGED_SHARE = 0.1
"""Of the run: the window of the averaged weights."""


CHOSEN = frozenset(
    {"batch", "crop", "loss", "lr", "encoder_lr", "schedule", "ema"}
    | {
        f"augmentation.{name}"
        for name in ("scale", "stretch", "blur", "brightness", "contrast", "saturation", "hue",
                     "largest_share", "flip_vertical", "rare_crops")
    }
)  # fmt: skip
"""Names of the settings that a run may choose."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One setting that was chosen.

    Attributes:
        name: a field of `TrainConfig`, or "augmentation." and one of `Augmentation`.
        value: plain data.
        why: a clause for the user, with the numbers that decided.
    """

    name: str
    value: Any
    why: str

    @property
    def shown(self) -> str:
        """The value in words: "160x240", "0.6 to 2"."""
        return _shown(self.value)

    @property
    def told(self) -> str:
        """ "crop 160x240"."""
        return f"{self.name.removeprefix('augmentation.')} {self.shown}"

    def __str__(self) -> str:
        """ "crop 160x240: 648 steps fit the budget, of whole images 162"."""
        return f"{self.told}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the rules look at: the data, and how long the run will be."""

    facts: DataFacts
    pretrained: bool
    pixels: float | None
    batch: int
    crop: tuple[int, int]
    steps: int

    @property
    def zoomed(self) -> bool:
        """Whether crops are smaller than the input."""
        return self.crop != self.facts.input_size

    @property
    def short(self) -> bool:
        """Whether steps are scarce."""
        return self.zoomed or self.steps < ENOUGH_STEPS

    @property
    def length(self) -> str:
        """ "short" or "long", for a sentence."""
        return "short" if self.short else "long"


def choose_defaults(
    facts: DataFacts,
    *,
    pixels: float | None = None,
    steps: int | None = None,
    pretrained: bool = True,
    given: Mapping[str, Any] | None = None,
) -> tuple[Choice, ...]:
    """Every setting that depends on data or budget, but for those that the user has set.

    Args:
        facts: of the training split.
        pixels: of input that the budget can train on, each counted as often as a step sees it: the
            budget's seconds times the pixels a second of a trial step.
        steps: of the run, where it has so many whatever they cost. One of the two.
        pretrained: whether the encoder starts from pretrained weights.
        given: the user's settings by name; they are kept, and the others follow from them.

    Returns:
        One choice a setting, in the order in which a user would read them.
    """
    given = given or {}
    batch = int(given.get("batch") or BATCH)
    crop = given.get("crop") or training_crop(facts.input_size, pixels, batch)
    expected = steps or expected_steps(pixels, batch, crop)
    run = _Run(
        facts=facts, pretrained=pretrained, pixels=pixels, batch=batch, crop=tuple(crop),
        steps=expected,
    )  # fmt: skip
    chosen = (
        _batch(run), _crop(run), _loss(run), _rate(run), _encoder_rate(run), _schedule(run),
        _averaging(run), *_changes(run), _largest_share(run), _upside_down(run), _rare_crops(run),
    )  # fmt: skip
    return tuple(choice for choice in chosen if choice.name not in given)


def training_crop(
    input_size: tuple[int, int], pixels: float | None, batch: int = BATCH
) -> tuple[int, int]:
    """(height, width) of the largest crop with which the budget still pays for enough steps.

    The input's aspect is kept, as far as multiples of 16 do. Without a number of pixels, or where
    the whole input is affordable, it is the whole input.
    """
    height, width = input_size
    if pixels is None:
        return input_size
    factor = math.sqrt(pixels / (batch * ENOUGH_STEPS * height * width))
    factor = max(factor, SMALLEST_CROP / min(height, width))
    if factor > 0.9:  # a crop that saves a fifth of the work loses more than it buys
        return input_size
    return _side(height * factor, height), _side(width * factor, width)


def expected_steps(pixels: float | None, batch: int, crop: tuple[int, int]) -> int:
    """Steps that the budget pays for; `ENOUGH_STEPS` where nothing tells."""
    if pixels is None:
        return ENOUGH_STEPS
    return max(1, int(pixels / (batch * crop[0] * crop[1])))


def _batch(run: _Run) -> Choice:
    return Choice(name="batch", value=run.batch, why="what the other settings were measured with")


def _crop(run: _Run) -> Choice:
    """Equal work, one seed: quarters beat wholes on cracks, IoU 0.543 to 0.428 (test).

    On street scenes mIoU 0.440 to 0.328 (val); there wholes also had their scale changed.
    """
    height, width = run.facts.input_size
    if not run.zoomed:
        told = "has no price here" if run.pixels is None else f"pays for {run.steps} steps of it"
        return Choice(name="crop", value=run.crop, why=f"the whole input: the budget {told}")
    whole = expected_steps(run.pixels, run.batch, run.facts.input_size)
    return Choice(
        name="crop",
        value=run.crop,
        why=f"parts of the input of {height}x{width}, at its scale: {run.steps} steps fit the "
        f"budget, of whole inputs {whole}",
    )


def _loss(run: _Run) -> Choice:
    most = run.facts.commonest
    if most > BACKGROUND:
        return Choice(
            name="loss",
            value="ce+dice",
            why=f"one class has {100 * most:.0f} % of the pixels: class weights would swell the "
            "others",
        )
    return Choice(
        name="loss",
        value="weighted-ce+dice",
        why=f"no class has more than {100 * most:.0f} % of the pixels: weights lift the rare ones",
    )


def _rate(run: _Run) -> Choice:
    """Cracks, 323 steps, one seed: IoU 0.543 with 1e-3 and 0.560 with 3e-3, which may be chance."""
    value = 2e-3 if run.short else 1e-3
    return Choice(name="lr", value=value, why=f"for a {run.length} run of {run.steps} steps")


def _encoder_rate(run: _Run) -> Choice:
    value = 1.0 if run.short or not run.pretrained else 0.5
    why = (
        f"what {run.length} runs were measured with" if run.pretrained else "nothing is pretrained"
    )
    return Choice(name="encoder_lr", value=value, why=why)


def _schedule(run: _Run) -> Choice:
    value = "cosine" if run.short else "poly"
    return Choice(name="schedule", value=value, why=f"what {run.length} runs were measured with")


def _averaging(run: _Run) -> Choice:
    """Under a cosine, windows of 3 and 10 % moved the last score by 0.004 at most (cracks)."""
    window = AVERAGED_SHARE * run.steps
    if window < 2:
        return Choice(name="ema", value=0.0, why=f"{run.steps} steps are too few to average")
    decay = round(min(0.999, 1 - 1 / window), 4)
    return Choice(
        name="ema",
        value=decay,
        why=f"averages over about {1 / (1 - decay):.0f} of {run.steps} steps",
    )


def _changes(run: _Run) -> tuple[Choice, ...]:
    """How far images are changed. Each regime has what it was tried with, as a whole."""
    if not run.short:
        return (
            Choice(
                name="augmentation.scale", value=(0.6, 2.0), why="what long runs were measured with"
            ),
        )
    plain = {"scale": (1.0, 1.0), "stretch": 1.0, "blur": 0.0}
    plain |= dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    return tuple(
        Choice(
            name=f"augmentation.{name}",
            value=value,
            why="short runs were measured on images as they are",
        )
        for name, value in plain.items()
    )


def _largest_share(run: _Run) -> Choice:
    name, most = "augmentation.largest_share", run.facts.commonest
    if run.short:
        return Choice(
            name=name, value=1.0, why="short runs were measured with the first crop drawn"
        )
    if most > BACKGROUND:
        return Choice(
            name=name,
            value=1.0,
            why=f"one class has {100 * most:.0f} % of the pixels, and so of nearly every crop",
        )
    return Choice(name=name, value=0.75, why="what long runs were measured with")


def _upside_down(run: _Run) -> Choice:
    """Street scenes 0.86, field lines 0.83, people 0.04; vessels, nuclei, cracks below 0.01."""
    differ = run.facts.up_down
    free = differ < SYMMETRIC
    how = "alike" if free else "differently"
    return Choice(
        name="augmentation.flip_vertical",
        value=0.5 if free else 0.0,
        why=f"classes lie {how} above and below ({100 * differ:.1f} % of the pixels differ)",
    )


def _rare_crops(run: _Run) -> Choice:
    """Tile defects, mIoU on val and test, one seed: 0.162, 0.152 after 500 steps of even crops.

    After 300 steps with these: 0.231, 0.245 (and 0.176, 0.354 where images were stretched as in
    deployment). 'Background alone' has 0.160, 0.147; holes, breaks and cracks stayed unfound.
    """
    seldom = [share for share in run.facts.shown_K if 0 < share < SELDOM]
    if not seldom or run.facts.commonest <= BACKGROUND:
        return Choice(
            name="augmentation.rare_crops",
            value=0.0,
            why="no class is seldom shown on a background",
        )
    return Choice(
        name="augmentation.rare_crops",
        value=0.5,
        why=f"{len(seldom)} classes are in less than {100 * SELDOM:.0f} % of the images, and "
        f"{100 * run.facts.commonest:.0f} % of the pixels are one class",
    )


def _side(wanted: float, most: int) -> int:
    """A multiple of `MULTIPLE` near what is wanted; no more than there is."""
    return min(most, max(MULTIPLE, MULTIPLE * round(wanted / MULTIPLE)))


def _shown(value: Any) -> str:
    value = tuple(value) if isinstance(value, list) else value  # as JSON gives it back
    if isinstance(value, tuple) and all(isinstance(one, int) for one in value):
        return "x".join(str(one) for one in value)
    if isinstance(value, tuple):
        return " to ".join(f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
