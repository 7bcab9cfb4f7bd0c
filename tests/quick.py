"""Which tests a change touches: `python tests/quick.py` prints them for `make quick`.

A file of a room asks for the tests of its room, and for those elsewhere that import it directly. Of
rooms whose tests take minutes it asks only for those that import it. A page asks for its examples.
The rules of the house are always held. It is a quick look, not the proof: that is `make test`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "maskwright"
ALWAYS = "tests/test_house.py"
LONG = {"architectures", "benchmarks", "cli", "export", "parity", "training"}
"""Rooms whose tests together take more than a minute."""


def wanted_tests(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """What to hand to pytest: files, folders and single tests, the rules of the house first.

    Args:
        changed: paths below the root, with "/"; also of files that are no longer there.
        root: of the repository.
    """
    imports = _imports(root)
    found = {ALWAYS}
    for path in changed:
        found |= _asked_for_by(path, root, imports)
    whole = {each for each in found if (root / each).is_dir()}
    found = {each for each in found if not any(each.startswith(f"{room}/") for room in whole)}
    return [ALWAYS, *sorted(found - {ALWAYS})]


def _asked_for_by(path: str, root: Path, imports: dict[str, set[str]]) -> set[str]:
    parts = Path(path).parts
    if path.endswith(".md"):
        return _examples(path, root)
    if not path.endswith(".py"):
        return set()
    if path in imports:
        return {path}
    if parts[0] == "tests" and parts[-1] == "conftest.py":
        folder = "/".join(parts[:-1])
        return {folder} if len(parts) > 2 else set()
    if parts[0] == "tests":
        return _importing(parts[-1].removesuffix(".py"), imports, all_rooms=True)
    if parts[0] == "src" and len(parts) > 3:
        room = parts[2]
        found = _importing(_module(parts[1:]), imports, all_rooms=False)
        found |= {
            test
            for test, modules in imports.items()
            if _room(test) == room and _module(parts[1:]) in modules
        }
        folder = f"tests/{room}"
        if room not in LONG and (root / folder).is_dir():
            found.add(folder)
        return found
    return _importing(_module(parts), imports, all_rooms=True)


def _importing(module: str, imports: dict[str, set[str]], *, all_rooms: bool) -> set[str]:
    return {
        test
        for test, modules in imports.items()
        if module in modules and (all_rooms or _room(test) not in LONG)
    }


def _examples(path: str, root: Path) -> set[str]:
    page = path == "README.md" or (path.startswith("docs/") and (root / path).is_file())
    if not page:
        return set()
    tests = "tests/test_docs.py"
    return {f"{tests}::test_examples_run[{path}]", f"{tests}::test_links_lead_somewhere"}


def _room(test: str) -> str:
    parts = test.split("/")
    return parts[1] if len(parts) > 2 else ""


def _module(parts: Iterable[str]) -> str:
    name = ".".join(parts).removesuffix(".py")
    return name.removesuffix(".__init__")


@cache
def _imports(root: Path) -> dict[str, set[str]]:
    """Test -> modules that it imports."""
    tests = sorted((root / "tests").rglob("test_*.py"))
    return {test.relative_to(root).as_posix(): _imports_of(test, root) for test in tests}


def _imports_of(test: Path, root: Path) -> set[str]:
    """Modules that a test imports; of a name that a package passes on, where it comes from, too."""
    found = set()
    for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            passed_on = _passed_on(node.module, root)
            for alias in node.names:
                found |= {node.module, f"{node.module}.{alias.name}"}
                found |= {passed_on[alias.name]} if alias.name in passed_on else set()
    return found


@cache
def _passed_on(package: str, root: Path) -> dict[str, str]:
    """Name -> module that it is imported from, in a package's `__init__.py`."""
    source = root / "src" / Path(*package.split(".")) / "__init__.py"
    if not package.startswith(PACKAGE) or not source.is_file():
        return {}
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def changed_files(root: Path = ROOT) -> list[str]:
    """What differs from where this branch left main: committed since, not yet, and new files."""
    base = _git(root, "merge-base", "HEAD", "main") or ["HEAD"]
    changed = _git(root, "diff", "--name-only", base[0])
    return sorted({*changed, *_git(root, "ls-files", "--others", "--exclude-standard")})


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    print("\n".join(wanted_tests(sys.argv[1:] or changed_files())))
