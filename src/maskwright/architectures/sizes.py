"""Checks that configurations make on themselves."""

from __future__ import annotations

from maskwright.core.errors import ConfigError


def require_lengths(config: object, **lengths: int) -> None:
    """Every named tuple has the wanted number of entries, all of them positive.

    Args:
        config: a configuration.
        lengths: attribute -> number of entries.

    Raises:
        ConfigError: another number, or an entry below 1.
    """
    for name, length in lengths.items():
        value = getattr(config, name)
        if len(value) != length or min(value) < 1:
            raise ConfigError(
                f"{type(config).__name__} expects {length} positive entries in {name}, got {value}."
            )


def require_positive(config: object, *names: str) -> None:
    """Every named number is 1 or more.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(
                f"{type(config).__name__} expects {name} >= 1, got {getattr(config, name)}."
            )
