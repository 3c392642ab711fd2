"""The roles of the web's files: the imports of selectors, services and forms, and views without rows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RULES = Path(__file__).resolve().parent.parent / "rules"
FORBIDDEN = {
    "selectors": ("_services", "_views", "_forms"),
    "services": ("_views", "_forms"),
    "forms": ("_services", "_views"),
}
ROWS = frozenset(
    {"objects", "save", "filter", "select_related", "refresh_from_db", "bulk_create", "select_for_update"}
)


def files_of(role: str) -> list[Path]:
    """Return the files with a role, by the last word of their names."""
    return sorted(RULES.glob(f"*/*_{role}.py"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def wrong_imports(source: str, role: str) -> list[str]:
    """Return the modules that a file with a role must not import."""
    found = {name for name in imports_of(ast.parse(source)) if name.startswith("rules.")}
    return sorted(name for name in found if name.endswith(FORBIDDEN[role]))


def touched_rows(source: str) -> list[str]:
    """Return the attributes by which a module touches rows."""
    return [
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in ROWS
    ]


@pytest.mark.parametrize("role", FORBIDDEN)
def test_each_role_imports_only_lower_ones(role: str) -> None:
    assert files_of(role)
    found = {path.name: wrong_imports(path.read_text(), role) for path in files_of(role)}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_views_touch_no_rows() -> None:
    found = {path.name: touched_rows(path.read_text()) for path in files_of("views")}
    assert {name: rows for name, rows in found.items() if rows} == {}


def test_a_wrong_import_and_a_touched_row_are_found() -> None:
    source = "from rules.draft import rule_services\nfrom rules.draft.rule_views import rule_new\n"
    assert wrong_imports(source, "selectors") == ["rules.draft.rule_services", "rules.draft.rule_views"]
    assert touched_rows("host.save()\nHost.objects.get(pk=1)") == ["save", "objects"]
