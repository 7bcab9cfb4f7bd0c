"""Augmentation: random scale, crop, turn, flip, colour and blur of an image with all its truth.

A change is drawn once and done to whatever must change alike: an image and its truth, the frames
of a clip. Everything random comes from one `numpy.random.Generator` that the caller passes, so that
an epoch can be repeated, or resumed in its middle, to the last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.resize import Resize, resize_nearest
from maskwright.data.colour import Colour, change_colour, draw_colour
from maskwright.data.example import Example
from maskwright.data.geometry import Placement, flip, place, turned

Fit = Literal["stretch", "letterbox"]
"""How a whole image comes to the network's input; as `core.Resize.mode`."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training images are changed.

    Attributes:
        scale: (lowest, highest) factor on the image's size, drawn evenly in the logarithm.
        stretch: highest factor by which the aspect is changed besides; 1 keeps it.
        rotate: most degrees by which the image is turned, either way, about the crop's middle.
        perspective: most by which one side comes nearer than the other, as a share of the distance.
        flip: probability of a mirror image (left-right).
        flip_vertical: probability of a mirror image (up-down), for sets without up and down.
        brightness, contrast, saturation: strength; a factor in 1 - s .. 1 + s.
        hue: strength, in turns of the colour circle (0.5 is any hue).
        blur: probability of a Gaussian blur with a sigma of 0.3 to 1.5 pixels.
        mosaic: probability of an image put together from four.
        copy_paste: probability that objects of another image are pasted in, by their masks.
        largest_share: a crop in which one class has more of the labelled pixels than this is drawn
            again, up to ten times (DeepLab's and MMSegmentation's cat_max_ratio); 1 takes the
            first.
        smallest_box: objects with a side below this after cropping are dropped, in pixels; those
            that are cropped away entirely are dropped always.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    stretch: float = 1.1
    rotate: float = 0.0
    perspective: float = 0.0
    flip: float = 0.5
    flip_vertical: float = 0.0
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.03
    blur: float = 0.1
    mosaic: float = 0.0
    copy_paste: float = 0.0
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
        if not 0 <= self.rotate <= 180:
            raise ConfigError(f"expected rotate in 0..180 degrees, got {self.rotate}.")
        for name in ("flip", "flip_vertical", "brightness", "contrast", "saturation", "blur",
                     "mosaic", "copy_paste", "largest_share"):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} in 0..1, got {getattr(self, name)}.")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(f"expected hue in 0..0.5, got {self.hue}.")
        if not 0 <= self.perspective < 1:
            raise ConfigError(f"expected perspective in 0..1, below 1, got {self.perspective}.")


NONE = Augmentation(
    scale=(1.0, 1.0), stretch=1.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0,
    blur=0.0, largest_share=1.0,
)  # fmt: skip
"""Resizes and crops only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """One drawn variant, ready to be done to any number of examples of one size.

    Attributes:
        placement: where the pixels go.
        upside_down: whether top and bottom change places, after that.
        colour: what happens to the colours.
        blur: sigma of a Gaussian blur in pixels; 0 leaves it out.
        smallest_box: objects with a smaller side are dropped.
    """

    placement: Placement
    upside_down: bool
    colour: Colour
    blur: float
    smallest_box: float


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What training examples are cut from and to.

    Attributes:
        size: (height, width) of the network's input, which the whole image fills at scale 1.
        crop: (height, width) of what training sees of it; None is all of it.
        fit: how the image fills it.
    """

    size: tuple[int, int]
    crop: tuple[int, int] | None = None
    fit: Fit = "stretch"

    @property
    def cut(self) -> tuple[int, int]:
        """(height, width) of a training example."""
        return self.crop or self.size


def augment(
    example: Example,
    size: tuple[int, int] | Frame,
    settings: Augmentation,
    rng: np.random.Generator,
) -> Example:
    """Draw one variant of an example.

    Args:
        example: the image and its truth, any size.
        size: (height, width) of the result; or a frame, of which a part is cut out.
        settings: how far it is changed; mosaic and copy_paste are done by `data.mixing`.
        rng: all that is random.
    """
    frame = size if isinstance(size, Frame) else Frame(size=size)
    return apply_change(example, draw_change(example, frame, settings, rng))


def augment_clip(
    frames: Sequence[Example], frame: Frame, settings: Augmentation, rng: np.random.Generator
) -> list[Example]:
    """Draw one variant of all frames of a clip: they move, turn and change colour alike.

    The first frame's classes decide where the crop lies.

    Raises:
        ConfigError: the frames differ in size.
    """
    if len({one.size for one in frames}) > 1:
        raise ConfigError(
            f"expected the frames of a clip in one size, got {sorted({f.size for f in frames})}."
        )
    change = draw_change(frames[0], frame, settings, rng)
    return [apply_change(one, change) for one in frames]


def draw_change(
    example: Example, frame: Frame, settings: Augmentation, rng: np.random.Generator
) -> Change:
    """Draw how an example, and whatever must change with it, is changed.

    What the settings switch off draws nothing, so that a new kind of change leaves old runs alone.
    """
    scaled = scaled_size(example.size, frame, settings, rng)
    shown = example
    if settings.largest_share < 1 and example.class_map is not None:
        shown = Example(
            image=example.image[:1, :1],
            class_map=resize_nearest(example.class_map, scaled),
            void=example.void,
        )
    window = choose_window(shown, scaled, frame.cut, settings.largest_share, rng)
    warp = None
    if settings.rotate or settings.perspective:
        angle, x, y = rng.uniform(-1, 1, 3) * (settings.rotate, *(settings.perspective,) * 2)
        warp = turned(window, frame.cut, angle, {"x": x, "y": y})
    mirror = rng.random() < settings.flip
    upside_down = settings.flip_vertical > 0 and rng.random() < settings.flip_vertical
    colour = draw_colour(
        rng, settings.brightness, settings.contrast, settings.saturation, settings.hue
    )
    blur = rng.uniform(0.3, 1.5) if rng.random() < settings.blur else 0.0
    return Change(
        placement=Placement(
            scaled=scaled, window=window, size=frame.cut, warp=warp, mirror=bool(mirror)
        ),
        upside_down=bool(upside_down),
        colour=colour,
        blur=blur,
        smallest_box=settings.smallest_box,
    )


def apply_change(example: Example, change: Change) -> Example:
    """Do what was drawn."""
    found = place(example, change.placement)
    if change.upside_down:
        found = flip(found, upside_down=True)
    found = found.keep(_large_enough(found, change.smallest_box))
    image = change_colour(found.image, change.colour)
    if change.blur:
        image = cv2.GaussianBlur(image, (0, 0), change.blur).reshape(image.shape)
    return replace(found, image=image)


def scaled_size(
    image: tuple[int, int], frame: Frame, settings: Augmentation, rng: np.random.Generator
) -> tuple[int, int]:
    """The (height, width) that an image is scaled to before the crop."""
    content = Resize(size=frame.size, mode=frame.fit).geometry(image).content
    factor = np.exp(rng.uniform(*np.log(settings.scale)))
    aspect = np.exp(rng.uniform(-1.0, 1.0) * np.log(settings.stretch) / 2)
    return max(1, round(content[0] * factor * aspect)), max(1, round(content[1] * factor / aspect))


def choose_window(
    example: Example,
    scaled: tuple[int, int],
    size: tuple[int, int],
    largest_share: float,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """(top, left) of a crop; negative where the image is smaller than the crop.

    Args:
        example: whose class map, of the scaled size, tells the classes of a crop.
        scaled: (height, width) of the image.
        size: (height, width) of the crop.
        largest_share: as of `Augmentation`.
        rng: all that is random.
    """
    for _ in range(10):
        top, left = (
            int(rng.integers(min(0, have - want), max(0, have - want) + 1))
            for have, want in zip(scaled, size)
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


def _large_enough(example: Example, smallest: float) -> np.ndarray:
    side = (example.boxes[:, 2:] - example.boxes[:, :2]).min(axis=1)
    large = (side >= smallest) & (side > 0)
    if example.masks is not None:  # scaling can lose a thin object's last pixel
        large &= np.array([mask is None or mask.any() for mask in example.masks], bool)
    return large
