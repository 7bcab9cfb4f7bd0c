"""`make quick` runs the tests that a change touches."""

from __future__ import annotations

import subprocess
import sys

import pytest
from quick import ALWAYS, LONG, changed_files, wanted_tests
from shared import ROOT


@pytest.fixture
def tree(tmp_path):
    """A house of two rooms, one of them slow to test."""
    files = {
        "src/maskwright/core/__init__.py": "from maskwright.core.mask import Mask\n",
        "src/maskwright/core/mask.py": "",
        "src/maskwright/core/text.py": "",
        "src/maskwright/training/loop.py": "",
        "benchmarks/robot.py": "",
        "tests/quick.py": "",
        "tests/standin.py": "",
        "tests/test_house.py": "",
        "tests/core/test_mask.py": "import small\n",
        "tests/core/small.py": "",
        "tests/jobs/test_convert.py": "from maskwright.core import Mask\n",
        "tests/jobs/test_split.py": "def f():\n    import maskwright.core.text as text\n",
        "tests/training/conftest.py": "",
        "tests/training/test_loop.py": "from maskwright.training import loop\nimport standin\n",
        "tests/training/test_masks.py": "from maskwright.core.mask import Mask\n",
        "tests/benchmarks/test_robot.py": "from benchmarks.robot import measure\n",
        "README.md": "",
        "docs/page.md": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ([], []),
        (["Makefile", "benchmarks/results/robot.json"], []),
        # a room's own tests, and those elsewhere that import the file, by whatever name
        (["src/maskwright/core/mask.py"], ["tests/core", "tests/jobs/test_convert.py"]),
        (["src/maskwright/core/text.py"], ["tests/core", "tests/jobs/test_split.py"]),
        # of a slow room only the tests that import the file
        (["src/maskwright/training/loop.py"], ["tests/training/test_loop.py"]),
        (["src/maskwright/training/gone.py"], []),
        # tests, what they stand on, and what all of a folder stand on
        (["tests/training/test_masks.py"], ["tests/training/test_masks.py"]),
        (["tests/core/test_gone.py"], []),
        (["tests/core/small.py"], ["tests/core/test_mask.py"]),
        (["tests/standin.py"], ["tests/training/test_loop.py"]),
        (["tests/training/conftest.py"], ["tests/training"]),
        (["tests/training/conftest.py", "tests/training/test_loop.py"], ["tests/training"]),
        (["benchmarks/robot.py"], ["tests/benchmarks/test_robot.py"]),
        (
            ["docs/page.md", "docs/gone.md", "CHANGELOG.md"],
            ["tests/test_docs.py::test_examples_run[docs/page.md]",
             "tests/test_docs.py::test_links_lead_somewhere"],
        ),
    ],
)  # fmt: skip
def test_a_change_asks_for_its_tests(tree, changed, wanted):
    assert wanted_tests(changed, tree) == [ALWAYS, *wanted]


def test_what_is_asked_for_is_there():
    for path in (ROOT / "src").rglob("*.py"):
        for test in wanted_tests([path.relative_to(ROOT).as_posix()]):
            assert (ROOT / test).exists()
    tests = wanted_tests(["src/maskwright/training/loop.py"])
    assert "tests/training/test_train.py" in tests
    assert "tests/training" not in tests
    assert {f"tests/{room}" for room in LONG} <= {
        f"tests/{p.name}" for p in (ROOT / "tests").iterdir()
    }


def test_changes_are_those_since_main_and_new_files(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    git("init", "-b", "main")
    for name in ("kept", "committed", "edited"):
        (tmp_path / name).write_text("before")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git("add", "-A")
    git("commit", "-m", "a")
    git("checkout", "-b", "work")
    (tmp_path / "committed").write_text("after")
    git("commit", "-am", "b")
    (tmp_path / "edited").write_text("after")
    (tmp_path / "new").write_text("")
    (tmp_path / "ignored").write_text("")
    assert changed_files(tmp_path) == ["committed", "edited", "new"]
    assert changed_files(tmp_path / "new") == []


def test_the_script_prints_one_a_line():
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "quick.py", "src/maskwright/core/text.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[:1] == [ALWAYS]
    assert "tests/core" in done.stdout.splitlines()
