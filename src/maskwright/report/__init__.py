"""Results -> one self-contained HTML page.

Plain data in, a file out that opens anywhere without a network: `Report` is built of sections,
`write_report` writes it, and `results` and `scores` turn plain results into the sections that pages
have in common. Plots are SVG written here, so nothing heavy is needed.
"""

from __future__ import annotations

from maskwright.report.history import history_curves
from maskwright.report.page import (
    Bar,
    Bars,
    Column,
    Curves,
    Facts,
    Figure,
    Gallery,
    GalleryRow,
    Matrix,
    Panel,
    Picture,
    Point,
    Report,
    Scatter,
    Scatters,
    Section,
    Series,
    Table,
    Text,
)
from maskwright.report.render import render, render_fragment, write_report
from maskwright.report.results import (
    Example,
    Speed,
    choose_examples,
    circumstances,
    confusion_section,
    example_gallery,
    settings,
    speed_bars,
)
from maskwright.report.scores import (
    gain_table,
    object_gallery,
    precision_recall_curves,
    score_tables,
)

__all__ = [
    "Bar",
    "Bars",
    "Column",
    "Curves",
    "Example",
    "Facts",
    "Figure",
    "Gallery",
    "GalleryRow",
    "Matrix",
    "Panel",
    "Picture",
    "Point",
    "Report",
    "Scatter",
    "Scatters",
    "Section",
    "Series",
    "Speed",
    "Table",
    "Text",
    "choose_examples",
    "circumstances",
    "confusion_section",
    "example_gallery",
    "gain_table",
    "history_curves",
    "object_gallery",
    "precision_recall_curves",
    "render",
    "render_fragment",
    "score_tables",
    "settings",
    "speed_bars",
    "write_report",
]
