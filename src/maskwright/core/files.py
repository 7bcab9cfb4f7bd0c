"""Files that are whole or absent: written beside their place, flushed to disk, then renamed.

And outputs that never take the place of an input, or of what another program wrote: `OUTPUTS` says
how each kind of output is known again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import ConfigError, could_not_write
from maskwright.core.locking import LOCKS, take_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A kind of thing that a command writes.

    Attributes:
        suffixes: of a file; none for a folder.
        mark: bytes in the head of such a file, of a folder's first file: what was written before.
        ours: whether the mark tells that it was this program that wrote it.
        files: names inside a folder that are written there, the one that bears the mark first.
            Of a folder with none, it is new or empty.
        whole: a folder that holds anything must bear the mark: its other names aren't fixed.
    """

    suffixes: tuple[str, ...] = ()
    mark: bytes = b""
    ours: bool = True
    files: tuple[str, ...] = ()
    whole: bool = False


OUTPUTS = {
    "bundle": Output(suffixes=(".mask",), mark=b"PK\x03\x04"),
    "scores": Output(suffixes=(".json",), mark=b'"scored":'),
    "record": Output(suffixes=(".json",), mark=b'"bytes_on_disk":'),
    "page": Output(suffixes=(".html", ".htm"), mark=b"<html", ours=False),
    "picture": Output(suffixes=(".png", ".jpg", ".jpeg"), mark=b"maskwright data preview"),
    "run": Output(
        mark=b'"architecture":',
        files=("config.json", "environment.json", "metrics.csv", "report.html", "best.safetensors",
               "last.safetensors", "state.safetensors", "state-before.safetensors"),
    ),
    "predictions": Output(
        mark=b"maskwright predict",
        files=(".predictions", "masks", "overlays", "instances.json", "classes.json"),
        whole=True,
    ),
    "benchmark": Output(mark=b'"rooflines":', files=("latency.json", "report.html")),
    "comparison": Output(mark=b'"rows":', files=("comparison.json", "report.html")),
    "demo": Output(
        mark=b"maskwright demo",
        files=("maskwright-demo.json", "scenes", "run", "pitch.mask", "latency.json",
               "report.html"),
    ),
    "set": Output(),
}  # fmt: skip
"""What commands write, by kind."""

_HEAD = 1 << 22


def find_checkpoint(path: Path) -> Path:
    """A run folder means its best weights."""
    return path / "best.safetensors" if path.is_dir() else path


def refuse_output(
    path: Path | str,
    kind: str,
    inputs: Iterable[Path | str | None] = (),
    option: str = "--out",
) -> None:
    """Refuse an output that would take the place of an input, or of something of another kind.

    Links, "..", relative paths and a file system that ignores case are seen through. What lies
    below an input folder counts as an input, unless it is known to be an earlier output.

    Args:
        path: a file or folder that is to be written.
        kind: a key of `OUTPUTS`.
        inputs: files and folders that the command reads; None and what doesn't exist are left out.
        option: what the user typed, for the message.

    Raises:
        ConfigError: `path` is an input or holds one, has another suffix, or something else lies
            there.
        MaskwrightError: it can't be written, as far as can be seen before the work.
    """
    path, known = Path(path), OUTPUTS[kind]
    _refuse_unwritable(path)
    for one in inputs:
        if one is not None and os.path.lexists(one):
            _refuse_input(path, Path(one), known, option)
    if known.suffixes and path.suffix.lower() not in known.suffixes:
        raise ConfigError(
            f"expected the {kind} of {option} to end in {' or '.join(known.suffixes)}, got {path}."
        )
    if path.is_dir() if known.suffixes else path.is_file():
        there, wanted = ("folder", "file") if known.suffixes else ("file", "folder")
        raise ConfigError(f"expected a {wanted} for {option}, but {path} is a {there}.")
    stands = _stands(path, known)
    if stands is not None:
        raise ConfigError(
            f"{option} would replace {stands}, which is no {kind} that was written before; "
            "expected another place."
        )


def _stands(path: Path, known: Output) -> Path | None:
    """What lies there and isn't of this kind."""
    if known.suffixes:
        return path if path.exists() and not _bears(path, known.mark) else None
    if not path.is_dir() or (known.files and _bears(path / known.files[0], known.mark)):
        return None
    if known.whole:
        return next(path.iterdir(), None)
    return next((path / name for name in known.files if (path / name).exists()), None)


def _refuse_unwritable(path: Path) -> None:
    """What a write would fail with at its end, found before the work."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise could_not_write(path, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
    place = next(above for above in path.absolute().parents if os.path.lexists(above))
    if not place.is_dir():
        raise could_not_write(path, OSError(errno.ENOTDIR, f"{place} is no folder"))
    place = path if path.is_dir() else place
    if not os.access(place, os.W_OK | os.X_OK):
        raise could_not_write(path, OSError(errno.EACCES, os.strerror(errno.EACCES)))


def _refuse_input(path: Path, source: Path, known: Output, option: str) -> None:
    if _same(path, source):
        raise ConfigError(f"{option} {path} is the input {source}; choose another place.")
    real, inside = path.resolve(), source.resolve()
    if not known.suffixes and any(_same(above, real) for above in inside.parents):
        raise ConfigError(
            f"{option} {path} holds the input {source}; choose a folder of its own, so that "
            "nothing in it is replaced."
        )
    below = source.is_dir() and any(_same(above, source) for above in real.parents)
    if below and known.suffixes and path.exists() and not (known.ours and _bears(path, known.mark)):
        raise ConfigError(
            f"{option} would replace {path}, which lies in the input {source}; choose another "
            "place."
        )


def _same(one: Path, other: Path) -> bool:
    """Whether two paths mean one place, also where the file system ignores case."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _bears(file: Path, mark: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return mark in opened.read(_HEAD)
    except OSError:
        return False


LONGEST_NAME = 255
"""Bytes of a file's name, on every common file system."""

_RANDOM = 8  # characters that tempfile puts into a name
_PART = re.compile(r"\..*\.[a-z0-9_]{8}\.part(\.\w+)?", re.DOTALL)
_swept: set[Path] = set()


@contextlib.contextmanager
def atomic_path(
    path: Path | str, keep_suffix: bool = False, flushed: bool = True
) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place in one step.

    If the block raises, or the process dies, whatever stood at `path` before is untouched.

    Args:
        path: to write.
        keep_suffix: the temporary path ends as `path` does, for writers that choose by that.
        flushed: whether it must have reached the disk before it takes its place. Else a crash of
            the whole machine may leave it empty: for what is known again then, and made anew.

    Raises:
        MaskwrightError: the folder can't be written or the disk is full.
    """
    path, held = Path(path), _held.get()
    temporary, handle = None, -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        temporary, handle = _temporary(path, ".part" + (path.suffix if keep_suffix else ""))
        yield temporary
        if flushed and held is None:
            _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        if flushed and held is not None:
            held.append(path)
    except OSError as error:
        raise could_not_write(path, error, " What stood there before is unchanged.") from error
    finally:
        if temporary is not None:
            os.close(handle)
            temporary.unlink(missing_ok=True)


_held: ContextVar[list[Path] | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def flushes_held(files: list[Path]) -> Iterator[None]:
    """Files that are written inside take their places before they have reached the disk.

    Args:
        files: takes their paths, as they come: `flush` them before anything tells that they are
            whole.
    """
    before = _held.set(files)
    try:
        yield
    finally:
        _held.reset(before)


def flush(files: Sequence[Path]) -> None:
    """Wait until files have reached the disk: all at once, which takes little longer than one.

    Raises:
        MaskwrightError: the disk is full, or at fault.
    """
    from concurrent.futures import ThreadPoolExecutor  # no command needs it to start

    if not files:
        return
    with ThreadPoolExecutor(min(16, len(files))) as pool:
        for file, done in [(file, pool.submit(_flush, file)) for file in files]:
            try:
                done.result()
            except OSError as error:
                raise could_not_write(file, error) from error


def _flush(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _temporary(path: Path, suffix: str) -> tuple[Path, int]:
    """A new file beside `path`, locked while its handle is open, so that nobody sweeps it away."""
    room = max(0, LONGEST_NAME - len(os.fsencode(suffix)) - _RANDOM - len(".."))
    own = os.fsencode(path.name)[:room].decode(errors="ignore")
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{own}.", suffix=suffix, dir=path.parent)
        if take_lock(handle) and Path(name).exists():
            return Path(name), handle
        os.close(handle)  # another program swept here before the lock was taken


def _sweep(folder: Path) -> None:
    """Remove what killed programs left half-written in a folder; once a process."""
    folder = folder.absolute()  # `resolve` takes longer than all else that is done here
    if not LOCKS or folder in _swept:
        return
    _swept.add(folder)
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as left:
                if take_lock(left.fileno()):
                    path.unlink()


def write_bytes(path: Path | str, data: bytes, flushed: bool = True) -> None:
    """Write `data` to `path` atomically; `flushed` as of `atomic_path`."""
    with atomic_path(path, flushed=flushed) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str, flushed: bool = True) -> None:
    """Write `text` to `path` as UTF-8, atomically; `flushed` as of `atomic_path`."""
    write_bytes(path, text.encode(), flushed)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
