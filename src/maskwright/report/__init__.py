"""Results -> one self-contained HTML page.

Plain data in, a file out that opens anywhere without a network: `Report` is built of sections,
`write_report` writes it, and `semantic_sections` turns results into the sections that training,
benchmark and demo have in common. Plots are SVG written here, so nothing heavy is needed.
"""

from __future__ import annotations

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
from maskwright.report.render import render, write_report
from maskwright.report.results import (
    Example,
    Speed,
    choose_examples,
    example_gallery,
    semantic_headline,
    semantic_sections,
    semantic_summary,
    settings,
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
    "example_gallery",
    "gain_table",
    "object_gallery",
    "precision_recall_curves",
    "render",
    "score_tables",
    "semantic_headline",
    "semantic_sections",
    "semantic_summary",
    "settings",
    "write_report",
]
