"""What is measured: a run, a checkpoint, a bundle or an architecture's name -> a `Subject`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from maskwright.architectures import ARCHITECTURES, Published, architecture, build, load_checkpoint
from maskwright.architectures.contract import Network
from maskwright.benchmarks.operations import Work
from maskwright.core.card import ModelCard
from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, ModelFileError
from maskwright.core.resize import Resize
from maskwright.export import to_onnx
from maskwright.runtimes import Bundle, read_bundle, write_bundle


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One model to be measured.

    Attributes:
        name: to be shown.
        network: the PyTorch side; None where only a bundle was given.
        bundle: what ships.
        gflop: 1e9 operations of one answer, 2 a multiply-add; None where the network isn't known.
        checkpoint_bytes: of the PyTorch side's file; None where there is none.
        published: speeds on GPUs that others told, each with its source.
    """

    name: str
    network: Network | None
    bundle: Bundle
    gflop: float | None
    checkpoint_bytes: int | None = None
    published: tuple[Published, ...] = ()

    @property
    def work(self) -> Work | None:
        """What one answer of the PyTorch side takes; None where the network isn't known."""
        if self.gflop is None or self.network is None:
            return None
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        return Work(float_gflop=self.gflop, float_weights=weights)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        height, width = self.bundle.card.resize.size
        return height, width


def open_subject(
    model: Path | str,
    folder: Path,
    *,
    size: tuple[int, int] | None = None,
    bundle: Path | str | None = None,
) -> Subject:
    """Make a model ready to be measured.

    Args:
        model: a run folder or checkpoint; a ".mask" file; or a key of `ARCHITECTURES`, which gets
            random weights, as speed doesn't depend on them.
        folder: for the bundle that has to be exported; without the gate, as nothing ships.
        size: (height, width) of the input, of architectures only; the catalogue's unless given.
        bundle: what was exported from the checkpoint.

    Raises:
        ConfigError: no such model, or a size or bundle for one that has its own.
        ModelFileError: the checkpoint or bundle can't be used, or they don't belong together.
    """
    path = Path(model)
    named = is_name(model)
    if size is not None and not named:
        raise ConfigError(
            f"expected --size with names of architectures only, got {_told(size)} with {model}, "
            "which has its own; leave one of them out."
        )
    if bundle is not None and (named or path.suffix == ".mask"):
        raise ConfigError(
            f"expected --bundle with a run or checkpoint that it was exported from, got {bundle} "
            f"with {model}; name both as models to compare them."
        )
    if named:
        return _architecture(str(model), folder, size)
    return _bundle(path) if path.suffix == ".mask" else _checkpoint(path, folder, bundle)


def count_gflop(network: Network, size: tuple[int, int]) -> float:
    """1e9 operations of `forward` in evaluation mode for one image, as `summarise` counts them."""
    with torch.device("meta"):  # shapes only
        shapes = type(network)(network.config).eval()
        images_B3HW = torch.empty(1, 3, *size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(images_B3HW)
    return counter.get_total_flops() / 1e9


def is_name(model: Path | str) -> bool:
    """Whether it can only be meant as an architecture's name, known or not."""
    path = Path(model)
    return not path.exists() and not path.suffix and path.name == str(model)


def _architecture(name: str, folder: Path, size: tuple[int, int] | None) -> Subject:
    entry = architecture(name)
    size = size or entry.input_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(name, entry.config.classes).eval()
    card = ModelCard(
        name=name,
        architecture=name,
        config=network.config_dict(),
        classes=Classes.of(f"class {index}" for index in range(entry.config.classes)),
        tasks=entry.card.tasks,
        resize=Resize(size=size),
        training={"weights": "random"},
        version=version("maskwright"),
    )
    return Subject(
        name=name,
        network=network,
        bundle=_export(network, card, folder / f"{name}.mask"),
        gflop=count_gflop(network, size),
        published=published_speeds(name),
    )


def _checkpoint(path: Path, folder: Path, bundle: Path | str | None) -> Subject:
    path = path / "best.safetensors" if path.is_dir() else path
    network, card = load_checkpoint(path)
    folder_name = path.resolve().parent.name
    name = folder_name if path.stem == "best" and folder_name else path.stem
    if bundle is None:
        shipped = _export(network, card, folder / f"{len(list(folder.iterdir()))}.mask")
    else:
        shipped = read_bundle(bundle)
        _refuse_strangers(path, card, shipped)
    return Subject(
        name=name,
        network=network,
        bundle=shipped,
        gflop=count_gflop(network, shipped.card.resize.size),
        checkpoint_bytes=path.stat().st_size,
        published=published_speeds(card.architecture),
    )


def _bundle(path: Path) -> Subject:
    bundle = read_bundle(path)
    card = bundle.card
    return Subject(
        name=path.stem,
        network=None,
        bundle=bundle,
        gflop=_gflop_of(card),
        published=published_speeds(card.architecture),
    )


def _gflop_of(card: ModelCard) -> float | None:
    sizes = {"classes": len(card.classes), **card.config}
    try:
        with torch.device("meta"):
            network = build(card.architecture, **sizes)
    except ConfigError:  # a network that this version lacks can still be timed
        return None
    return count_gflop(network, card.resize.size)


def _export(network: Network, card: ModelCard, path: Path) -> Bundle:
    write_bundle(path, card, to_onnx(network, card.resize.size))
    return read_bundle(path)


def published_speeds(name: str) -> tuple[Published, ...]:
    """What an architecture's card tells of speeds, of this variant or of all."""
    if name not in ARCHITECTURES:
        return ()
    everything = ARCHITECTURES[name].card.published
    return tuple(
        item for item in everything if item.what.startswith("fps") and item.variant in {"", name}
    )


def _refuse_strangers(path: Path, card: ModelCard, bundle: Bundle) -> None:
    if (card.architecture, card.resize) != (bundle.card.architecture, bundle.card.resize):
        raise ModelFileError(
            f"expected --bundle exported from {path} ({card.architecture} at "
            f"{_told(card.resize.size)}), got {bundle.source} ({bundle.card.architecture} at "
            f"{_told(bundle.card.resize.size)}); export it again, or leave --bundle out."
        )


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
