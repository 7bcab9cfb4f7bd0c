"""Settings that a user or a file brings, checked against the dataclass that they configure."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from maskwright.core.errors import ConfigError


def config_values(config: type, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Check plain values against a configuration's annotations; lists become tuples.

    Args:
        config: the configuration's class.
        values: attribute -> value, as JSON or a command line brings them.
        name: of what is configured, for the error's text.

    Raises:
        ConfigError: an attribute that the configuration lacks, or a value of the wrong type.
    """
    hints = typing.get_type_hints(config)
    known = [field.name for field in dataclasses.fields(config)]
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"{name} has no setting {key!r} (got {value!r}); {nearest(key, known)}"
            )
        try:
            checked[key] = _convert(hints[key], value)
        except TypeError:
            expected = _told(hints[key])
            raise ConfigError(f"{name}: expected {key} to be {expected}, got {value!r}.") from None
    return checked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a configuration, as its documentation tells it.

    Attributes:
        name: of the attribute.
        default: as it is written; "" where it must be given.
        kind: its type, in words.
        meaning: what the class's docstring says of it.
    """

    name: str
    default: str
    kind: str
    meaning: str


def describe(config: type) -> list[Setting]:
    """Every setting of a configuration, from its fields and the "Attributes:" of its docstring."""
    hints = typing.get_type_hints(config)
    meanings = _attributes(inspect.getdoc(config) or "")
    found = []
    for field in dataclasses.fields(config):
        default = ""
        if field.default is not dataclasses.MISSING:
            default = str(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = str(field.default_factory())
        found.append(
            Setting(
                name=field.name,
                default=default,
                kind=_told(hints[field.name]),
                meaning=meanings.get(field.name, ""),
            )
        )
    return found


def _attributes(docstring: str) -> dict[str, str]:
    """Name -> text of a docstring's "Attributes:"; "a, b: text" tells of both."""
    _, _, section = docstring.partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        start = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if start:
            names = start[1].split(", ")
        for name in names:
            text = start[2] if start else line.strip()
            found[name] = f"{found.get(name, '')} {text}".strip()
    return found


def _convert(hint: Any, value: Any) -> Any:
    """The value as the annotation has it; TypeError where it is something else."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, str):
        value = _entries(inner, value)
    if origin is tuple and isinstance(value, (list, tuple)):
        return _convert_tuple(inner, value)
    if origin is Literal and value in inner:
        return value
    if origin in {types.UnionType, typing.Union}:
        return _convert_union(inner, value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, bool):
        raise TypeError
    if isinstance(hint, type) and isinstance(value, hint):
        return value
    raise TypeError


def _entries(inner: tuple[Any, ...], text: str) -> list[Any] | str:
    """ "160x240" and "encoder, head" as a command line has them; other text as it is."""
    size = re.fullmatch(r"(\d+)[xX×](\d+)", text.strip())
    if inner == (int, int) and size:
        return [int(size[1]), int(size[2])]
    if inner == (str, Ellipsis):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _convert_tuple(inner: tuple[Any, ...], value: Iterable[Any]) -> tuple[Any, ...]:
    entries = list(value)
    hints = [inner[0]] * len(entries) if inner[-1] is Ellipsis else list(inner)
    if len(hints) != len(entries):
        raise TypeError
    return tuple(_convert(hint, entry) for hint, entry in zip(hints, entries))


def _convert_union(arms: tuple[Any, ...], value: Any) -> Any:
    for arm in arms:
        try:
            return _convert(arm, value)
        except TypeError:
            continue
    raise TypeError


def _told(hint: Any) -> str:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, inner))
    if any(typing.get_origin(arm) is Literal for arm in inner):
        return " or ".join(_told(arm) for arm in inner if arm is not types.NoneType)
    return hint.__name__ if hint in {int, float, bool, str} else str(hint).replace("typing.", "")


def nearest(word: str, known: Iterable[str]) -> str:
    """What the user may have meant, else everything there is, as the end of an error's text."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"choose one of {', '.join(known)}."
