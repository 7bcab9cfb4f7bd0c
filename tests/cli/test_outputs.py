"""Outputs never take the place of an input, or of what is no earlier output."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import pytest
from cases import QUICK, contents, make_set
from typer.main import get_command

from maskwright.cli.app import app
from maskwright.core.errors import ConfigError, MaskwrightError
from maskwright.core.files import OUTPUTS, refuse_output
from maskwright.core.locking import alone_in

READ_ONLY = {"models", "doctor", "data stats", "data check"}


@pytest.fixture
def place(tmp_path, original, trained, bundle, monkeypatch):
    """A folder with everything that commands read, in which they run."""
    shutil.copytree(original, tmp_path / "DATA")
    shutil.copytree(trained, tmp_path / "RUN")
    shutil.copy(bundle, tmp_path / "model.mask")
    shutil.copytree(original / "val" / "masks", tmp_path / "FOUND")
    writer = cv2.VideoWriter(
        str(tmp_path / "clips.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64)
    )
    for photo in sorted((original / "val" / "images").iterdir()):
        writer.write(cv2.imread(str(photo)))
    writer.release()
    shutil.copy(original / "val" / "images" / "im0.png", tmp_path / "photo.png")
    (tmp_path / "groups.csv").write_text("".join(f"im{i},{i}\n" for i in range(12)))
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "comparison.json").write_text('{"rows": [], "settings": {}}')
    (tmp_path / "LINK").symlink_to("DATA", target_is_directory=True)
    (tmp_path / "link.json").symlink_to("DATA/classes.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Places that no command may write to; those inside an input that hold nothing of the output's are
# no obstacle to some.
FOLDERS = ("DATA", "RUN", "LINK", ".", "RUN/../DATA", "DATA/classes.json", "model.mask",
           "clips.avi", "link.json")  # fmt: skip
INSIDE = ("DATA/val", "LINK/val/masks")
FILES = ("DATA", "RUN/best.safetensors", "RUN/config.json", "DATA/classes.json",
         "DATA/val/images/im0.png", "LINK/val/masks/im0.png", "link.json",
         "RUN/../DATA/classes.json", "clips.avi", "earlier/comparison.json",
         "photo.png")  # fmt: skip
COMMANDS = {
    "demo": (["demo", "--scenes", "30", "--budget", "1s", "--overwrite", "--out", "{}"],
             FOLDERS + INSIDE),
    "convert": (["convert", "DATA", "{}", "--to", "coco", "--workers", "1"], FOLDERS + INSIDE),
    "train": (["train", "DATA", *QUICK, "--steps", "1", "--weights", "RUN/best.safetensors",
               "--overwrite", "--out", "{}"], FOLDERS),
    "evaluate": (["evaluate", "FOUND", "DATA", "--out", "{}"], (*FILES, "model.mask")),
    "evaluate --report": (["evaluate", "RUN", "DATA", "--report", "{}"],
                          (*FILES, "RUN/report.html", "model.mask")),
    "predict": (["predict", "model.mask", "DATA/val/images", "--overwrite", "--out", "{}"],
                FOLDERS + INSIDE),
    "predict VIDEO": (["predict", "model.mask", "clips.avi", "--overwrite", "--out", "{}"],
                      FOLDERS + INSIDE),
    "export": (["export", "RUN", "--images", "DATA/val/images", "--out", "{}"], FILES),
    "export --record": (["export", "RUN", "--data", "DATA", "--out", "new.mask", "--record", "{}"],
                        (*FILES, "model.mask")),
    "benchmark": (["benchmark", "RUN", "--bundle", "model.mask", "--images", "DATA/val/images",
                   "--rounds", "1", "--no-compile", "--out", "{}"], (*FOLDERS, "DATA/val")),
    "compare": (["compare", "DATA", "--pareto-of", "earlier", "--out", "{}"],
                (*FOLDERS, "earlier")),
    "synthesize": (["synthesize", "{}", "--count", "1", "--size", "32x32"], FOLDERS + INSIDE),
    "data preview": (["data", "preview", "DATA", "--out", "{}"], (*FILES, "model.mask")),
    "data split": (["data", "split", "DATA", "{}", "--by", "groups.csv", "--lists"],
                   FOLDERS + INSIDE),
}  # fmt: skip


def test_every_command_that_writes_is_here():
    root = get_command(app)
    names = set(root.commands) - {"data"} | {
        f"data {name}" for name in root.commands["data"].commands
    }
    assert {name.split(" -")[0].split(" V")[0] for name in COMMANDS} | READ_ONLY == names
    writes = {"out", "report", "record"}
    for name in READ_ONLY:
        command = root.commands["data"] if name.startswith("data ") else root
        taken = {one.name for one in command.commands[name.split()[-1]].params}
        assert not taken & writes


@pytest.mark.parametrize("name", COMMANDS)
def test_inputs_stay_as_they_are(run, place, name):
    arguments, targets = COMMANDS[name]
    before = contents(place)
    for target in targets:
        result = run(*[one.replace("{}", target) for one in arguments])
        assert result.code == 2, (target, result)
        assert "Traceback" not in result.err, target
        after = contents(place)
        assert {path: after.get(path) for path in before} == before, target
        assert not set(after) - set(before), target


def test_earlier_outputs_are_replaced(run, place):
    """What is refused elsewhere is no obstacle to writing anew what the command wrote itself."""
    twice = [
        ["evaluate", "FOUND", "DATA", "--out", "RUN/scores.json", "--report", "page.html"],
        ["predict", "model.mask", "DATA/val/images", "clips.avi", "--out", "found", "--overwrite"],
        ["data", "preview", "DATA", "--out", "sheet.png"],
        ["export", "RUN", "--images", "DATA/val/images", "--count", "1", "--threads", "1",
         "--out", "RUN/new.mask"],
    ]  # fmt: skip
    before = contents(place)
    for arguments in twice:
        for _ in range(2):
            result = run(*arguments)
            assert result.code == 0, result
    after = contents(place)
    assert {path: after.get(path) for path in before} == before
    assert json.loads((place / "RUN/scores.json").read_text())["scored"] == "FOUND"
    assert {path.name for path in (place / "found").iterdir()} == {
        ".predictions", "classes.json", "masks", "overlays", "clips.mp4", "clips.jsonl",
    }  # fmt: skip
    (place / "found" / ".predictions").unlink()
    assert "no predictions that was written before" in run(*twice[1]).err


# --- the function ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind, known in OUTPUTS.items() if known.suffixes])
def test_files_of_another_kind_stay(tmp_path, kind):
    known = OUTPUTS[kind]
    target = tmp_path / f"a{known.suffixes[0].upper()}"
    refuse_output(target, kind)
    target.write_bytes(b"head" + known.mark + b"tail")
    refuse_output(target, kind)
    if known.mark:
        target.write_bytes(b"something else")
        with pytest.raises(ConfigError, match=rf"would replace .*a\{target.suffix}"):
            refuse_output(target, kind)
    with pytest.raises(ConfigError, match=f"the {kind} of --out to end in {known.suffixes[0]}"):
        refuse_output(tmp_path / "a.txt", kind)
    folder = tmp_path / f"folder{known.suffixes[0]}"
    folder.mkdir()
    with pytest.raises(ConfigError, match="expected a file"):
        refuse_output(folder, kind)


@pytest.mark.parametrize("kind", [kind for kind, known in OUTPUTS.items() if known.files])
def test_folders_of_another_kind_stay(tmp_path, kind):
    known = OUTPUTS[kind]
    refuse_output(tmp_path / "new", kind)
    refuse_output(tmp_path, kind)
    for name in known.files:
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(ConfigError, match=f"would replace .*{name}"):
            refuse_output(tmp_path, kind)
        (tmp_path / name).unlink()
    (tmp_path / known.files[-1]).write_bytes(b"")
    (tmp_path / known.files[0]).write_bytes(b"{" + known.mark)
    refuse_output(tmp_path, kind)


def test_ways_to_name_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set" / "val").mkdir(parents=True)
    source = tmp_path / "set" / "val" / "a.mask"
    source.write_bytes(b"PK\x03\x04")
    (tmp_path / "link.mask").symlink_to(source)
    (tmp_path / "hard.mask").hardlink_to(source)
    (tmp_path / "door").symlink_to("set", target_is_directory=True)
    for way in (source, "set/val/a.mask", "set/../set/val/a.mask", "link.mask", "hard.mask",
                "door/val/a.mask", Path("./door/val/../val/a.mask")):  # fmt: skip
        with pytest.raises(ConfigError, match="is the input"):
            refuse_output(way, "bundle", ["nothing", None, "set/val/a.mask"])
    for way in (".", "set", "door", "set/val", "door/val/..", tmp_path.parent):
        with pytest.raises(ConfigError, match="holds the input"):
            refuse_output(way, "predictions", [source])
    refuse_output("set/val/b.mask", "bundle", [source, "set"])
    refuse_output("set/new", "predictions", ["set/val"])


def test_a_file_system_that_ignores_case_is_seen_through(tmp_path, monkeypatch):
    """Where it does, the system says that two spellings are the same file."""
    source = tmp_path / "Model.mask"
    for spelling in (source, tmp_path / "MODEL.MASK"):
        spelling.write_bytes(b"PK\x03\x04")
    refuse_output(tmp_path / "MODEL.MASK", "bundle", [source])
    monkeypatch.setattr(Path, "samefile", lambda one, other: str(one).lower() == str(other).lower())
    with pytest.raises(ConfigError, match="is the input"):
        refuse_output(tmp_path / "MODEL.MASK", "bundle", [source])


def test_the_place_of_the_default_is_new(tmp_path):
    make_set(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"--record would replace .*classes\.json"):
        refuse_output(tmp_path / "set" / "classes.json", "record", [tmp_path / "set"], "--record")


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, kind):
    suffix = (*OUTPUTS[kind].suffixes, "")[0]
    (tmp_path / "file").touch()
    with pytest.raises(MaskwrightError, match=r"file is no folder"):
        refuse_output(tmp_path / "file" / "new" / f"a{suffix}", kind)
    with pytest.raises(MaskwrightError, match="choose a shorter name"):
        refuse_output(tmp_path / f"{'a' * 256}{suffix}", kind)


def test_a_folder_that_may_not_be_written_is_found_before_the_work(tmp_path, monkeypatch):
    """Through what the system answers: whoever may do everything never sees it refuse."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(MaskwrightError, match="choose a folder that may be read and written"):
        refuse_output(tmp_path / "a.mask", "bundle")
    with pytest.raises(MaskwrightError, match="choose a folder that may be read and written"):
        refuse_output(tmp_path / "new" / "set", "set")


@pytest.mark.skipif(os.name == "nt", reason="the system has no such locks")
def test_a_folder_that_another_command_writes_to_is_refused(run, place):
    """One that wrote there before, so that only the lock stands in the way."""
    commands = [
        ["convert", "DATA", "out", "--to", "coco", "--workers", "1"],
        ["predict", "model.mask", "DATA/val/images", "--out", "out", "--overwrite"],
        ["synthesize", "out", "--count", "1", "--size", "32x32"],
        ["train", "DATA", *QUICK, "--steps", "1", "--overwrite", "--out", "out"],
        ["data", "split", "DATA", "out", "--by", "groups.csv"],
        ["demo", "--scenes", "30", "--budget", "1s", "--overwrite", "--out", "out"],
    ]
    for arguments in commands:
        with alone_in(place / "out"):
            result = run(*arguments)
            assert result.code == 2, arguments
            assert "another program is writing to" in result.err, (arguments, result)
            assert not list((place / "out").iterdir()), arguments
