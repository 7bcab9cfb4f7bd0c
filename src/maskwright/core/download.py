"""Files from the network, kept: an address -> a path, whole and checked, or an error.

Kept in `MASKWRIGHT_CACHE`, else in `maskwright` under `XDG_CACHE_HOME` (by default `~/.cache`).
What lies there already is taken without a connection.

A checksum is a part of the address: `...pth#sha256=` and 64 digits, or, as torch.hub has it, the
first digits behind the last dash of the file's name: `fcn_resnet50_coco-1167a1af.pth`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.core.errors import DownloadError
from maskwright.core.files import atomic_path

CACHE_VARIABLE = "MASKWRIGHT_CACHE"
TIMEOUT = 30.0
"""Seconds that a server may be silent."""

LONGEST = 6 * 3600.0
"""Seconds that a file may take in all: a server that sends a byte now and then isn't waited for."""

LARGEST = 16 << 30
"""Bytes that a file may have: twice what the largest published weights of these networks take."""

_BLOCK = 1 << 20
_SCHEMES = ("http", "https", "file")
_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")
_DATE = re.compile(r"(19|20)\d{6}")


def is_address(text: str) -> bool:
    """Whether a text is an address with a scheme, such as https://..., and no path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def cache_folder() -> Path:
    """Where files from the network are kept; it may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maskwright"


def download(
    address: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    timeout: float = TIMEOUT,
    longest: float = LONGEST,
    largest: int = LARGEST,
) -> Path:
    """The file at an address, from the network once and from the cache after that.

    Args:
        address: http, https or file; a checksum may be a part of it. A file's own address is
            answered with its path, and nothing is copied.
        progress: called with bytes so far and in all (0: the server doesn't tell).
        timeout: seconds that the server may be silent.
        longest: seconds that the file may take in all.
        largest: bytes that it may have.

    Raises:
        DownloadError: another scheme, no connection, no such file, a page instead of a file, fewer
            bytes than the server told, another checksum, a file that takes too long or too much.
    """
    plain, _, fragment = address.partition("#")
    parts = urllib.parse.urlsplit(plain)
    if parts.scheme.lower() not in _SCHEMES or (
        parts.scheme.lower() != "file" and not parts.netloc
    ):
        raise DownloadError(
            f"expected an address that begins with {', '.join(f'{one}://' for one in _SCHEMES)}, "
            f"got {address!r}."
        )
    wanted = _checksum(parts.path, fragment, address)
    if parts.scheme.lower() == "file":
        return _local(parts, wanted, address)
    path = cache_folder() / "downloads" / _name(plain, parts.path)
    if not path.is_file() or not _sha256(path).startswith(wanted):
        with atomic_path(path) as temporary:
            _fetch(plain, temporary, wanted, progress, _Limits(timeout, longest, largest))
    return path


def _checksum(path: str, fragment: str, address: str) -> str:
    """The first digits of the sha256 that the address tells, or ""."""
    if fragment.startswith("sha256="):
        told = fragment.removeprefix("sha256=").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", told):
            raise DownloadError(
                f"expected 64 hexadecimal digits after #sha256=, got {told!r} in {address}."
            )
        return told
    match = _IN_NAME.search(path)
    # eight digits in a name can be the day it was made
    return "" if match is None or _DATE.fullmatch(match[1]) else match[1]


def _name(address: str, path: str) -> str:
    """A file's name in the cache: its own, behind what tells apart those of different addresses."""
    own = re.sub(r"[^\w.+-]+", "_", urllib.parse.unquote(path.rsplit("/", 1)[-1]))[-100:]
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{own or 'file'}"


def original_name(path: Path | str) -> str:
    """The name that a kept file had at its address; a file from elsewhere keeps its own."""
    return re.sub(r"^[0-9a-f]{12}-", "", Path(path).name)


def _local(parts: urllib.parse.SplitResult, wanted: str, address: str) -> Path:
    path = Path(urllib.request.url2pathname(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_file():
        raise DownloadError(f"{address}: there is no file {path} on this machine; check the path.")
    _require_checksum(wanted, _sha256(path) if wanted else "", address)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_checksum(wanted: str, found: str, address: str) -> None:
    if not found.startswith(wanted):
        raise DownloadError(
            f"{address} has another checksum: expected a sha256 that begins with {wanted}, got "
            f"{found}. Nothing of it is kept; get the address from its author."
        )


class _Limits(NamedTuple):
    """Of a download: seconds of silence, seconds in all, bytes."""

    silent: float
    longest: float
    largest: int


def _fetch(
    address: str, path: Path, wanted: str, progress: Callable[[int, int], None], limits: _Limits
) -> None:
    """Write what a server sends to a path."""
    digest, done, started = hashlib.sha256(), 0, time.monotonic()
    with _told_errors(address), _open(address, limits.silent) as reply, path.open("wb") as file:
        total = _announced(reply.headers.get("Content-Length"))
        _refuse_size(address, total, limits, path)
        while block := reply.read1(_BLOCK):  # what is there: read() would wait for a whole block
            if not done:
                _refuse_pages(address, reply.headers.get_content_type(), block)
            done += len(block)
            _refuse_size(address, done, limits)
            if time.monotonic() - started > limits.longest:
                raise DownloadError(
                    f"{address} takes too long: {done} of {total or 'unknown'} bytes came in "
                    f"{limits.longest:.0f} s. Nothing of it is kept; download it elsewhere and "
                    "pass the file."
                )
            file.write(block)
            digest.update(block)
            progress(done, total)
    if not done or done < total:
        raise DownloadError(
            f"{address} broke off: expected {total or 'some'} bytes, got {done}. Nothing of it is "
            "kept; try again."
        )
    _require_checksum(wanted, digest.hexdigest(), address)


def _announced(length: str | None) -> int:
    """The bytes that a server tells; 0 where it doesn't, or tells no number."""
    return int(length) if length and length.isascii() and length.isdigit() else 0


def _refuse_size(address: str, size: int, limits: _Limits, path: Path | None = None) -> None:
    """Refuse more bytes than are allowed, or, where `path` is given, than its disk has free."""
    if size > limits.largest:
        raise DownloadError(
            f"{address} has more than {limits.largest} bytes, which weights don't have. Nothing of "
            "it is kept; check the address."
        )
    if path is not None and size > (free := shutil.disk_usage(path.parent).free):
        raise DownloadError(
            f"{address} has {size} bytes, but only {free} are free in {path.parent}; free some "
            f"space, or set {CACHE_VARIABLE} to another folder."
        )


def _open(address: str, timeout: float) -> Any:
    headers = {"User-Agent": "maskwright", "Accept-Encoding": "identity"}
    opener = urllib.request.build_opener(_Redirects)
    return opener.open(urllib.request.Request(address, headers=headers), timeout=timeout)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from a protected connection to an open one."""

    def redirect_request(self, req: Any, *others: Any) -> Any:
        newurl = others[-1]
        if req.full_url.lower().startswith("https:") and newurl.lower().startswith("http:"):
            raise urllib.error.URLError(f"it leads from https to {newurl}, which is not protected")
        return super().redirect_request(req, *others)


@contextlib.contextmanager
def _told_errors(address: str) -> Iterator[None]:
    """What goes wrong on the way, as a user reads it; a full disk is another's to tell."""
    try:
        yield
    except urllib.error.HTTPError as error:
        advice = (
            "check the address; maskwright models NAME lists the authors'"
            if error.code in (404, 410)
            else "try again later, or download it in a browser and pass the file"
        )
        raise DownloadError(
            f"{address} can't be had: the server says {error.code} {error.reason}; {advice}."
        ) from error
    except urllib.error.URLError as error:
        raise _unreachable(address, error.reason) from error
    except (TimeoutError, ConnectionError, HTTPException) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, reason: object) -> DownloadError:
    silent = isinstance(reason, TimeoutError)
    text = "the server was silent for too long" if silent else str(reason) or type(reason).__name__
    return DownloadError(
        f"could not get {address}: {text}. Connect to the network and try again, or download it "
        "elsewhere and pass the file."
    )


def _refuse_pages(address: str, kind: str, block: bytes) -> None:
    begin = block[:512].lstrip().lower()
    if kind in ("text/html", "application/xhtml+xml") or begin.startswith((b"<!doctype", b"<html")):
        raise DownloadError(
            f"{address} is a page ({kind}), not a file: some hosts want a click. Open it in a "
            "browser, download the file and pass that."
        )
