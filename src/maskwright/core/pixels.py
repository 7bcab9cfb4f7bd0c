"""`Pixels`: what the numbers of an image are: how many channels, and which of them is the highest.

Both are told, never guessed: a camera of 12 bits writes 0..4095 into files of 16.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ConfigError, DataError
from maskwright.core.image import decode_image, open_picture, read_bytes, read_image

MAX_CHANNELS = 512
"""OpenCV's limit."""

_GREY = 114 / 255


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the images of a set, or of a model, are.

    Attributes:
        channels: 1 is grey; 3 RGB; of 4 and more the first three are taken for RGB, such as
            RGB-NIR or RGB-D.
        highest: the value of full brightness: 255 of 8 bits, 4095 of 12, 65535 of 16.

    Raises:
        ConfigError: numbers out of range.
    """

    channels: int = 3
    highest: int = 255

    def __post_init__(self) -> None:
        if not (1 <= self.channels <= MAX_CHANNELS and 1 <= self.highest <= 65535):
            raise ConfigError(
                f"expected 1 to {MAX_CHANNELS} channels and a highest value of 1 to 65535, such as "
                f"255, 4095 or 65535, got {self.channels} and {self.highest}."
            )

    @property
    def dtype(self) -> np.dtype:
        """uint8 where the values fit, else uint16."""
        return np.dtype(np.uint8 if self.highest <= 255 else np.uint16)

    @property
    def grey(self) -> int:
        """The value of what lies beyond an image's edges: 114 of 255."""
        return round(_GREY * self.highest)

    def __str__(self) -> str:
        """For messages."""
        what = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        return f"{what} of 0..{self.highest}"

    def check(self, image: np.ndarray, source: object = "the image") -> np.ndarray:
        """An array as [H, W, channels], if it is what was told.

        Raises:
            DataError: other channels, another type, or values above the highest.
        """
        if image.ndim == 2:
            image = image[:, :, None]
        if image.ndim != 3 or image.shape[2] != self.channels or image.dtype != self.dtype:
            raise DataError(
                f"{source}: expected an image of {self} ({self.dtype}), got the shape "
                f"{image.shape} and type {image.dtype}; tell the channels and the highest value "
                "that the images have."
            )
        if self.highest not in (255, 65535) and image.size and image.max() > self.highest:
            raise DataError(
                f"{source}: expected an image of {self}, got the value {image.max()}; tell the "
                "highest value that the camera gives."
            )
        return image

    def viewable(self, image: np.ndarray) -> np.ndarray:
        """An image of this kind -> uint8 RGB [H, W, 3], to be looked at; RGB is returned as it is.

        Of other channels than three, the first three are shown, or the first as grey.
        """
        if self == RGB:
            return image
        shown = image[:, :, :3] if self.channels >= 3 else np.repeat(image[:, :, :1], 3, axis=2)
        levels = np.arange(self.highest + 1) * (255 / self.highest)
        return np.round(levels).astype(np.uint8)[np.minimum(shown, self.highest)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pixels:
        """Inverse of `to_dict`."""
        return cls(channels=int(data["channels"]), highest=int(data["highest"]))


RGB = Pixels()
"""Photos: three channels of 8 bits."""


def read_as(path: Path | str, pixels: Pixels) -> np.ndarray:
    """Read an image file as what it was told to be; `read_image` for RGB of 8 bits.

    EXIF orientation is applied. Colours become grey for one channel, grey becomes three equal
    channels, and for three an alpha channel is dropped. Other counts must be what the file has:
    PNG and TIFF of four channels, or a TIFF whose pages are the channels.

    Returns:
        `pixels.dtype` [H, W, channels]; RGB first.

    Raises:
        DataError: missing, damaged, or an image of other channels, bits or values.
    """
    if pixels == RGB:
        return read_image(path)
    if pixels.channels == 1:
        # read as colours: as grey, each file format's library would mix them by other weights
        image = decode_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return pixels.check(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), path)
    if pixels.channels == 3:
        image = decode_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return pixels.check(np.ascontiguousarray(image[:, :, ::-1]), path)
    return pixels.check(_read_all_channels(path), path)


def _read_all_channels(path: Path | str) -> np.ndarray:
    data = read_bytes(path)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _read_tiff(path, data)
    image = decode_image(path, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[:, :, [2, 1, 0, 3]]
    return np.ascontiguousarray(_upright(image, data))


def _read_tiff(path: Path | str, data: bytes) -> np.ndarray:
    """All pages' channels, one behind the other; a page of colours is RGB."""
    first = decode_image(path, cv2.IMREAD_UNCHANGED)  # tells what is damaged
    if first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 4:
        # OpenCV multiplies 8 bits by a fourth channel that calls itself alpha
        with open_picture(io.BytesIO(data)) as picture:
            if picture.mode in ("RGBA", "RGBX"):
                return np.array(picture)
    _, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    planes = []
    for page in pages:
        order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(page.shape[2] if page.ndim == 3 else 1, [0])
        planes += [np.atleast_3d(page)[:, :, channel] for channel in order]
    if len({(plane.shape, plane.dtype) for plane in planes}) != 1:
        raise DataError(
            f"{path}: expected pages of one size and type, a channel each, got "
            f"{sorted({str(plane.shape) for plane in planes})}."
        )
    return np.ascontiguousarray(np.stack(planes, axis=2))


def _upright(image: np.ndarray, data: bytes) -> np.ndarray:
    """Turned as EXIF tells: OpenCV leaves that out where all channels are asked for."""
    with open_picture(io.BytesIO(data)) as picture:
        orientation = picture.getexif().get(274, 1)
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2) if image.ndim == 3 else image.T
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image
