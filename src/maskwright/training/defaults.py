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
"""Images a step: fewer make batch statistics noisy, more cost steps that a short run needs."""

ENOUGH_STEPS = 1000
"""Steps after which larger crops are worth more than further steps."""

SMALLEST_CROP = 128
"""Pixels: a side below it shows an encoder of stride 32 little but its own padding."""

MULTIPLE = 16
"""Sides of crops are multiples of it."""

LONG_RUN = 3000
"""Steps from which the milder learning rate reaches as far."""

SYMMETRIC = 0.025
"""`DataFacts.up_down` below which photos have no up and down."""

THIN = 6.0
"""Pixels of the input: narrower regions are lost when the image shrinks to half."""

AVERAGED_SHARE = 0.05
"""Of the run: the window of the averaged weights."""


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

    def __str__(self) -> str:
        """ "crop 160x240: 648 steps fit the budget, of whole images 162"."""
        return f"{self.name} {_shown(self.value)}: {self.why}"


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
        _averaging(run), _scale(run), _largest_share(run), _upside_down(run), _balance(run),
    )  # fmt: skip
    return tuple(choice for choice in chosen if choice.name not in given)


def settings(choices: tuple[Choice, ...]) -> dict[str, Any]:
    """Choices as values by name."""
    return {choice.name: choice.value for choice in choices}


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
    return Choice(
        name="batch", value=run.batch, why="few enough for many steps, enough for batch norms"
    )


def _crop(run: _Run) -> Choice:
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
    rarest = run.facts.rarest
    return Choice(
        name="loss",
        value="ce+dice",
        why=f"the rarest class has {100 * rarest:.2g} % of the pixels: Dice counts every class "
        "alike, and no weights swell it",
    )


def _rate(run: _Run) -> Choice:
    """Cracks, 323 steps: IoU 0.543 with 1e-3, 0.560 with 3e-3; longer runs did well with 1e-3."""
    short = run.steps < LONG_RUN
    length = "short" if short else "long"
    return Choice(
        name="lr", value=2e-3 if short else 1e-3, why=f"of a {length} run: {run.steps} steps"
    )


def _encoder_rate(run: _Run) -> Choice:
    if not run.pretrained:
        return Choice(name="encoder_lr", value=1.0, why="nothing in the encoder is to be kept")
    if run.steps < LONG_RUN:
        return Choice(
            name="encoder_lr", value=1.0, why="a short run moves a pretrained encoder little anyway"
        )
    return Choice(name="encoder_lr", value=0.5, why="a long run would forget pretrained weights")


def _schedule(_: _Run) -> Choice:
    return Choice(
        name="schedule", value="cosine", why="ends at a rate of zero, which settles the weights"
    )


def _averaging(run: _Run) -> Choice:
    """Under a cosine to zero it moved the last score by 0.003 at most; it steadies earlier ones."""
    window = AVERAGED_SHARE * run.steps
    if window < 2:
        return Choice(name="ema", value=0.0, why=f"{run.steps} steps are too few to average")
    decay = round(min(0.999, 1 - 1 / window), 4)
    return Choice(
        name="ema",
        value=decay,
        why=f"averages over about {1 / (1 - decay):.0f} of {run.steps} steps",
    )


def _scale(run: _Run) -> Choice:
    thin = run.facts.thinnest
    if run.zoomed:
        return Choice(
            name="augmentation.scale",
            value=(0.8, 1.25),
            why="a short run learns the scale that it is tested at first",
        )
    if 0 < thin < THIN:
        return Choice(
            name="augmentation.scale",
            value=(0.75, 2.0),
            why=f"regions {thin:.1f} pixels wide vanish when images shrink further",
        )
    return Choice(
        name="augmentation.scale",
        value=(0.5, 2.0),
        why=f"no region is thinner than {thin:.0f} pixels",
    )


def _largest_share(run: _Run) -> Choice:
    most = max(run.facts.shares_K, default=0.0)
    if most > 0.75:
        return Choice(
            name="augmentation.largest_share",
            value=1.0,
            why=f"one class has {100 * most:.0f} % of all pixels: most crops show little else",
        )
    return Choice(
        name="augmentation.largest_share",
        value=0.75,
        why="a crop of one class alone teaches little",
    )


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


def _balance(run: _Run) -> Choice:
    seldom = [share for share in run.facts.shown_K if 0 < share < 0.3]
    if not seldom:
        return Choice(
            name="balance", value=False, why="every class is in 30 % of the images or more"
        )
    return Choice(
        name="balance",
        value=True,
        why=f"{len(seldom)} classes are in less than 30 % of the images, the rarest in "
        f"{100 * min(seldom):.2g} %",
    )


def _side(wanted: float, most: int) -> int:
    """A multiple of `MULTIPLE` near what is wanted; no more than there is."""
    return min(most, max(MULTIPLE, MULTIPLE * round(wanted / MULTIPLE)))


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and all(isinstance(one, int) for one in value):
        return "x".join(str(one) for one in value)
    if isinstance(value, tuple):
        return " to ".join(f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
