"""Networks: one paper a file behind one contract, and the one dict `ARCHITECTURES` of them all.

`catalogue.py` holds the dict and `build`; `contract.py` what every network keeps; `summary.py` what
each costs.
"""

from __future__ import annotations

from maskwright.architectures.catalogue import ARCHITECTURES, architecture, build
from maskwright.architectures.contract import (
    Architecture,
    Card,
    Config,
    Network,
    Published,
    SemanticNetwork,
)
from maskwright.architectures.summary import Summary, summarise

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Card",
    "Config",
    "Network",
    "Published",
    "SemanticNetwork",
    "Summary",
    "architecture",
    "build",
    "summarise",
]
