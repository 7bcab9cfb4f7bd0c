"""`Format`: what a file of this room offers to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.sample import Dataset, Task
from maskwright.formats.writing import Finisher, SampleWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """One way to lay annotations on disk.

    Attributes:
        name: key in `FORMATS`.
        layout: the files it expects, in one line, for messages.
        tasks: what it can hold.
        read: `read(path, ignore=(), strict=True) -> Dataset`.
        write: `write(dataset, path)` -> a sentence for each thing that the format can't hold.
        detect: a path -> why it is this format, or None.
        write_sample: writes the files of one image; see `writing`.
        finish: writes the set's own files, after all images.
    """

    name: str
    layout: str
    tasks: frozenset[Task]
    read: Callable[..., Dataset]
    write: Callable[..., tuple[str, ...]]
    detect: Callable[[Path], str | None]
    write_sample: SampleWriter
    finish: Finisher
