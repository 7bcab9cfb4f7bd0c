"""The package as its source tells it: modules, their imports wherever they stand, their names."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "maskwright"


@dataclass(frozen=True)
class Import:
    """One imported module; `target` is the deepest module that the statement names."""

    module: str
    target: str
    line: int
    eager: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


@dataclass(frozen=True)
class Module:
    """One file."""

    name: str
    tree: ast.Module
    is_package: bool

    @property
    def room(self) -> str:
        """The folder below the package; "" for the root."""
        return room_of(self.name)

    @property
    def public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))


def room_of(module: str) -> str:
    """The folder below the package; none for the root, nor for what `python -m` runs of it."""
    room = [*module.split("."), ""][1]
    return "" if room == "__main__" else room


def read_package(source: Path) -> dict[str, Module]:
    """Every module below source/maskwright by its dotted name."""
    modules = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")), is_package)
    return modules


def imports_of(module: Module, known: dict[str, Module]) -> list[Import]:
    """Each import, also those in functions, in conditions and under TYPE_CHECKING."""
    found = []
    eager = {id(node) for node in module.tree.body}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module)
            inner = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if name in known else base for name in inner]
        else:
            targets = [name] if (name := dynamic_import(node)) else []
        found += [Import(module.name, t, node.lineno, id(node) in eager) for t in targets]
    return found


def absolute(node: ast.ImportFrom, module: Module) -> str:
    """The module of `from X import ...`, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*kept, *filter(None, [node.module])])


def dynamic_import(node: ast.AST) -> str | None:
    """The argument of import_module("...") and __import__("..."); "?" where it is computed."""
    if not isinstance(node, ast.Call):
        return None
    called = node.func.attr if isinstance(node.func, ast.Attribute) else None
    called = node.func.id if isinstance(node.func, ast.Name) else called
    if called not in {"import_module", "__import__"}:
        return None
    first = node.args[0] if node.args else None
    return str(first.value) if isinstance(first, ast.Constant) else "?"


def definitions(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """Public classes and functions, and the public methods of public classes, by dotted name."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found: list[tuple[str, ast.AST]] = []
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            found.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                found += [
                    (f"{node.name}.{inner.name}", inner)
                    for inner in node.body
                    if isinstance(inner, kinds) and not inner.name.startswith("_")
                ]
    return found


def unannotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters without a type, and "return"."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    named = [a.arg for a in every if a.annotation is None and a.arg not in {"self", "cls"}]
    return named + (["return"] if function.returns is None else [])


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one cycle, the first repeated at the end; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if found := walk(target, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])
