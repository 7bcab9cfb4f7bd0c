"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from maskwright.core.errors import MaskwrightError
from maskwright.core.files import (
    atomic_path,
    flush,
    flushes_held,
    write_bytes,
    write_json,
    write_text,
)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    return path


def only(path):
    """No other file lies beside it."""
    return [p.name for p in path.parent.iterdir()] == [path.name]


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_success_takes_the_place_of_the_old_file(old):
    write_bytes(old, b"new")
    assert old.read_bytes() == b"new"
    assert only(old)


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "größer")
    assert (tmp_path / "a" / "b" / "note.txt").read_text("utf-8") == "größer"


def test_json(tmp_path):
    write_json(tmp_path / "run.json", {"b": [1, 2], "a": "größer"})
    text = (tmp_path / "run.json").read_text("utf-8")
    assert json.loads(text) == {"b": [1, 2], "a": "größer"}
    assert text.endswith("}\n")
    assert "größer" in text


def test_what_is_no_json_leaves_the_old_file(old):
    with pytest.raises(TypeError):
        write_json(old, {"path": object()})
    assert old.read_bytes() == b"old"
    assert only(old)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_in_the_block_leaves_the_old_file(old, error):
    def write():
        with atomic_path(old) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert old.read_bytes() == b"old"
    assert only(old)


def test_the_old_file_stands_until_the_block_ends(old):
    with atomic_path(old) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == old.parent
        assert old.read_bytes() == b"old"


@pytest.mark.parametrize("place", ["write", "fsync", "replace", "mkstemp"])
def test_a_full_disk_leaves_the_old_file_and_says_so(old, monkeypatch, place):
    if place == "write":
        monkeypatch.setattr(Path, "write_bytes", full_disk)
    elif place == "replace":
        monkeypatch.setattr(Path, "replace", full_disk)
    elif place == "fsync":
        monkeypatch.setattr(os, "fsync", full_disk)
    else:
        monkeypatch.setattr("tempfile.mkstemp", full_disk)
    with pytest.raises(MaskwrightError, match=r"weights\.bin: No space left.*unchanged"):
        write_bytes(old, b"new")
    monkeypatch.undo()
    assert old.read_bytes() == b"old"
    assert only(old)


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(MaskwrightError, match="could not write"):
        write_bytes(tmp_path / "run", b"new")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MaskwrightError, match="could not write"):
        write_bytes(tmp_path / "file" / "below", b"new")


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_bytes(tmp_path / "atomic", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO, errno.ENAMETOOLONG])
def test_no_space_is_said_only_where_there_is_none(old, monkeypatch, code):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkstemp", fail)
    with pytest.raises(MaskwrightError, match=os.strerror(code)) as told:
        write_bytes(old, b"new")
    assert "free some space" not in str(told.value)


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 125 + ".json", "." + "x" * 254])
def test_the_longest_names_can_be_written(tmp_path, name):
    write_bytes(tmp_path / name, b"new")
    with atomic_path(tmp_path / name, keep_suffix=True) as temporary:
        temporary.write_bytes(b"newer")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"newer"


WRITER = """
import sys
from maskwright.core.files import atomic_path
with atomic_path(sys.argv[1], keep_suffix=True) as temporary:
    temporary.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.read()
"""


def writing(path):
    """Another program in the middle of writing a file."""
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout.readline() == "half\n"
    return program


@pytest.mark.skipif(os.name == "nt", reason="without the system's locks nothing is swept")
def test_what_killed_programs_left_goes_and_what_others_write_stays(tmp_path):
    """Each program sweeps a folder once; a file of the user's own that looks alike is kept."""
    (tmp_path / ".mine.part").write_text("mine")
    killed = writing(tmp_path / "a.json")
    killed.kill()
    killed.communicate()
    [left] = tmp_path.glob(".a.json.*.part.json")
    alive = writing(tmp_path / "b.json")
    assert not left.exists()
    third = writing(tmp_path / "c.json")
    for program in (third, alive):
        program.communicate("")
        assert program.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {".mine.part", "b.json", "c.json"}


def test_files_whose_flush_is_held_stand_at_once_and_are_flushed_together(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    files = []
    with flushes_held(files):
        write_bytes(tmp_path / "a", b"a")
        write_text(tmp_path / "b", "b")
        write_text(tmp_path / "c", "c", flushed=False)
        assert (tmp_path / "a").read_bytes() == b"a"
    assert files == [tmp_path / "a", tmp_path / "b"]
    assert not flushed
    flush(files)
    assert len(flushed) == 2
    write_bytes(tmp_path / "d", b"d")
    write_bytes(tmp_path / "e", b"e", flushed=False)
    assert len(flushed) == 3
    flush([])
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(MaskwrightError, match="a: No space left"):
        flush(files)
