"""Small faults put into the package one at a time, to see whether a test notices each.

    python tests/mutate.py --count 100 --seed 0

A seed names a sample of all faults that can be made: comparisons, operators, constants, conditions,
returned values, dropped statements. Each goes into a copy of the package, on which the tests run
that stand nearest to the file: those of its room that import it, the rest of its room, and those
elsewhere that import it. What lives is printed as a diff. A run that was ended goes on where it
stands. `tests/equivalent_mutants.json` holds those that change nothing, and why.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import quick

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

PACKAGE = ROOT / "src" / "maskwright"
ROOMS = ("metrics", "core", "formats", "losses", "training", "export", "runtimes")
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.json"
PARTIAL = ".rows.jsonl"
"""Ends the name of the file of rows that are done, beside the record."""

OPERATORS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
FUNCTIONS = {
    "min": "max", "max": "min", "mean": "max", "sum": "max", "argmin": "argmax", "any": "all",
    "argmax": "argmin", "all": "any", "floor": "ceil", "ceil": "floor", "minimum": "maximum",
    "maximum": "minimum", "zeros": "ones", "ones": "zeros", "cumsum": "cumprod",
}  # fmt: skip
UNSEEN = {"__repr__", "__str__", "_repr_html_"}
"""Functions for people's eyes."""


@dataclass(frozen=True)
class Mutant:
    """One fault: the bytes `start` to `end` of a file become `new`."""

    file: str
    function: str
    line: int
    kind: str
    start: int
    end: int
    new: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        before, after = source.decode().splitlines(), self.apply(source).decode().splitlines()
        changed = difflib.unified_diff(before, after, self.file, self.file, lineterm="", n=1)
        return "\n".join(changed)

    def key(self, source: bytes) -> str:
        """Names it by what it changes, so that lines above may come and go."""
        lines = [line for line in self.diff(source).splitlines()[2:] if line[:1] in "+-"]
        return "\n".join([f"{self.file} {self.function}", *lines])


# --- where faults can be ----------------------------------------------------------------------


def mutants_of(source: bytes, file: str) -> list[Mutant]:
    """Every fault that can be made of a file, from top to bottom."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, function in _code(ast.parse(source), "", False):
        for kind, new in _changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            found.append(Mutant(file, function, node.lineno, kind, start, end, new))
    return found


def _code(node: ast.AST, function: str, skip: bool) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that decide something, with the function they stand in: no texts, types, imports."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        if node.name in UNSEEN:
            return
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("note", "cast", "TypeVar")):
        return
    if hasattr(node, "lineno"):
        yield node, function
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "keywords"} and isinstance(
            node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign | ast.arg
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child, function, skip)


def _changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "constant", str(not node.value)
        elif isinstance(node.value, int):
            yield "constant", str(node.value + 1)
        elif isinstance(node.value, float):
            yield "constant", repr(node.value * 2 or 1.0)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield "comparison", _with_operator(node, "ops")
    elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
        yield "operator", _with_operator(node, "op")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign", f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in FUNCTIONS:
            yield "function", ast.unparse(node)[: -len(name)] + FUNCTIONS[name]
    elif isinstance(node, ast.Return) and node.value is not None:
        if ast.unparse(node.value) != "None":
            yield "return", "return None"
    elif isinstance(node, ast.IfExp):
        yield "condition", f"({ast.unparse(node.orelse)})"
    elif _can_go(node):
        yield "statement", "pass"


def _with_operator(node: ast.Compare | ast.BinOp | ast.BoolOp, name: str) -> str:
    changed = ast.parse(ast.unparse(node), mode="eval").body
    old = getattr(changed, name)
    setattr(changed, name, [OPERATORS[type(old[0])]()] if name == "ops" else OPERATORS[type(old)]())
    return f"({ast.unparse(changed)})"


def _can_go(node: ast.AST) -> bool:
    """Statements whose absence leaves every name defined."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return call or isinstance(node, ast.AugAssign)


def sample(count: int, seed: int, rooms: tuple[str, ...] = ROOMS) -> list[Mutant]:
    """A seed's faults, of all that can be made in these rooms; more are the same and others."""
    every = []
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            every += mutants_of(path.read_bytes(), path.relative_to(PACKAGE).as_posix())
    random.Random(seed).shuffle(every)
    return every[:count]


# --- whether a test notices -------------------------------------------------------------------


def tests_for(file: str) -> list[str]:
    """Test files, the nearest first."""
    module = ".".join(["maskwright", *Path(file).with_suffix("").parts]).removesuffix(".__init__")
    room = f"tests/{Path(file).parts[0]}/"
    imports = quick._imports(ROOT)
    near = [test for test, modules in imports.items() if module in modules]
    ranked = [test for test in near if test.startswith(room)]
    ranked += [test for test in imports if test.startswith(room) and test not in ranked]
    ranked += [test for test in near if test not in ranked]
    return [test for test in ranked if not test.startswith("tests/parity/")]


def try_one(mutant: Mutant, limit: float) -> dict[str, object]:
    """Run the tests on a copy: "killed", "lived" or, past the limit, "unfinished"."""
    source = (PACKAGE / mutant.file).read_bytes()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(PACKAGE, Path(place) / "maskwright")
        changed = Path(place) / "maskwright" / mutant.file
        changed.write_bytes(mutant.apply(source))
        # a cached form is known by its time and size, which a fault may leave as they were
        for cached in changed.parent.glob(f"__pycache__/{changed.stem}.*"):
            cached.unlink()
        status, by = _run(tests_for(mutant.file), place, limit)
    return {
        "file": mutant.file, "function": mutant.function, "line": mutant.line, "kind": mutant.kind,
        "status": status, "by": by, "seconds": round(time.monotonic() - started, 1),
        "key": mutant.key(source), "diff": mutant.diff(source),
    }  # fmt: skip


def _run(tests: list[str], package_in: str, limit: float) -> tuple[str, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--tb=no"]
    process = subprocess.Popen(
        [*command, "-m", "not parity", *tests],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{package_in}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "unfinished", ""
    failed = [line for line in out.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return ("lived", "") if process.returncode == 0 else ("killed", (failed or [""])[0][:200])


# --- the record -------------------------------------------------------------------------------


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many, which, how long."""
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS))
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tried at a time")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one mutant's tests")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/mutants.json")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Try them; every row is written as soon as it is there."""
    partial = options.out.with_suffix(f".{options.seed}{PARTIAL}")
    rows = (
        [json.loads(line) for line in partial.read_text().splitlines()] if partial.exists() else []
    )
    done = {row["key"] for row in rows}
    left = [
        one
        for one in sample(options.count, options.seed, tuple(options.rooms))
        if one.key((PACKAGE / one.file).read_bytes()) not in done
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        tried = [pool.submit(try_one, one, options.limit) for one in left]
        for each in as_completed(tried):
            row = each.result()
            rows.append(row)
            with partial.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            place = f"{row['file']}:{row['line']}"
            print(len(rows), row["status"], place, row["kind"], row["seconds"], flush=True)
            if row["status"] != "killed":
                print(row["diff"], flush=True)
    partial.unlink(missing_ok=True)
    return summary(rows) | {"seed": options.seed, "threads": 1, "rows": rows}


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """Counts; a mutant that lives is "explained" where it is known to change nothing."""
    reasons = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    for row in rows:
        if row["status"] != "killed" and row["key"] in reasons:
            row["explained"] = reasons[row["key"]]
    counts = {name: sum(row["status"] == name for row in rows)
              for name in ("killed", "lived", "unfinished")}  # fmt: skip
    return {"mutants": len(rows), **counts, "explained": sum("explained" in row for row in rows)}


def main() -> None:
    """Try a sample, and write the record as `benchmarks/run.py` writes those of measurements."""
    from benchmarks import run
    from maskwright.core.files import write_json

    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    options = parser.parse_args()
    words = " ".join(word for word in run.command_line(sys.argv[1:]).split() if word)
    command = words.replace("python -m benchmarks", "python tests/mutate.py")
    found = run.record(sys.modules[__name__], options, command)
    write_json(options.out, found)
    print({name: found[name] for name in ("mutants", "killed", "lived", "unfinished", "explained")})


if __name__ == "__main__":
    main()
