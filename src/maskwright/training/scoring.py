"""The validation split, scored by all processes: each takes its part, and matrices add up."""

from __future__ import annotations

import contextlib

from maskwright.architectures.contract import Network
from maskwright.core.sample import Sample
from maskwright.jobs.evaluate import Evaluation
from maskwright.metrics.semantic import semantic_scores
from maskwright.training.setup import Setup


def score(
    setup: Setup,
    network: Network,
    samples: tuple[Sample, ...],
    allowed: contextlib.AbstractContextManager[None] | None = None,
) -> Evaluation:
    """Score the deploy path of a network; every process gets the scores of all samples.

    Args:
        setup: with the processes.
        network: the same in all of them; its running statistics become the first process's.
        samples: each is scored by one process.
        allowed: entered while this process scores its own.

    Raises:
        DataError: an image can't be read, here or in another process.
        KeyboardInterrupt: Ctrl-C came to this process or another.
    """
    processes = setup.processes
    processes.share_batch_stats(network)

    def own() -> Evaluation | None:
        part = samples[processes.rank :: processes.count]
        with allowed or contextlib.nullcontext():
            return setup.evaluate(network, part) if part else None

    return merged(processes.gather(processes.agree(own)), len(samples))


def merged(parts: list[Evaluation | None], samples: int) -> Evaluation:
    """The evaluation of all samples, of which part number p of n has those at p, p + n, ...

    Args:
        parts: in order; None where a part has no sample.
        samples: how many there are.
    """
    found = [part for part in parts if part is not None]
    if len(parts) == 1:
        return found[0]
    matrix = sum((part.matrix for part in found[1:]), found[0].matrix)
    classes = found[0].classes
    return Evaluation(
        classes=classes,
        matrix=matrix,
        scores=semantic_scores(matrix, classes.names),
        images=tuple(found[n % len(parts)].images[n // len(parts)] for n in range(samples)),
        skipped=sum(part.skipped for part in found),
    )
