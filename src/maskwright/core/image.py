"""Reading and writing images: everything becomes uint8 RGB, upright."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from maskwright.core.errors import DataError
from maskwright.core.files import write_bytes

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
MAX_PIXELS = 1 << 30
"""Of an image to read: OpenCV's limit, unless OPENCV_IO_MAX_IMAGE_PIXELS sets another."""

JPEG_SIDE = 65500
"""The longest side that a JPEG can have."""

_PNG = b"\x89PNG\r\n\x1a\n"
_DEFLATED = 1032  # bytes that one can stand for in a PNG, at most

STRIP_PIXELS = 1 << 18
"""Work that needs memory of its own is done in strips of about so many pixels."""


def read_image(path: Path | str) -> np.ndarray:
    """Read a photo as uint8 RGB [H, W, 3].

    EXIF orientation is applied, grey becomes three equal channels, an alpha channel is dropped,
    16-bit values are divided by 257 (65535 -> 255).

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    # IMREAD_COLOR applies EXIF and drops alpha; ANYDEPTH keeps 16 bits, for a rounded reduction.
    return _as_rgb(decode_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), path)


def read_image_bytes(data: bytes, path: Path | str) -> np.ndarray:
    """The same of a file's bytes; `path` tells where they come from, for the errors' text.

    Raises:
        DataError: truncated or no image.
    """
    return _as_rgb(decode_bytes(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, path), path)


def _as_rgb(pixels: np.ndarray, path: Path | str) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = eight_bits(pixels)
    elif pixels.dtype != np.uint8:
        raise DataError(
            f"{path}: expected 8 or 16 bits a channel, got {pixels.dtype}; save it as PNG or JPEG."
        )
    for rows in strips(pixels.shape):
        pixels[rows] = cv2.cvtColor(pixels[rows], cv2.COLOR_BGR2RGB)
    return pixels


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an array [H, W, ...], top to bottom, about STRIP_PIXELS at a time."""
    rows = max(1, STRIP_PIXELS // max(1, shape[1]))
    return (slice(top, min(top + rows, shape[0])) for top in range(0, shape[0], rows))


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8 of the same shape: divided by 257 (65535 -> 255) and rounded."""
    reduced = np.empty(pixels.shape, np.uint8)
    for rows in strips(pixels.shape):
        reduced[rows] = np.round(pixels[rows] / 257.0)
    return reduced


def read_index_png(path: Path | str) -> np.ndarray:
    """Read an index mask: its ids as they are, uint8 or uint16 [H, W]; palettes are not applied.

    Raises:
        DataError: missing, damaged, or not a one-channel or palette image.
    """
    ids = _read_unscaled_ids(path)
    if ids is None:
        ids = decode_image(path, cv2.IMREAD_UNCHANGED)
    if ids.ndim == 3 and ids.shape[2] >= 3 and (ids[..., :1] == ids[..., 1:3]).all():
        ids = ids[..., 0]  # grey saved as colour: the ids are the same in each channel
    if ids.ndim != 2:
        raise DataError(
            f"{path}: expected an index mask with one channel of class ids, got "
            f"{ids.shape[2]} channels; colour-coded masks need a palette PNG or a conversion."
        )
    if ids.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path}: expected ids of 8 or 16 bits, got {ids.dtype}; save the mask as PNG."
        )
    return np.ascontiguousarray(ids)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 RGB [H, W, 3], or uint8 or uint16 [H, W], as PNG."""
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    done, encoded = cv2.imencode(".png", ordered)
    if not done:
        raise DataError(f"could not encode an image of shape {pixels.shape} as PNG.")
    return encoded.tobytes()


def write_image(path: Path | str, pixels: np.ndarray, quality: int = 92, comment: str = "") -> None:
    """Write uint8 RGB [H, W, 3] or grey [H, W] atomically; the suffix chooses JPEG or PNG.

    Args:
        path: ends in .jpg, .jpeg or .png.
        pixels: RGB or one channel.
        quality: of JPEG, 1..100.
        comment: ASCII, kept inside the file, where it has no effect on the picture.

    Raises:
        DataError: another suffix, or pixels that the format can't hold: JPEG has at most JPEG_SIDE
            a side.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        png = _with_comment(pixels, "PNG", quality, comment) if comment else encode_png(pixels)
        write_bytes(path, png)
        return
    if suffix not in {".jpg", ".jpeg"}:
        raise DataError(f"{path}: expected a name ending in .jpg, .jpeg or .png, got {suffix!r}.")
    if max(pixels.shape[:2]) > JPEG_SIDE:
        raise DataError(
            f"{path}: expected at most {JPEG_SIDE} pixels a side, which is all that JPEG can hold, "
            f"got {pixels.shape[1]}x{pixels.shape[0]}; write a .png."
        )
    if comment:
        write_bytes(path, _with_comment(pixels, "JPEG", quality, comment))
        return
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    done, encoded = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DataError(f"could not encode an image of shape {pixels.shape} as JPEG for {path}.")
    write_bytes(path, encoded.tobytes())


def _with_comment(pixels: np.ndarray, kind: str, quality: int, comment: str) -> bytes:
    """The same by Pillow: OpenCV can't put text beside the pixels."""
    made, about = io.BytesIO(), PngImagePlugin.PngInfo()
    about.add_text("Comment", comment)
    settings = {"quality": quality, "comment": comment} if kind == "JPEG" else {"pnginfo": about}
    Image.fromarray(pixels).save(made, kind, **settings)
    return made.getvalue()


def open_picture(file: Path | str | io.BytesIO) -> Image.Image:
    """Open an image with Pillow, which reads its header only; its limits don't count for PNG, JPEG.

    Raises:
        OSError, SyntaxError, ValueError: as Pillow raises them.
        Image.DecompressionBombError: another format with more pixels than Pillow's limit.
    """
    for plugin in (PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile):
        try:
            return plugin(file)
        except SyntaxError:  # no file of this kind
            if isinstance(file, io.BytesIO):
                file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file)


def read_bytes(path: Path | str) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it is missing, empty, a folder, or unreadable.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise DataError(f"could not read {path}: {error.strerror}.") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes); copy it again from its source.")
    return data


def decode_image(path: Path | str, flags: int) -> np.ndarray:
    """A file's pixels as OpenCV reads them with these flags: colours are BGR.

    Raises:
        DataError: missing, truncated or no image.
    """
    return decode_bytes(read_bytes(path), flags, path)


def decode_bytes(data: bytes, flags: int, path: Path | str) -> np.ndarray:
    """The same of bytes that are at hand.

    Args:
        data: the content of an image file.
        flags: of OpenCV.
        path: where they come from, for the errors' text.

    Raises:
        DataError: truncated or no image.
    """
    _refuse_truncated(path, data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise DataError(
                f"{path} has more pixels than OpenCV reads ({MAX_PIXELS}); cut it into parts, or "
                "set the environment variable OPENCV_IO_MAX_IMAGE_PIXELS."
            ) from None
        pixels = None
    if pixels is None:
        raise DataError(
            f"{path} is not an image that can be read ({len(data)} bytes); expected one of "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}. Open it in a viewer or copy it again."
        )
    return pixels


_HEAD = 4096  # bytes, in which JPEGs that carry no data of other kinds tell their size


def plain_jpeg_size(path: Path | str) -> tuple[int, int] | None:
    """(height, width) of a JPEG that carries nothing beside its picture, by its first bytes.

    Several times as fast as Pillow. None where there is EXIF data, anything unusual or damaged, or
    no JPEG: Pillow is to tell.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    size, place = None, 2
    while head[:2] == b"\xff\xd8" and place + 4 <= len(head) and head[place] == 0xFF:
        kind, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        inside = head[place + 4 : place + 2 + length]
        if length < 2 or len(inside) != length - 2:
            return None
        if kind in (0xC0, 0xC1, 0xC2):  # the frame: bits, height, width, components
            good = len(inside) > 6 and inside[0] == 8 and inside[5] in (1, 3, 4)
            if size is not None or not good or len(inside) != 6 + 3 * inside[5]:
                return None
            size = int.from_bytes(inside[1:3], "big"), int.from_bytes(inside[3:5], "big")
        elif kind == 0xDA:  # the scan, with which the pixels begin
            return size if size is not None and min(size) > 0 else None
        elif kind == 0xDB:  # tables of quantisation, of 8 bits
            if len(inside) % 65 or any(first >= 16 for first in inside[::65]):
                return None
        elif kind not in (0xC4, 0xDD, 0xFE) and (kind != 0xE0 or len(inside) < 14):
            return None
        place += 2 + length
    return None


def png_is_plain(path: Path | str) -> bool:
    """Whether a PNG is whole and has no EXIF data, by the heads of its chunks alone.

    Pillow would decode the whole image to look behind the pixels.
    """
    with Path(path).open("rb") as file:
        file.seek(len(_PNG))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"eXIf", b"IEND"):
                return kind == b"IEND"
            file.seek(length + 4, io.SEEK_CUR)
    return False


def _refuse_forged(path: Path | str, data: bytes) -> None:
    """Refuse a PNG that declares more pixels than its bytes can hold, before the work."""
    if data[:8] != _PNG or len(data) < 26:
        return
    width, height, depth, colour_type = struct.unpack(">IIBB", data[16:26])
    bits = depth * {2: 3, 4: 2, 6: 4}.get(colour_type, 1)
    if height * (width * bits // 8) > _DEFLATED * len(data):
        raise DataError(
            f"{path} declares {width}x{height} pixels, but has only {len(data)} bytes: it is "
            "damaged, or made to fill the memory. Copy it again from its source."
        )


def _refuse_truncated(path: Path | str, data: bytes) -> None:
    _refuse_forged(path, data)
    # OpenCV fills the missing part of a cut file with grey and says nothing. A file without its
    # end marker near the end is decoded a second time by Pillow, which tells for certain.
    jpeg_in_doubt = data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-64:]
    png_in_doubt = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if not (jpeg_in_doubt or png_in_doubt):
        return
    try:
        with open_picture(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError):
        raise DataError(
            f"{path} is truncated: its data ends early, after {len(data)} bytes; "
            "copy it again from its source."
        ) from None


def _read_unscaled_ids(path: Path | str) -> np.ndarray | None:
    # OpenCV expands palettes to colours, and grey of 1, 2 or 4 bits to 0..255: ids would change.
    # Pillow keeps a palette's indices, and its expansion of grey can be undone.
    data = read_bytes(path)
    if data[:8] != _PNG or len(data) < 26:
        return None
    depth, colour_type = data[24], data[25]
    if not (colour_type == 3 or (colour_type == 0 and depth < 8)):
        return None
    _refuse_truncated(path, data)
    try:
        with open_picture(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {picture.width}x{picture.height} pixels, more than {MAX_PIXELS}; "
                    "cut it into parts."
                )
            ids = np.array(picture)
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} is not a readable PNG: {error}; copy it again.") from None
    if colour_type == 3 or ids.dtype == np.bool_:
        return ids.astype(np.uint8, copy=False)
    return ids // (255 // (2**depth - 1))
