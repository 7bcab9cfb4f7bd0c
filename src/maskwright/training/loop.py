"""The training loop: steps, scores, and what a run keeps of them."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maskwright.architectures.checkpoint import load_checkpoint, save_checkpoint
from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.errors import MaskwrightError
from maskwright.core.interrupt import HeldInterrupt
from maskwright.data.loader import Batch, batches, ended_workers_told
from maskwright.jobs.scores import Scores
from maskwright.runtimes.predictor import Predictor
from maskwright.training.audience import Audience
from maskwright.training.callbacks import RunStart
from maskwright.training.config import TrainConfig
from maskwright.training.feeding import Feeding
from maskwright.training.loggers import LOG_EVERY, Table
from maskwright.training.optimiser import AveragedWeights, build_optimiser
from maskwright.training.precision import Precision
from maskwright.training.reporting import Kept, score_kept, told_scores, write_run_report
from maskwright.training.result import TrainResult
from maskwright.training.run_folder import RunFolder, environment
from maskwright.training.schedule import rate_factor
from maskwright.training.scoring import score
from maskwright.training.setup import Setup
from maskwright.training.state import (
    Counters,
    RunState,
    restore_training,
    restored_scores,
    score_tensors,
    training_tensors,
)
from maskwright.training.steps import TrainingStep, backward, seed_step

SAVE_EVERY = 60.0
"""Seconds between two states that a run can be resumed from, at least."""

SAVE_SHARE = 0.02
"""Of a run's time may go into saving them, besides those at scores."""


class Trainer:
    """One run: what trains, and where it stands."""

    def __init__(
        self, config: TrainConfig, setup: Setup, run: RunFolder, told: Audience, started: float
    ) -> None:
        self.config, self.setup, self.run, self.told = config, setup, run, told
        self.table, self.started = Table(run), started
        self.network = setup.network
        self.processes = setup.processes
        self.precision = Precision(
            "fp32" if config.precision == "auto" else config.precision, setup.device
        )
        self.optimiser = build_optimiser(self.network, config)
        self.averages = AveragedWeights(self.network, config.ema) if config.ema > 0 else None
        self.best_scores: Scores | None = None
        self.verdict: tuple[str, ...] = ()
        self.at = Counters(
            data=setup.fingerprint(),
            threads=torch.get_num_threads(),
            processes=self.processes.count,
            torch=torch.__version__,
            device=setup.device.type,
        )
        self.step = setup.wrap(TrainingStep(self.network))
        self._losses: list[tuple[int, Tensor]] = []
        self._loss = math.nan
        self._feeding = Feeding()
        self._interrupt = HeldInterrupt()
        self._whole = True
        self._saved, self._saving = time.perf_counter(), 0.0

    def restore(self, state: RunState) -> None:
        """Take up a state that a trainer of the same settings and data has saved."""
        restore_training(state, self.network, self.optimiser)
        if self.averages is not None:
            self.averages.network.load_state_dict(state.under("average."))
            self.averages.updates = state.counters.updates
        self.best_scores = restored_scores(state, self.setup.dataset.classes)
        here = self.at
        self.at = replace(
            state.counters,
            threads=here.threads,
            processes=here.processes,
            torch=here.torch,
            device=here.device,
        )
        self.precision.restore(state.counters.scale)

    def run_all(self) -> TrainResult:
        """Steps, scores, and the result, which the callbacks get, too."""
        try:
            result = self._run_all()
        except BaseException:
            self.told.end(None)
            raise
        self.told.end(result)
        return result

    def _run_all(self) -> TrainResult:
        interrupted = False
        begun = self._start()
        self.table.start(begun)
        self.told.start(begun)
        with self._interrupt.held():
            try:
                with ended_workers_told(self.config.workers, self.config.batch):
                    self._steps()
            except KeyboardInterrupt:
                interrupted = True
                self._keep_interrupted()
        test = None
        if self.best_scores is not None and self.processes.first:
            test = self._report(self.best_scores, ended=not interrupted)
        if not interrupted:
            self.run.drop_states()
        return TrainResult(
            folder=self.run.path,
            config=self.config,
            scores=self.best_scores,
            test=test,
            told=self.verdict,
            history=self.run.history,
            seconds=time.perf_counter() - self.started,
            interrupted=interrupted,
        )

    def _start(self) -> RunStart:
        return RunStart(
            folder=self.run.path,
            settings=self.config.to_dict() | self.setup.facts(),
            step=self.at.step,
            steps=int(self.config.steps or 1),
            history=tuple(self.run.history),
            began=self.started,
        )

    # --- the steps ------------------------------------------------------------------------------

    def _steps(self) -> None:
        config, at, steps = self.config, self.at, int(self.config.steps or 1)
        if at.step == 0:
            self._save_state()
        draws = self.setup.draws(steps * config.batch)
        part = self.processes.rank, self.processes.count
        pin = self.setup.device.type == "cuda"
        feed = batches(draws, config.batch, at.step, config.workers, part, pin)
        self.network.train()
        self._score_if_due()  # a run may have been ended between a step and its score
        while at.step < steps and not self._gave_up():
            # one of many would leave the others waiting; they stop together, after the step
            alone = self.processes.alone
            allowed = self._interrupt.allowed() if alone else contextlib.nullcontext()
            with allowed, self._feeding.waiting():
                batch = next(feed)
            rate = self._set_rate(at.step, steps)
            self._one_step(batch, at.step + 1, last=at.step + 1 == steps)
            if at.since:  # on a card, most steps' losses are not known yet
                self._loss = at.loss_sum / at.since
            self.table.step(at.step, steps, self._loss, rate)
            if at.step % LOG_EVERY == 0 or at.step == steps:
                self._warn(steps)
                at.loss_sum, at.since = 0.0, 0
            self._whole = True
            self.told.step(at.step, steps, self._loss, rate)
            self._score_if_due()
            if time.perf_counter() - self._saved >= max(SAVE_EVERY, self._saving / SAVE_SHARE):
                self._save_state()
            self._interrupt.check(self.processes.any_of)

    def _one_step(self, batch: Batch, step: int, last: bool) -> None:
        self._whole = False
        config = self.config
        seed_step(config.seed, step, self.processes.rank)
        batch = batch.to(self.setup.device)
        loss = backward(self.step, batch, self.precision, 1 / config.accumulate)
        self._losses.append((step, loss))
        # on a card, asking for a loss waits for its step: that is done at first, so that there is
        # one to tell, and when it is logged
        unknown = math.isnan(self._loss)
        if self.setup.device.type == "cpu" or unknown or step % LOG_EVERY == 0 or last:
            self._read_losses()
        if step % config.accumulate == 0 or last:
            self.precision.update(self.optimiser, self.network.parameters(), config.clip)
            if self.averages is not None:
                self.averages.update(self.network)
        self.at.step = step

    def _read_losses(self) -> None:
        """Add the losses of the steps since the last time to the sum.

        Raises:
            MaskwrightError: one is no number.
        """
        for step, loss in self._losses:
            value = float(loss)
            if not np.isfinite(value):
                raise MaskwrightError(
                    f"the loss became {value} at step {step}; {self._kept()}. Lower "
                    f"lr (now {self.config.lr}) or train with --set precision=fp32."
                )
            self.at.loss_sum, self.at.since = self.at.loss_sum + value, self.at.since + 1
        self._losses.clear()

    def _warn(self, steps: int) -> None:
        """Say, once each, that the loader starves the network, or that the budget won't hold."""
        at, config = self.at, self.config
        self.told.note_once(self._feeding.told(config.workers), key="loader")
        spent = time.perf_counter() - self.started
        if at.planned and at.step < steps:
            expected = spent + (steps - at.step) * self._feeding.seconds_a_step()
            if expected > 1.1 * at.planned and spent < at.planned:
                self.told.note_once(
                    f"the budget of {at.planned / 60:.3g} min won't hold: steps take longer than "
                    f"they did at the start, so that the run will take about {expected / 60:.3g} "
                    "min. Other work on this machine slows it; Ctrl-C keeps what is there.",
                    key="budget",
                )

    def _kept(self) -> str:
        if self.run.last.exists():
            return f"the weights that were scored before are in {self.run.path}"
        return "no weights had been scored yet, so that none are kept"

    def _set_rate(self, step: int, steps: int) -> float:
        factor = rate_factor(step, steps, self.config.warmup, self.config.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        return self.config.lr * factor

    def _gave_up(self) -> bool:
        return 0 < self.config.patience <= self.at.without_gain

    # --- scores and files -----------------------------------------------------------------------

    @property
    def scored(self) -> Network:
        """The network that is scored and shipped: the averages, where there are any."""
        return self.network if self.averages is None else self.averages.network

    def _score_if_due(self) -> None:
        step, steps, count = self.at.step, int(self.config.steps or 1), self.config.evaluate_every
        due = step in {round(steps * (i + 1) / count) for i in range(count)}
        if due and step > self.at.scored and (step == steps or step > 1):
            self._score(step)

    def _score(self, step: int) -> None:
        """Score, log, save."""
        allowed = self._interrupt.allowed()
        scores = score(self.setup, self.scored, self.setup.validation, allowed)
        self.network.train()
        self._whole = False
        head, at = scores.headline(), self.at
        best = head.value > at.best_score
        self.table.score(step, head.name, head.value, best, scores)
        self._save(self.run.last, step, scores)
        if best:
            at.best_score, self.best_scores = head.value, scores
            self._save(self.run.best, step, scores)
        at.scored, at.without_gain = step, 0 if best else at.without_gain + 1
        self._save_state()
        self._whole = True
        self.told.score(step, head.name, head.value, best, scores)
        if self._gave_up():
            self.told.note(f"stopped early: no better score {at.without_gain} times.")

    def _report(self, scores: Scores, *, ended: bool) -> Scores | None:
        """Write the page; score the kept weights on the test split first, if the run has ended."""
        network, card = load_checkpoint(self.run.best)
        predictor = Predictor(card, deploy_run(network), {"name": "torch"})
        dataset = self.setup.dataset
        test = score_kept(scores, dataset, predictor) if ended else None
        kept = Kept(
            validation=scores,
            split=next(name for name in ("val", "test", "train", "all") if name in dataset.splits),
            samples=self.setup.validation,
            test=test,
            test_samples=dataset.splits.get("test", ()),
        )
        facts = self.config.to_dict() | self.setup.facts()
        write_run_report(self.run.report, kept, predictor, self.run.history, facts, environment())
        self.verdict = tuple(told_scores(kept, self.run.history))
        return test

    def _save(self, path: Path, step: int, scores: Scores | None = None) -> None:
        if self.processes.first:
            save_checkpoint(path, self.scored, self.setup.card(step, scores))

    def _keep_interrupted(self) -> None:
        self._save(self.run.last, self.at.step)
        if self._whole:  # else the state that was saved before is the newest whole one
            self._save_state()
        processes = self.processes
        start = "" if processes.alone else f"torchrun --nproc-per-node {processes.local} -m "
        self.told.note(
            f"interrupted; the newest weights are in {self.run.last}; to go on, run "
            f"{start}maskwright train --resume --out {self.run.path}"
        )

    def _save_state(self) -> None:
        self._read_losses()
        if not self.processes.first:
            return
        self.at.scale = self.precision.state()
        start = time.perf_counter()
        tensors = training_tensors(self.network, self.optimiser)
        if self.averages is not None:
            self.at.updates = self.averages.updates
            averaged = self.averages.network.state_dict()
            tensors |= {f"average.{name}": tensor for name, tensor in averaged.items()}
        tensors |= score_tensors(self.best_scores)
        self.at.rows, self.at.seconds = len(self.run.history), start - self.started
        self.run.save_state(RunState(counters=self.at, tensors=tensors))
        self._saved = time.perf_counter()
        self._saving = self._saved - start
