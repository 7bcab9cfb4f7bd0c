"""`NAME.mask`: one zip that holds a model and its card.

    card.json       the `ModelCard`: classes, resize, tasks, what was measured
    graph.onnx      uint8 RGB [1, 3, H, W], or as the card's pixels tell -> the standard outputs
    openvino/*      OpenVINO IR, only where conversion from ONNX fails or is measured slower

A bundle is data from strangers: it is read into memory, nothing is extracted to disk, and it holds
neither pickles nor code. Members are stored uncompressed (weights don't shrink), without dates, so
that equal inputs give equal bytes.
"""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskwright.core.card import ModelCard
from maskwright.core.errors import ModelFileError
from maskwright.core.files import write_bytes

SUFFIX = ".mask"
CARD, GRAPH, OPENVINO = "card.json", "graph.onnx", "openvino/"

MAX_CARD_BYTES = 16 << 20
MAX_TOTAL_BYTES = 2 << 30
MAX_MEMBERS = 64
MAX_RATIO = 20
"""Declared size over stored size; float weights reach 1.2, int8 graphs 3, bombs 1000."""

_RATIO_FLOOR = 1 << 20  # smaller members may shrink as they like
_ENCRYPTED = 0x1
_UNCOMPRESSED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
_MODE = (stat.S_IFREG | 0o644) << 16
_MEMBER = re.compile(r"card\.json|graph\.onnx|openvino/[A-Za-z0-9_-][A-Za-z0-9._-]*")
# Protobuf's field 1, length 8, in every encoding that a parser takes; then ONNX's key "location".
# It would also match a tensor called exactly so; our exporter gives no such name.
_EXTERNAL_KEY = b"location"
_EXTERNAL_TAG = re.compile(rb"(?:\x0a|\x8a\x80{0,8}\x00)(?:\x08|\x88\x80{0,8}\x00)\Z")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a bundle file holds.

    Attributes:
        card: the model's card.
        graph: the ONNX graph, serialised.
        openvino: name below "openvino/" -> content; empty in most bundles.
        source: the path it was read from, for messages.
        bytes_on_disk: the file's size.
    """

    card: ModelCard
    graph: bytes
    openvino: Mapping[str, bytes] = field(default_factory=dict)
    source: str = "the bundle"
    bytes_on_disk: int = 0


def write_bundle(
    path: Path | str, card: ModelCard, graph: bytes, openvino: Mapping[str, bytes] | None = None
) -> int:
    """Write a bundle atomically; the same arguments give the same bytes.

    Args:
        path: ends in ".mask" by convention; folders are made.
        card: with what was measured.
        graph: serialised ONNX, with its weights inside.
        openvino: OpenVINO IR, name -> content.

    Returns:
        The file's size in bytes.

    Raises:
        MaskwrightError: the folder can't be written or the disk is full; what stood there before
            is unchanged.
        ModelFileError: the members would be refused when read back.
    """
    card_text = json.dumps(card.to_dict(), indent=2, ensure_ascii=False) + "\n"
    members = {CARD: card_text.encode(), GRAPH: graph}
    members |= {f"{OPENVINO}{name}": content for name, content in sorted((openvino or {}).items())}
    _refuse_unexpected(str(path), list(members))
    _refuse_external_data(str(path), graph)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix on every system, so that the bytes agree
            info.external_attr = _MODE
            archive.writestr(info, content)
    write_bytes(path, buffer.getvalue())
    return buffer.tell()


def read_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle; nothing in it runs and nothing is written.

    Raises:
        ModelFileError: missing, no bundle, damaged, from a newer version, or unsafe.
    """
    data = _read_file(Path(path))
    members = _read_members(str(path), data)
    card = _read_card(str(path), members)
    _refuse_unexpected(str(path), list(members))
    _refuse_external_data(str(path), members[GRAPH])
    return Bundle(
        card=card,
        graph=members[GRAPH],
        openvino={
            name.removeprefix(OPENVINO): content
            for name, content in members.items()
            if name.startswith(OPENVINO)
        },
        source=str(path),
        bytes_on_disk=len(data),
    )


def _read_file(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_TOTAL_BYTES:
            raise ModelFileError(
                f"{path} has {size} bytes, more than any bundle may ({MAX_TOTAL_BYTES}); expected "
                f"a {SUFFIX} file written by maskwright export."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise ModelFileError(
            f"could not read {path}: {error.strerror}; expected a bundle ({SUFFIX} file)."
        ) from error


def _read_members(source: str, data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _refuse_unsafe(source, infos)
            return {info.filename: _read_member(archive, info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        kind = "is damaged or truncated" if data[:2] == b"PK" else "is no bundle"
        raise ModelFileError(
            f"{source} {kind} ({len(data)} bytes: {error}); expected a zip written by maskwright "
            "export. Copy it again from its source."
        ) from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # A length is asked for because a lying header could otherwise inflate to anything.
    with archive.open(info) as member:
        content = member.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(
            f"{info.filename} declares {info.file_size} bytes and holds {len(content)}"
        )
    return content


def _refuse_unsafe(source: str, infos: list[zipfile.ZipInfo]) -> None:
    """What no honest writer makes, told from the zip's directory before anything is inflated."""
    names = [info.filename for info in infos]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 999 else []
    total = sum(info.file_size for info in infos)
    reason = None
    if len(infos) > MAX_MEMBERS:
        reason = f"it has {len(infos)} members, at most {MAX_MEMBERS} are allowed"
    elif twice:
        reason = f"{twice[0]!r} stands twice in it"
    elif total > MAX_TOTAL_BYTES:
        reason = f"it unpacks to {total} bytes, at most {MAX_TOTAL_BYTES} are allowed"
    else:
        reason = next(filter(None, map(_unsafe_member, infos)), None)
    if reason is not None:
        raise ModelFileError(
            f"{source} is not a safe bundle: {reason}. Don't use it; get it from its author."
        )


def _unsafe_member(info: zipfile.ZipInfo) -> str | None:
    name = info.filename
    parts = re.split(r"[/\\]", info.orig_filename)
    if parts[0] == "" or ":" in parts[0] or ".." in parts or "\0" in info.orig_filename:
        return f"the member {info.orig_filename!r} points outside of it"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"the member {name!r} is a link or device, not a file"
    if info.flag_bits & _ENCRYPTED:
        return f"the member {name!r} is encrypted"
    if info.compress_type not in _UNCOMPRESSED_OR_DEFLATED:
        return f"the member {name!r} is compressed by the unusual method {info.compress_type}"
    if name == CARD and info.file_size > MAX_CARD_BYTES:
        return f"its card has {info.file_size} bytes, at most {MAX_CARD_BYTES} are allowed"
    if info.file_size > max(_RATIO_FLOOR, MAX_RATIO * info.compress_size):
        return (
            f"the member {name!r} unpacks from {info.compress_size} to {info.file_size} bytes, "
            f"more than {MAX_RATIO} times"
        )
    return None


def _refuse_unexpected(source: str, names: list[str]) -> None:
    missing = [name for name in (CARD, GRAPH) if name not in names]
    if missing:
        raise ModelFileError(
            f"{source} has no {' and no '.join(missing)}, only {', '.join(names) or 'nothing'}; "
            "expected a bundle written by maskwright export."
        )
    strange = [name for name in names if not _MEMBER.fullmatch(name)]
    if strange:
        raise ModelFileError(
            f"{source} is not a safe bundle: the member {strange[0]!r} does not belong in it; "
            f"expected {CARD}, {GRAPH} and {OPENVINO}* only."
        )


def _refuse_external_data(source: str, graph: bytes) -> None:
    # ONNX tensors may name another file to be read; OpenVINO follows even absolute paths.
    at = graph.find(_EXTERNAL_KEY)
    while at >= 0:
        if _EXTERNAL_TAG.search(graph[max(0, at - 24) : at]):
            raise ModelFileError(
                f"{source} is not a safe bundle: {GRAPH} refers to weights in another file (byte "
                f"{at}); expected a graph with its weights inside."
            )
        at = graph.find(_EXTERNAL_KEY, at + 1)


def _read_card(source: str, members: Mapping[str, bytes]) -> ModelCard:
    if CARD not in members:
        _refuse_unexpected(source, list(members))
    try:
        card = json.loads(members[CARD])
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{source} has a card that is not JSON ({type(error).__name__}: {error}); export the "
            "model again."
        ) from error
    return ModelCard.from_dict(card, source)
