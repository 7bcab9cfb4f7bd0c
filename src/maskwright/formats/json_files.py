"""JSON files known by their first bytes, so that large ones are read once only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from maskwright.formats import folders

_HEAD = 1 << 16


def head_of(file: Path) -> bytes:
    """The first 64 KiB of a .json file; nothing where it is none or can't be read."""
    if file.suffix.lower() != ".json" or not folders.is_file(file):
        return b""
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD)
    except OSError:
        return b""


def has_keys(head: bytes, *keys: str) -> bool:
    """Whether all of some keys stand in the beginning of a JSON file."""
    return all(re.search(rb'"%s"\s*:' % key.encode(), head) for key in keys)


def find_files(
    root: Path, is_one: Callable[[bytes], bool], inside: str = ""
) -> dict[str, list[Path]]:
    """Split -> the files of a kind: in the root, or else in its folders, which are splits.

    Args:
        root: of the set, or a file itself.
        is_one: the beginning of a file -> whether it is of that kind.
        inside: a folder in which the files lie, below the root or each split's folder.
    """
    if root.is_file():
        return {folders.NO_SPLIT: [root]} if is_one(head_of(root)) else {}
    here = _files_in(root / inside, is_one)
    if here:
        return {folders.NO_SPLIT: here}
    found = {
        one.name: files
        for one in folders.subfolders(root)
        if (files := _files_in(one / inside, is_one))
    }
    names = folders.name_splits(found)
    return {names[folder]: found[folder] for folder in folders.split_order(names)}


def _files_in(folder: Path, is_one: Callable[[bytes], bool]) -> list[Path]:
    if not folder.is_dir():
        return []
    return [file for file in sorted(folder.glob("*.json")) if is_one(head_of(file))]
