"""Who may import whom, read from the source of every module: the picture in README as a test.

Each layer has one row below. The reader is tried on made-up modules first, so that a rule that can no longer
fail is noticed.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("rules", "dockerfw_site")

# Enough to turn text into values and back; nothing here reads a file, a clock or the network.
PURE_STANDARD_LIBRARY = frozenset(
    [
        "__future__",
        "abc",
        "base64",
        "bisect",
        "collections",
        "copy",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "shlex",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
    ]
)
RUNS_COMMANDS = frozenset({"subprocess", "pty", "multiprocessing", "asyncio", "pexpect", "sh"})
RUNS_COMMANDS_IN_OS = [
    "os.system",
    "os.popen",
    "os.execv",
    "os.execve",
    "os.execvp",
    "os.execvpe",
    "os.execl",
    "os.execle",
    "os.execlp",
    "os.spawnv",
    "os.spawnve",
    "os.spawnvp",
    "os.spawnl",
    "os.spawnlp",
    "os.posix_spawn",
    "os.posix_spawnp",
]
HIDES_IMPORTS = (
    "importlib.import_module",
    "importlib.util",
    "runpy",
    "__import__",
    "exec",
    "eval",
    "compile",
)
TOUCHES_THE_WORLD = ("open", "print", "input", "breakpoint", *HIDES_IMPORTS)
PURE = ("rules.netfilter", "rules.doctor")
MESSAGES = (
    "dockerfw.messages.about",
    "dockerfw.messages.orders",
    "dockerfw.messages.outcomes",
    "dockerfw.messages.events",
    "dockerfw.messages.session_groups",
    "dockerfw.messages.snapshots",
    "dockerfw.messages.surroundings",
    "dockerfw.messages.confirmed",
    "dockerfw.messages.snapshot_values",
    "dockerfw.messages.codec",
    "dockerfw.messages.errors",
    "dockerfw.messages.shapes",
)
ROOT_SIDE = (*("dockerfw.agent.root", "dockerfw.agent.jobs", "dockerfw.agent.journal"),)
# Both the root worker and the clerk are one.
LOCKED_WORKER = tuple(f"rules.queue.{name}" for name in ("worker", "entries", "taking", "forked", "signing"))
# Panic and release: root's, on the host itself, without anything between them and the kernel.
CONSOLE = ("dockerfw.agent.console",)
# Looks at everything, on the host, in Redis and in the database, and changes nothing.
DOCTOR = ("rules.command_line.examination",)
# A backup is of both sides; the database's part of it is done by a process of its owner's.
BOTH_SIDES = ("rules.backup.backup_command", "rules.backup.restore_command", "rules.backup.restored")
PAGES = ("rules.views", "rules.pages.forms", "rules.urls", "rules.templatetags")
# A page may name a model's type; reading and writing rows is for selectors and services.
USES_THE_DATABASE = frozenset(
    {"objects", "save", "select_for_update", "bulk_create", "get_or_create", "update_or_create"}
)
# Its table of verbs names the module of each, so that `check` does not load the database's.
MAY_HIDE_IMPORTS = ("rules.management.commands.firewall",)


@dataclass(frozen=True, slots=True)
class Layer:
    """What the modules of one layer may not import, by prefix, apart from the exceptions."""

    modules: tuple[str, ...]
    forbidden: tuple[str, ...]
    except_for: tuple[str, ...] = ()


LAYERS = (
    # Text in, values and restore text out. (Its standard library is a list of its own, below.)
    Layer(("rules.netfilter",), ("rules", "dockerfw_site", "django"), ("rules.netfilter",)),
    # Facts in, findings out; as pure.
    Layer(
        ("rules.doctor",),
        ("rules", "dockerfw_site", "django"),
        ("rules.doctor", "rules.netfilter", *MESSAGES),
    ),
    # The shape of the messages is shared by both sides, so it knows neither.
    Layer(MESSAGES, ("rules", "dockerfw_site", "django", "rq", "redis"), (*MESSAGES, *PURE)),
    # The root side has no database and no Django.
    Layer(
        ("rules.host",),
        ("rules", "dockerfw_site", "django", "rq", "redis"),
        ("rules.host", *PURE, *MESSAGES),
    ),
    Layer(
        (*ROOT_SIDE, *LOCKED_WORKER),
        ("django", "django_rq", "rules", "dockerfw_site"),
        ("rules.queue", "rules.host", *PURE, "dockerfw_site.environment", "dockerfw.version"),
    ),
    # The web side: pages over services and selectors, those over models and the pure part. Never the host.
    Layer(
        ("rules.models",),
        (
            "rules.services",
            "rules.selectors",
            "rules.views",
            "rules.pages.forms",
            "rules.queue",
            "rules.host",
        ),
    ),
    Layer(("rules.selectors",), ("rules.services", "rules.views", "rules.pages.forms", "rules.host", "rq")),
    Layer(("rules.services",), ("rules.views", "rules.pages.forms", "rules.host", "rq")),
    Layer(
        PAGES,
        ("rules.queue", "rules.host", "rules.command_line", "django.db", "redis", "rq", "django_rq"),
    ),
    Layer(
        CONSOLE,
        ("rules", "django", "rq", "redis"),
        (
            *("rules.host", "rules.netfilter", "dockerfw.streams"),
            *("dockerfw.messages.events", "dockerfw.store.outbox"),
        ),
    ),
    Layer(
        DOCTOR,
        ("rules", "django"),
        (
            *(
                "rules.host",
                *PURE,
                *MESSAGES,
                "rules.command_line.as_owner",
                "rules.command_line.database_facts",
            ),
            *("rules.link.client", "rules.link.probe"),
        ),
    ),
    Layer(
        ("rules.backup",),
        ("rules", "dockerfw_site", "django", "rq", "redis"),
        ("rules.backup", "dockerfw.messages.codec", "dockerfw.messages.errors", "dockerfw.messages.shapes"),
    ),
    Layer(
        BOTH_SIDES,
        ("rules", "rq", "redis"),
        (
            *(
                "rules.host",
                "rules.services",
                "rules.backup",
                "rules.netfilter",
                "dockerfw.messages.confirmed",
            ),
            *("dockerfw.streams", "rules.command_line.stored", "rules.backup.owners_process"),
            *BOTH_SIDES,
        ),
    ),
    Layer(
        ("rules.management", "rules.command_line"),
        ("rules.host", "rules.views", "rules.pages.forms", *ROOT_SIDE),
    ),
    Layer(("dockerfw_site.environment",), ("django", "rules")),
)


def module_name(path: Path) -> str:
    """Name the module of a file, e.g. rules/host/__init__.py -> "rules.host"."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def product_modules() -> dict[str, ast.Module]:
    """Parse every module of the product."""
    files = [file for top in PRODUCT for file in sorted((ROOT / top).rglob("*.py"))]
    return {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, wherever it stands in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide who imports whom"
            # `from rules import queue` means rules.queue.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, name as written) of every function that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def below(name: str, prefixes: tuple[str, ...] | frozenset[str]) -> bool:
    """Say whether a dotted name is one of the prefixes or stands below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


# The health check asks whether the database answers, and reads nothing of ours from it.
MAY_OPEN_THE_DATABASE = ("rules.overview.health_views",)


def violations(module: str, tree: ast.Module) -> list[str]:
    """List what a module imports or calls against the rules, each as a line for people."""
    found: list[str] = []
    for line, name in imports(tree):
        for layer in LAYERS:
            if name.startswith("django.db.") and module in MAY_OPEN_THE_DATABASE:
                continue
            if below(module, layer.modules) and below(name, layer.forbidden):
                if not below(name, layer.except_for):
                    found.append(f"{module}:{line} imports {name}")
                break
        top = name.split(".")[0]
        if below(module, PURE) and top not in {"rules", *PURE_STANDARD_LIBRARY}:
            found.append(f"{module}:{line} imports {name}, which is not pure")
        if below(name, RUNS_COMMANDS) and not below(module, ("rules.host",)):
            found.append(f"{module}:{line} imports {name}: only rules.host runs commands")
        if below(name, ("rules.host",)) and not below(
            module, ("rules.host", *ROOT_SIDE, *CONSOLE, *DOCTOR, *BOTH_SIDES)
        ):
            found.append(f"{module}:{line} imports {name}: only the root side's jobs reach the host")
        if below(name, ("pickle", "rq.serializers.PickleSerializer", "rq.serializers.DefaultSerializer")):
            found.append(f"{module}:{line} imports {name}: nothing is unpickled")
        if below(name, HIDES_IMPORTS) and module not in MAY_HIDE_IMPORTS:
            found.append(f"{module}:{line} imports {name}, which hides what it imports")
    for line, name in calls(tree):
        if below(module, PURE) and name in TOUCHES_THE_WORLD:
            found.append(f"{module}:{line} calls {name}, and it is pure")
        if name in (*HIDES_IMPORTS, "import_module") and module not in MAY_HIDE_IMPORTS:
            found.append(f"{module}:{line} calls {name}, which hides what it imports")
        if name in RUNS_COMMANDS_IN_OS:
            found.append(f"{module}:{line} calls {name}: only rules.host runs commands, and by its runner")
    if below(module, PAGES):
        found.extend(
            f"{module}:{node.lineno} uses .{node.attr}: a page asks services and selectors"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in USES_THE_DATABASE
        )
    return found


def closure(start: str, trees: Mapping[str, ast.Module]) -> set[str]:
    """Return every module, ours and others', that importing `start` brings along through our modules."""
    seen: set[str] = set()
    waiting = {start}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        parents = {name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)}
        wanted = {target for _, target in imports(trees[name])} if name in trees else set()
        ours = {target if target in trees else target.rpartition(".")[0] for target in wanted}
        waiting |= ((ours & trees.keys()) | (parents & trees.keys())) - seen
        seen |= wanted - trees.keys()
    return seen


BAD_MODULES = [
    ("rules.netfilter.made_up", "import subprocess"),
    ("rules.netfilter.made_up", "from time import monotonic"),
    ("rules.netfilter.made_up", "import os.path"),
    ("rules.netfilter.made_up", "def f():\n    import socket"),
    ("rules.netfilter.made_up", "from django.utils import timezone"),
    ("rules.netfilter.made_up", "from rules.queue import orders"),
    ("rules.netfilter.made_up", "from rules import models"),
    ("rules.netfilter.made_up", "text = open('/etc/passwd').read()"),
    ("rules.netfilter.made_up", "__import__('os')"),
    ("rules.doctor.made_up", "from pathlib import Path"),
    ("rules.doctor.made_up", "from rules.host import space"),
    ("dockerfw.messages.orders", "import redis"),
    ("rules.host.made_up", "from rules.models import Host"),
    ("rules.host.made_up", "from rules.services import rules"),
    ("dockerfw.agent.root", "import django"),
    ("dockerfw.agent.jobs", "from rules.queue import client\nfrom rules.models import Host"),
    ("dockerfw.worker.worker", "from dockerfw_site import settings"),
    ("rules.models", "from rules.draft.rule_services import rule_create"),
    ("rules.selectors.made_up", "from rules.draft.rule_services import rule_create"),
    ("rules.services.made_up", "from rules.host import runner"),
    ("rules.services.made_up", "from subprocess import run"),
    ("rules.services.made_up", "import os\nos.system('true')"),
    ("rules.services.made_up", "import pickle"),
    ("rules.services.made_up", "import importlib\nimportlib.import_module('dockerfw.host.runner')"),
    ("rules.views.made_up", "from rules.link.client import enqueue"),
    ("rules.views.made_up", "from rules.models import Host\nHost.objects.first()"),
    ("rules.views.made_up", "def f(host):\n    host.save()"),
    ("rules.views.made_up", "from django.db import transaction"),
    ("rules.management.commands.made_up", "from rules.host import apply"),
    ("rules.command_line.examination", "from rules.services import applies"),
    ("dockerfw.agent.console", "from rules.models import Host"),
    ("dockerfw.agent.console", "from rules.services import applies"),
    ("rules.backup.made_up", "from rules.services import backup"),
    ("rules.backup.dump", "from rules.host import stored"),
    ("rules.backup.backup_command", "from rules.models import Host"),
    ("dockerfw_site.environment", "from django.conf import settings"),
]


@pytest.mark.parametrize(("module", "source"), BAD_MODULES, ids=lambda text: text.replace("\n", "; "))
def test_the_rules_can_fail(module: str, source: str) -> None:
    assert violations(module, ast.parse(source))


def test_the_rules_let_good_modules_pass() -> None:
    good = "from __future__ import annotations\nimport re\nfrom dockerfw.iptables.model import Rule"
    assert violations("rules.netfilter.made_up", ast.parse(good)) == []
    assert violations("dockerfw.host.runner", ast.parse("import subprocess, os, time")) == []
    assert violations("rules.views.made_up", ast.parse("from rules.services import rules")) == []


def test_every_module_keeps_to_its_layer() -> None:
    trees = product_modules()
    assert len(trees) > 20
    assert [line for module, tree in trees.items() for line in violations(module, tree)] == []


def test_every_layer_has_modules() -> None:
    trees = product_modules()
    for layer in LAYERS:
        for prefix in layer.modules:
            assert any(below(module, (prefix,)) for module in trees), f"no module {prefix} any more"


def test_the_root_worker_brings_no_django_and_no_database() -> None:
    brought = closure("dockerfw.agent.root", product_modules())
    assert "dockerfw.host.runner" in brought
    wrong = (
        "django",
        "django_rq",
        "rules.models",
        "rules.services",
        "rules.selectors",
        "dockerfw_site.settings",
    )
    assert sorted(name for name in brought if below(name, wrong)) == []


def test_the_root_worker_loads_no_django_when_it_really_starts() -> None:
    code = "import dockerfw.agent.root, sys; print(*sorted(n for n in sys.modules if n.startswith('django')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_each_module_says_what_it_owns() -> None:
    for module, tree in product_modules().items():
        if tree.body and ".migrations" not in module:
            assert ast.get_docstring(tree), f"{module} has no docstring"
