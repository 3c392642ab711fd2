"""How sentences call the command line, which has another name in a clone than on an installed host."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockerfw.command_line import dashboard
from dockerfw.streams import InputError
from dockerfw_site.environment import read_environment
from rules.management.commands.firewall import VERBS

ROOT = Path(__file__).resolve().parent.parent.parent
# Sentences speak of "dockerfw rules", too.
NAMED = re.compile(rf"\bdockerfw (?:{'|'.join(sorted({*VERBS} - {'rules'}))})\b")
# What the kernel's rules of a panic have as their comment.
COMMENT = '"dockerfw panic" -j DROP'


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield every text of a module that is no docstring."""
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docstrings:
            yield node.value


def test_a_fixed_name_would_be_found() -> None:
    tree = ast.parse('"""dockerfw apply."""\ntodo = f"or dockerfw apply -m {why}"\nwhat = "dockerfw applies"')
    assert [text for text in texts(tree) if NAMED.search(text)] == ["or dockerfw apply -m "]


def test_no_sentence_has_a_fixed_name_for_it() -> None:
    files = [path for top in ("rules", "dockerfw") for path in (ROOT / top).rglob("*.py")]
    sources = {path: ast.parse(path.read_text()) for path in files}
    assert len(sources) > 100
    found = [
        (path.name, text) for path, tree in sources.items() for text in texts(tree) if NAMED.search(text)
    ]
    assert [(name, text) for name, text in found if COMMENT not in text] == []
    assert [path for path in (ROOT / "templates").rglob("*.*") if NAMED.search(path.read_text())] == []


def test_the_command_is_dockerfw_by_default() -> None:
    assert read_environment({}).command == "dockerfw"
    assert read_environment({"DOCKERFW_COMMAND": "scripts/firewall"}).command == "scripts/firewall"


@pytest.mark.parametrize("command", ["dockerfw", "scripts/firewall"])
def test_help_and_errors_call_it_so(command: str) -> None:
    def say(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "manage.py", "firewall", *words],
            cwd=ROOT,
            env={**os.environ, "DOCKERFW_COMMAND": command},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    status, out, _ = say("rollback", "--help")
    assert status == 0
    assert out.startswith(f"usage: {command} rollback ")
    status, out, err = say("rollback")
    assert (status, out) == (2, "")
    assert err.startswith(f"usage: {command} rollback ")
    assert f"{command} rollback: error: " in err


def test_the_command_dockerfw_hands_the_dashboards_verbs_on(tmp_path: Path) -> None:
    def say(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "dockerfw", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DOCKERFW_COMMAND": "dockerfw"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "none.json").write_text('{"format": "dockerfw/1", "rules": []}')
    status, out, err = say("check", "none.json")
    assert (status, err) == (0, ""), err
    status, out, err = say("rollback", "--help")
    assert (status, err) == (0, "")
    assert out.startswith("usage: dockerfw rollback ")
    status, out, _ = say("--help")
    assert status == 0
    assert all(re.search(rf"^ +{verb} ", out, re.MULTILINE) for verb in VERBS)
    # Its own verbs it runs without the dashboard, and so without Django.
    status, out, err = say("panic", "--nothing")
    assert (status, out) == (2, "")
    assert err == "dockerfw: unrecognized arguments: --nothing. See dockerfw --help\n"


def test_root_runs_no_dashboard_that_another_user_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for name in ("dockerfw", "rules/command_line"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("manage.py", "rules/command_line/__main__.py"):
        (tmp_path / name).touch(0o644)
    monkeypatch.setattr(dashboard, "PACKAGE", tmp_path / "dockerfw")
    started: list[list[str]] = []
    monkeypatch.setattr(dashboard, "become", lambda command, environment: started.append(command))
    run: Callable[[Path, list[str]], object] = dashboard.run_dashboard
    assert dashboard.find_dashboard() == tmp_path
    run(tmp_path, ["history"])
    assert started[0][-2:] == ["rules.command_line", "history"]
    os.chown(tmp_path / "manage.py", 12345, 12345)
    with pytest.raises(InputError, match=r"root does not run .*manage\.py"):
        run(tmp_path, ["history"])
    (tmp_path / "manage.py").unlink()
    assert dashboard.find_dashboard() is None
