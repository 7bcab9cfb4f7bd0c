"""Confidence intervals of scores over images, wide enough for few of them.

References: B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6, 11 and
13; T. C. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
69(4), 2015, section 4.

Each resample draws as many images as there are, with replacement, adds up their counts and scores
the sum. The middle share of those scores, the percentile interval, is too narrow from few images:
two equally good models then differ "surely" in one of four comparisons at 3 images, one of ten at
8. So an interval here reaches as far as the widest of

* the expanded percentile interval: the share is widened as Student's t is against the normal;
* the score -+ t times its standard error, the larger of the bootstrap's (times the root of
  N / (N - 1)) and the jackknife's, which leaves out one image (above 100: one of 100 groups of
  images) at a time.

`python -m benchmarks intervals` measures what that is worth: how often two equally good models
differ surely, and how often an interval holds the truth, at 3 to 100 images.

For two models that have seen the same images, each resample draws the same images for both and
takes the difference of their scores. What varies is which images were photographed, not how the
models were trained; images that resemble each other (neighbouring frames) make the interval too
narrow.

Whatever adds up over images can be resampled: stack what a counting function returns for each
image, and name the score of the sum.

| counts an image | counted by | score of the sum |
|---|---|---|
| [K, K + 1] | `confusion_matrix` | none named: mIoU |
| [K, 3] | `matrix_overlaps` of those | `mean_iou`, one class of `iou` |
| [K, 3] | `boundary_overlaps`, `thin_overlaps` | `mean_iou`, one class of `iou` |
| [K, 4] | `boundary_matches` | `mean_boundary_f`, one class of `boundary_f` |

What doesn't add up (AP sorts the detections of all images) gives `bootstrap` a function of how
often each image was drawn.

Policy: a resample without a score (none of its images holds a class) is left out; one image has no
interval (NaN); counts are exact up to 2^53 pixels.

Legend: N images, R resamples, K classes, `...` the axes of one image's counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.metrics.overlap import matrix_overlaps, mean_iou, none_for_nan
from maskwright.metrics.student import t_quantile

Score = Callable[[np.ndarray], np.ndarray]
"""Summed counts float64 [R, ...] -> scores float64 [R]; NaN where there is none."""

FEWEST = 5
"""Images from which a difference may be called sure."""

_DRAWS_AT_ONCE = 256
_GROUPS = 100


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score and how far it may be off.

    Attributes:
        value: over all images.
        low, high: the interval around it; NaN where there is none.
        confidence: how often it should hold the true value.
        images: how many were resampled.
        resamples: how often.
    """

    value: float
    low: float
    high: float
    confidence: float
    images: int
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what isn't there is None."""
        return {name: none_for_nan(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class PairedInterval(Interval):
    """The score of the first model minus that of the second, and how far it may be off."""

    @property
    def sure(self) -> bool:
        """Whether the difference is more than chance: never from fewer than `FEWEST` images."""
        return self.images >= FEWEST and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """That in words."""
        if self.images < FEWEST:
            return f"too few images to tell: {self.images} of at least {FEWEST}"
        return "sure" if self.sure else "may be chance"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what isn't there is None."""
        return {**super().to_dict(), "verdict": self.verdict}


def interval(
    counts_NKL: np.ndarray,
    score: Score | None = None,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """One model's score with its interval.

    Args:
        counts_NKL: [N, ...], the counts of each image; without `score` int [N, K, K + 1], a
            confusion matrix an image as `confusion_matrix` counts it.
        score: of summed counts, vectorised over resamples: [R, ...] -> [R]. None: the mIoU of
            confusion matrices.
        resamples: how often the images are drawn anew.
        confidence: share of the resamples that the interval holds, between 0 and 1.
        seed: of the drawing.

    Raises:
        ConfigError: no image, the counts are no matrices or all 0, or a number makes no sense.
    """
    _check_counts([counts_NKL], matrices=score is None)
    return bootstrap(
        counted_draws(counts_NKL, score),
        len(counts_NKL),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )


def paired_interval(
    first_NKL: np.ndarray,
    second_NKL: np.ndarray,
    score: Score | None = None,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedInterval:
    """The difference of two models' scores on the same images, with its interval.

    Args:
        first_NKL: [N, ...], the counts of each image; without `score` int [N, K, K + 1], a
            confusion matrix an image as `confusion_matrix` counts it.
        second_NKL: of the other model, the same images in the same order.
        score: of summed counts, vectorised over resamples: [R, ...] -> [R]. None: the mIoU of
            confusion matrices.
        resamples: how often the images are drawn anew.
        confidence: share of the resamples that the interval holds, between 0 and 1.
        seed: of the drawing.

    Raises:
        ConfigError: the shapes differ or are no matrices, all counts are 0, or a number makes no
            sense.
    """
    pair = [first_NKL, second_NKL]
    _check_counts(pair, matrices=score is None)
    first, second = (counted_draws(counts, score) for counts in pair)
    found = bootstrap(
        lambda times_RN: first(times_RN) - second(times_RN),
        len(first_NKL),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        bounds=(-1.0, 1.0),
    )
    return PairedInterval(**asdict(found))


def bootstrap(
    score_of_draws: Callable[[np.ndarray], np.ndarray],
    images: int,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The interval of anything that can be scored on images drawn several times or not at all.

    Args:
        score_of_draws: how often each image was drawn, int [R, N] -> scores float64 [R]; NaN where
            there is none. It is asked for all images once first, then for up to 256 at once.
        images: N.
        resamples: how often the images are drawn anew.
        confidence: how often the interval should hold the true value, between 0 and 1.
        seed: of the drawing.
        bounds: that the score can't pass; -1 and 1 for a difference.

    Raises:
        ConfigError: a number makes no sense.
    """
    _check_numbers(images, resamples, confidence)
    rng = np.random.default_rng(seed)
    value = float(score_of_draws(np.ones((1, images), np.int64))[0])
    even = np.full(images, 1 / images)
    drawn = _defined(
        score_of_draws(rng.multinomial(images, even, size=min(_DRAWS_AT_ONCE, resamples - start)))
        for start in range(0, resamples, _DRAWS_AT_ONCE)
    )
    left_out = drawn[:0] if images == 1 else _defined([score_of_draws(_without(images, rng))])
    low, high = _ends(value, drawn, left_out, images, confidence)
    return Interval(
        value=value,
        low=float(np.clip(low, *bounds)),
        high=float(np.clip(high, *bounds)),
        confidence=confidence,
        images=images,
        resamples=resamples,
    )


def _defined(parts: Iterable[np.ndarray]) -> np.ndarray:
    """float64 [at most R]: the scores that there are."""
    found = np.concatenate(list(parts))
    return np.asarray(found[~np.isnan(found)])


def _without(images: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [G, N], 0 or 1: all images but one, or but those of one of the groups."""
    groups = min(images, _GROUPS)
    group_N = rng.permutation(images) % groups
    return (group_N[None] != np.arange(groups)[:, None]).astype(np.int64)


def _ends(
    value: float, drawn: np.ndarray, left_out: np.ndarray, images: int, confidence: float
) -> tuple[float, float]:
    """The interval's ends, as the head of this file states them."""
    if len(drawn) < 2 or len(left_out) < 2 or np.isnan(value):
        return np.nan, np.nan
    groups = len(left_out)
    jackknife = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())
    widened = np.sqrt(images / (images - 1))
    quantile = t_quantile((1 + confidence) / 2, groups - 1)
    reach = quantile * max(float(jackknife), widened * float(drawn.std(ddof=1)))
    tail = NormalDist().cdf(-widened * quantile)
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return min(value - reach, float(low)), max(value + reach, float(high))


def counted_draws(
    counts_NKL: np.ndarray, score: Score | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """The score of summed counts as a function of how often each image was drawn.

    Args:
        counts_NKL: as of `interval`.
        score: as of `interval`.

    Returns:
        int [R, N] -> float64 [R]; what `bootstrap` takes.
    """
    counts_N = matrix_overlaps(counts_NKL) if score is None else counts_NKL
    of_sum = mean_iou if score is None else score
    shape = counts_N.shape[1:]
    flat = counts_N.reshape(len(counts_N), -1).astype(np.float64)
    return lambda times_RN: of_sum((times_RN @ flat).reshape(len(times_RN), *shape))


def _check_counts(stacks: Sequence[np.ndarray], matrices: bool) -> None:
    shapes = [list(counts.shape) for counts in stacks]
    shape = shapes[0]
    fits = len(shape) == 3 and shape[2] == shape[1] + 1 if matrices else len(shape) > 1
    if not fits or any(other != shape for other in shapes):
        expected = "matrices [images, K, K + 1]" if matrices else "counts [images, ...]"
        raise ConfigError(
            f"expected a stack of {expected} for each model, all of one shape, got "
            f"{' and '.join(str(each) for each in shapes)}."
        )
    if not all(counts.any() for counts in stacks):
        raise ConfigError(f"expected labelled pixels to score, got none in {shape[0]} images.")


def _check_numbers(images: int, resamples: int, confidence: float) -> None:
    if images < 1:
        raise ConfigError(f"expected one image or more to draw from, got {images}.")
    if resamples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            "expected one resample or more and a confidence between 0 and 1, got "
            f"{resamples} and {confidence}."
        )
