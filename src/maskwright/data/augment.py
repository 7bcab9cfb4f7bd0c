"""Augmentation: random scale, crop, turn, flip, colour and blur of an image with all its truth.

A change is drawn once and done to whatever must change alike: an image and its truth, the frames
of a clip. Everything random comes from one `numpy.random.Generator` that the caller passes, so that
an epoch can be repeated, or resumed in its middle, to the last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskwright.core.errors import ConfigError
from maskwright.core.resize import Border, Fit, Resize
from maskwright.data.colour import Colour, change_colour, draw_colour
from maskwright.data.example import Example
from maskwright.data.geometry import Placement, nearest_pixels, place, turned


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
        rare_crops: probability of a crop around a pixel of a class that is drawn evenly from all
            but the commonest, in an image that shows it; where class maps are known.
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
    rare_crops: float = 0.0
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
                     "mosaic", "rare_crops", "copy_paste", "largest_share"):  # fmt: skip
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
        colour: what happens to the colours.
        blur: sigma of a Gaussian blur in pixels; 0 leaves it out.
        smallest_box: objects with a smaller side are dropped.
    """

    placement: Placement
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
        border: what it shows around the image; see `core.Resize.border`.
    """

    size: tuple[int, int]
    crop: tuple[int, int] | None = None
    fit: Fit = "stretch"
    border: Border = "fill"

    @property
    def cut(self) -> tuple[int, int]:
        """(height, width) of a training example."""
        return self.crop or self.size


def augment(
    example: Example,
    size: tuple[int, int] | Frame,
    settings: Augmentation,
    rng: np.random.Generator,
    around: int | None = None,
) -> Example:
    """Draw one variant of an example.

    Args:
        example: the image and its truth, any size.
        size: (height, width) of the result; or a frame, of which a part is cut out.
        settings: how far it is changed; mosaic and copy_paste are done by `data.mixing`.
        rng: all that is random.
        around: a class that the crop shows; None leaves it to chance.
    """
    frame = size if isinstance(size, Frame) else Frame(size=size)
    return apply_change(example, draw_change(example, frame, settings, rng, around))


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
    example: Example,
    frame: Frame,
    settings: Augmentation,
    rng: np.random.Generator,
    around: int | None = None,
) -> Change:
    """Draw how an example, and whatever must change with it, is changed.

    What the settings switch off draws nothing, so that a new kind of change leaves old runs alone.
    """
    factors = _draw_factors(settings, rng)
    content = Resize(size=frame.size, mode=frame.fit).geometry(example.size).content
    scaled, room = _times(content, factors), _times(frame.size, factors)
    window = None
    if around is not None:
        window = window_around(example, around, scaled, room, frame.cut, rng)
    if window is None:
        window = choose_window(example, scaled, room, frame.cut, settings.largest_share, rng)
    warp = None
    if settings.rotate or settings.perspective:
        angle, x, y = rng.uniform(-1, 1, 3) * (settings.rotate, *(settings.perspective,) * 2)
        warp = turned(window, frame.cut, angle, {"x": x, "y": y})
    mirror = rng.random() < settings.flip
    upside_down = settings.flip_vertical > 0 and rng.random() < settings.flip_vertical
    return Change(
        placement=Placement(
            scaled=scaled,
            window=window,
            size=frame.cut,
            warp=warp,
            border=frame.border,
            mirror=bool(mirror),
            upside_down=bool(upside_down),
        ),
        colour=draw_colour(
            rng, settings.brightness, settings.contrast, settings.saturation, settings.hue
        ),
        blur=rng.uniform(0.3, 1.5) if rng.random() < settings.blur else 0.0,
        smallest_box=settings.smallest_box,
    )


def apply_change(example: Example, change: Change) -> Example:
    """Do what was drawn."""
    found = place(example, change.placement)
    found = found.keep(_large_enough(found, change.smallest_box))
    image = change_colour(found.image, change.colour, found.pixels)
    if change.blur:
        image = cv2.GaussianBlur(image, (0, 0), change.blur).reshape(image.shape)
    return replace(found, image=image)


def choose_window(
    example: Example,
    scaled: tuple[int, int],
    room: tuple[int, int],
    size: tuple[int, int],
    largest_share: float,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """(top, left) of a crop in the scaled image; negative where it begins before the image.

    A crop shows as much of the image as it can; what it shows of the room around it, which a
    letterbox leaves, is that of deployment.

    Args:
        example: as it is before it is scaled; its class map tells the classes of a crop.
        scaled: (height, width) of the scaled image.
        room: (height, width) of what it lies in the middle of.
        size: (height, width) of the crop.
        largest_share: as of `Augmentation`.
        rng: all that is random.
    """
    ranges = [_starts(*lengths) for lengths in zip(scaled, room, size)]
    for _ in range(10):
        top, left = (int(rng.integers(low, high + 1)) for low, high in ranges)
        if largest_share >= 1 or example.class_map is None:
            break
        rows, columns = (
            nearest_pixels(np.arange(max(start, 0), min(start + length, end), 4), own, end)
            for start, length, own, end in zip((top, left), size, example.size, scaled)
        )
        seen = example.class_map[rows[:, None], columns]
        counts = np.bincount(seen.ravel(), minlength=example.void + 1)
        counts[example.void] = 0
        if counts.sum() and counts.max() <= largest_share * counts.sum():
            break
    return top, left


def window_around(
    example: Example,
    class_id: int,
    scaled: tuple[int, int],
    room: tuple[int, int],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """(top, left) of a crop that holds a random pixel of a class, anywhere in it; None without any.

    Args:
        example: as it is before it is scaled.
        class_id: of the class.
        scaled, room, size, rng: as of `choose_window`.
    """
    if example.class_map is None:
        return None
    places = np.flatnonzero(example.class_map == class_id)
    if not len(places):
        return None
    pixel = divmod(int(places[rng.integers(len(places))]), example.size[1])
    window = []
    for at, own, end, around, length in zip(pixel, example.size, scaled, room, size):
        place = int((at + 0.5) * end / own)
        low, high = _starts(end, around, length)
        low, high = max(low, min(high, place - length + 1)), min(high, max(low, place))
        window.append(int(rng.integers(low, high + 1)))
    return window[0], window[1]


def _draw_factors(settings: Augmentation, rng: np.random.Generator) -> tuple[float, float]:
    """By how much height and width are multiplied."""
    factor = np.exp(rng.uniform(*np.log(settings.scale)))
    aspect = np.exp(rng.uniform(-1.0, 1.0) * np.log(settings.stretch) / 2)
    return factor * aspect, factor / aspect


def _times(size: tuple[int, int], factors: tuple[float, float]) -> tuple[int, int]:
    return max(1, round(size[0] * factors[0])), max(1, round(size[1] * factors[1]))


def _starts(content: int, room: int, crop: int) -> tuple[int, int]:
    """The (first, last) start of a crop along one side, counted from the content's.

    The crop lies within the room, or the room within it; and the content within the crop, or the
    crop within the content, as far as that allows.
    """
    before = (room - content) // 2
    in_room = sorted((-before, room - before - crop))
    in_content = sorted((0, content - crop))
    return max(in_room[0], in_content[0]), min(in_room[1], in_content[1])


def _large_enough(example: Example, smallest: float) -> np.ndarray:
    side = (example.boxes[:, 2:] - example.boxes[:, :2]).min(axis=1)
    large = (side >= smallest) & (side > 0)
    if example.masks is not None:  # scaling can lose a thin object's last pixel
        large &= np.array([mask is None or mask.any() for mask in example.masks], bool)
    return large
