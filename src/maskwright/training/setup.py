"""What a run works with: network, loss, decoded data. The same for a new run and a resumed one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwright.architectures import architecture
from maskwright.architectures.checkpoint import describe
from maskwright.architectures.contract import PixelNetwork
from maskwright.core import machine
from maskwright.core.card import ModelCard
from maskwright.core.resize import Border, Fit, Resize
from maskwright.core.sample import Dataset, Sample, Task
from maskwright.data.augment import Augmentation, Frame
from maskwright.data.cache import Cache
from maskwright.data.fingerprint import prints
from maskwright.data.loader import Draws
from maskwright.data.sampling import class_weights, draw_order, repeat_factors
from maskwright.formats import roots_of
from maskwright.jobs.scores import Scores
from maskwright.jobs.training_check import check_for_training
from maskwright.losses.choice import pixel_loss
from maskwright.training.config import TrainConfig
from maskwright.training.defaults import Choice
from maskwright.training.device import find_device, make_deterministic
from maskwright.training.initial_network import initial_network, remember
from maskwright.training.precision import Precision
from maskwright.training.preflight import labelled
from maskwright.training.processes import Processes
from maskwright.training.sizes import choose_fit
from maskwright.training.speed import keep_memory_mapped
from maskwright.training.steps import Step, TrainingStep


class Setup:
    """Network and data of a run.

    Attributes:
        config: of the run; `size`, `seed` and what shapes network and data don't change any more.
        dataset: that it was made for.
        name: of the run, for the card.
        licence: of the weights that come out, for the card.
        network: with its loss, channels last in memory.
        tasks: that it learns.
        validation: the samples that are scored.
        cache: the decoded training samples.
        choices: settings that the run chose for itself.
        class_weights: float [K], what "weighted-ce" uses.
        device: that the network is on.
        fit: how images come to the input: "stretch", "letterbox" or "pad".
        border: what lies around those that don't fill it.
        processes: that train together; they all have the same setup.
        share: images of each batch for this process.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        name: str,
        licence: str,
        note: Callable[[str], None],
        weights: Mapping[str, Tensor] | None = None,
        processes: Processes | None = None,
        remembered: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the network and read the data.

        Args:
            config: every setting.
            dataset: with semantic truth.
            name: of the run.
            licence: of the weights that come out.
            note: told what the user should know.
            weights: initial weights under our names; heads for other classes are swapped.
            processes: that train together; None for this one alone.
            remembered: of a run that goes on: "network" of its config.json.

        Raises:
            ConfigError: settings that contradict each other, the data or the processes.
            DataError: images or masks that can't be read.
        """
        self.config, self.dataset, self.name, self.licence = config, dataset, name, licence
        self.processes = processes or Processes(find_device(config.device))
        self.device = self.processes.device
        if config.precision != "auto":
            Precision(config.precision, self.device)  # refused before anything is read
        self.share = self.processes.share(config.batch)
        self._fingerprint: int | None = None
        self.choices: tuple[Choice, ...] = ()
        cores = max(1, machine.usable_cores() // self.processes.local)
        torch.set_num_threads(machine.thread_count(config.threads or cores))
        torch.manual_seed(config.seed)
        keep_memory_mapped()
        if config.deterministic:
            make_deterministic()
        self.network = initial_network(
            config, len(dataset.classes), dataset.pixels, weights, remembered, note
        )
        self.network.freeze(*config.freeze)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        if isinstance(self.network, PixelNetwork):
            self.network.pixel_loss = pixel_loss(config.loss)  # whose needs the cache must meet
        self.tasks: tuple[Task, ...] = architecture(config.architecture).card.tasks
        self.validation = labelled(
            dataset, "val", "test", "train", "all", tasks=self.tasks, note=note
        )
        samples = labelled(dataset, "train", "all", tasks=self.tasks, note=note)
        self.cache = self._fill_cache(samples)
        self.fit: Fit = choose_fit(config, self.cache.sizes_N2, note)
        self.border = _border_of(config, self.fit, self.tasks)
        self.adopt(replace(config, resize=self.fit, border=self.border))

    def adopt(self, config: TrainConfig) -> None:
        """Go on with other settings of how to train: loss, batch, rates, augmentation.

        What the network and the data were read with can't change any more.
        """
        self.share = self.processes.share(config.batch)
        self.class_weights = class_weights(self.cache.pixels_NK, config.class_power)
        weights_K = torch.from_numpy(self.class_weights).to(self.device)
        if isinstance(self.network, PixelNetwork):
            self.network.pixel_loss = pixel_loss(config.loss, weights_K)
        self.config = config

    def check(self, note: Callable[[str], None]) -> None:
        """Refuse a set that teaches nothing, before time is spent on it; tell what else is odd.

        Raises:
            DataError: no labelled pixel, object or image to learn from or to score on.
        """
        split = next(name for name in ("train", "all") if name in self.dataset.splits)
        counts: dict[Task, dict[str, np.ndarray]] = {}
        whole = len(self.cache) == len(self.dataset.splits[split])
        if "semantic" in self.tasks and whole:  # counted when it was read
            counts["semantic"] = {split: self.cache.pixels_NK}
        found = check_for_training(self.dataset, self.tasks, counts=counts)
        found.require()
        for remark in found.remarks:
            note(remark)

    def wrap(self, step: TrainingStep) -> Step:
        """The training step as it is called: compiled where asked, shared by the processes."""
        module: Any = torch.compile(step) if self.config.compile else step
        return self.processes.wrap(module, self.config.sync_batch_stats)

    def draws(self, count: int, augmentation: Augmentation | None = None) -> Draws:
        """The first `count` training examples; `augmentation` takes the place of the settings'."""
        config = self.config
        plain = np.ones(len(self.cache))
        factors = repeat_factors(self.cache.pixels_NK) if config.balance else plain
        order = draw_order(factors, count, config.seed)
        chosen = config.augmentation if augmentation is None else augmentation
        frame = Frame(size=config.size, crop=config.crop, fit=self.fit, border=self.border)
        return Draws(self.cache, order, frame, chosen, config.seed)

    def card(self, step: int = 0, scores: Scores | None = None) -> ModelCard:
        """The card of the weights at a step, with what they scored."""
        measured = {}
        if scores is not None:
            measured["validation"] = {
                "data": _name_of(self.dataset),
                "images": scores.images,
                "headline": scores.headline().name,
                **scores.row(),
            }
        card = ModelCard(
            name=self.name,
            architecture=self.config.architecture,
            config=self.network.config_dict(),
            classes=self.dataset.classes,
            tasks=self.tasks,
            resize=Resize(
                size=self.config.size,
                mode=self.fit,
                border=self.border,
                fill=self.dataset.pixels.grey,
            ),
            measured=measured,
            training={"step": step, "seed": self.config.seed, "data": _name_of(self.dataset)},
            licence=self.licence,
        )
        return describe(card, self.network)

    def facts(self) -> dict[str, Any]:
        """What config.json tells of the data beside the settings."""
        return {
            "data": str(self.dataset.root),
            "classes": list(self.dataset.classes.names),
            "class_weights": [round(float(weight), 4) for weight in self.class_weights],
            "training_images": len(self.cache),
            "validation_images": len(self.validation),
            "licence": self.licence,
            "chosen": [asdict(choice) for choice in self.choices],
            "processes": self.processes.count,
            "pixels": self.dataset.pixels.to_dict(),
            "network": remember(self.network),
        }

    def fingerprint(self) -> int:
        """Changes with the classes, and with any image, its name, or its truth.

        Training and validation samples count by their content, in their order.
        """
        if self._fingerprint is None:
            parts = [*self.dataset.classes.names, *self.cache.prints, *prints(self.validation)]
            self._fingerprint = zlib.crc32("\n".join(map(str, parts)).encode())
        return self._fingerprint

    def _fill_cache(self, samples: tuple[Sample, ...]) -> Cache:
        budget = self.config.cache
        if budget is None:
            budget = machine.available_memory() // 3 // self.processes.local
        needs = self.network.needs
        return Cache(samples, len(self.dataset.classes), budget, needs=needs)


def _name_of(dataset: Dataset) -> str:
    """Of its folder or file, or of all where several are read as one."""
    return " + ".join(root.name for root in roots_of(dataset.root))


def _border_of(config: TrainConfig, fit: Fit, tasks: tuple[Task, ...]) -> Border:
    """As set; else mirrored for class maps, and plain for objects, who'd be found twice.

    Images that are stretched have no border in use, and get a plain one where they are shrunk or
    turned in training.

    Nuclei in inputs of 544x704, 3 minutes, one seed, mIoU on test: 0.924 with grey, 0.937 mirrored
    (benchmarks/results/choices-many-sizes.json): crops show a network no border while it learns.
    """
    if config.border != "auto":
        return config.border
    return "mirror" if set(tasks) == {"semantic"} and fit != "stretch" else "fill"
