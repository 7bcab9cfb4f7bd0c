"""The one resize: image -> network input, and results back into the image's pixels.

Training's evaluation, calibration, the runtimes and the benchmark all call this, in numpy and
OpenCV, so that what is scored is what is shipped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from maskwright.core.errors import ConfigError

Fit = Literal["stretch", "letterbox", "pad"]
"""How an image comes to the input: see `Resize.mode`."""

Border = Literal["fill", "mirror"]
"""What lies around an image that doesn't fill the input: see `Resize.border`."""

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """Where the image came to lie in the network's input.

    Attributes:
        source: (height, width) of the image.
        content: (height, width) that the image was scaled to.
        offset: (top, left) of that content in the input, in pixels.
    """

    source: tuple[int, int]
    content: tuple[int, int]
    offset: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resize:
    """How an image becomes the network's input.

    Attributes:
        size: (height, width) of the input.
        mode: "stretch" fills the input and may change the aspect; "letterbox" keeps the aspect,
            centres the image and pads with `fill`; "pad" does so, too, but enlarges no image:
            one that is smaller than the input keeps its pixels.
        interpolation: "linear", "cubic" or "nearest".
        antialias: average over pixels (OpenCV's area mode) where the image shrinks in both
            directions; without it thin lines can vanish.
        border: what is padded: "fill", one value; or "mirror", the image turned over at its edge,
            the outermost pixel once: to a network, that is more of the same.
        fill: that value, in the image's own range (`Pixels.grey`).
    """

    size: tuple[int, int]
    mode: Fit = "stretch"
    interpolation: Literal["nearest", "linear", "cubic"] = "linear"
    antialias: bool = True
    border: Border = "fill"
    fill: int = 114

    def __post_init__(self) -> None:
        height, width = self.size
        if height < 1 or width < 1:
            raise ConfigError(f"expected a positive input size, got {height}x{width}.")
        known = {"nearest", *_INTERPOLATION}
        if self.border not in get_args(Border):
            raise ConfigError(
                f"expected border {' or '.join(get_args(Border))}, got {self.border!r}."
            )
        if self.mode not in get_args(Fit) or self.interpolation not in known:
            raise ConfigError(
                f"expected mode {', '.join(get_args(Fit))} and interpolation nearest, linear or "
                f"cubic, got {self.mode!r} and {self.interpolation!r}."
            )

    def geometry(self, source: tuple[int, int]) -> Geometry:
        """Where an image of size `source` (height, width) comes to lie."""
        if self.mode == "stretch":
            return Geometry(source=source, content=self.size, offset=(0, 0))
        scale = min(self.size[0] / source[0], self.size[1] / source[1])
        if self.mode == "pad":
            scale = min(scale, 1.0)
        height = min(self.size[0], max(1, round(source[0] * scale)))
        width = min(self.size[1], max(1, round(source[1] * scale)))
        offset = ((self.size[0] - height) // 2, (self.size[1] - width) // 2)
        return Geometry(source=source, content=(height, width), offset=offset)

    def apply(
        self, image: np.ndarray, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, Geometry]:
        """Bring an image to the network's size.

        Args:
            image: uint8 or uint16 [H, W, 3], [H, W] or of other channels.
            out: buffer of the input's size to write into, where given; it is returned.

        Returns:
            The input, of the image's type and channels (the image itself where nothing is to be
            done and no `out` is given), and where the image lies in it.
        """
        geometry = self.geometry((image.shape[0], image.shape[1]))
        if geometry.content == self.size:
            return self._scale(image, self.size, out), geometry
        if out is None:
            out = np.empty((*self.size, *image.shape[2:]), image.dtype)
        if self.border == "fill":
            out[...] = self.fill
        (top, left), (height, width) = geometry.offset, geometry.content
        content = out[top : top + height, left : left + width]
        self._scale(image, geometry.content, content)
        if self.border == "mirror":
            below, right = self.size[0] - height - top, self.size[1] - width - left
            sides = (top, below, left, right)
            cv2.copyMakeBorder(content, *sides, cv2.BORDER_REFLECT_101, dst=out)
        return out, geometry

    def _scale(
        self, image: np.ndarray, size: tuple[int, int], out: np.ndarray | None
    ) -> np.ndarray:
        if image.shape[:2] == size:
            if out is None:
                return image
            np.copyto(out, image)
            return out
        shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
        if self.interpolation == "nearest":
            return resize_nearest(image, size, out)
        area = self.antialias and shrinks
        how = cv2.INTER_AREA if area else _INTERPOLATION[self.interpolation]
        if image.ndim == 2 or image.shape[2] in (3, 4):
            return cv2.resize(image, (size[1], size[0]), dst=out, interpolation=how)
        return _by_channel(image, size, out, how)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        plain = asdict(self) | {"size": list(self.size)}
        if self.border == "fill":  # as programs wrote it that know of nothing else
            del plain["border"]
        return plain

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Resize:
        """Inverse of `to_dict`."""
        return cls(**(data | {"size": (int(data["size"][0]), int(data["size"][1]))}))


def mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Which pixel of a side each place shows where the image is mirrored beyond its edges.

    Args:
        places: integers, those of the image being 0..length - 1.
        length: of the image's side.

    Returns:
        Integers 0..length - 1, as OpenCV's BORDER_REFLECT_101 has them.
    """
    period = max(1, 2 * (length - 1))
    inside = places % period
    return np.minimum(inside, period - inside) if length > 1 else np.zeros_like(places)


def _by_channel(
    image: np.ndarray, size: tuple[int, int], out: np.ndarray | None, interpolation: int
) -> np.ndarray:
    """`cv2.resize` takes 1 to 4 channels, and of one it drops the axis."""
    if out is None:
        out = np.empty((*size, image.shape[2]), image.dtype)
    for channel in range(image.shape[2]):
        out[:, :, channel] = cv2.resize(
            image[:, :, channel], (size[1], size[0]), interpolation=interpolation
        )
    return out


def restore_class_map(
    class_map: np.ndarray,
    geometry: Geometry,
    out: np.ndarray | None = None,
    plan: NearestPlan | None = None,
) -> np.ndarray:
    """Bring a class map from the input's pixels back to the image's, by nearest neighbour.

    Args:
        class_map: ids [height, width] in the network's input.
        geometry: what `Resize.apply` returned.
        out: buffer of the image's size to write into, where given.
        plan: from the geometry's content to its source, kept by callers who do this often.

    Returns:
        ids [H, W] of the image, same dtype.
    """
    content = content_of(class_map, geometry)
    if geometry.source == geometry.content:
        if out is None:
            return content
        np.copyto(out, content)
        return out
    if plan is not None and out is not None:
        return plan.apply(content, out)
    return resize_nearest(content, geometry.source, out)


def content_of(frame: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The part of the network's frame [..., height, width] that the image fills; a view."""
    (top, left), (height, width) = geometry.offset, geometry.content
    return frame[..., top : top + height, left : left + width]


def restore_probabilities(content_Khw: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Bring class probabilities to the image's pixels: bilinear, averaged where they shrink.

    Args:
        content_Khw: float32, of the part of the input that the image fills (`content_of`).
        geometry: what `Resize.apply` returned.

    Returns:
        float32 [K, H, W]; sums over the classes stay what they were. The content itself where it
        has the image's size.
    """
    height, width = geometry.source
    if content_Khw.shape[1:] == geometry.source:
        return content_Khw
    shrinks = height <= content_Khw.shape[1] and width <= content_Khw.shape[2]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    restored_KHW = np.empty((len(content_Khw), height, width), np.float32)
    for plane_hw, out_HW in zip(content_Khw, restored_KHW):
        cv2.resize(plane_hw, (width, height), dst=out_HW, interpolation=how)
    return restored_KHW


def restore_boxes(boxes_N4: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Bring boxes (x1, y1, x2, y2) from the input's pixels to the image's, clipped to the image.

    Returns:
        float [N, 4], of the boxes' own type where that is a float.
    """
    if boxes_N4.dtype.kind != "f":
        boxes_N4 = boxes_N4.astype(np.float64)
    (top, left), (height, width) = geometry.offset, geometry.content
    scale_y, scale_x = geometry.source[0] / height, geometry.source[1] / width
    shift = np.array([left, top, left, top], boxes_N4.dtype)
    scale = np.array([scale_x, scale_y, scale_x, scale_y], boxes_N4.dtype)
    high = np.array(geometry.source[::-1] * 2, boxes_N4.dtype)
    return np.clip((boxes_N4 - shift) * scale, 0, high)


def resize_nearest(
    ids: np.ndarray, size: tuple[int, int], out: np.ndarray | None = None
) -> np.ndarray:
    """Resize a map of ids [H, W] to `size` (height, width); every output id stood in the input.

    Pixel centres are aligned: output pixel i reads input pixel floor((i + 0.5) * in / out).
    Channels [H, W, 3] may follow.
    """
    if out is None:
        out = np.empty((*size, *ids.shape[2:]), ids.dtype)
    return NearestPlan(ids.shape, size, ids.dtype).apply(ids, out)


class NearestPlan:
    """`resize_nearest` of one size to another, again and again, into buffers that it keeps.

    Args:
        source: shape of the ids, [H, W] or [H, W, channels].
        size: (height, width) of the result.
        dtype: of the ids.
    """

    # Whole rows are gathered: once as they are, once turned on their side. OpenCV's own
    # INTER_NEAREST_EXACT rounds its steps and reads a neighbour where a centre meets an edge.

    def __init__(
        self, source: tuple[int, ...], size: tuple[int, int], dtype: np.dtype | type
    ) -> None:
        (height, width, *channels), self._shrinks = source, size[0] < source[0]
        between = size[0] if self._shrinks else height
        self._rows, self._columns = nearest_places(height, size[0]), nearest_places(width, size[1])
        self._same_width = width == size[1]
        self._whole = np.empty(source, dtype)
        self._fewer = np.empty((between, width, *channels), dtype)
        self._turned = np.empty((width, between, *channels), dtype)
        self._picked = np.empty((size[1], between, *channels), dtype)
        self._wide = np.empty((between, size[1], *channels), dtype)

    def apply(self, ids: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write the resized ids into `out`, and return it.

        Args:
            ids: of the planned shape and type; a part of a larger array is welcome.
            out: of the planned size and type.
        """
        if not ids.flags.c_contiguous:  # numpy would make a copy of its own
            np.copyto(self._whole, ids)
            ids = self._whole
        if self._shrinks:
            ids = _gather(ids, self._rows, self._fewer if not self._same_width else out)
        if not self._same_width:
            turned = cv2.transpose(ids, dst=self._turned)
            picked = _gather(turned, self._columns, self._picked)
            ids = cv2.transpose(picked, dst=out if self._shrinks else self._wide)
        if not self._shrinks:
            _gather(ids, self._rows, out)
        return out


def _gather(ids: np.ndarray, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    # Every row exists; "clip" is the mode in which numpy writes to `out` without a buffer.
    return ids.take(rows, axis=0, out=out, mode="clip")


def nearest_places(source: int, target: int) -> np.ndarray:
    """int64 [target], rising: which of `source` pixels each one of `target` reads, along a side."""
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)
