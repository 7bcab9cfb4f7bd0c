"""Each command's main job, as a user runs it."""

from __future__ import annotations

import functools
import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from cases import NAMES, QUICK
from PIL import Image
from typer.main import get_command

import maskwright
import maskwright.formats as formats
from maskwright.architectures import ARCHITECTURES
from maskwright.cli.app import app
from maskwright.cli.models import headline
from maskwright.core.image import read_image
from maskwright.runtimes import Tiled, load
from maskwright.training import checkpoint_predictor


def test_help_lists_every_command_uncut(run):
    result = run("--help")
    assert result.code == 0
    lines = dict(re.findall(r"^  (\w+)  +(\S.*)$", result.out, re.MULTILINE))
    assert list(lines) == [
        "demo", "models", "convert", "train", "evaluate", "predict", "export", "benchmark",
        "compare", "synthesize", "doctor", "data",
    ]  # fmt: skip
    assert not [line for line in lines.values() if line.endswith("...")]


def test_models_is_one_table(run, few_models):
    result = run("models")
    assert result.code == 0
    rows = result.out.splitlines()
    assert [row.split()[0] for row in rows[2:-2]] == few_models
    assert "mIoU Cityscapes test 72.6, abstract" in result.out


def test_models_tells_one_card_whole(run):
    result = run("models", "bisenetv2")
    card = ARCHITECTURES["bisenetv2"].card
    told = " ".join(result.out.split())
    for item in card.published:
        assert item.what in told
        assert item.source in told
    for wanted in (card.paper, card.notes, card.repository, *card.checkpoints.values()):
        text = wanted if isinstance(wanted, str) else wanted.address
        assert " ".join(text.split()) in told


def test_models_as_json_is_complete(run, few_models):
    cards = json.loads(run("models", "--json").out)
    assert [card["name"] for card in cards] == few_models
    found = next(card for card in cards if card["name"] == "bisenetv1")
    card = ARCHITECTURES["bisenetv1"].card
    assert len(found["published"]) == len(card.published)
    assert found["checkpoints"] == {what: one.address for what, one in card.checkpoints.items()}
    assert found["gflops"] > 1


def test_headline_prefers_what_was_read():
    published = ARCHITECTURES["segformer-b5"].card.published
    mine = [item for item in published if item.variant == "segformer-b5"]
    assert headline(mine) == "mIoU ADE20K val 51.8, tables 1 and 2"
    assert headline([item for item in mine if "memory" in item.source]).endswith("from memory")
    assert headline([item for item in mine if item.what.startswith("fps")]) == "–"
    assert headline([]) == "–"


def test_data_stats(run, original):
    result = run("data", "stats", original)
    assert result.code == 0
    assert "train 9, val 3" in result.out
    assert "12 of 64x64" in result.out
    found = json.loads(run("data", "stats", original, "--json").out)
    masks = [np.array(Image.open(path)) for path in original.glob("*/masks/*.png")]
    grass = np.mean([ids == 0 for ids in masks]) / np.mean([ids != 255 for ids in masks])
    assert found["classes"][0]["pixel_share"] == pytest.approx(grass)


def test_data_check_and_preview(run, original, tmp_path):
    result = run("data", "check", original)
    assert result.code == 0
    assert "no errors" in result.out
    result = run("data", "preview", original, "--out", tmp_path / "sheet.png", "--count", "4")
    assert "4 samples" in result.out
    assert read_image(tmp_path / "sheet.png").shape[0] > 64


def test_train_writes_its_folder(trained):
    files = {path.name for path in trained.iterdir()}
    assert files == {
        "best.safetensors", "last.safetensors", "config.json", "recipe.yaml", "environment.json",
        "metrics.csv", "report.html", "tensorboard",
    }  # fmt: skip
    config = json.loads((trained / "config.json").read_text())
    assert (config["steps"], config["architecture"], config["classes"]) == (4, "unet-lite0", NAMES)
    assert config["size"] == [32, 32]


@pytest.fixture
def served(trained, monkeypatch, tmp_path):
    """The address of the run's folder, on this machine alone."""
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(trained))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_train_takes_initial_weights_from_an_address(run, original, served, tmp_path):
    address = f"{served}/best.safetensors"
    arguments = ("train", original, *QUICK, "--steps", 1, "--out", tmp_path / "run")
    result = run(*arguments, "--weights", address)
    assert result.code == 0, result
    [kept] = (tmp_path / "cache" / "downloads").iterdir()
    assert f"weights: {address}, kept in {kept}" in result.out
    loaded = re.search(r"loaded (\d+) of (\d+) tensors", result.out)
    assert loaded[1] == loaded[2]
    missing = run(*arguments, "--overwrite", "--weights", f"{served}/none.safetensors")
    assert missing.code == 2
    assert "the server says 404" in missing.err


def test_evaluate_tells_the_same_for_weights_and_bundle(run, original, trained, bundle, tmp_path):
    scores = []
    for model in (trained, trained / "best.safetensors", bundle):
        result = run("evaluate", model, original, "--threads", 1, "--out", tmp_path / "s.json")
        assert result.code == 0, result
        assert re.search(r"mIoU 0\.\d{4}", result.out)
        assert "over 3 images" in result.out
        scores.append(json.loads((tmp_path / "s.json").read_text())["maps"]["areas"]["miou"])
    assert scores[0] == scores[1]
    assert scores[2] == pytest.approx(scores[0], abs=2e-3)


def test_probabilities_are_exported_where_asked(original, trained, bundle, soft_bundle):
    image = read_image(original / "val" / "images" / "im0.png")
    eager, shipped = checkpoint_predictor(trained / "best.safetensors", 1), load(soft_bundle)
    assert eager.gives_probabilities
    assert shipped.gives_probabilities
    assert not load(bundle).gives_probabilities
    wanted, answer = (each.predict_probabilities(image).restored() for each in (eager, shipped))
    assert answer.shape == (3, 64, 64)
    np.testing.assert_allclose(answer, wanted, atol=1e-4)


def test_predict_writes_masks_and_overlays(run, original, bundle, tmp_path):
    result = run("predict", bundle, original / "val" / "images", "--out", tmp_path / "found")
    assert result.code == 0, result
    assert "3 images" in result.out
    for kind, suffix in (("masks", "png"), ("overlays", "jpg")):
        names = [f"im{i}.{suffix}" for i in range(3)]
        assert sorted(path.name for path in (tmp_path / "found" / kind).iterdir()) == names
    with Image.open(tmp_path / "found" / "masks" / "im0.png") as mask:
        assert mask.size == (64, 64)
        assert np.array(mask).max() < 3


def test_predict_by_tiles(run, original, bundle, soft_bundle, tmp_path):
    photos = original / "val" / "images"
    image = read_image(photos / "im0.png")
    for number, (model, tile, size) in enumerate(
        [(soft_bundle, "auto", (32, 32)), (soft_bundle, "24x40", (24, 40)), (bundle, "auto", None)]
    ):
        out = tmp_path / str(number)
        result = run("predict", model, photos, "--out", out, "--tile", tile, "--overlap", 0.5,
                     "--threads", 1)  # fmt: skip
        assert result.code == 0, result
        told = result.out.count("Export it with --probabilities")
        assert told == (model == bundle)
        if size is not None:
            wanted = Tiled(load(model, threads=1), size, 0.5).predict(image)
            found = np.array(Image.open(out / "masks" / "im0.png"))
            np.testing.assert_array_equal(found, wanted.semantic)


def test_predict_without_a_model_takes_the_one_that_ships(run, original, tmp_path):
    photos = original / "val" / "images"
    result = run("predict", photos, "--out", tmp_path / "found")
    assert result.code == 0, result.text
    masks = list((tmp_path / "found").rglob("*.png"))
    assert len(masks) >= len(list(photos.iterdir()))


def test_predict_with_weights_and_single_files(run, original, trained, tmp_path):
    photos = sorted((original / "val" / "images").iterdir())[:2]
    result = run("predict", trained, *photos, "--out", tmp_path / "found", "--threads", 1)
    assert result.code == 0, result
    assert "2 images with torch" in result.out


def test_benchmark(run, original, trained, bundle, tmp_path):
    images = original / "val" / "images"
    result = run("benchmark", trained, "--bundle", bundle, "--images", images, "--out",
                 tmp_path / "speed", "--rounds", 1, "--threads", 1, "--no-compile")  # fmt: skip
    assert result.code == 0, result
    assert "ONNX Runtime" in result.out
    assert "ceilings of" in result.out
    assert json.loads((tmp_path / "speed" / "latency.json").read_text())["rows"]
    assert (tmp_path / "speed" / "report.html").is_file()


def test_synthesize_is_read_back(run, tmp_path):
    result = run("synthesize", tmp_path / "scenes", "--count", 10, "--size", "32x48",
                 "--workers", 1)  # fmt: skip
    assert "10 scenes made" in result.out
    found = formats.read(tmp_path / "scenes")
    assert {split: len(samples) for split, samples in found.splits.items()} == {
        "train": 8, "val": 1, "test": 1,
    }  # fmt: skip


def test_doctor(run):
    result = run("doctor")
    assert result.code == 0, result
    assert "ok" in result.out


def commands_of(group, path=()):
    """Every command and group below the root, as words."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands_of(command, (*path, name))


COMMANDS = list(commands_of(get_command(app)))
assert {(), ("data",), ("data", "stats"), ("train",)} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_h_is_help_everywhere(run, path):
    long, short = run(*path, "--help"), run(*path, "-h")
    assert (short.code, short.out) == (long.code, long.out)
    assert short.code == 0
    assert "Usage: maskwright" in short.out
    assert "-h, --help" in short.out


def test_version(run):
    result = run("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"maskwright {maskwright.__version__}\n"
