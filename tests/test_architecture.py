"""The architecture rules that import-linter cannot check, read from the source of every module.

`lint-imports` checks which package may import which (the contracts in pyproject.toml). Each rule here is
first tried on a bad module, so that a rule that can no longer fail is noticed.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("dockerfw", "rules", "dockerfw_site")

PURE = tuple(
    f"dockerfw.{name}" for name in ("iptables", "document", "simulation", "chains", "reach", "messages")
)
HOST = "dockerfw.host"
# Enough to turn text into values and back; nothing here reads a file, a clock or the network.
PURE_STANDARD_LIBRARY = (
    *("__future__", "abc", "base64", "bisect", "collections", "copy", "dataclasses"),
    *("datetime", "difflib", "enum", "functools", "hashlib", "heapq", "ipaddress"),
    *("itertools", "json", "math", "operator", "re", "shlex", "string"),
    *("textwrap", "types", "typing", "unicodedata"),
)
# It signs and compares; nothing pure makes a key.
PURE_LIBRARIES = (*PURE_STANDARD_LIBRARY, "cryptography")
HIDES_IMPORTS = (
    "importlib.import_module",
    "importlib.util",
    "runpy",
    "__import__",
    "exec",
    "eval",
    "compile",
)
CLOCKS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
TOUCHES_THE_WORLD = ("open", "print", "input", "breakpoint", *CLOCKS, *HIDES_IMPORTS)
RUNS_COMMANDS = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")
UNPICKLES = ("pickle", "rq.serializers.PickleSerializer", "rq.serializers.DefaultSerializer")
# A page may name a model's type; reading and writing rows is for selectors and services.
USES_THE_DATABASE = frozenset(
    {"objects", "save", "select_for_update", "bulk_create", "get_or_create", "update_or_create"}
)
# Its table of verbs names the module of each, so that `check` does not load the database's.
MAY_HIDE_IMPORTS = ("rules.management.commands.firewall",)
# The health check asks whether the database answers, and reads no row.
MAY_OPEN_THE_DATABASE = ("rules.overview.health_views",)
# They must run where Django is not installed.
WITHOUT_DJANGO = ("dockerfw.agent.root", "dockerfw.agent.console", "dockerfw.command_line.status")


def module_name(path: Path) -> str:
    """Return the name of a file's module, e.g. "dockerfw.host" for dockerfw/host/__init__.py."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def product_modules() -> dict[str, ast.Module]:
    """Parse every module of the product."""
    files = [file for top in PRODUCT for file in sorted((ROOT / top).rglob("*.py"))]
    return {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the package"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, name as written) of every function that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    """Return True if a dotted name is one of the prefixes or stands below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def role(module: str) -> str:
    """Return the role of a module of the dashboard, the last word of its name: views, services, selectors."""
    return module.rpartition("_")[2] if module.startswith("rules.") else ""


def violations(module: str, tree: ast.Module) -> list[str]:
    """Return a line for each place where a module breaks a rule."""
    found: list[str] = []
    page = role(module) in ("views", "forms") or below(module, ("rules.pages.forms", "rules.templatetags"))
    for line, name in imports(tree):
        if below(module, PURE) and name.split(".")[0] not in {"dockerfw", *PURE_LIBRARIES}:
            found.append(f"{module}:{line} imports {name}, which is not pure")
        if below(name, UNPICKLES):
            found.append(f"{module}:{line} imports {name}: nothing is unpickled")
        if below(name, HIDES_IMPORTS) and module not in MAY_HIDE_IMPORTS:
            found.append(f"{module}:{line} imports {name}, which hides what it imports")
        if role(module) == "selectors" and any(part.endswith("_services") for part in name.split(".")):
            found.append(f"{module}:{line} imports {name}: selectors only read")
        allowed = module in MAY_OPEN_THE_DATABASE and below(name, ("django.db",))
        if page and not allowed and below(name, ("django.db", "redis", "rq", "django_rq", "rules.link")):
            found.append(f"{module}:{line} imports {name}: a page asks services and selectors")
    for line, name in calls(tree):
        if below(module, PURE) and name in TOUCHES_THE_WORLD:
            found.append(f"{module}:{line} calls {name}, and it is pure")
        if name in (*HIDES_IMPORTS, "import_module") and module not in MAY_HIDE_IMPORTS:
            found.append(f"{module}:{line} calls {name}, which hides what it imports")
        if name.startswith(RUNS_COMMANDS) and not below(module, (HOST,)):
            found.append(f"{module}:{line} calls {name}: only dockerfw.host runs commands")
    if page:
        found.extend(
            f"{module}:{node.lineno} uses .{node.attr}: a page asks services and selectors"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in USES_THE_DATABASE
        )
    return found


BAD_MODULES = [
    ("dockerfw.iptables.new", "import contextlib"),
    ("dockerfw.document.new", "import os.path"),
    ("dockerfw.reach.new", "def f():\n    import socket"),
    ("dockerfw.messages.new", "from datetime import datetime\ndatetime.now()"),
    ("dockerfw.iptables.new", "text = open('/etc/passwd').read()"),
    ("dockerfw.messages.new", "__import__('os')"),
    ("dockerfw.chains.new", "def f():\n    print('x')"),
    ("dockerfw.agent.new", "import os\nos.system('true')"),
    ("dockerfw.agent.new", "import os\nos.execvpe('sh', ['sh'], {})"),
    ("dockerfw.worker.new", "import pickle"),
    ("dockerfw.worker.new", "from rq.serializers import DefaultSerializer"),
    ("rules.draft.rule_services", "import importlib\nimportlib.import_module('dockerfw.host.runner')"),
    ("rules.draft.rule_services", "import os\nos.posix_spawn('/bin/sh', [], {})"),
    ("rules.draft.rule_selectors", "from rules.draft.rule_services import rule_create"),
    ("rules.draft.rule_selectors", "from rules.draft import rule_services"),
    ("rules.draft.rule_views", "from rules.link.client import order_send"),
    ("rules.draft.rule_views", "from rules.models import Host\nHost.objects.first()"),
    ("rules.draft.rule_views", "def f(host):\n    host.save()"),
    ("rules.draft.rule_views", "from django.db import transaction"),
    ("rules.overview.health_views", "from redis import Redis"),
]


@pytest.mark.parametrize(("module", "source"), BAD_MODULES, ids=lambda text: text.replace("\n", "; "))
def test_the_rules_can_fail(module: str, source: str) -> None:
    assert violations(module, ast.parse(source))


def test_the_rules_let_good_modules_pass() -> None:
    good = "from __future__ import annotations\nimport re\nfrom dockerfw.iptables.model import Rule"
    assert violations("dockerfw.iptables.new", ast.parse(good)) == []
    assert violations("dockerfw.host.runner", ast.parse("import os\nos.execve('x', [], {})")) == []
    services = ast.parse("from rules.draft.rule_services import rule_create")
    assert violations("rules.draft.rule_views", services) == []


def test_every_module_keeps_the_rules() -> None:
    trees = product_modules()
    assert len(trees) > 200
    assert [line for module, tree in trees.items() for line in violations(module, tree)] == []


def test_the_rules_look_at_every_kind_of_module() -> None:
    modules = product_modules()
    for prefix in (*PURE, HOST, *MAY_HIDE_IMPORTS, *MAY_OPEN_THE_DATABASE, *WITHOUT_DJANGO):
        assert any(below(module, (prefix,)) for module in modules), f"there is no module {prefix}"
    assert {role(module) for module in modules} >= {"views", "forms", "services", "selectors"}


@pytest.mark.parametrize("module", WITHOUT_DJANGO)
def test_the_agent_and_its_command_line_load_no_django(module: str) -> None:
    code = (
        f"import dockerfw.command_line.main, {module}, sys\n"
        "print(*sorted(n for n in sys.modules if n.startswith(('django', 'rules', 'dockerfw_site'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_each_module_has_a_docstring() -> None:
    for module, tree in product_modules().items():
        if tree.body and ".migrations" not in module:
            assert ast.get_docstring(tree), f"{module} has no docstring"
