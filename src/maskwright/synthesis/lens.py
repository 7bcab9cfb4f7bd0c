"""From light to a picture: bloom, blur, exposure, noise, tone curve, compression."""

from __future__ import annotations

import math

import cv2
import numpy as np

from maskwright.synthesis.looks import Lens

_STEPS = 4096


def photograph(light_HW3: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    """The uint8 RGB picture [H, W, 3] that a camera makes of linear light (float32).

    Args:
        light_HW3: what falls into the lens, one ray bundle a pixel.
        lens: lens, sensor and file.
        rng: of the sensor's noise, which alone depends on it.
    """
    diagonal = math.hypot(*light_HW3.shape[:2])
    picture = _expose(light_HW3, lens)
    picture = _bloom(picture, lens.bloom, diagonal)
    if lens.defocus * diagonal > 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), lens.defocus * diagonal)
    picture = _shake(picture, lens.shake[0] * diagonal, lens.shake[1] * diagonal)
    picture *= _vignette(picture.shape[:2], lens.vignette)[..., None]
    _add_noise(picture, lens.noise, rng)
    steps = np.clip(picture * _STEPS, 0, _STEPS - 1).astype(np.uint16)
    return _compress(_saturate(_tone_curve(lens)[steps], lens.saturation), lens.jpeg)


def _expose(light_HW3: np.ndarray, lens: Lens) -> np.ndarray:
    """Scale so that the mean of what is not glaring meets the aim, and tint."""
    level = float(np.minimum(light_HW3[::4, ::4], 0.9).mean())
    gain = lens.exposure / max(level, 0.02)
    return light_HW3 * (np.array(lens.balance, np.float32) * np.float32(gain))


def _bloom(picture: np.ndarray, strength: float, diagonal: float) -> np.ndarray:
    """Halos: what exceeds white, at a quarter of the size, spread."""
    height, width = picture.shape[:2]
    quarter = (max(1, width // 4), max(1, height // 4))
    small = cv2.resize(picture, quarter, interpolation=cv2.INTER_AREA)
    small = np.clip(small - 0.9, 0, 8)
    if not small.any():
        return picture
    halo = cv2.GaussianBlur(small, (0, 0), 0.005 * diagonal + 0.3)
    return picture + np.float32(strength) * cv2.resize(halo, (width, height))


def _shake(picture: np.ndarray, du: float, dv: float) -> np.ndarray:
    """Average along a line of that many pixels, about its middle."""
    length = math.hypot(du, dv)
    if length < 1.2:
        return picture
    half = math.ceil(length / 2)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    bits = 4
    ends = [tuple(round((half + sign * d / 2) * (1 << bits)) for d in (du, dv)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, bits)
    weights = kernel.astype(np.float32) / max(int(kernel.sum()), 1)
    return cv2.filter2D(picture, -1, weights, borderType=cv2.BORDER_REFLECT_101)


def _vignette(size: tuple[int, int], strength: float) -> np.ndarray:
    height, width = size
    v_H = ((np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1) ** 2
    u_W = ((np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1) ** 2
    return 1 - np.float32(strength) * ((v_H[:, None] + u_W) / 2) ** 1.5


def _add_noise(picture: np.ndarray, noise: tuple[float, float], rng: np.random.Generator) -> None:
    """Shot noise grows with the root of the light, read noise is the same everywhere."""
    shot, read = noise
    if shot == 0 and read == 0:
        return
    deviation = np.sqrt(np.clip(picture, 0, 1) * np.float32(shot**2) + np.float32(read**2))
    picture += deviation * _bell(picture.shape, rng)


def _bell(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Nearly normal numbers of deviation 1, at half the price: sums of four random bytes."""
    bits = rng.integers(0, 1 << 32, shape, np.uint32)
    pairs = (bits & 0x00FF00FF) + ((bits >> 8) & 0x00FF00FF)
    total = ((pairs + (pairs >> 16)) & 0xFFFF).astype(np.float32)
    total -= np.float32(4 * 127.5)
    total *= np.float32(1 / math.sqrt(4 * (256**2 - 1) / 12))
    return total


def _tone_curve(lens: Lens) -> np.ndarray:
    value = (np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS
    value **= 1 / lens.gamma
    bent = value * value * (3 - 2 * value)
    return np.round(255 * (value + lens.contrast * (bent - value))).astype(np.uint8)


def _saturate(picture: np.ndarray, amount: float) -> np.ndarray:
    grey = np.array([0.299, 0.587, 0.114])
    mix = np.eye(3) * amount + (1 - amount) * grey
    return cv2.transform(picture, mix)


def _compress(picture: np.ndarray, quality: int) -> np.ndarray:
    if not quality:
        return picture
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
