"""One program at a time writes to a folder, and a killed one leaves no lock."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from maskwright.core.errors import MaskwrightError
from maskwright.core.locking import alone, alone_in

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the system has no such locks")

HOLDER = """
import sys
from maskwright.core.locking import alone_in
with alone_in(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another program that holds a folder."""
    program = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "set"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout.readline() == "held\n"
    yield program
    program.kill()
    program.communicate()


def enter(folder):
    with alone_in(folder):
        pass


def test_a_second_program_is_refused(holder, tmp_path):
    with pytest.raises(MaskwrightError, match=r"another program is writing to .*set"):
        enter(tmp_path / "set")
    enter(tmp_path / "other")
    assert not (tmp_path / "other").exists()  # nothing was written there


@pytest.mark.parametrize("end", ["leave", "kill"])
def test_a_program_that_ended_is_no_obstacle(holder, tmp_path, end):
    if end == "kill":
        holder.kill()
    holder.communicate("")
    enter(tmp_path / "set")


def test_what_was_written_stays_and_folders_made_for_nothing_go(tmp_path):
    with alone_in(tmp_path / "a" / "b"):
        (tmp_path / "a" / "c").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "c"]
    (tmp_path / "mine").mkdir()
    enter(tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MaskwrightError, match="a file lies where a folder is needed"):
        enter(tmp_path / "file" / "set")


def test_a_function_holds_its_folder(tmp_path):
    @alone("out")
    def write(text, out):
        with pytest.raises(MaskwrightError, match="another program"):
            enter(out)
        return text

    assert write("a", tmp_path) == write(out=tmp_path, text="a") == "a"
    enter(tmp_path)
