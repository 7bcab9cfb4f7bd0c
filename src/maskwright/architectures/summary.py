"""What an architecture is and costs, without building its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from maskwright.architectures.catalogue import architecture
from maskwright.architectures.contract import Published


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of `maskwright models`.

    Attributes:
        name: key of `ARCHITECTURES`.
        title: as the paper writes it.
        paper: authors, title, venue, year.
        tasks: what the network answers.
        classes: K that the figures are for.
        parameters: of the whole network, auxiliary heads included.
        gflops: 1e9 floating-point operations, 2 a multiply-add, of `forward` in evaluation mode for
            one image of `input_size`; convolutions, matrix products and attention count.
        input_size: (height, width).
        published: numbers for this variant or for all variants, each with its source.
        checkpoints: name -> address of the authors' weights.
        repository: the reference's address.
        licence: of the reference's code.
        notes: what differs from the paper.
    """

    name: str
    title: str
    paper: str
    tasks: tuple[str, ...]
    classes: int
    parameters: int
    gflops: float
    input_size: tuple[int, int]
    published: tuple[Published, ...]
    checkpoints: Mapping[str, str]
    repository: str
    licence: str
    notes: str


def summarise(name: str) -> Summary:
    """Build the architecture on the meta device, which holds shapes only, and count.

    Raises:
        ConfigError: an unknown name.
    """
    entry = architecture(name)
    with torch.device("meta"):
        network = entry.network(entry.config).eval()
        images_B3HW = torch.empty(1, 3, *entry.input_size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images_B3HW)
    card = entry.card
    return Summary(
        name=name,
        title=card.title,
        paper=card.paper,
        tasks=card.tasks,
        classes=entry.config.classes,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=counter.get_total_flops() / 1e9,
        input_size=entry.input_size,
        checkpoints={what: one.address for what, one in card.checkpoints.items()},
        published=tuple(item for item in card.published if item.variant in {"", name}),
        repository=card.repository,
        licence=card.licence,
        notes=card.notes,
    )
