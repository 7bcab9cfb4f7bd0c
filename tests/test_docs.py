"""Every example in the documentation runs, block after block, page by page."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)

_RUN_CELLS = """
import ast, json, sys

def shown(value):
    'What Jupyter asks of the value that a cell ends with.'
    for name in ("_repr_html_", "_repr_png_"):
        if hasattr(value, name) and getattr(value, name)() is not None:
            return
    repr(value)

names = {"__name__": "__main__"}
for number, code in enumerate(json.loads(sys.argv[1])):
    body = ast.parse(code, f"<cell {number}>").body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), f"<cell {number}>", "exec"), names)
    if last is not None:
        shown(eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names))
"""


def cells(notebook, kind):
    """The sources of a notebook's cells of a kind."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page, tmp_path):
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    for language, text in BLOCK.findall(page.read_text()):
        if language == "python":
            commands = [[sys.executable, "-c", text]]
        else:
            lines = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
            commands = [shlex.split(line) for line in lines if line.startswith("maskwright ")]
            assert lines, f"{page}: a console block without a command"
        for command in commands:
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{page}: {command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.name)
def test_notebooks_run(notebook, tmp_path):
    code = cells(notebook, "code")
    assert code
    done = subprocess.run(
        [sys.executable, "-c", _RUN_CELLS, json.dumps(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{notebook}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.name)
def test_notebooks_hold_no_outputs(notebook):
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_links_lead_somewhere():
    texts = {page: page.read_text() for page in PAGES}
    texts |= {notebook: "\n".join(cells(notebook, "markdown")) for notebook in NOTEBOOKS}
    for page, text in texts.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"
