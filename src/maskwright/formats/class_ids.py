"""classes.json, and the way from the ids in mask files to the ids of the classes that are kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, MaskwrightError
from maskwright.core.files import write_json
from maskwright.core.flatten import count_ids
from maskwright.core.image import strips
from maskwright.formats import folders

_NO_CLASS = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class IdTable:
    """From the ids in the files to the ids of `classes`.

    Attributes:
        classes: those that are kept.
        table: int32 [N]: file id -> class id; void's id where ignored, -1 where unknown.
    """

    classes: Classes
    table: np.ndarray

    def apply(self, ids: np.ndarray, source: Path) -> np.ndarray:
        """File ids [H, W] -> class ids [H, W], uint8 (uint16 above 255 classes).

        Raises:
            DataError: ids that no class has, naming them and `source`.
        """
        table = np.full(int(np.iinfo(ids.dtype).max) + 1, _NO_CLASS, np.int32)
        table[: min(len(self.table), len(table))] = self.table[: len(table)]
        void = self.classes.void
        for reserved in (255, len(table) - 1):  # 255 is void in 16 bits too, unless it is a class
            if table[reserved] == _NO_CLASS:
                table[reserved] = void
        present = np.flatnonzero(count_ids(ids, len(table)))
        unknown = present[table[present] == _NO_CLASS]
        if len(unknown):
            known = np.flatnonzero(self.table != _NO_CLASS)
            gaps = len(known) and known[-1] - known[0] + 1 > len(known)
            expected = ", ".join(map(str, known[:9])) if gaps else f"{known[0]}..{known[-1]}"
            raise DataError(
                f"{source} holds ids {folders.shortlist([str(i) for i in unknown])}, but expected "
                f"{expected} or void ({void}). Add the classes to classes.json, or mend the mask."
            )
        table = table.astype(np.uint8 if void == 255 else np.uint16)
        found = np.empty(ids.shape, table.dtype)
        for rows in strips(ids.shape):  # numpy makes indices of 8 bytes
            found[rows] = table[ids[rows]]
        return found


def read_classes(source: Path) -> tuple[Classes, int | None]:
    """The classes of classes.json, and the id among them (or beside) that it ignores.

    Raises:
        DataError: it is no JSON, names no classes, or its palette doesn't fit them.
    """
    data = folders.read_json(source)
    data = {"names": data} if isinstance(data, list) else data
    names = data.get("names") if isinstance(data, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(
            f'{source}: expected a list of class names, or an object whose "names" is one, got '
            f"{str(data)[:80]}; write the names in the order of their ids."
        )
    try:
        classes = Classes.of(names, data.get("palette"), data.get("things", ()))
    except (MaskwrightError, TypeError, ValueError) as error:
        raise DataError(f"{source}: {error}") from None
    ignored = data.get("ignore_index")
    if ignored is not None and not (isinstance(ignored, int) and -256 <= ignored < 1 << 16):
        raise DataError(
            f'{source}: expected "ignore_index" to be an id, got {str(ignored)[:40]!r}; mend it.'
        )
    return classes, ignored


def write_classes(path: Path, classes: Classes) -> None:
    """Write classes.json."""
    entries: dict[str, Any] = {
        "names": list(classes.names),
        "palette": [list(colour) for colour in classes.colours],
        "ignore_index": classes.void,
    }
    if classes.things:
        entries["things"] = sorted(classes.things)
    write_json(path, entries)


def kept_ranks(
    names: Sequence[str], ignore: Collection[str], source: Path, what: str = "class"
) -> list[int]:
    """The places of the names that are not to be ignored.

    Args:
        names: of the classes.
        ignore: names among them.
        source: where the classes stand, for the errors' text.
        what: a class is called there.

    Raises:
        ConfigError: `ignore` holds a name that isn't there, or all of them.
    """
    unknown = next((name for name in ignore if name not in names), None)
    if unknown is not None:
        raise ConfigError(f"no {what} {unknown!r}; they are {', '.join(names)}.")
    kept = [rank for rank, name in enumerate(names) if name not in ignore]
    if not kept:
        raise ConfigError(
            f"every {what} of {source} is ignored ({', '.join(names)}); keep at least one."
        )
    return kept


def subset(classes: Classes, kept: Sequence[int]) -> Classes:
    """Some of the classes, in the order of `kept`, with their colours."""
    return Classes.of(
        (classes.names[i] for i in kept),
        [classes.colours[i] for i in kept],
        (new for new, old in enumerate(kept) if old in classes.things),
    )


def leave_out(classes: Classes, ignored: Collection[int], source: Path) -> IdTable:
    """Turn some ids to void; the classes that stay move together.

    Args:
        classes: of the files.
        ignored: ids; those that no class has are void too.
        source: where the classes stand, for the error's text.

    Raises:
        ConfigError: no class is left.
    """
    names = [classes.names[i] for i in ignored if 0 <= i < len(classes)]
    kept = kept_ranks(classes.names, names, source)
    chosen = subset(classes, kept)
    table = np.full(max(len(classes), *(i + 1 for i in (-1, *ignored))), _NO_CLASS, np.int32)
    table[kept] = np.arange(len(kept))
    table[[i for i in ignored if i >= 0]] = chosen.void
    return IdTable(classes=chosen, table=table)
