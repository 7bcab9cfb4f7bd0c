"""Augmentation: random scale, crop, flip, colour and blur of an image with all its truth.

Everything random comes from one `numpy.random.Generator` that the caller passes, so that an epoch
can be repeated, or resumed in its middle, to the last pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.pixels import RGB, Pixels
from maskwright.core.resize import Resize, resize_nearest
from maskwright.data.example import Example

FILL = RGB.grey
"""Grey value beyond the image's edges, as in the letterbox of `core.resize`, of 0..255."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training images are changed.

    Attributes:
        scale: (lowest, highest) factor on the image's size, drawn evenly in the logarithm.
        stretch: highest factor by which the aspect is changed besides; 1 keeps it.
        flip: probability of a mirror image (left-right).
        brightness, contrast, saturation: strength; a factor in 1 - s .. 1 + s.
        hue: strength, in turns of the colour circle (0.5 is any hue).
        blur: probability of a Gaussian blur with a sigma of 0.3 to 1.5 pixels.
        largest_share: a crop in which one class has more of the labelled pixels than this is drawn
            again, up to ten times (DeepLab's and MMSegmentation's cat_max_ratio); 1 takes the
            first.
        smallest_box: objects with a side below this after cropping are dropped, in pixels; those
            that are cropped away entirely are dropped always.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    stretch: float = 1.1
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.03
    blur: float = 0.1
    largest_share: float = 0.75
    smallest_box: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"expected 0 < lowest <= highest scale, got {self.scale}.")
        if self.stretch < 1 or self.smallest_box < 0:
            raise ConfigError(
                f"expected stretch >= 1 and smallest_box >= 0, got {self.stretch} and "
                f"{self.smallest_box}."
            )
        for name in ("flip", "brightness", "contrast", "saturation", "blur", "largest_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} in 0..1, got {getattr(self, name)}.")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(f"expected hue in 0..0.5, got {self.hue}.")


NONE = Augmentation(
    scale=(1.0, 1.0), stretch=1.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0,
    blur=0.0, largest_share=1.0,
)  # fmt: skip
"""Resizes and crops only."""


def augment(
    example: Example, size: tuple[int, int], settings: Augmentation, rng: np.random.Generator
) -> Example:
    """Draw one variant of an example.

    Args:
        example: the image and its truth, any size.
        size: (height, width) of the result. At scale 1 the image just covers it.
        settings: how far it is changed.
        rng: all that is random.
    """
    scaled = rescale(example, scaled_size(example.size, size, settings, rng))
    cropped = crop(scaled, choose_window(scaled, size, settings.largest_share, rng), size)
    if rng.random() < settings.flip:
        cropped = flip(cropped)
    cropped = cropped.keep(_large_enough(cropped, settings.smallest_box))
    image = change_colour(cropped.image, settings, rng, example.pixels)
    if rng.random() < settings.blur:
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
        image = blurred.reshape(image.shape)  # OpenCV drops the axis of one channel
    return replace(cropped, image=image)


def scaled_size(
    image: tuple[int, int],
    crop_size: tuple[int, int],
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """The (height, width) that an image is scaled to before the crop."""
    cover = max(crop_size[0] / image[0], crop_size[1] / image[1])
    factor = cover * np.exp(rng.uniform(*np.log(settings.scale)))
    aspect = np.exp(rng.uniform(-1.0, 1.0) * np.log(settings.stretch) / 2)
    return max(1, round(image[0] * factor * aspect)), max(1, round(image[1] * factor / aspect))


def rescale(example: Example, size: tuple[int, int]) -> Example:
    """Resize an example: the image by area or bilinear, ids by nearest neighbour."""
    resize = Resize(size=size)
    factor = np.array([size[1] / example.size[1], size[0] / example.size[0]] * 2, np.float32)
    scaled = example.map_ids(
        lambda image: resize.apply(image)[0], lambda ids: resize_nearest(ids, size)
    )
    return replace(scaled, boxes=example.boxes * factor)


def choose_window(
    example: Example, size: tuple[int, int], largest_share: float, rng: np.random.Generator
) -> tuple[int, int]:
    """(top, left) of a crop; negative where the image is smaller than the crop."""
    for _ in range(10):
        top, left = (
            int(rng.integers(min(0, have - want), max(0, have - want) + 1))
            for have, want in zip(example.size, size)
        )
        if largest_share >= 1 or example.class_map is None:
            break
        window = example.class_map[
            max(top, 0) : max(top, 0) + size[0], max(left, 0) : max(left, 0) + size[1]
        ]
        counts = np.bincount(window[::4, ::4].ravel(), minlength=example.void + 1)
        counts[example.void] = 0
        if counts.sum() and counts.max() <= largest_share * counts.sum():
            break
    return top, left


def crop(example: Example, window: tuple[int, int], size: tuple[int, int]) -> Example:
    """Cut out (top, left) .. + size; beyond the image there is grey, void and no mask.

    The box of an object that is cut is that of what is left of its mask; where there is no mask,
    what is left of the box.
    """
    (top, left), (height, width) = window, size

    def cut(pixels: np.ndarray, fill: int) -> np.ndarray:
        result = np.full((height, width, *pixels.shape[2:]), fill, pixels.dtype)
        have = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        y, x = max(-top, 0), max(-left, 0)
        result[y : y + have.shape[0], x : x + have.shape[1]] = have
        return result

    cropped = replace(
        example,
        image=cut(example.image, example.pixels.grey),
        class_map=None if example.class_map is None else cut(example.class_map, example.void),
        masks=None if example.masks is None else tuple(cut(mask, 0) for mask in example.masks),
    )
    low = np.array([left, top, left, top], np.float32)
    high = np.array([width, height, width, height], np.float32)
    whole = example.boxes - low
    boxes = np.clip(whole, 0, high)
    if cropped.masks is not None:
        for number in np.flatnonzero((boxes != whole).any(axis=1)):
            boxes[number] = _box_of(cropped.masks[number])
    return replace(cropped, boxes=boxes)


def flip(example: Example) -> Example:
    """Mirror left-right."""
    width = example.size[1]
    mirrored = example.map_ids(
        lambda image: np.ascontiguousarray(image[:, ::-1]),
        lambda ids: np.ascontiguousarray(ids[:, ::-1]),
    )
    x1, y1, x2, y2 = example.boxes.T
    return replace(mirrored, boxes=np.stack([width - x2, y1, width - x1, y2], axis=1))


def change_colour(
    image: np.ndarray, settings: Augmentation, rng: np.random.Generator, pixels: Pixels = RGB
) -> np.ndarray:
    """Brightness, contrast, saturation and hue of uint8 RGB; by two look-up tables and HSV.

    Of images with other channels or bits, brightness and contrast of all channels alike.
    """

    def factor(strength: float) -> float:
        return 1.0 + strength * rng.uniform(-1.0, 1.0)

    brightness, contrast = factor(settings.brightness), factor(settings.contrast)
    saturation, turn = factor(settings.saturation), settings.hue * rng.uniform(-1.0, 1.0)
    if settings.brightness or settings.contrast:
        middle = float(image[::8, ::8].mean())
        table = (np.arange(pixels.highest + 1) * brightness - middle) * contrast + middle
        table = np.clip(np.round(table), 0, pixels.highest).astype(image.dtype)
        image = cv2.LUT(image, table) if pixels == RGB else table[image]
    if pixels == RGB and (settings.saturation or settings.hue):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
        levels = np.arange(256)
        tables = np.stack(
            [levels + round(turn * 256), np.clip(levels * saturation, 0, 255), levels], axis=-1
        )
        hsv = cv2.LUT(hsv, (tables.astype(np.int64) % 256).astype(np.uint8)[:, None])
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return image


def _large_enough(example: Example, smallest: float) -> np.ndarray:
    side = (example.boxes[:, 2:] - example.boxes[:, :2]).min(axis=1)
    large = (side >= smallest) & (side > 0)
    if example.masks is not None:  # scaling can lose a thin object's last pixel
        large &= np.array([mask.any() for mask in example.masks], bool)
    return large


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of the pixels that are set; zeros where none is."""
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, left + width, top + height
