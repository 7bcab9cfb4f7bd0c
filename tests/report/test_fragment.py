"""What a notebook shows of a report: one element that leaves the page around it alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from maskwright.report import Column, Curves, Figure, Panel, Report, Series, Table, render_fragment

REPORT = Report(
    title="a <b> & c",
    headline=[Figure(label="mIoU", value="0.5")],
    sections=[
        Table(title="T", columns=[Column(name="n")], rows=[("<img src=x>",)]),
        Curves(title="C", panels=[Panel(title="P", series=[Series(name="s", x=[0, 1], y=[2, 3])])]),
    ],
)
VOID = {"meta", "img", "br", "circle", "line", "polyline"}


class Tags(HTMLParser):
    """Which stand outermost, and whether each is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.outermost, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if not self.open:
            self.outermost.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_it_is_one_element_without_script_or_ids():
    tags = Tags()
    tags.feed(render_fragment(REPORT))
    assert tags.outermost == ["div"]
    assert not tags.open
    names = [tag for tag, _ in tags.seen]
    assert {"svg", "table", "style"} <= set(names)
    assert not {"script", "html", "body", "img", "dialog"} & set(names)
    assert not any("id" in attributes for _, attributes in tags.seen)


def test_its_style_reaches_nothing_around_it():
    style = re.search(r"<style>(.*?)</style>", render_fragment(REPORT), re.DOTALL)[1]
    assert style.startswith(".maskwright {")
    depth = 0
    for place, letter in enumerate(style):  # all of it lies in the one block
        depth += (letter == "{") - (letter == "}")
        assert depth > 0 or place in (*range(len(".maskwright ")), len(style) - 1)
    assert depth == 0
    assert ":root" not in style
    assert not re.search(r"(^|[}\s])body\s*\{", style)


def test_texts_are_escaped():
    shown = render_fragment(REPORT)
    assert "a &lt;b&gt; &amp; c" in shown
    assert "<img" not in shown
