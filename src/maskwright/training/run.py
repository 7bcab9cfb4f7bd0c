"""`train` begins a run, from a data set to weights that are scored; `resume` goes on with one."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from maskwright.core.pixels import Pixels
from maskwright.core.sample import Dataset, with_pixels
from maskwright.training.audience import Audience
from maskwright.training.callbacks import Callback
from maskwright.training.choosing import choose
from maskwright.training.config import TrainConfig
from maskwright.training.defaults import Choice
from maskwright.training.loggers import DEFAULT_LOGS, open_logs
from maskwright.training.loop import Trainer
from maskwright.training.processes import Processes, join
from maskwright.training.recipe import recipe_text
from maskwright.training.rehearsal import check_memory, rehearse
from maskwright.training.result import TrainResult
from maskwright.training.resumption import require_same_data, tell_differences
from maskwright.training.run_folder import RunFolder, WatchedFolder
from maskwright.training.setup import Setup
from maskwright.training.state import RunState
from maskwright.training.steps import TrainingStep


def train(
    config: TrainConfig,
    dataset: Dataset,
    folder: Path | str,
    *,
    weights: Mapping[str, Tensor] | None = None,
    licence: str = "unstated",
    overwrite: bool = False,
    given: Collection[str] | None = None,
    progress: Callback | None = None,
    logs: Sequence[str] = DEFAULT_LOGS,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train on the split "train" (or "all"), score on "val" (or "test", or "train").

    Started by torchrun, all its processes train one network together; each calls this alike.

    Args:
        config: every setting.
        dataset: with semantic truth.
        folder: for the run's files; new, or `overwrite`.
        weights: initial weights under our names; heads for other classes are swapped.
        licence: of the weights that come out, for the card.
        overwrite: replace a run that lies in `folder`.
        given: names of the settings that somebody set (`resolve` tells them): the run chooses the
            others for the data and the budget. None: every setting stays as `config` has it.
        progress: told what happens.
        logs: names in `LOGS`, where figures go; metrics.csv is written in any case.
        callbacks: your own, told the same; an error in one ends the run.

    Raises:
        ConfigError: settings that contradict each other, the data or the machine; an unknown log,
            or one whose package is not installed.
        DataError: images or masks that can't be read.
        MaskwrightError: the loss is no number any more; the disk is full.
    """
    processes, told, started = _begin(config.device, progress, logs, callbacks)
    run = processes.agree(
        lambda: RunFolder(folder, overwrite) if processes.first else WatchedFolder(folder, True)
    )
    with _holding(run, processes):
        name, note = run.path.resolve().name, told.note
        setup = processes.agree(
            lambda: Setup(config, dataset, name, licence, note, weights, processes)
        )
        processes.agree(lambda: setup.check(note))
        _require_equal(setup)
        if given is not None:
            choose(setup, given, started, note)
        planned = config.budget if config.budget_of == "run" else None
        config = rehearse(setup, started, note)
        run.start(config.to_dict() | setup.facts(), recipe_text(config))
        trainer = Trainer(config, setup, run, told, started)
        trainer.at.planned = planned or 0.0
        return trainer.run_all()


def resume(
    dataset: Dataset,
    folder: Path | str,
    *,
    device: str | None = None,
    progress: Callback | None = None,
    logs: Sequence[str] = DEFAULT_LOGS,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Go on with a run that was ended, however that was, from the state it saved last.

    Its settings stand in its config.json. With the same threads and versions, the weights are those
    of a run that was never ended, bit for bit. A finished run is left as it is.

    Started by torchrun, every process must see the folder. Another number of processes than before
    may go on; then, and with three or more, the weights may differ in their last bits.

    Args:
        dataset: that the run was started with.
        folder: of the run.
        device: to go on with; the one in its config.json unless given.
        progress, logs, callbacks: as `train`.

    Raises:
        ConfigError: no run lies there, it saved no state, or the data differ.
        ModelFileError: its states are damaged.
        DataError, MaskwrightError: as `train`.
    """
    # every process sees the folder: which device is wanted is known before they meet
    config = TrainConfig.from_dict(RunFolder.reopen(folder).settings())
    config = config if device is None else replace(config, device=device)
    processes, told, started = _begin(config.device, progress, logs, callbacks)
    kind, note = RunFolder if processes.first else WatchedFolder, told.note
    run = processes.agree(lambda: kind.reopen(folder))
    settings = processes.agree(run.settings)
    if "pixels" in settings:
        dataset = with_pixels(dataset, Pixels.from_dict(settings["pixels"]))
    if processes.same(run.finished):
        note(f"{run.path} is finished: nothing is left to do, and nothing was changed.")
        seconds = max((row["seconds"] for row in run.history), default=0.0)
        return TrainResult(folder=run.path, config=config, scores=None, test=None,
                           history=run.history, seconds=seconds, interrupted=False)  # fmt: skip

    def prepare() -> tuple[RunState, Setup]:
        state = run.newest_state(note)
        require_same_data(settings, dataset)
        name, licence = run.path.resolve().name, settings.get("licence", "unstated")
        known = settings.get("network")
        setup = Setup(config, dataset, name, licence, note, None, processes, known)
        setup.choices = tuple(Choice(**choice) for choice in settings.get("chosen", ()))
        require_same_data(settings, dataset, state.counters.data == setup.fingerprint())
        check_memory(setup, TrainingStep(copy.deepcopy(setup.network).train()))
        return state, setup

    with _holding(run, processes):
        state, setup = processes.agree(prepare)
        _require_equal(setup)
        tell_differences(state.counters, processes, note)
        trainer = Trainer(config, setup, run, told, started - state.counters.seconds)
        trainer.restore(state)
        run.go_on(state.counters.rows)
        note(f"resumed after step {state.counters.step} of {config.steps}.")
        return trainer.run_all()


@contextlib.contextmanager
def _holding(run: RunFolder, processes: Processes) -> Iterator[None]:
    """Keep other programs out of the run's folder; if one is there, every process hears of it."""
    with contextlib.ExitStack() as held:
        processes.agree(lambda: held.enter_context(run.alone()))
        yield


def _begin(
    device: str, progress: Callback | None, logs: Sequence[str], callbacks: Sequence[Callback]
) -> tuple[Processes, Audience, float]:
    """Meet the others; only the first tells what happens. The clock starts."""
    started = time.perf_counter()
    processes = join(device)
    chosen = processes.agree(lambda: open_logs(logs) if processes.first else [])
    if not processes.first:
        return processes, Audience(), started
    listeners = [*([progress] if progress else []), *callbacks]
    return processes, Audience(listeners, chosen), started


def _require_equal(setup: Setup) -> None:
    """Refuse machines that were given other settings or data than the first."""
    own = ("threads", "workers", "cache", "device")  # each machine may have its own
    settings = {name: v for name, v in setup.config.to_dict().items() if name not in own}
    setup.processes.require_equal(settings, "settings")
    setup.processes.require_equal(f"images and masks {setup.fingerprint():08x}", "data")
