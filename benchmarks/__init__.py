"""Research on ourselves: each measurement a small module, all under one runner, `run.py`.

`results/` holds the figures as data. Run from the repository's root: `python -m benchmarks`.
"""

from __future__ import annotations
