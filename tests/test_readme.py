"""What README says is true: its picture of the folders, and what `scripts/run --help` says of its options."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from scripts.stack.options import argument_parser
from tests.rig.page_content import ROOT, Page

README = Page(ROOT / "README.md")
# Of these every module stands in the picture, not only the folder.
DRAWN_IN_FULL = ("rules/netfilter", "rules/host", "rules/queue", "dockerfw_site")
NOT_DRAWN = {"__init__.py", "requirements.txt", "conftest.py"}


def drawn() -> Iterator[str]:
    """Yield each path in the picture: two spaces a level, names up to the first double space."""
    picture = README.section("The folders").split("```")[1]
    above: list[str] = []
    for line in picture.strip("\n").splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        del above[level:]
        yield from ("/".join([*above, name.rstrip("/")]) for name in names)
        above.append(names[-1].rstrip("/"))


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("git is not here, or this is not a clone")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_what_the_picture_draws_is_there() -> None:
    assert [path for path in drawn() if not (ROOT / path).exists()] == []


def test_the_picture_draws_every_folder() -> None:
    tops = {"rules", "tests", "scripts", "templates", "dockerfw_site", "deploy", "docs"}
    paths = [name.split("/") for name in tracked()]
    folders = {parts[0] for parts in paths if len(parts) > 1 and not parts[0].startswith(".")}
    folders |= {
        "/".join(parts[:2]) for parts in paths if len(parts) > 2 and parts[0] in {"rules", "tests", "scripts"}
    }
    assert folders >= {"rules", "rules/netfilter", "tests/kernel"}
    assert sorted(folders - set(drawn())) == []
    assert {path for path in drawn() if "/" not in path} - {"manage.py"} <= tops


@pytest.mark.parametrize("folder", DRAWN_IN_FULL)
def test_the_picture_draws_every_module(folder: str) -> None:
    modules = {f"{folder}/{file.name}" for file in (ROOT / folder).glob("*.py") if file.name not in NOT_DRAWN}
    assert sorted(modules - set(drawn())) == []


def test_the_top_level_of_the_application_is_drawn() -> None:
    modules = {f"rules/{file.name}" for file in (ROOT / "rules").glob("*.py") if file.name not in NOT_DRAWN}
    assert sorted(modules - set(drawn())) == []


def test_the_help_of_run_names_every_option() -> None:
    shown = subprocess.run(
        [ROOT / "scripts" / "run", "--help"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    options = {option for action in argument_parser()._actions for option in action.option_strings}
    assert options == {"--host", "--bind", "--port"}
    assert all(option in shown for option in options)
