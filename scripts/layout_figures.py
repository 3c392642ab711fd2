"""Count figures of the layout: folders that a task passes through, import cycles, lines, functions.

Everything is read from the source, so an older checkout can be counted as well (`--root`). An import inside a
function counts like any other.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PRODUCT = ("dockerfw", "rules", "dockerfw_site", "manage.py")
# Where each task begins: the view that starts an apply and the job that carries it out, the agent's look at
# the host and the page's reading of it. The names of 0.1.0 come last, so that it can be counted too.
TASKS = {
    "an apply": (
        ("rules.applying.apply_services", "rules.services.applies"),
        ("dockerfw.agent.apply", "rules.host.apply"),
        ("rules.applying.outcome_services", "rules.services.outcomes"),
    ),
    "a snapshot": (
        ("dockerfw.host.observation", "rules.host.snapshot"),
        ("rules.seen.snapshot_selectors", "rules.selectors.snapshots"),
    ),
}
AGENT = ("dockerfw.agent.root", "rules.queue.root")
START = "import time; a = time.perf_counter(); import {module}; print(time.perf_counter() - a)"
PEAK = "import {module}, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


@dataclass(frozen=True, slots=True)
class Source:
    """The modules of a checkout: lines, imports of each other, lengths of functions."""

    lines: Mapping[str, int]
    imports: Mapping[str, frozenset[str]]
    functions: Mapping[str, tuple[int, ...]]


def read_source(root: Path, tops: tuple[str, ...] = PRODUCT) -> Source:
    """Read every Python file that git tracks below `root` in the folders `tops`."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", *tops], check=True, capture_output=True, text=True
    )
    files = [name for name in listed.stdout.split("\0") if name.endswith(".py") and (root / name).exists()]
    names = {file: re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".") for file in files}
    known = set(names.values())
    lines, imports, functions = {}, {}, {}
    for file, name in names.items():
        text = (root / file).read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines[name] = text.count("\n")
        imports[name] = frozenset(_imported(tree, known)) - {name}
        functions[name] = tuple(_lengths(tree))
    return Source(lines, imports, functions)


def _imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known or node.module in known:
                    yield full if full in known else node.module


def _lengths(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def closure(source: Source, starts: tuple[str, ...]) -> set[str]:
    """Return every module that is imported with `starts`, parent packages included."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in source.lines:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0], *source.imports[name]]
    return seen


def folder(module: str) -> str:
    """Return the folder of a module: `dockerfw.host.runner` -> `dockerfw.host`; a file at the top is one."""
    return module.rpartition(".")[0] if module.count(".") > 1 else module


def folder_imports(source: Source, modules: set[str]) -> dict[str, set[str]]:
    """Return which folders the modules of each folder import, among `modules`."""
    found: dict[str, set[str]] = {}
    for module in modules:
        for target in source.imports[module] & modules:
            if folder(module) != folder(target):
                found.setdefault(folder(module), set()).add(folder(target))
    return found


def ways_back(imports: Mapping[str, set[str]]) -> int:
    """Count the imports between folders that close a cycle."""
    reach = {each: _reached(imports, each) for each in imports}
    return sum(each in reach.get(target, ()) for each, targets in imports.items() for target in targets)


def cycles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of folders each of which reaches all others of its group by imports."""
    reach = {each: _reached(imports, each) for each in imports}
    groups = {
        frozenset({each, *(other for other in reach[each] if each in reach.get(other, ()))})
        for each in imports
    }
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(imports: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in imports.get(waiting.pop(), ()):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def first_known(source: Source, names: tuple[str, ...]) -> str:
    """Return the first of several names that exists in this checkout."""
    return next(name for name in names if name in source.lines)


def measured(root: Path, code: str) -> float:
    """Return the best of five runs of `code` in a new Python that prints a number."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(5)
    ]
    return min(map(float, runs))


def report(root: Path) -> Iterator[str]:
    """Yield the figures of a checkout, a line each."""
    source = read_source(root)
    for task, starts in TASKS.items():
        modules = closure(source, tuple(first_known(source, names) for names in starts))
        imports = folder_imports(source, modules)
        rooms = {folder(module) for module in modules}
        yield f"{task}: {len(rooms)} folders, {ways_back(imports)} imports that lead back"
    found = cycles(folder_imports(source, set(source.lines)))
    yield f"import cycles between folders: {len(found)}"
    yield from (f"  {', '.join(group)}" for group in found)
    tests = read_source(root, ("tests",))
    yield f"lines of product: {sum(source.lines.values()):,}"
    yield f"lines of tests: {sum(tests.lines.values()):,}"
    agent = first_known(source, AGENT)
    modules = closure(source, (agent,))
    yield f"the agent imports: {len(modules)} modules, {sum(source.lines[name] for name in modules):,} lines"
    lengths = sorted(length for each in source.functions.values() for length in each)
    yield f"functions: {len(lengths):,}, median {statistics.median(lengths):g} lines, longest {lengths[-1]}"
    seconds = measured(root, START.format(module=agent))
    yield f"the agent starts in {seconds * 1000:.0f} ms (its imports, best of 5)"
    yield f"the agent's memory after that: {measured(root, PEAK.format(module=agent)) / 1024:.0f} MiB"


def main() -> None:
    """Print the figures of this checkout, or of another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], metavar="FOLDER")
    for line in report(parser.parse_args().root):
        print(line)


if __name__ == "__main__":
    main()
