"""`maskwright compare`: what it prints, and what it refuses in one message."""

from __future__ import annotations

from cases import contents

from maskwright.benchmarks import Comparison, ComparisonRow
from maskwright.benchmarks.comparison import FILE

QUICK = ["--budget", "0.2s", "--size", "32x32", "--threads", "1", "--set", "batch=4",
         "--set", "workers=0", "--set", "precision=fp32"]  # fmt: skip


def test_trains_and_tells(run, original, tmp_path):
    out = tmp_path / "compared"
    result = run("compare", original, "--models", " sliding-window ,", *QUICK, "--rounds", "0",
                 "--out", out)  # fmt: skip
    assert result.code == 0, result
    assert "1/1  sliding-window: mIoU" in result.out
    assert f"report: {out / 'report.html'}" in result.out
    assert {FILE, "report.html"} <= set(contents(out))
    assert (out / "runs/sliding-window/training/best.safetensors").exists()


def test_refuses_before_anything_is_written(refused, original, tmp_path):
    out = ("--out", tmp_path / "compared")
    assert "expected models to compare, got none" in refused("compare", original, *out)
    unknown = refused("compare", original, "--models", "unet-smal", *out)
    assert "did you mean unet-small" in unknown
    assert "such as 90s" in refused(
        "compare", original, "--models", "small", "--budget", "soon", *out
    )
    assert "expected a setting that all models share, got 'width'" in refused(
        "compare", original, "--models", "unet-small", "--set", "width=3", *out
    )
    assert "does not exist" in refused("compare", tmp_path / "no", "--models", "unet-small", *out)
    missing = refused("compare", original, "--pareto-of", tmp_path / "earlier", *out)
    assert "expected a comparison in" in missing
    assert not (tmp_path / "compared").exists()


def test_another_comparison_is_not_overwritten(refused, original, tmp_path):
    other = Comparison(tmp_path, {"data": "other", "budget": 1.0})
    other.keep(ComparisonRow(name="unet", score=0.5))
    before = contents(tmp_path)
    message = refused("compare", original, "--models", "unet-small", *QUICK, "--out", tmp_path)
    assert "with data other, but got set" in message
    assert "another folder" in message
    assert contents(tmp_path) == before
