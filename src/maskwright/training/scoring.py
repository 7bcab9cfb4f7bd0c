"""The validation split, scored by all processes: each takes its part, and counts add up."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from maskwright.architectures.contract import Network
from maskwright.architectures.deploy import deploy_run
from maskwright.core.sample import Sample, Task
from maskwright.jobs.score import answers_of, common_tasks, score_sample, scored_tasks, tasks_of
from maskwright.jobs.scorer import Scorer
from maskwright.jobs.scores import Scores
from maskwright.runtimes.predictor import Predictor
from maskwright.training.setup import Setup


def score(
    setup: Setup,
    network: Network,
    samples: tuple[Sample, ...],
    allowed: contextlib.AbstractContextManager[None] | None = None,
    *,
    detail: bool = False,
) -> Scores:
    """Score the deploy path of a network; every process gets the scores of all samples.

    Args:
        setup: with the processes.
        network: the same in all of them; its running statistics become the first process's.
        samples: each is scored by one process.
        allowed: entered while this process scores its own.
        detail: boundaries and thin parts too, which take most of the time.

    Raises:
        DataError: an image can't be read, here or in another process; no sample is labelled.
        ConfigError: the network has no headline of the name that the settings tell.
        KeyboardInterrupt: Ctrl-C came to this process or another.
    """
    processes = setup.processes
    processes.share_batch_stats(network)
    predictor = Predictor(setup.card(), deploy_run(network), {"name": "torch"})
    wanted = setup.config.headline
    tasks = common_tasks(samples, tasks_of(predictor.card.tasks))
    find = answers_of(predictor)

    def own() -> Scorer:
        scorer = Scorer(setup.dataset.classes, tasks, detail=detail, headline=wanted)
        with allowed or contextlib.nullcontext():
            for place in range(processes.rank, len(samples), processes.count):
                if scored_tasks(samples[place], tasks):
                    score_sample(scorer, samples[place], find, place)
        return scorer

    return merged(processes.gather(processes.agree(own)), _skipped(samples, tasks))


def merged(parts: Sequence[Scorer], skipped: int = 0) -> Scores:
    """The scores of all samples, of which each part has scored some, at their places.

    Args:
        parts: of the processes.
        skipped: samples that are labelled for none of the tasks.
    """
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    return whole.scores(skipped=skipped)


def _skipped(samples: Sequence[Sample], tasks: frozenset[Task]) -> int:
    return sum(not scored_tasks(sample, tasks) for sample in samples)
