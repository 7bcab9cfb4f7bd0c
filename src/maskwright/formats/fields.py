"""Fields of files that anybody may have written: the value that was expected, or what came instead.

Every function takes an object and the name of a field, and raises a `DataError` whose text is a
phrase; who calls puts the file and the entry in front (`at`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from maskwright.core.errors import DataError, MaskwrightError

Fields = dict[str, Any]
"""An object of a JSON file."""


@contextlib.contextmanager
def at(place: object) -> Iterator[None]:
    """Put the place in front of the text of an error that the block raises.

    Raises:
        DataError: the block raised an error of a user's input.
    """
    try:
        yield
    except MaskwrightError as error:
        raise DataError(f"{place}: {error}") from None


def wrong(expected: str, value: object, do: str = "mend it") -> DataError:
    """The error for a value that isn't what was expected."""
    return DataError(f"expected {expected}, got {shown(value)}; {do}.")


def shown(value: object) -> str:
    """The beginning of a value, for an error's text."""
    if isinstance(value, int) and abs(value) > 10**40:
        return "a whole number of more than 40 digits"
    return repr(value)[:80]


def as_object(value: object, what: str) -> Fields:
    """A value that must be an object.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, dict):
        return value
    raise wrong(f"{what} to be an object", value)


def as_list(value: object, what: str) -> list[Any]:
    """A value that must be a list.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, list):
        return value
    raise wrong(f"{what} to be a list", value)


def objects_in(entry: Fields, key: str) -> list[Fields]:
    """A list of objects.

    Raises:
        DataError: it is missing, no list, or holds something else.
    """
    return [as_object(one, f'an entry of "{key}"') for one in as_list(entry.get(key), f'"{key}"')]


def text_in(entry: Fields, key: str) -> str:
    """A text that isn't empty.

    Raises:
        DataError: it is missing, empty or no text.
    """
    value = entry.get(key)
    if isinstance(value, str) and value.strip():
        return value
    raise wrong(f'"{key}" to be a text', value)


def number_in(entry: Fields, key: str, default: float | None = None) -> float:
    """A finite number; with a default it may be missing or null.

    Raises:
        DataError: anything else.
    """
    value = entry.get(key)
    if value is None and default is not None:
        return default
    return as_number(value, f'"{key}"')


def as_number(value: object, what: str) -> float:
    """A value that must be a finite number, as float.

    Raises:
        DataError: anything else.
    """
    with contextlib.suppress(OverflowError):  # a whole number too long for a float
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and math.isfinite(value):  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
    raise wrong(f"{what} to be a finite number", value)


def whole_in(entry: Fields, key: str) -> int:
    """A whole number, also where it is written as 1.0.

    Raises:
        DataError: anything else.
    """
    value = entry.get(key)
    number = as_number(value, f'"{key}"')
    if not number.is_integer():
        raise wrong(f'"{key}" to be a whole number', value)
    return int(number)


def size_of(entry: Fields, height: str, width: str) -> tuple[int, int] | None:
    """(height, width) in pixels; None where neither is told.

    Raises:
        DataError: one of them is no whole number above 0.
    """
    if entry.get(height) is None and entry.get(width) is None:
        return None
    sides = whole_in(entry, height), whole_in(entry, width)
    if min(sides) < 1:
        raise wrong(f'"{height}" and "{width}" above 0', list(sides))
    return sides


def as_pairs(value: object, what: str) -> np.ndarray:
    """A list of pairs x, y as float64 [N, 2].

    Raises:
        DataError: anything else, or numbers that aren't finite.
    """
    pairs = as_list(value, what)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise wrong(f"{what} to be pairs x, y", pair)
    flat = [as_number(number, f"a number in {what}") for pair in pairs for number in pair]
    return np.array(flat, np.float64).reshape(-1, 2)


def flag_in(entry: Fields, key: str) -> bool:
    """true, false, 0 or 1; missing or null is false.

    Raises:
        DataError: anything else: a text would always be true.
    """
    value = entry.get(key)
    if value is None or (isinstance(value, int | float) and value in (0, 1)):
        return bool(value)
    raise wrong(f'"{key}" to be true or false', value)
