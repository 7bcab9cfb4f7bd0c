"""Weights from files, ours or others', into a network: nothing in them ever runs.

`.pt` and `.pth` files are pickles, which can call anything. They go through torch's restricted
unpickler with an allow-list that is closed here: tensors, numbers, strings and plain containers;
numpy values are passed over. What other libraries added to torch's list is set aside meanwhile.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from maskwright.architectures.contract import Network
from maskwright.core.errors import ModelFileError

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")
"""Keys under which training programs keep the weights, the likeliest first."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

MAX_UNPACKED_BYTES = 16 << 30

_DEEPEST = 8  # wrappers within wrappers

_GLOBAL = re.compile(r"(?:GLOBAL (\S+) was not|GLOBAL (\S+) whose module)")


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of the tensors of a file.

    Attributes:
        loaded: names that are now in the network.
        missing: names of the network that the file lacks; they keep their first values.
        unexpected: names of the file that the network lacks; they were left out.
        swapped: head name -> (shape in the file, shape in the network), for other classes; they
            keep their first values.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    swapped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __str__(self) -> str:
        """One sentence a finding, for the user."""
        lines = [f"loaded {len(self.loaded)} of {len(self.loaded) + self._absent} tensors"]
        if self.swapped:
            name, (old, new) = next(iter(self.swapped.items()))
            lines.append(
                f"the head was swapped for the new classes and starts anew: {len(self.swapped)} "
                f"tensors, such as {name} {list(old)} -> {list(new)}"
            )
        for word, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                lines.append(f"{len(names)} {word}, such as {names[0]}")
        return "; ".join(lines)

    @property
    def _absent(self) -> int:
        return len(self.missing) + len(self.swapped)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors`, `.pt` or `.pth` file, told by content, not by name.

    Wrappers such as {"state_dict": ...} and prefixes such as "module." are taken off.

    Returns:
        name -> tensor on the processor.

    Raises:
        ModelFileError: missing, no weights, damaged, or it holds code; the text names the global.
    """
    data = read_model_file(path)
    tensors = parse_safetensors(path, data) if is_safetensors(data) else _read_pickle(path, data)
    return usable(path, _without_prefixes(tensors))


def usable(path: Path | str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as networks take them: floating-point numbers of any width become float32.

    Raises:
        ModelFileError: complex, quantised or sparse tensors, or numbers that aren't finite.
    """
    found = {}
    for name, tensor in tensors.items():
        if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
            kind = tensor.dtype if tensor.layout == torch.strided else tensor.layout
            raise ModelFileError(
                f"{path} holds {name} as {kind}, expected plain floating-point numbers; save the "
                "weights of a network that was not converted."
            )
        moved = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(moved).all():
            raise ModelFileError(
                f"{path} holds numbers in {name} that are not finite (NaN or infinite): the "
                "training that wrote it had failed, or it was damaged. Take an earlier file."
            )
        found[name] = moved
    return found


def load_weights(network: Network, tensors: Mapping[str, Tensor]) -> LoadReport:
    """Put tensors into a network by name; a head for other classes is swapped for a new one.

    Args:
        network: keeps its first values where the tensors lack or don't fit.
        tensors: names as in the network's state dict.

    Raises:
        ModelFileError: nothing fits, or a tensor outside of the head has another shape.
    """
    own = network.state_dict()
    shared = [name for name in own if name in tensors]
    differ = {
        name: (tuple(tensors[name].shape), tuple(own[name].shape))
        for name in shared
        if tensors[name].shape != own[name].shape
    }
    strange = [name for name in differ if not name.startswith(network.head_prefixes())]
    if strange:
        came, wanted = differ[strange[0]]
        raise ModelFileError(
            f"the weights are for another configuration: {len(strange)} tensors have another "
            f"shape, such as {strange[0]}: expected {list(wanted)}, got {list(came)}. Choose the "
            "variant that the weights were made for."
        )
    fitting = {name: tensors[name] for name in shared if name not in differ}
    if not fitting:
        raise ModelFileError(
            f"none of the {len(tensors)} tensors fits {type(network).__name__}: expected names "
            f"such as {', '.join(list(own)[:2])}, got {', '.join(list(tensors)[:2]) or 'none'}. "
            "Choose the architecture that the weights were made for."
        )
    network.load_state_dict(fitting, strict=False)
    return LoadReport(
        loaded=tuple(fitting),
        missing=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        swapped=differ,
    )


def read_model_file(path: Path | str) -> bytes:
    """The bytes of a file that should hold weights.

    Raises:
        ModelFileError: it is missing, empty, a folder, or unreadable.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise ModelFileError(
            f"could not read {path}: {error.strerror}; expected a file with weights."
        ) from error
    if not data:
        raise ModelFileError(f"{path} is empty (0 bytes); copy it again from its source.")
    return data


def is_safetensors(data: bytes) -> bool:
    """Whether the bytes begin as a safetensors file does: header length, then JSON."""
    return data[8:9] == b"{"


def parse_safetensors(path: Path | str, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ModelFileError: damaged or truncated; `path` is named.
    """
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"{path} is damaged or truncated ({len(data)} bytes: {error}); copy it again from its "
            "source."
        ) from error


def _read_pickle(path: Path | str, data: bytes) -> dict[str, Tensor]:
    if data[:2] == b"PK":
        _refuse_bomb(path, data)
    try:
        with _closed_allow_list(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters comes back as an exception
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _pickle_error(path, data, error) from error
    except Exception as error:  # a damaged pickle can fail in any way
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "TorchScript" in text:
            raise ModelFileError(
                f"{path} holds a TorchScript program, expected weights; save its state_dict() "
                "with torch.save or safetensors."
            ) from error
        raise _no_weights(path, data, text) from error
    return _tensors(path, content)


def _refuse_bomb(path: Path | str, data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, ValueError) as error:
        raise _no_weights(path, data, str(error)) from error
    # torch writes its members uncompressed; a little is allowed to those who pack them again.
    if unpacked > max(20 * len(data), 1 << 20) or unpacked > MAX_UNPACKED_BYTES:
        raise ModelFileError(
            f"{path} is not safe: its {len(data)} bytes unpack to {unpacked}; get it from its "
            "author."
        )


@contextlib.contextmanager
def _closed_allow_list() -> Iterator[None]:
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(_numpy_globals())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class _Ignored:
    """Takes the place of numpy's numbers and arrays: what they hold beside weights isn't needed.

    Numpy's own unpickling would run C code, not written for hostile input, on data from strangers.
    """

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _numpy_globals() -> list[Any]:
    """The names that numpy 1 and 2 write, all of them ignored."""
    functions = [
        f"numpy.{package}.multiarray.{name}"
        for package in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ]
    return [(_Ignored, name) for name in (*functions, "numpy.ndarray", "numpy.dtype")]


def _pickle_error(path: Path | str, data: bytes, error: Exception) -> ModelFileError:
    met = _GLOBAL.search(str(error))
    if met is None:
        return _no_weights(path, data, str(error).strip().splitlines()[-1][:200])
    return ModelFileError(
        f"{path} holds more than weights: it wants to call {met[1] or met[2]}. Nothing of it was "
        "run. Expected tensors in plain containers; if you trust the file, load it where it was "
        "made and save its state_dict() as safetensors."
    )


def _no_weights(path: Path | str, data: bytes, reason: str) -> ModelFileError:
    kind = "is damaged or truncated" if data[:2] in (b"PK", b"\x80\x02") else "holds no weights"
    return ModelFileError(
        f"{path} {kind} ({len(data)} bytes: {reason}); expected a .safetensors, .pt or .pth file."
    )


def _tensors(path: Path | str, content: Any) -> dict[str, Tensor]:
    wrapped = content
    for _ in range(_DEEPEST):  # a dictionary may hold itself
        if not isinstance(wrapped, Mapping):
            break
        tensors = {
            str(name): value.detach()
            for name, value in wrapped.items()
            if isinstance(value, Tensor)
        }
        if tensors:
            return tensors
        inner = next((key for key in WRAPPERS if isinstance(wrapped.get(key), Mapping)), None)
        if inner is None:
            break
        wrapped = wrapped[inner]
    found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise ModelFileError(
        f"{path} holds no dictionary of tensors, only {found[:200] or 'nothing'}; expected a state "
        f"dict, by itself or under {', '.join(WRAPPERS)}."
    )


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefixes(
                {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            )
    return dict(tensors)
