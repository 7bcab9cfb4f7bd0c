"""Painted strips for what stands around the field, and tiles of noise.

All are drawn small and once per scene. Strips are unrolled walls, uint8 RGB, row 0 on top.
"""

from __future__ import annotations

import cv2
import numpy as np

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = np.array(list("AEIOUBCDFGKLMNPRSTVXZ0123456789"))


def noise_tile(rng: np.random.Generator, size: int, coarse: int, octaves: int) -> np.ndarray:
    """Float32 [size, size] of mean 0 and deviation 1 that repeats seamlessly.

    Args:
        rng: source of randomness.
        size: edge, a power of two.
        coarse: cells along an edge in the coarsest octave, a power of two; the finest has at
            most `size`.
        octaves: each has twice the cells and 0.6 of the strength of the one before.
    """
    tile = rng.standard_normal((coarse, coarse), np.float32)
    for octave in range(1, octaves):
        tile = _enlarged(tile, 2)
        tile += np.float32(0.6**octave) * rng.standard_normal(tile.shape, np.float32)
    tile = _enlarged(tile, size // len(tile))
    return (tile - tile.mean()) / tile.std()


def _enlarged(tile: np.ndarray, times: int) -> np.ndarray:
    """A repeating tile, smoothly enlarged a whole number of times; still seamless."""
    if times == 1:
        return tile
    pad = 2
    wrapped = np.pad(tile, pad, mode="wrap")
    large = cv2.resize(wrapped, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return large[pad * times : -pad * times, pad * times : -pad * times]


def sample_tile(tile: np.ndarray, x_N: np.ndarray, y_N: np.ndarray, period: float) -> np.ndarray:
    """The repeating tile at points in metres, `period` metres a repeat; float32 [N]."""
    edge = tile.shape[0]
    column_N = (x_N * (edge / period)).astype(np.int32) & (edge - 1)
    row_N = (y_N * (edge / period)).astype(np.int32) & (edge - 1)
    return tile[row_N, column_N]


def sample_picture(picture: np.ndarray, u_N: np.ndarray, v_N: np.ndarray) -> np.ndarray:
    """Bilinear samples of a picture [H, W, C] at u (column) and v (row) in 0..1; float32 [N, C]."""
    height, width = picture.shape[:2]
    columns = 1024
    rows = -(-len(u_N) // columns)
    maps = np.zeros((2, rows * columns), np.float32)
    maps[0, : len(u_N)] = u_N * width - 0.5
    maps[1, : len(v_N)] = v_N * height - 0.5
    mapped = maps.reshape(2, rows, columns)
    sampled = cv2.remap(
        picture, mapped[0], mapped[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled.reshape(rows * columns, -1)[: len(u_N)]


def board_strip(rng: np.random.Generator) -> np.ndarray:
    """Advertising boards: panels with letters, whitish ones among them."""
    strip = np.empty((32, 2048, 3), np.uint8)
    base = _colour(rng, whitish=0.45)
    strip[:] = base
    at = 0
    while at < strip.shape[1]:
        wide = int(rng.integers(40, 150))
        panel = strip[:, at : at + wide]
        if rng.random() < 0.65:
            panel[:] = _colour(rng, whitish=0.4)
        if rng.random() < 0.75:
            _write(rng, panel)
        at += wide
    if rng.random() < 0.5:
        strip[:2] = _colour(rng, whitish=0.5)
    return strip


def hall_strip(rng: np.random.Generator) -> np.ndarray:
    """Walls of a sports hall: panels, windows, doors, banners, pipes, people."""
    high, wide = 128, 2048
    wall = np.array(_colour(rng, whitish=0.55), np.float32) * rng.uniform(0.35, 0.9)
    shade = np.linspace(rng.uniform(0.25, 0.9), 1, high, dtype=np.float32)[:, None, None]
    strip = np.repeat(np.clip(wall * shade, 0, 255).astype(np.uint8), wide, axis=1)
    split = int(rng.uniform(0.5, 0.9) * high)
    strip[split:] = _colour(rng, whitish=0.5)
    for at in range(0, wide, int(rng.integers(20, 60))):
        cv2.line(strip, (at, 0), (at, split), _darker(wall, 0.8), 1)
    for _ in range(rng.integers(1, 5)):
        row = int(rng.uniform(0.02, 0.5) * high)
        cv2.line(strip, (0, row), (wide, row), _colour(rng, 0.3), int(rng.integers(1, 4)))
    if rng.random() < 0.5:
        _windows(rng, strip)
    for _ in range(rng.integers(6, 22)):
        x, y = int(rng.integers(wide)), int(rng.uniform(0.25, 0.7) * high)
        panel = strip[y : y + int(rng.integers(10, 30)), x : x + int(rng.integers(15, 80))]
        panel[:] = _colour(rng, whitish=0.35)
        _write(rng, panel)
    for _ in range(rng.integers(0, 5)):
        x, tall = int(rng.integers(wide)), int(rng.integers(34, 46))
        strip[high - tall :, x : x + int(rng.integers(14, 40))] = _colour(rng, whitish=0.4)
    _people(rng, strip, int(rng.integers(0, 70)))
    return strip


def stadium_strip(rng: np.random.Generator) -> np.ndarray:
    """What closes the view outdoors: a stand full of spectators, or trees behind a fence."""
    high, wide = 128, 2048
    if rng.random() < 0.5:
        seats = np.array(_colour(rng, whitish=0.15), np.float32)
        crowd = rng.uniform(15, 225, (high // 4, wide // 3, 1)).astype(np.float32)
        crowd = crowd + rng.normal(0, 28, (high // 4, wide // 3, 3)).astype(np.float32)
        empty = rng.random((high // 4, wide // 3, 1)) < rng.uniform(0.1, 0.7)
        rows = np.where(np.arange(high // 4) % 2, 1.0, 0.45)[:, None, None]
        dots = np.clip(np.where(empty, seats, crowd) * rows, 0, 250).astype(np.uint8)
        strip = cv2.resize(dots, (wide, high), interpolation=cv2.INTER_LINEAR)
        for row in range(0, high, int(rng.integers(12, 30))):
            strip[row : row + 2] = _darker(seats, 0.6)
        strip[: int(rng.integers(4, 20))] = _colour(rng, whitish=0.4)
    else:
        green = np.array(
            [rng.uniform(25, 70), rng.uniform(60, 105), rng.uniform(20, 50)], np.float32
        )
        leaves, crowns = noise_tile(rng, 128, 8, 5), noise_tile(rng, 128, 8, 2)[:1]
        top = np.linspace(1.1, 0.5, high, dtype=np.float32)[:, None] + 0.15 * crowns
        light = top * (1 + 0.28 * leaves)
        trees = np.clip(green * light[..., None], 4, 255).astype(np.uint8)
        strip = np.tile(trees, (1, wide // high, 1))
        fence = int(rng.uniform(0.6, 0.85) * high)
        strip[fence:] = _colour(rng, whitish=0.5)
        strip[fence :: int(rng.integers(6, 12))] = _colour(rng, whitish=0.4)
    _people(rng, strip, int(rng.integers(0, 60)))
    return strip


def ceiling(rng: np.random.Generator) -> np.ndarray:
    """A hall's ceiling seen from below: beams and lamps; 255 in all channels is a lamp."""
    size = 512
    base = rng.uniform(8, 120)
    picture = np.full((size, size, 3), base, np.uint8)
    picture[:, :: int(rng.integers(16, 64))] = int(base * 1.4)
    beams = int(rng.integers(24, 80))
    for at in range(0, size, beams):
        picture[at : at + 4] = int(base * rng.uniform(0.4, 1.8))
    across, along = int(rng.integers(48, 100)), int(rng.integers(36, 90))
    lamp = (int(rng.integers(2, 18)), int(rng.integers(2, 6)))
    for y in range(along // 2, size, along):
        for x in range(across // 2, size, across):
            if rng.random() < 0.9:
                cv2.rectangle(picture, (x, y), (x + lamp[0], y + lamp[1]), (255, 255, 255), -1)
    return picture


def sky(rng: np.random.Generator) -> np.ndarray:
    """The sky by elevation (row 0 is straight up) and heading (column)."""
    high, wide = 128, 512
    zenith = np.array([rng.uniform(60, 150), rng.uniform(110, 170), rng.uniform(170, 235)])
    horizon = np.array([rng.uniform(180, 245), rng.uniform(200, 240), rng.uniform(215, 250)])
    fall = np.linspace(0, 1, high)[:, None, None] ** rng.uniform(0.6, 2)
    clear = zenith * (1 - fall) + horizon * fall
    clouds = cv2.resize(noise_tile(rng, 128, 8, 4), (wide, wide // 4 * 2))[:high]
    cover = np.clip(0.5 * clouds + rng.uniform(-0.6, 0.8), 0, 1)[..., None]
    return np.clip(clear * (1 - cover) + 242 * cover, 0, 254).astype(np.uint8)


def _windows(rng: np.random.Generator, strip: np.ndarray) -> None:
    top, tall = int(rng.integers(8, 40)), int(rng.integers(12, 40))
    step, wide = int(rng.integers(60, 160)), int(rng.integers(25, 58))
    pane = (int(rng.integers(190, 250)), int(rng.integers(205, 252)), 252)
    first, last = sorted(rng.integers(0, strip.shape[1], 2))
    for x in range(int(first), int(last), step):
        strip[top : top + tall, x : x + wide] = pane
        strip[top : top + tall, x + wide // 2 : x + wide // 2 + 2] = 60


def _people(rng: np.random.Generator, strip: np.ndarray, count: int) -> None:
    high, wide = strip.shape[:2]
    for _ in range(count):
        x, tall = int(rng.integers(wide)), int(rng.integers(24, 32))
        top, half = high - tall - int(rng.integers(0, 5)), int(rng.integers(3, 6))
        cv2.rectangle(strip, (x - half, top + 6), (x + half, top + 17), _colour(rng, 0.3), -1)
        cv2.rectangle(strip, (x - half + 1, top + 17), (x + half - 1, high), _colour(rng, 0.1), -1)
        tone = rng.uniform(0.35, 1)
        skin = (int(225 * tone), int(175 * tone), int(145 * tone))
        cv2.ellipse(strip, (x, top + 3), (2, 3), 0, 0, 360, skin, -1)


def _write(rng: np.random.Generator, panel: np.ndarray) -> None:
    high, wide = panel.shape[:2]
    if high < 8 or wide < 12:
        return
    text = "".join(rng.choice(_LETTERS, max(1, wide // 14)))
    ink = (255, 255, 255) if panel.mean() < 120 else tuple(int(c) for c in rng.integers(0, 110, 3))
    patch = np.ascontiguousarray(panel)
    font = _FONTS[rng.integers(len(_FONTS))]
    place = (int(rng.integers(1, 6)), int(high * rng.uniform(0.7, 0.9)))
    cv2.putText(patch, text, place, font, high / 40, ink, 1 + high // 24, cv2.LINE_AA)
    panel[:] = patch


def _colour(rng: np.random.Generator, whitish: float) -> tuple[int, int, int]:
    if rng.random() < whitish:
        grey = int(rng.integers(185, 252))
        return (grey, grey, min(254, grey + int(rng.integers(-8, 8))))
    colour = rng.uniform(15, 235, 3)
    red, green, blue = colour + rng.uniform(0, 0.75) * (colour.mean() - colour)
    return (int(red), int(green), int(blue))


def _darker(colour: np.ndarray, factor: float) -> tuple[int, int, int]:
    red, green, blue = (min(254, float(c) * factor) for c in colour)
    return (int(red), int(green), int(blue))
