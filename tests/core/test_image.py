"""Reading photos and index masks of every kind, and refusing what is damaged."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from maskwright.core import image as image_module
from maskwright.core.errors import DataError
from maskwright.core.image import (
    eight_bits,
    encode_png,
    open_picture,
    plain_jpeg_size,
    read_image,
    read_index_png,
    strips,
    write_image,
)
from maskwright.formats.folders import image_sizes

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 30, 3), np.uint8)
ORIENTATION = 0x0112

# How the stored pixels must be turned to stand upright (EXIF 2.32, tag 0x0112).
TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    smooth = np.zeros((16, 32, 3), np.uint8)
    smooth[:8, :16] = (250, 10, 10)
    smooth[8:, 16:] = (10, 10, 250)
    path = tmp_path / "photo.jpg"
    Image.fromarray(smooth).save(path, exif=exif, quality=95, subsampling=0)
    expected = TURNS[orientation](smooth)
    read = read_image(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).max() < 12


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_lossless_formats_come_back_as_rgb(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PHOTO).save(path)
    np.testing.assert_array_equal(read_image(path), PHOTO)


def test_grey_becomes_three_equal_channels(tmp_path):
    Image.fromarray(PHOTO[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), PHOTO[..., [0, 0, 0]])


def test_alpha_is_dropped(tmp_path):
    alpha = RNG.integers(0, 256, (20, 30, 1), np.uint8)
    Image.fromarray(np.concatenate([PHOTO, alpha], 2)).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), PHOTO)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_divided_by_257_and_rounded(tmp_path, channels):
    deep = RNG.integers(0, 65536, (20, 30, channels), np.uint16)
    deep[0, 0] = 65535
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    expected = np.rint(deep.astype(np.float64) / 257).astype(np.uint8)
    np.testing.assert_array_equal(
        read_image(tmp_path / "deep.png"), expected.repeat(3 // channels, 2)
    )


def test_a_palette_photo_is_shown_in_its_colours(tmp_path):
    picture = Image.fromarray(PHOTO).quantize(16)
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), picture.convert("RGB"))


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif", "ppm"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_a_truncated_photo_is_refused(tmp_path, suffix, kept):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PHOTO).save(path)
    whole = path.read_bytes()
    read_image(path)
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match=f"photo.{suffix}"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncation_is_told_with_the_length(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PHOTO).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"truncated.*{path.stat().st_size} bytes"):
        read_image(path)


def test_bytes_after_the_end_of_a_photo_do_no_harm(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(PHOTO).save(path)
    expected = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0" * 200)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("read", [read_image, read_index_png])
def test_what_is_no_image_is_refused(tmp_path, read):
    (tmp_path / "text.png").write_text("not a picture, though its name says so")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "short.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, said in [
        ("text.png", "38 bytes"),
        ("empty.png", "empty"),
        ("short.png", "short.png"),
        ("missing.png", "does not exist"),
        (".", "could not read"),
    ]:
        with pytest.raises(DataError, match=said):
            read(tmp_path / name)


def test_float_images_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((4, 4, 3), np.float32))
    for read in (read_image, read_index_png):
        with pytest.raises(DataError, match="float32"):
            read(tmp_path / "float.tif")


def test_palette_indices_are_the_ids_whatever_their_colours(tmp_path):
    ids = RNG.integers(0, 256, (20, 30), np.uint8)
    picture = Image.fromarray(ids)
    picture.putpalette(RNG.integers(0, 256, 768, np.uint8).tobytes())
    assert picture.mode == "P"
    picture.save(tmp_path / "ids.png")
    np.testing.assert_array_equal(read_index_png(tmp_path / "ids.png"), ids)


@pytest.mark.parametrize("colour_type", [0, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_of_few_bits_are_not_scaled(tmp_path, colour_type, bits):
    ids = RNG.integers(0, 2**bits, (5, 7), np.uint8)
    path = tmp_path / "ids.png"
    path.write_bytes(png_of_few_bits(ids, bits, colour_type))
    read = read_index_png(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, ids)


def png_of_few_bits(ids, bits, colour_type):
    """A PNG by the letter of its specification, as Pillow can't be told the depth of grey."""
    rows = b""
    for row in ids:
        row_bits = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        rows += b"\0" + np.packbits(row_bits.ravel()).tobytes()
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, colour_type, 0, 0, 0)
    palette = [(b"PLTE", bytes(range(200, 200 - 3 * 2 ** min(bits, 4), -1)))] if colour_type else []
    if colour_type and bits == 8:
        palette = [(b"PLTE", RNG.integers(0, 256, 768, np.uint8).tobytes())]
    parts = [(b"IHDR", header), *palette, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def test_ids_of_16_bits(tmp_path):
    ids = RNG.integers(0, 65536, (20, 30), np.uint16)
    (tmp_path / "ids.png").write_bytes(encode_png(ids))
    np.testing.assert_array_equal(read_index_png(tmp_path / "ids.png"), ids)


def test_ids_in_three_equal_channels_are_read_and_colours_refused(tmp_path):
    ids = RNG.integers(0, 9, (20, 30), np.uint8)
    write_image(tmp_path / "grey.png", np.stack([ids] * 3, 2))
    np.testing.assert_array_equal(read_index_png(tmp_path / "grey.png"), ids)
    write_image(tmp_path / "colours.png", PHOTO)
    with pytest.raises(DataError, match="3 channels"):
        read_index_png(tmp_path / "colours.png")


def test_a_truncated_palette_mask_is_refused(tmp_path):
    picture = Image.fromarray(RNG.integers(0, 9, (20, 30), np.uint8)).convert("P")
    picture.save(tmp_path / "ids.png")
    data = (tmp_path / "ids.png").read_bytes()
    (tmp_path / "ids.png").write_bytes(data[:-50])
    with pytest.raises(DataError, match="truncated"):
        read_index_png(tmp_path / "ids.png")


def test_write_image(tmp_path):
    write_image(tmp_path / "new" / "photo.png", PHOTO)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "new" / "photo.png")), PHOTO)
    write_image(tmp_path / "grey.png", PHOTO[..., 0])
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "grey.png")), PHOTO[..., 0])
    flat = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    write_image(tmp_path / "flat.JPG", flat)
    assert np.abs(np.array(Image.open(tmp_path / "flat.JPG")).astype(int) - flat).max() < 5
    with pytest.raises(DataError, match=r"'\.gif'"):
        write_image(tmp_path / "photo.gif", PHOTO)


# --- large ones ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (7, 3, 3), (100, 1), (5, 1000)])
@pytest.mark.parametrize("pixels", [1, 10, 1000, 1 << 18])
def test_strips_are_all_rows_in_order(monkeypatch, shape, pixels):
    monkeypatch.setattr(image_module, "STRIP_PIXELS", pixels)
    found = list(strips(shape))
    assert [row for rows in found for row in range(shape[0])[rows]] == list(range(shape[0]))
    assert all(rows.stop - rows.start == 1 or (rows.stop - rows.start) * shape[1] <= pixels
               for rows in found)  # fmt: skip


@pytest.mark.parametrize("pixels", [1, 100, 1 << 18])
def test_a_photo_read_in_strips_is_the_same(tmp_path, monkeypatch, pixels):
    monkeypatch.setattr(image_module, "STRIP_PIXELS", pixels)
    write_image(tmp_path / "photo.png", PHOTO)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), PHOTO)
    deep = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
    np.testing.assert_array_equal(eight_bits(deep), np.round(deep / 257.0))


def test_pillows_limit_does_not_count(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    ids = RNG.integers(0, 9, (20, 30), np.uint8)
    Image.fromarray(ids).convert("P").save(tmp_path / "ids.png")
    np.testing.assert_array_equal(
        read_index_png(tmp_path / "ids.png"), np.array(Image.fromarray(ids).convert("P"))
    )
    for suffix in ("png", "jpg", "tif", "bmp"):
        path = tmp_path / f"photo.{suffix}"
        Image.fromarray(PHOTO).save(path)
        assert read_image(path).shape == (20, 30, 3)
        assert image_sizes(path) == ((20, 30), (20, 30))
    assert not list(recwarn)
    with open_picture(tmp_path / "photo.jpg") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize("colour_type", [2, 3])
def test_more_pixels_than_can_be_read_are_told(tmp_path, colour_type):
    """A header of 1.6 gigapixels; nothing of that size is made."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_few_bits(np.zeros((1, 1), np.uint8), 8, colour_type))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    padding = b"teSt" + bytes(5_000_000)  # so that it could hold them
    chunk = struct.pack(">I", len(padding) - 4) + padding + struct.pack(">I", zlib.crc32(padding))
    path.write_bytes(data[:33] + chunk + data[33:])
    for read in (read_image, read_index_png):
        with pytest.raises(DataError, match=r"bomb\.png.* more.*1073741824.*cut it into parts"):
            read(path)


def png_of(width, height, depth=8, colour_type=2, pixels=b"", chunks=()):
    """A PNG that declares this size, whatever its pixels are."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(pixels)),
        *(chunk(kind, body) for kind, body in chunks), chunk(b"IEND", b""),
    ])  # fmt: skip


@pytest.mark.parametrize("colour_type", [0, 2, 3, 4, 6])
def test_a_png_that_declares_more_than_it_can_hold_is_refused_before_the_work(
    tmp_path, colour_type
):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(100_000, 100_000, colour_type=colour_type))
    for reader in (read_image, read_index_png):
        with pytest.raises(DataError, match="declares 100000x100000 pixels, but has only"):
            reader(path)


def test_what_packs_well_is_read(tmp_path):
    """One colour, packed as tightly as deflate can."""
    path = tmp_path / "plain.png"
    row = b"\0" + bytes(3 * 3000)
    path.write_bytes(png_of(3000, 3000, pixels=row * 3000))
    assert read_image(path).shape == (3000, 3000, 3)


def test_sizes_come_from_the_head_alone(tmp_path, monkeypatch):
    """An orientation may stand behind the pixels, too: only then are they looked at."""
    turned = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    pixels = (b"\0" + bytes(3 * 5)) * 7
    plain, behind = tmp_path / "plain.png", tmp_path / "behind.png"
    plain.write_bytes(png_of(5, 7, pixels=pixels))
    behind.write_bytes(png_of(5, 7, pixels=pixels, chunks=[(b"eXIf", turned)]))
    assert image_sizes(behind) == (read_image(behind).shape[:2], (7, 5))
    monkeypatch.setattr(PngImageFile, "load", lambda _: pytest.fail("the pixels were decoded"))
    assert image_sizes(plain) == ((7, 5), (7, 5))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"seen"}, {"grey": 1}])
def test_the_size_of_a_plain_jpeg_is_what_pillow_tells(tmp_path, options):
    """Damage it anywhere in its head: where it still tells a size, Pillow tells the same."""
    grey = options.pop("grey", False)
    path, rng = tmp_path / "photo.jpg", np.random.default_rng(0)
    Image.fromarray(PHOTO[..., 0] if grey else PHOTO).save(path, **options)
    whole, told = path.read_bytes(), 0
    assert plain_jpeg_size(path) == (20, 30)
    for number in range(400):
        data = bytearray(whole)
        if number % 4 == 3:
            data = data[: rng.integers(2, 700)]
        data[rng.integers(0, min(700, len(data)))] = rng.integers(0, 256)
        path.write_bytes(data)
        found = plain_jpeg_size(path)
        if found is not None:
            told += 1
            with open_picture(path) as picture:
                assert (picture.height, picture.width) == found
                assert not picture.getexif()
    assert 100 < told < 400


def test_jpegs_that_carry_more_are_left_to_pillow(tmp_path):
    path = tmp_path / "photo.jpg"
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(PHOTO).save(path, exif=turned)
    assert plain_jpeg_size(path) is None
    assert image_sizes(path) == ((30, 20), (20, 30))
    Image.fromarray(PHOTO).save(path, icc_profile=b"x" * 5000)
    assert plain_jpeg_size(path) is None
    assert image_sizes(path) == ((20, 30), (20, 30))
    assert plain_jpeg_size(tmp_path / "none.jpg") is None
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    assert plain_jpeg_size(tmp_path / "photo.png") is None
