"""How a scene looks: turf, light, lens and sensor. None of it moves a pixel of the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskwright.synthesis import textures
from maskwright.synthesis.solids import Rgb


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turf:
    """The ground. Colours as a screen shows them, 0..1.

    Attributes:
        colour, line, floor: of the carpet or grass, of the paint, of the ground beyond.
        stripe: strength of the mown stripes, 0 for none.
        stripe_width: metres.
        stripes_along_x: whether they run along the field.
        mottle: strength of large spots, 0..1; `dry`: the colour they tend to.
        grain: strength of the fine texture.
        wear: how much of the paint is gone, 0..1.
        floor_line: metres beyond the carpet of a line of another sport, 0 for none.
        coarse, fine: noise tiles.
    """

    colour: Rgb
    line: Rgb
    floor: Rgb
    stripe: float
    stripe_width: float
    stripes_along_x: bool
    mottle: float
    dry: Rgb
    grain: float
    wear: float
    floor_line: float
    coarse: np.ndarray
    fine: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Lamp:
    """A far light: unit direction towards it, its share of the light, its shadow's softness (m)."""

    toward: tuple[float, float, float]
    share: float
    softness: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """All light: lamps and the even rest.

    Attributes:
        lamps: their shares and `even` sum to 1.
        even: from everywhere.
        pools: strength of the bright spots that hall lamps make on the ground.
        pool_metres: their distance.
        slope: brightness gained per metre along x and y.
        glow: how bright lamps, windows and the sky are beside a white sheet.
    """

    lamps: tuple[Lamp, ...]
    even: float
    pools: float
    pool_metres: float
    slope: tuple[float, float]
    glow: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens:
    """Lens, sensor and file. Lengths relative to the image's diagonal.

    Attributes:
        exposure: mean brightness aimed at, linear, 0..1.
        balance: gains of red, green, blue.
        gamma: of the tone curve; 2.2 is faithful.
        contrast: of an S-curve, 0 for none.
        saturation: 1 is faithful.
        vignette: light lost in the corners, 0..1.
        bloom: strength of the halo of bright spots.
        defocus: standard deviation of the blur.
        shake: motion blur along u and v.
        noise: standard deviation (of shot noise at white, and of read noise).
        jpeg: quality 1..100; 0 for none.
    """

    exposure: float
    balance: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    vignette: float
    bloom: float
    defocus: float
    shake: tuple[float, float]
    noise: tuple[float, float]
    jpeg: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Backdrop:
    """Pictures around the field, uint8 RGB [H, W, 3]: unrolled boards and walls, and the lid.

    `net` is the strength of the goals' nets, 0 for none.
    """

    boards: np.ndarray
    walls: np.ndarray
    lid: np.ndarray
    net: float


def linear(screen: np.ndarray | Rgb) -> np.ndarray:
    """Light of a colour as a screen shows it (0..1), float32."""
    return np.power(np.asarray(screen, np.float32), np.float32(2.2))


def draw_turf(rng: np.random.Generator, outdoor: bool) -> Turf:
    """Fresh or dry grass, artificial turf, or the carpet of a hall."""
    kind = rng.choice(
        ("grass", "dry", "artificial", "carpet"),
        p=((0.35, 0.25, 0.4, 0.0) if outdoor else (0.0, 0.0, 0.5, 0.5)),
    )
    colour = {
        "grass": rng.uniform((0.22, 0.42, 0.10), (0.36, 0.58, 0.20)),
        "dry": rng.uniform((0.44, 0.48, 0.20), (0.58, 0.56, 0.30)),
        "artificial": rng.uniform((0.10, 0.36, 0.12), (0.28, 0.56, 0.28)),
        "carpet": rng.uniform((0.05, 0.42, 0.18), (0.22, 0.62, 0.42)),
    }[str(kind)]
    natural = kind in ("grass", "dry")
    striped = rng.random() < (0.6 if natural else 0.2)
    white = rng.uniform(0.72, 0.97)
    return Turf(
        colour=_rgb(colour),
        line=_rgb(white * rng.uniform((0.97, 0.97, 0.9), (1, 1, 1))),
        floor=_rgb(_floor_colour(rng, outdoor)),
        stripe=rng.uniform(0.04, 0.16) if striped else 0.0,
        stripe_width=rng.uniform(0.6, 2.2),
        stripes_along_x=bool(rng.random() < 0.3),
        mottle=rng.uniform(0.15, 0.6) if natural else rng.uniform(0.0, 0.2),
        dry=_rgb(rng.uniform((0.45, 0.42, 0.2), (0.62, 0.56, 0.36))),
        grain=rng.uniform(0.12, 0.3) if kind != "carpet" else rng.uniform(0.03, 0.1),
        wear=rng.uniform(0.1, 0.65) if natural else rng.uniform(0, 0.35),
        floor_line=rng.uniform(0.3, 1.5) if rng.random() < 0.35 else 0.0,
        coarse=textures.noise_tile(rng, 256, 4, 5),
        fine=textures.noise_tile(rng, 256, 64, 3),
    )


def draw_light(rng: np.random.Generator, outdoor: bool) -> Light:
    """One sun, clear or veiled; or several lamps under a ceiling."""
    sunny = outdoor and rng.random() < 0.65
    count = 1 if outdoor else int(rng.integers(2, 4))
    height = (0.25, 1.2) if outdoor else (0.7, 1.4)
    total = (
        rng.uniform(0.45, 0.75)
        if sunny
        else rng.uniform(0.1, 0.3)
        if outdoor
        else rng.uniform(0.35, 0.65)
    )
    lamps = []
    for _ in range(count):
        around, up = rng.uniform(0, math.tau), rng.uniform(*height)
        toward = (math.cos(around) * math.cos(up), math.sin(around) * math.cos(up), math.sin(up))
        softness = rng.uniform(0.01, 0.05) if sunny else rng.uniform(0.06, 0.2)
        lamps.append(Lamp(toward=toward, share=total / count, softness=softness))
    return Light(
        lamps=tuple(lamps),
        even=1 - total,
        pools=0.0 if outdoor else rng.uniform(0, 0.35),
        pool_metres=rng.uniform(3, 7),
        slope=(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)),
        glow=rng.uniform(1.0, 1.8) if outdoor else rng.uniform(2, 9),
    )


def draw_lens(rng: np.random.Generator, outdoor: bool, severity: float) -> Lens:
    """Lens, sensor and file; `severity` scales blur, noise and artefacts (0 none, 1 usual)."""
    blurred, shaken, noisy = rng.random() < 0.3, rng.random() < 0.25, rng.random() < 0.5
    way, angle = rng.uniform(0.003, 0.018) * severity * shaken, rng.normal(0, 0.5)
    noise = rng.uniform(0.004, 0.03) * severity * (1 if noisy else 0.3)
    warm, tint = rng.normal(0, 0.1), rng.normal(0, 0.04)
    quality = int(rng.integers(30, 96))
    return Lens(
        exposure=rng.uniform(0.13, 0.3) * (1.15 if outdoor else 0.85),
        balance=(math.exp(warm), math.exp(tint), math.exp(-warm)),
        gamma=rng.uniform(1.9, 2.5),
        contrast=rng.uniform(0, 0.5),
        saturation=rng.uniform(0.75, 1.25),
        vignette=rng.uniform(0, 0.55),
        bloom=rng.uniform(0.02, 0.25),
        defocus=severity * (rng.uniform(0.0008, 0.0028) if blurred else 0.0005),
        shake=(way * math.cos(angle), way * math.sin(angle)),
        noise=(noise, noise * rng.uniform(0.2, 0.5)),
        jpeg=100 - round((100 - quality) * min(severity, 1.2))
        if severity and rng.random() < 0.7
        else 0,
    )


def draw_backdrop(rng: np.random.Generator, outdoor: bool) -> Backdrop:
    """Paint the surroundings."""
    walls = textures.stadium_strip(rng) if outdoor else textures.hall_strip(rng)
    lid = textures.sky(rng) if outdoor else textures.ceiling(rng)
    return Backdrop(
        boards=textures.board_strip(rng),
        walls=walls,
        lid=lid,
        net=rng.uniform(0.05, 0.35) if rng.random() < 0.75 else 0.0,
    )


def _floor_colour(rng: np.random.Generator, outdoor: bool) -> np.ndarray:
    options = [rng.uniform(0.35, 0.75) * np.array([1, 0.98, 0.95]), np.array([0.6, 0.42, 0.25])]
    options.append(np.array([0.55, 0.22, 0.18]) if outdoor else np.array([0.25, 0.3, 0.42]))
    options.append(np.full(3, rng.uniform(0.1, 0.35)))
    return options[rng.integers(len(options))] * rng.uniform(0.8, 1.15)


def _rgb(values: np.ndarray) -> Rgb:
    red, green, blue = (float(min(max(v, 0), 1)) for v in values)
    return (red, green, blue)
