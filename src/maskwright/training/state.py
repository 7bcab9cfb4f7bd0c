"""A run's state between two steps, as tensors and JSON in one safetensors file.

Tensors, under prefixes: `network.`, `average.`, `gradient.` by their names; `optimiser.I.NAME` of
the I-th parameter in the order of the groups; `best.` and what the scores of the best weights
keep (`jobs.Scores.arrays`). The metadata holds the counters as JSON and a checksum of everything.
No pickle, no code. What is a pure function of step and seed (rate, order, augmentation, dropout) is
not saved.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from maskwright.architectures.weights import parse_safetensors, read_model_file
from maskwright.core.classes import Classes
from maskwright.core.errors import ModelFileError
from maskwright.core.files import write_bytes
from maskwright.jobs.scores import Scores

VERSION = 2
_KEY, _CHECKSUM = "maskwright_state", "checksum"


@dataclass(kw_only=True)
class Counters:
    """Where a run stands; every value goes into JSON and back without loss.

    Attributes:
        step: steps that are made.
        loss_sum: of the steps since the last row of metrics.csv.
        since: how many those are.
        scored: the last step that was scored; 0 before.
        best_score: headline of the best weights; -1 before the first score.
        without_gain: scores since then.
        updates: of the averages.
        rows: of metrics.csv.
        seconds: that the run took so far.
        data: fingerprint of the data set.
        threads: of torch.
        processes: that train together.
        torch: its version.
        device: that trained, "cpu" or "cuda".
        planned: seconds that a budget gives the whole run; 0 without one.
        scale: of fp16's losses; empty in other precisions.
    """

    step: int = 0
    loss_sum: float = 0.0
    since: int = 0
    scored: int = 0
    best_score: float = -1.0
    without_gain: int = 0
    updates: int = 0
    rows: int = 0
    seconds: float = 0.0
    data: int = 0
    threads: int = 0
    processes: int = 1
    torch: str = ""
    device: str = "cpu"
    planned: float = 0.0
    scale: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunState:
    """Counters and tensors, as the file holds them."""

    counters: Counters
    tensors: Mapping[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins so, without that beginning."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def save_state(path: Path, state: RunState) -> None:
    """Write a state atomically.

    Memory order is kept too: kernels for another order may round differently.

    Raises:
        MaskwrightError: the folder can't be written or the disk is full.
    """
    tensors = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in state.tensors.items()
    }
    strides = {name: list(tensor.stride()) for name, tensor in state.tensors.items()}
    content = {"version": VERSION, "counters": asdict(state.counters), "strides": strides}
    text = json.dumps(content)
    metadata = {"format": "pt", _KEY: text, _CHECKSUM: str(_checksum(text, tensors))}
    write_bytes(path, safetensors.torch.save(tensors, metadata))


def load_state(path: Path) -> RunState:
    """Inverse of `save_state`.

    Raises:
        ModelFileError: missing, damaged, no state, or of another version.
    """
    try:
        data = read_model_file(path)
        tensors = parse_safetensors(path, data)
    except ModelFileError as error:
        raise _damaged(path, "it is empty or truncated, or no safetensors file") from error
    metadata = _metadata(path, data)
    text = metadata.get(_KEY, "")
    if metadata.get(_CHECKSUM) != str(_checksum(text, tensors)):
        raise _damaged(path, "its checksum differs")
    content = json.loads(text)
    if content["version"] != VERSION:
        raise ModelFileError(
            f"{path} is a state of version {content['version']}, expected {VERSION}; resume with "
            "the version of maskwright that the run was started with."
        )
    ordered = {}
    for name, strides in content["strides"].items():
        tensor = tensors[name]
        empty = torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype)
        ordered[name] = empty.copy_(tensor)
    return RunState(counters=Counters(**content["counters"]), tensors=ordered)


# --- what trains <-> tensors --------------------------------------------------------------------


def training_tensors(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, batch statistics, gradients that are being accumulated, the optimiser's memory."""
    found = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            found[f"gradient.{name}"] = parameter.grad
    for index, parameter in enumerate(_parameters(optimiser)):
        memory = optimiser.state.get(parameter, {})
        for name, value in memory.items():
            if isinstance(value, Tensor):
                found[f"optimiser.{index}.{name}"] = value
    return found


def restore_training(state: RunState, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Inverse of `training_tensors`; the optimiser was built for the same network.

    The tensors go to the network's device, whichever they came from.
    """
    network.load_state_dict(state.under("network."))
    gradients = state.under("gradient.")
    for name, parameter in network.named_parameters():
        gradient = gradients.get(name)
        parameter.grad = None if gradient is None else gradient.to(parameter.device)
    parameters = list(_parameters(optimiser))
    for key, value in state.under("optimiser.").items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        # the count of steps stays on the processor, where optimisers keep it
        device = "cpu" if value.ndim == 0 else parameter.device
        optimiser.state[parameter][name] = value.to(device)


def score_tensors(scores: Scores | None) -> dict[str, Tensor]:
    """What can't be computed again without the best weights: all that was counted."""
    if scores is None:
        return {}
    return {f"best.{name}": torch.from_numpy(array) for name, array in scores.arrays().items()}


def restored_scores(state: RunState, classes: Classes) -> Scores | None:
    """Inverse of `score_tensors`."""
    tensors = state.under("best.")
    if not tensors:
        return None
    return Scores.from_arrays({name: t.numpy() for name, t in tensors.items()}, classes)


def _parameters(optimiser: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimiser.param_groups:
        yield from group["params"]


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    found = zlib.crc32(text.encode())
    for name in sorted(tensors):
        if tensors[name].numel():  # what is empty has no bytes to be viewed
            found = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, found)
    return found


def _metadata(path: Path, data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    try:
        return dict(json.loads(data[8 : 8 + length]).get("__metadata__", {}))
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is damaged ({reason}), expected the state of a run; start the run again with "
        "--overwrite."
    )
