"""The product's surface, read from its sources: verbs, commands, scripts, arguments, variables.

Scripts are read and not run: their `case` labels, and the argparse arguments of the modules that they call.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from django.core.management.base import BaseCommand

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = "rules/management/commands"
# Each command and each script has these.
HELP = {"-h", "--help"}
VARIABLE = re.compile(r"\b(?:DOCKERFW_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL(?:_FILE)?)\b")
PRODUCT = (
    "dockerfw",
    "dockerfw_site",
    "rules",
    "scripts",
    "deploy",
    "manage.py",
    "compose.yaml",
    "Dockerfile",
)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its spellings, what it is when left out, and what may be given if not anything."""

    names: tuple[str, ...]
    default: str = ""
    choices: tuple[str, ...] = ()


@cache
def management_commands() -> dict[str, BaseCommand]:
    """Return our own management commands."""
    names = sorted(path.stem for path in (ROOT / COMMANDS).glob("*.py") if path.stem != "__init__")
    return {name: import_module(f"{COMMANDS}.{name}".replace("/", ".")).Command() for name in names}


@cache
def verb_parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb of `manage.py firewall`."""
    parser = management_commands()["firewall"].create_parser("manage.py", "firewall")
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    assert len(found) == 1
    return dict(found[0].choices)


def arguments_of(parser: argparse.ArgumentParser) -> list[Argument]:
    """Return what a parser takes, without what Django gives to every command."""
    of_django = {
        option
        for action in BaseCommand().create_parser("manage.py", "any")._actions
        for option in action.option_strings
    }
    taken = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or set(action.option_strings) & of_django:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest
        choices = tuple(map(str, action.choices or ()))
        taken.append(Argument(tuple(action.option_strings) or (metavar,), _told(action.default), choices))
    return taken


def _told(default: object) -> str:
    """Return a default as documentation has to say it; empty where it means that nothing was given."""
    if default is None or default is argparse.SUPPRESS or isinstance(default, bool | list | tuple):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def scripts(folder: Path = ROOT / "scripts") -> list[Path]:
    """Return the scripts: files without a suffix."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.suffix)


@cache
def script_arguments(script: Path, root: Path = ROOT) -> list[Argument]:
    """Return the options of a script: those that it looks for, and those of what it hands its own on to."""
    text = script.read_text(encoding="utf-8")
    if "python" in text.splitlines()[0]:
        return list(_added_arguments(script))
    code = re.sub(r"<<'?(\w+)'?\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    labels = re.findall(r"^\s*(?:case \S+ in )?\(?((?:-[\w-]+(?: \| )?)+)\)", code, re.MULTILINE)
    compared = re.findall(r"(?:==?|!=) ['\"]?(--[\w-]+)", code)
    own = [Argument(tuple(label.split(" | "))) for label in [*labels, *compared]]
    taken = {argument.names: argument for argument in own}
    for module in re.findall(r"-m ([\w.]+) .*\"\$(?:@|\{\w+\[@\]\})\"", code):
        for source in _sources(root, module):
            taken |= {argument.names: argument for argument in _added_arguments(source)}
    return [argument for names, argument in taken.items() if not set(names) & HELP]


def _sources(root: Path, module: str) -> list[Path]:
    place = root.joinpath(*module.split("."))
    single = place.with_suffix(".py")
    return [single] if single.exists() else sorted(place.glob("*.py"))


def _added_arguments(source: Path) -> Iterator[Argument]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr != "add_argument":
            continue
        names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        said = {word.arg: _literal(word.value) for word in node.keywords}
        choices = said.get("choices") or ()
        if not names[0].startswith("-"):
            names = [str(said.get("metavar") or names[0])]
        listed = choices if isinstance(choices, list | tuple) else ()
        yield Argument(tuple(names), _told(said.get("default")), tuple(map(str, listed)))


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def variables(places: tuple[str, ...] = PRODUCT, root: Path = ROOT) -> set[str]:
    """Return the names of our environment variables that stand in these files and folders."""
    found: set[str] = set()
    for place in places:
        path = root / place
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts and file.suffix not in {".png", ".mo"}:
                found |= set(VARIABLE.findall(file.read_text(encoding="utf-8", errors="replace")))
    return found


def what_differs(name: str, offered: list[Argument], told: Mapping[str, str]) -> list[str]:
    """Return a sentence for each argument that is not documented, documented wrongly, or not there.

    `told` is the row of the documentation by each spelling in it.
    """
    wrong = [f"{name}: {each} is told of and does not exist" for each in told if each not in _names(offered)]
    for argument in offered:
        rows = [told[each] for each in argument.names if each in told]
        wrong += [f"{name}: {each} is not documented" for each in argument.names if each not in told]
        for value in [argument.default, *argument.choices]:
            if rows and value and f"`{value}`" not in rows[0]:
                wrong.append(f"{name}: the row of {argument.names[-1]} does not say `{value}`")
    return wrong


def _names(offered: list[Argument]) -> set[str]:
    return {name for argument in offered for name in argument.names}
