"""Scatter plots: what is drawn, where names stand; nothing of a stranger's gets through."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.report import Point, Report, Scatter, Scatters, render
from maskwright.report.scatter import log_ticks, scatter

SIZE = (1000.0, 500.0)
positive = st.floats(1e-6, 1e9)


@given(positive, positive)
def test_ticks_are_1_2_or_5_and_enclose(one, other):
    low, high = sorted((one, other))
    ticks = log_ticks(low, high)
    assert len(ticks) >= 2
    assert ticks[0] <= low * (1 + 1e-6)
    assert ticks[-1] >= high * (1 - 1e-6)
    assert all(a < b for a, b in pairwise(ticks))
    assert all(f"{tick:e}"[0] in "125" for tick in ticks)
    # no narrower ones would do
    assert len(ticks) == 2 or (ticks[1] > low * (1 - 1e-6) and ticks[-2] < high * (1 + 1e-6))


def _tree(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@given(
    st.lists(
        st.tuples(positive, st.floats(-1e6, 1e6), st.booleans(), st.none() | positive),
        min_size=1,
        max_size=30,
    )
)
def test_every_point_is_drawn_inside_and_names_cover_no_other_name(drawn):
    points = [
        Point(name=f"network-{place}", x=x, y=y, strong=strong, from_x=start)
        for place, (x, y, strong, start) in enumerate(drawn)
    ]
    tree = _tree(scatter(Scatter(title="t", points=points), SIZE))
    dots = [node for node in tree.iter("circle") if "point" in node.get("class")]
    assert len(dots) == len(points)
    for node in dots:
        assert 0 <= float(node.get("cx")) <= SIZE[0]
        assert 0 <= float(node.get("cy")) <= SIZE[1]
    boxes = []
    for node in tree.iter("text"):
        if (node.text or "").startswith("network-"):
            width = 6.3 * len(node.text)
            shift = {"start": 0, "middle": width / 2, "end": width}[node.get("text-anchor")]
            left, bottom = float(node.get("x")) - shift, float(node.get("y"))
            boxes.append((left, bottom - 10, left + width, bottom))
    for place, a in enumerate(boxes):
        for b in boxes[:place]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_the_axis_is_logarithmic():
    points = [Point(name=str(x), x=x, y=float(x)) for x in (1, 10, 100)]
    tree = _tree(scatter(Scatter(title="t", points=points), SIZE))
    places = sorted(float(n.get("cx")) for n in tree.iter("circle") if n.get("class") == "point")
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


def test_what_cant_be_drawn_is_left_out():
    points = [
        Point(name="zero", x=0.0, y=1.0),
        Point(name="nowhere", x=math.nan, y=1.0),
        Point(name="endless", x=1.0, y=math.inf),
    ]
    assert scatter(Scatter(title="t", points=points), SIZE) == ""
    page = render(Report(title="t", sections=[Scatters(title="s", plots=[])]))
    assert "Nothing measured." in page


def test_strong_points_are_joined_from_left_to_right():
    points = [
        Point(name="b", x=5.0, y=2.0, strong=True),
        Point(name="a", x=1.0, y=1.0, strong=True),
        Point(name="weak", x=2.0, y=0.5),
    ]
    tree = _tree(scatter(Scatter(title="t", points=points), SIZE))
    (line,) = tree.iter("polyline")
    corners = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert len(corners) == 2
    assert corners[0][0] < corners[1][0]
    assert corners[0][1] > corners[1][1]


def test_names_of_strangers_stay_text():
    evil = '"><script>alert(1)</script>'
    plot = Scatter(title=evil, points=[Point(name=evil, x=1.0, y=1.0)], x_label=evil, note=evil)
    page = render(Report(title="t", sections=[Scatters(title=evil, plots=[plot, plot])]))
    body = re.sub(r"<script>.*?</script></body>", "", page, flags=re.S)
    assert "<script" not in body
