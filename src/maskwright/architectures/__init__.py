"""Networks: one paper a file behind one contract, and the one dict `ARCHITECTURES` of them all.

`catalogue.py` holds the dict and `build`; `contract.py` what every network keeps; `summary.py` what
each costs; `modifications.py` what can be done to their structure; `checkpoint.py` and `weights.py`
read and write files; `deploy.py` runs the deploy path.
"""

from __future__ import annotations

from maskwright.architectures.catalogue import ARCHITECTURES, architecture, build
from maskwright.architectures.checkpoint import load_checkpoint, read_card, save_checkpoint
from maskwright.architectures.contract import (
    Architecture,
    Card,
    Checkpoint,
    Config,
    Network,
    Published,
    SemanticNetwork,
)
from maskwright.architectures.deploy import deploy_run
from maskwright.architectures.fusing import batch_norm_fusion
from maskwright.architectures.modifications import MODIFICATIONS, modify, rebuild
from maskwright.architectures.summary import Summary, summarise
from maskwright.architectures.weights import LoadReport, load_weights, read_weights

__all__ = [
    "ARCHITECTURES",
    "MODIFICATIONS",
    "Architecture",
    "Card",
    "Checkpoint",
    "Config",
    "LoadReport",
    "Network",
    "Published",
    "SemanticNetwork",
    "Summary",
    "architecture",
    "batch_norm_fusion",
    "build",
    "deploy_run",
    "load_checkpoint",
    "load_weights",
    "modify",
    "read_card",
    "read_weights",
    "rebuild",
    "save_checkpoint",
    "summarise",
]
