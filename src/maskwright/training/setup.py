"""What a run works with: network, loss, decoded data. The same for a new run and a resumed one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwright.architectures.checkpoint import describe
from maskwright.architectures.contract import Network, SemanticNetwork
from maskwright.architectures.deploy import deploy_run
from maskwright.core import machine
from maskwright.core.card import ModelCard
from maskwright.core.resize import Resize
from maskwright.core.sample import Dataset, Sample
from maskwright.data.augment import Augmentation
from maskwright.data.cache import Cache
from maskwright.data.loader import Draws
from maskwright.data.sampling import class_weights, draw_order, repeat_factors
from maskwright.jobs.evaluate import Evaluation, evaluate
from maskwright.losses.choice import pixel_loss
from maskwright.runtimes.predictor import Predictor
from maskwright.training.config import TrainConfig
from maskwright.training.first_network import first_network, remember
from maskwright.training.preflight import labelled
from maskwright.training.processes import Processes
from maskwright.training.speed import keep_memory_mapped


class Setup:
    """Network and data of a run.

    Attributes:
        config: of the run; `size`, `seed` and what shapes network and data don't change any more.
        dataset: that it was made for.
        name: of the run, for the card.
        licence: of the weights that come out, for the card.
        network: with its loss, channels last in memory.
        validation: the samples that are scored.
        cache: the decoded training samples.
        class_weights: float [K], what "weighted-ce" uses.
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
            weights: first weights under our names; heads for other classes are swapped.
            processes: that train together; None for this one alone.
            remembered: of a run that goes on: "network" of its config.json.

        Raises:
            ConfigError: settings that contradict each other, the data or the processes.
            DataError: images or masks that can't be read.
        """
        self.config, self.dataset, self.name, self.licence = config, dataset, name, licence
        self.processes = processes or Processes()
        self.share = self.processes.share(config.batch)
        cores = max(1, machine.usable_cores() // self.processes.local)
        torch.set_num_threads(config.threads or cores)
        torch.manual_seed(config.seed)
        keep_memory_mapped()
        self.network = first_network(
            config, len(dataset.classes), dataset.pixels, weights, remembered, note
        )
        self.network.to(memory_format=torch.channels_last)
        self.validation = labelled(dataset, "val", "test", "train", "all", note=note)
        samples = labelled(dataset, "train", "all", note=note)
        self.cache = self._fill_cache(samples)
        self._names = [sample.name for sample in samples]
        self.class_weights = class_weights(self.cache.pixels_NK, config.class_power)
        if isinstance(self.network, SemanticNetwork):
            weights_K = torch.from_numpy(self.class_weights)
            self.network.pixel_loss = pixel_loss(config.loss, weights_K)

    def draws(self, count: int, augmentation: Augmentation | None = None) -> Draws:
        """The first `count` training examples; `augmentation` takes the place of the settings'."""
        config = self.config
        plain = np.ones(len(self.cache))
        factors = repeat_factors(self.cache.pixels_NK) if config.balance else plain
        order = draw_order(factors, count, config.seed)
        chosen = config.augmentation if augmentation is None else augmentation
        return Draws(self.cache, order, config.size, chosen, config.seed)

    def evaluate(self, network: Network, samples: tuple[Sample, ...]) -> Evaluation:
        """Score the deploy path of a network."""
        predictor = Predictor(self.card(), deploy_run(network), {"name": "torch"})
        return evaluate(samples, predictor.predict, self.dataset.classes)

    def card(self, step: int = 0, evaluation: Evaluation | None = None) -> ModelCard:
        """The card of the weights at a step, with what they scored."""
        measured = {}
        if evaluation is not None:
            scores = evaluation.scores
            measured["validation"] = {
                "data": self.dataset.root.name,
                "images": len(self.validation),
                "miou": scores.miou,
                "pixel_accuracy": scores.pixel_accuracy,
            }
        card = ModelCard(
            name=self.name,
            architecture=self.config.architecture,
            config=self.network.config_dict(),
            classes=self.dataset.classes,
            tasks=("semantic",),
            resize=Resize(size=self.config.size),
            measured=measured,
            training={"step": step, "seed": self.config.seed, "data": self.dataset.root.name},
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
            "processes": self.processes.count,
            "pixels": self.dataset.pixels.to_dict(),
            "network": remember(self.network),
        }

    def fingerprint(self) -> int:
        """Changes with the samples' names, their order, and the pixels of any class in any one."""
        names = [*self._names, "", *(sample.name for sample in self.validation)]
        found = zlib.crc32("\n".join([*self.dataset.classes.names, "", *names]).encode())
        return zlib.crc32(np.ascontiguousarray(self.cache.pixels_NK).data, found)

    def _fill_cache(self, samples: tuple[Sample, ...]) -> Cache:
        budget = self.config.cache
        if budget is None:
            budget = machine.available_memory() // 3 // self.processes.local
        return Cache(samples, len(self.dataset.classes), budget)
