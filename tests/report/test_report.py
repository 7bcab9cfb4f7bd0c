"""The page: well-formed, self-contained, safe from what names may hold, and small."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import MaskwrightError
from maskwright.report import (
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
    Report,
    Series,
    Table,
    Text,
    render,
    write_report,
)
from maskwright.report.curves import short, ticks
from maskwright.report.heat import SHOWN_CLASSES
from maskwright.report.pictures import BYTES_EACH, LONGEST_SIDE, data_address, reduce

VOID = {"meta", "img"}  # HTML elements without an end tag; those of SVG close themselves


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in its order; keeps elements and texts."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def full_report(word="ball", rows=1, size=(48, 64)):
    """Every kind of section, `word` in every place that takes a text."""
    pictures = [Picture(image=noise(*size, seed), label=word, alt=word) for seed in range(4)]
    columns = (
        Column(name=word, hint=word),
        Column(name="IoU", format=".3f", bar=1.0),
        Column(name="pixels", format=","),
    )
    table = [(word, 0.25, 1200), (word, None, 3), (word, math.nan, 4)]
    series = [Series(name=word, x=[0, 1, 2], y=[3.0, math.nan, 1.0])] * 2
    counts = np.array([[8, 1, 1], [0, 5, 0]])
    return Report(
        title=word,
        subtitle=word,
        headline=[Figure(label=word, value=word, note=word)],
        sections=[
            Gallery(
                title=word,
                rows=[GalleryRow(pictures=pictures, caption=word, badge=word, value=word)] * rows,
                legend=[(word, (255, 0, 9))],
                note=word,
            ),
            Table(title=word, columns=columns, rows=table, swatches=[(1, 2, 3)], note=word),
            Curves(title=word, panels=[Panel(title=word, series=series, x_label=word, note=word)]),
            Matrix(title=word, names=(word, "line"), counts=counts, note=word),
            Bars(title=word, bars=[Bar(label=word, value=2.0, note=word)], unit=word, note=word),
            Facts(title=word, facts=[(word, word)], folded=True, note=word),
            Text(title=word, text=f"{word}\n\n{word}", note=word),
            Text(title=word, text=word, code=True),
        ],
    )


EMPTY = Report(
    title="nothing",
    sections=[
        Gallery(title="gallery", rows=[]),
        Table(title="table", columns=[Column(name="x")], rows=[]),
        Curves(title="curves", panels=[Panel(title="p", series=[Series(name="s", x=[], y=[])])]),
        Matrix(title="matrix", names=("a", "b"), counts=np.zeros((2, 3), int)),
        Matrix(title="no classes", names=(), counts=np.zeros((0, 1), int)),
        Bars(title="bars", bars=[]),
        Facts(title="facts", facts=[]),
        Text(title="text", text=""),
    ],
)


@pytest.mark.parametrize("report", [full_report(), EMPTY, Report(title="bare")])
def test_a_page_is_well_formed_and_self_contained(report):
    html = render(report)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert not page.of("link")
    assert not page.of("iframe")
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), (tag, name, address[:80])
    assert "url(" not in html
    assert "@import" not in html
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|WebSocket", html)


def test_every_section_is_there_and_linked():
    report = full_report()
    page = Page(render(report))
    assert len(page.of("section")) == len(report.sections)
    links = [attributes["href"] for attributes in page.of("a")]
    assert links == [f"#{attributes['id']}" for attributes in page.of("section")]
    for tag in ("figure", "svg", "pre", "details", "dialog"):
        assert len(page.of(tag)) == 1, tag
    assert {"data", "heat"} == {attributes["class"] for attributes in page.of("table")}
    assert {"headline", "bars", "facts"} == {attributes["class"] for attributes in page.of("dl")}


def test_the_headline_comes_before_the_sections():
    html = render(full_report())
    assert html.index('<dl class="headline">') < html.index("<section")


def test_empty_sections_say_so():
    page = Page(render(EMPTY))
    said = [attributes for attributes in page.of("p") if attributes.get("class") == "empty"]
    assert len(said) == len(EMPTY.sections) - 1  # an empty text is just empty


EVIL = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title></svg><b>&amp;</b>",
    "]]><!-- --!>",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("word", EVIL)
def test_names_can_not_inject(word):
    tame, evil = Page(render(full_report("word"))), Page(render(full_report(word)))
    shapes = [[(tag, sorted(a)) for tag, a in page.elements] for page in (tame, evil)]
    assert shapes[0] == shapes[1]
    assert sum(word in text for text in evil.texts) > 20  # shown as it is, everywhere
    for _, attributes in evil.elements:
        assert not [name for name in attributes if name.startswith("on")]


@given(st.text())
def test_no_text_at_all_changes_the_structure(word):
    report = Report(
        title=word,
        headline=[Figure(label=word, value=word)],
        sections=[
            Table(title=word, columns=[Column(name=word)], rows=[[word]]),
            Matrix(title=word, names=(word,), counts=np.array([[1, 2]])),
            Facts(title=word, facts=[(word, word)]),
        ],
    )
    tags = [tag for tag, _ in Page(render(report)).elements]
    assert tags.count("section") == 3
    assert tags.count("script") == tags.count("style") == 1
    assert "img" in tags  # the empty one of the dialog
    assert tags.count("img") == 1


def test_the_policy_allows_our_script_alone():
    html = render(full_report())
    script = re.search(r"<script>(.*)</script>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for a in Page(html).of("meta") if "http-equiv" in a)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_every_picture_has_a_text_and_a_size():
    for attributes in Page(render(full_report(rows=2))).of("img")[:-1]:
        assert attributes["alt"]
        assert int(attributes["width"]) > 0
        assert int(attributes["height"]) > 0


def test_twelve_rows_of_noise_stay_below_five_megabytes(tmp_path):
    # Noise is the worst that a picture can be: photos compress better.
    path = tmp_path / "report.html"
    write_report(path, full_report(rows=12, size=(720, 960)))
    assert path.stat().st_size < 5_000_000


def test_undecodable_file_names_are_written(tmp_path):
    write_report(tmp_path / "page.html", full_report("match\udcff.png"))
    assert "match?.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_page(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MaskwrightError, match="could not write"):
        write_report(tmp_path / "file" / "page.html", Report(title="x"))


def test_pictures_survive_the_way_into_the_page():
    flat = np.zeros((40, 60, 3), np.uint8)
    flat[10:20, 10:50] = (250, 40, 10)
    kind, code = data_address(flat).split(";base64,")
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)
    assert kind == "data:image/png"  # flat colours: lossless is smaller
    np.testing.assert_array_equal(decoded[..., ::-1], flat)
    assert len(data_address(noise(420, LONGEST_SIDE))) < BYTES_EACH * 4 / 3 + 30


def test_large_pictures_are_reduced_and_small_ones_kept():
    assert reduce(noise(720, 960)).shape == (420, LONGEST_SIDE, 3)
    assert reduce(noise(2000, 3)).shape == (LONGEST_SIDE, 1, 3)
    small = noise(20, 30)
    assert reduce(small) is small


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\(4, 4"):
        data_address(wrong)


def test_numbers_stand_right_and_missing_ones_are_dashes():
    html = render(full_report())
    assert '<td data-value="1200.0" class="number">1,200</td>' in html
    assert html.count('<td data-value="" class="number">–</td>') == 2  # None and NaN, sorted last
    assert '<i style="width:25.0%">' in html


def test_cells_of_many_columns_bring_their_names_along():
    """On a phone a row is a card: nothing tells the columns there but the cells."""
    names = ["Class", "IoU", "Precision", "Recall", "<Pixels>"]
    table = Table(
        title="t", columns=[Column(name=name) for name in names], rows=[("a", 1, 2, 3, 4)]
    )
    html = render(Report(title="t", sections=[table]))
    told = [attributes["data-label"] for attributes in Page(html).of("td")]
    assert told == names[1:]
    assert ' many"' in html
    few = Table(title="t", columns=table.columns[:4], rows=[("a", 1, 2, 3)])
    assert "data-label=" not in render(Report(title="t", sections=[few])).split("</style>")[1]


def test_numpy_numbers_are_numbers():
    rows = [("a", np.float32(0.5), np.int64(7))]
    columns = [Column(name=name, format=".1f", bar=1.0) for name in ("name", "score", "count")]
    html = render(Report(title="t", sections=[Table(title="t", columns=columns, rows=rows)]))
    assert '<td data-value="0.5" class="number">' in html
    assert '<td data-value="7.0" class="number">' in html
    assert '<i style="width:100.0%">' in html  # 7 of 1: a bar ends at its track's end


def test_the_matrix_tells_shares_counts_and_unpredicted():
    html = render(full_report())
    assert 'title="ball seen as unpredicted: 10.0%, 1 px"' in html
    assert 'title="line seen as line: 100.0%, 5 px"' in html
    without = Matrix(title="m", names=("a", "b"), counts=np.array([[3, 1, 0], [0, 2, 0]]))
    assert "unpredicted" not in render(Report(title="t", sections=[without]))


def test_a_huge_matrix_shows_its_largest_classes_with_their_true_shares():
    classes = SHOWN_CLASSES + 2
    counts = np.diag(np.arange(1, classes + 1) * 100)
    counts[-1, 0] = 5000  # taken for the smallest class, which isn't shown
    names = [f"class-{index}" for index in range(classes)]
    html = render(Report(title="t", sections=[Matrix(title="m", names=names, counts=counts)]))
    assert f"The {SHOWN_CLASSES} classes with the most pixels, of {classes}." in html
    assert 'title="class-49 seen as class-49: 50.0%, 5,000 px"' in html
    assert "class-1 " not in html
    assert len(html) < 500_000


def test_curves_place_their_points():
    panel = Panel(title="p", series=[Series(name="s", x=[0, 10], y=[0.0, 1.0])])
    html = render(Report(title="t", sections=[Curves(title="c", panels=[panel])]))
    (x0, y0), (x1, y1) = (
        map(float, point.split(","))
        for point in re.search(r'<polyline[^>]*points="([^"]*)"', html).group(1).split()
    )
    assert x0 < x1
    assert y0 > y1  # up is less in SVG
    assert 'aria-label="p: s from 0 to 1"' in html


def test_curves_without_a_finite_point_are_left_out():
    series = [Series(name="gone", x=[0], y=[math.inf]), Series(name="one", x=[5], y=[5])]
    html = render(
        Report(title="t", sections=[Curves(title="c", panels=[Panel(title="p", series=series)])])
    )
    assert html.count("<polyline") == 1
    assert '<polyline class="s1"' in html  # the colour that the legend gives it


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-6, 1e9),
    st.integers(2, 8),
)
def test_ticks_enclose_their_range_in_equal_steps(low, width, wanted):
    high = low + width
    if high - low < 1e-6 * max(abs(low), abs(high)):
        return
    marks = ticks((low, high), wanted)
    slack = 1e-6 * width
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 2 * wanted + 3
    steps = np.diff(marks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (1200, "1200"), (25000, "25k"), (2.5e6, "2.5M"), (0.00025, "2.5e-4")],
)
def test_axis_numbers_are_short(value, text):
    assert short(value) == text
