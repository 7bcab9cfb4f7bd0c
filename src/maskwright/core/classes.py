"""The classes of a data set or model: names, colours, and which of them can be counted."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import ConfigError

Colour = tuple[int, int, int]
"""Red, green, blue in 0..255."""


BACKGROUND: Colour = (40, 40, 44)
"""Of a class called "background", where no colours are given."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Classes:
    """Class names in the order of their ids, with an RGB colour each.

    Attributes:
        names: one per class id, from 0; unique.
        colours: RGB 0..255, one per class.
        things: ids of the countable classes (objects); the others are stuff (regions).
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    things: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            twice = sorted(name for name, count in Counter(self.names).items() if count > 1)
            shown = f"{twice[:5]}" + (" and more" if len(twice) > 5 else "")
            raise ConfigError(f"class names must differ, but {shown} stand twice; rename them.")
        if len(self.colours) != len(self.names):
            raise ConfigError(
                f"expected one colour a class: {len(self.names)} names, "
                f"{len(self.colours)} colours; give as many colours as names, or none."
            )
        for name, colour in zip(self.names, self.colours):
            if any(not 0 <= channel <= 255 for channel in colour):
                raise ConfigError(
                    f"expected the colour of {name!r} as red, green, blue in 0..255, got {colour}."
                )
        if any(not 0 <= thing < len(self.names) for thing in self.things):
            raise ConfigError(
                f"thing ids must lie in 0..{len(self.names) - 1}, got {sorted(self.things)}."
            )

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        colours: Sequence[Sequence[int]] | None = None,
        things: Iterable[int] = (),
    ) -> Classes:
        """Build from names alone, with well separated colours where none are given.

        A class called "background" is then dark, so that what matters stands out against it.
        """
        names = tuple(names)
        chosen = _default_colours(names) if colours is None else colours
        return cls(
            names=names,
            colours=tuple(_colour(colour) for colour in chosen),
            things=frozenset(things),
        )

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:5]) + (", ..." if len(self.names) > 5 else "")
        things = f", {len(self.things)} things" if self.things else ""
        return f"Classes({len(self.names)}: {shown}{things})"

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The id of a class name.

        Raises:
            ConfigError: there is no such class.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(
                f"no class {name!r}; the classes are {', '.join(self.names)}."
            ) from None

    @property
    def void(self) -> int:
        """The id in a class map that means no class: 255, or 65535 above 255 classes."""
        return 255 if len(self.names) <= 255 else 65535

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        return {
            "names": list(self.names),
            "colours": [list(colour) for colour in self.colours],
            "things": sorted(self.things),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Classes:
        """Inverse of `to_dict`."""
        return cls.of(data["names"], data.get("colours"), data.get("things", ()))


def _colour(channels: Sequence[int]) -> Colour:
    if not isinstance(channels, Sequence) or isinstance(channels, str) or len(channels) != 3:
        raise ConfigError(f"expected a colour as red, green, blue, got {str(channels)[:80]}.")
    red, green, blue = channels
    try:
        return int(red), int(green), int(blue)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"expected a colour as red, green, blue in 0..255, got {str(channels)[:80]}."
        ) from None


def _default_colours(names: tuple[str, ...]) -> tuple[Colour, ...]:
    dark = [name.lower() == "background" for name in names]
    bright = iter(distinct_colours(len(names) - sum(dark)))
    return tuple(BACKGROUND if is_dark else next(bright) for is_dark in dark)


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """`count` RGB colours, far apart: hues a golden angle apart, in three levels of light."""
    levels = ((0.65, 0.98), (0.55, 0.7), (0.95, 0.85))  # saturation, value
    colours = []
    for index in range(count):
        hue = (0.58 + index * 0.618034) % 1.0
        saturation, value = levels[index % len(levels)]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return tuple(colours)
