"""A checkpoint behind the same `Predictor` as a bundle, so that both are scored alike."""

from __future__ import annotations

from pathlib import Path

import torch

from maskwright.architectures.checkpoint import load_checkpoint
from maskwright.architectures.deploy import deploy_run
from maskwright.core import machine
from maskwright.runtimes.predictor import Predictor


def checkpoint_predictor(path: Path | str, threads: int | None = None) -> Predictor:
    """Load a checkpoint and run its deploy path in PyTorch, fp32; a semantic one gives
    probabilities where asked.

    Args:
        path: a .safetensors file that `train` wrote.
        threads: of torch; None takes every core.

    Raises:
        ConfigError: fewer threads than one, or more than cores.
        ModelFileError: no checkpoint of ours, damaged, or of another version.
    """
    network, card = load_checkpoint(path)
    torch.set_num_threads(machine.thread_count(threads))
    facts = {
        "name": "torch",
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "precision": "f32",
        "processor": machine.processor(),
    }
    soft = deploy_run(network, network.deploy_soft) if "semantic" in card.tasks else None
    return Predictor(card, deploy_run(network), facts, run_soft=soft)
