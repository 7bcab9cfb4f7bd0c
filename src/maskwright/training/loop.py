"""The training loop: one function, `train`, from a data set to weights that are scored."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from maskwright.architectures import build
from maskwright.architectures.checkpoint import load_checkpoint, save_checkpoint
from maskwright.architectures.contract import Network, SemanticNetwork
from maskwright.architectures.deploy import deploy_run
from maskwright.architectures.weights import load_weights
from maskwright.core import machine
from maskwright.core.card import ModelCard
from maskwright.core.errors import MaskwrightError
from maskwright.core.resize import Resize
from maskwright.core.sample import Dataset, Sample
from maskwright.data.augment import NONE
from maskwright.data.cache import Cache
from maskwright.data.loader import Batch, Draws, batches
from maskwright.data.sampling import class_weights, draw_order, repeat_factors
from maskwright.jobs.evaluate import Evaluation, evaluate
from maskwright.losses.choice import pixel_loss
from maskwright.runtimes.predictor import Predictor
from maskwright.training.config import TrainConfig
from maskwright.training.optimiser import AveragedWeights, build_optimiser
from maskwright.training.preflight import (
    estimate_memory,
    labelled,
    refuse_what_does_not_fit,
    steps_within,
    time_steps,
)
from maskwright.training.progress import Silent
from maskwright.training.reporting import write_run_report
from maskwright.training.run_folder import RunFolder, environment
from maskwright.training.schedule import rate_factor
from maskwright.training.speed import keep_memory_mapped, mixed_precision

LOG_EVERY = 10
"""Steps between two rows of metrics.csv."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run came to.

    Attributes:
        folder: with everything in it.
        config: resolved: `steps` and `precision` are decided.
        evaluation: of the best weights on the validation split; None if interrupted before.
        history: the rows of metrics.csv.
        seconds: of the whole run.
        interrupted: whether Ctrl-C ended it.
    """

    folder: Path
    config: TrainConfig
    evaluation: Evaluation | None
    history: list[dict[str, float]]
    seconds: float
    interrupted: bool


def train(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path | str,
    *,
    weights: Mapping[str, Tensor] | None = None,
    licence: str = "unstated",
    overwrite: bool = False,
    progress: Silent | None = None,
) -> TrainResult:
    """Train on the split "train" (or "all"), score on "val" (or "test", or "train").

    Args:
        config: every setting.
        dataset: with semantic truth.
        folder: for the run's files; new, or `overwrite`.
        weights: first weights under our names; heads for other classes are swapped.
        licence: of the weights that come out, for the card.
        overwrite: replace a run that lies in `folder`.
        progress: told what happens.

    Raises:
        ConfigError: settings that contradict each other, the data or the machine.
        DataError: images or masks that can't be read.
        MaskwrightError: the loss is no number any more; the disk is full.
    """
    run = RunFolder(folder, overwrite)
    trainer = Trainer(config, dataset, run, weights, licence, progress or Silent())
    return trainer.run_all()


class Trainer:
    """One run's state: network, optimiser, averages, data."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        run: RunFolder,
        weights: Mapping[str, Tensor] | None,
        licence: str,
        progress: Silent,
    ) -> None:
        self.started = time.perf_counter()
        self.config, self.dataset, self.run, self.progress = config, dataset, run, progress
        self.licence = licence
        torch.set_num_threads(config.threads or machine.usable_cores())
        torch.manual_seed(config.seed)
        keep_memory_mapped()
        self.network = build(config.architecture, len(dataset.classes), **config.options)
        if weights is not None:
            progress.note(str(load_weights(self.network, weights)))
        self.network.to(memory_format=torch.channels_last)
        self.validation = labelled(dataset, "val", "test", "train", "all", note=progress.note)
        self.cache = self._fill_cache(labelled(dataset, "train", "all", note=progress.note))
        self._configure_loss()
        self.bf16 = config.precision == "bf16"
        self.step = 0
        self.best_score = -1.0
        self.best_evaluation: Evaluation | None = None

    def run_all(self) -> TrainResult:
        """Preflight, steps, scores, and the result."""
        self.config = self._preflight()
        # so that the resolved settings, run again without the trials, come to the same weights
        torch.manual_seed(self.config.seed)
        self.optimiser = build_optimiser(self.network, self.config)
        self.averages = (
            AveragedWeights(self.network, self.config.ema) if self.config.ema > 0 else None
        )
        self.run.start(self._resolved())
        interrupted = False
        try:
            self._steps()
        except KeyboardInterrupt:
            interrupted = True
            self._save(self.run.last, self.step)
            self.progress.note(f"interrupted; the newest weights are in {self.run.last}")
        finally:
            self.run.close()
            self.progress.close()
        if self.best_evaluation is not None:
            self._report(self.best_evaluation)
        return TrainResult(
            folder=self.run.path,
            config=self.config,
            evaluation=self.best_evaluation,
            history=self.run.history,
            seconds=time.perf_counter() - self.started,
            interrupted=interrupted,
        )

    # --- before the first step ------------------------------------------------------------------

    def _fill_cache(self, samples: tuple[Sample, ...]) -> Cache:
        budget = self.config.cache
        if budget is None:
            budget = machine.available_memory() // 3
        return Cache(samples, len(self.dataset.classes), budget)

    def _configure_loss(self) -> None:
        self.class_weights = class_weights(self.cache.pixels_NK, self.config.class_power)
        if isinstance(self.network, SemanticNetwork):
            weights_K = torch.from_numpy(self.class_weights)
            self.network.pixel_loss = pixel_loss(self.config.loss, weights_K)

    def _preflight(self) -> TrainConfig:
        config = self.config
        # on a copy: batch statistics change with each forward pass, and trials leave no trace
        network = copy.deepcopy(self.network).train()
        estimate = estimate_memory(network, self._trial_batch(2), config, self.cache.nbytes)
        refuse_what_does_not_fit(estimate, config)
        timing = time_steps(self._trial_step(network), config.precision)
        del network
        self.bf16 = timing.bf16
        an_epoch = len(self.cache) / config.batch
        evaluation = self._time_evaluation()
        steps = self._count_steps(timing.step, evaluation, an_epoch)
        bf16: Literal["bf16", "fp32"] = "bf16" if timing.bf16 else "fp32"
        gain = "" if timing.gain is None else f" (bf16 is {timing.gain:.2f} times as fast as fp32)"
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        self.progress.note(
            f"{config.architecture}: {parameters / 1e6:.2f} M parameters; {len(self.cache)} "
            f"training and {len(self.validation)} validation images; about "
            f"{estimate.total / 2**30:.1f} GiB of memory."
        )
        self.progress.note(
            f"{timing.step:.2f} s a step in {bf16}{gain}, {timing.step * an_epoch:.0f} s an epoch; "
            f"{steps} steps = {steps / an_epoch:.1f} epochs = "
            f"{(steps * timing.step + config.evaluate_every * evaluation) / 60:.1f} min."
        )
        return replace(config, budget=None, epochs=None, steps=steps, precision=bf16)

    def _trial_batch(self, largest: int) -> Batch:
        """A batch as in the run, but of at most `largest` images, unchanged by augmentation."""
        images = min(self.config.batch, largest)
        return next(batches(self._draws(images, NONE), images, workers=0))

    def _trial_step(self, network: Network) -> Callable[[bool], None]:
        batch = self._trial_batch(self.config.batch)
        optimiser = build_optimiser(network, self.config)

        def step(bf16: bool) -> None:
            backward(network, batch, bf16)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        return step

    def _time_evaluation(self) -> float:
        few = self.validation[:3]
        self._evaluate(self.network, few[:1])
        start = time.perf_counter()
        self._evaluate(self.network, few)
        return (time.perf_counter() - start) / len(few) * len(self.validation)

    def _count_steps(self, step: float, evaluation: float, an_epoch: float) -> int:
        config = self.config
        if config.budget is not None:
            spent = time.perf_counter() - self.started
            count = config.evaluate_every
            return steps_within(config.budget, spent, step, evaluation, count)
        if config.epochs is not None:
            return max(1, round(config.epochs * an_epoch))
        return int(config.steps or 1)

    def _resolved(self) -> dict[str, Any]:
        return self.config.to_dict() | {
            "data": str(self.dataset.root),
            "classes": list(self.dataset.classes.names),
            "class_weights": [round(float(weight), 4) for weight in self.class_weights],
            "training_images": len(self.cache),
            "validation_images": len(self.validation),
        }

    # --- the steps ------------------------------------------------------------------------------

    def _draws(self, count: int, augmentation: Any = None) -> Draws:
        balance = self.config.balance
        factors = repeat_factors(self.cache.pixels_NK) if balance else np.ones(len(self.cache))
        order = draw_order(factors, count, self.config.seed)
        chosen = self.config.augmentation if augmentation is None else augmentation
        return Draws(self.cache, order, self.config.size, chosen, self.config.seed)

    def _steps(self) -> None:
        config, steps = self.config, int(self.config.steps or 1)
        draws = self._draws(steps * config.batch)
        score_at = {
            round(steps * (i + 1) / config.evaluate_every) for i in range(config.evaluate_every)
        }
        loss_sum, since, without_gain = 0.0, 0, 0
        self.network.train()
        for step, batch in enumerate(batches(draws, config.batch, workers=config.workers), start=1):
            rate = self._set_rate(step - 1, steps)
            loss_sum += self._one_step(batch, step, last=step == steps)
            since += 1
            self.step = step
            self.progress.step(step, steps, loss_sum / since, rate)
            if step % LOG_EVERY == 0 or step == steps:
                self._log(step, loss=loss_sum / since, lr=rate)
                loss_sum, since = 0.0, 0
            if step in score_at and (step == steps or step > 1):
                without_gain = 0 if self._score(step) else without_gain + 1
                if config.patience and without_gain >= config.patience:
                    self.progress.note(f"stopped early: no better score {without_gain} times.")
                    break

    def _one_step(self, batch: Batch, step: int, last: bool) -> float:
        loss = backward(self.network, batch, self.bf16, 1 / self.config.accumulate)
        if not np.isfinite(loss):
            raise MaskwrightError(
                f"the loss became {loss} at step {step}; {self._kept()}. Lower "
                f"lr (now {self.config.lr}) or train with --set precision=fp32."
            )
        if step % self.config.accumulate == 0 or last:
            if self.config.clip > 0:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            if self.averages is not None:
                self.averages.update(self.network)
        return loss

    def _kept(self) -> str:
        if self.run.last.exists():
            return f"the weights that were scored before are in {self.run.path}"
        return "no weights had been scored yet, so that none are kept"

    def _set_rate(self, step: int, steps: int) -> float:
        factor = rate_factor(step, steps, self.config.warmup, self.config.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        return self.config.lr * factor

    # --- scores and files -----------------------------------------------------------------------

    @property
    def scored(self) -> Network:
        """The network that is scored and shipped: the averages, where there are any."""
        return self.network if self.averages is None else self.averages.network

    def _score(self, step: int) -> bool:
        """Score, log, save; say whether it is the best so far."""
        evaluation = self._evaluate(self.scored, self.validation)
        miou = evaluation.scores.miou
        best = miou > self.best_score
        self._log(step, miou=miou, pixel_accuracy=evaluation.scores.pixel_accuracy)
        self.progress.score(step, "mIoU", miou, best)
        self._save(self.run.last, step, evaluation)
        if best:
            self.best_score, self.best_evaluation = miou, evaluation
            self._save(self.run.best, step, evaluation)
        self.network.train()
        return best

    def _report(self, evaluation: Evaluation) -> None:
        network, card = load_checkpoint(self.run.best)
        write_run_report(
            self.run.report,
            evaluation,
            self.validation,
            Predictor(card, deploy_run(network), {"name": "torch"}),
            self.run.history,
            self._resolved(),
            environment(),
        )

    def _evaluate(self, network: Network, samples: tuple[Sample, ...]) -> Evaluation:
        predictor = Predictor(self._card(), deploy_run(network), {"name": "torch"})
        return evaluate(samples, predictor.predict, self.dataset.classes)

    def _log(self, step: int, **values: float) -> None:
        epoch = step * self.config.batch / len(self.cache)
        seconds = time.perf_counter() - self.started
        self.run.log(step=step, epoch=round(epoch, 3), seconds=round(seconds, 1), **values)

    def _save(self, path: Path, step: int = 0, evaluation: Evaluation | None = None) -> None:
        save_checkpoint(path, self.scored, self._card(step, evaluation))

    def _card(self, step: int = 0, evaluation: Evaluation | None = None) -> ModelCard:
        measured = {}
        if evaluation is not None:
            scores = evaluation.scores
            measured["validation"] = {
                "data": self.dataset.root.name,
                "images": len(self.validation),
                "miou": scores.miou,
                "pixel_accuracy": scores.pixel_accuracy,
            }
        return ModelCard(
            name=self.run.path.resolve().name,
            architecture=self.config.architecture,
            config=self.network.config_dict(),
            classes=self.dataset.classes,
            tasks=("semantic",),
            resize=Resize(size=self.config.size),
            measured=measured,
            training={"step": step, "seed": self.config.seed, "data": self.dataset.root.name},
            licence=self.licence,
        )


def backward(network: Network, batch: Batch, bf16: bool, scale: float = 1.0) -> float:
    """Forward, loss and backward of a batch; gradients are added to what is there.

    Args:
        network: in training mode.
        batch: images and truth.
        bf16: run convolutions and matrix products in bf16 (autocast).
        scale: factor on the gradients, for accumulation.

    Returns:
        The total loss, unscaled.
    """
    images_B3HW = network.normalise(batch.images_B3HW)
    with mixed_precision(bf16):
        outputs = network(images_B3HW)
    total = network.losses(outputs, batch.targets)["total"]
    (total * scale).backward()
    return float(total.detach())
