"""Bundles that ship inside the package, so that it does something useful at once."""

from __future__ import annotations

from pathlib import Path

from maskwright.core.errors import ConfigError

_FOLDER = Path(__file__).with_name("bundled")

BUNDLED: dict[str, str] = {
    "pitch": "football pitches: background, field, line, ball",
}
"""Name -> what the bundle segments."""


def bundled(name: str = "pitch") -> Path:
    """The path of a bundle that ships with the package.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in BUNDLED:
        raise ConfigError(f"no bundle {name!r} ships here; there are {', '.join(BUNDLED)}.")
    return _FOLDER / f"{name}.mask"
