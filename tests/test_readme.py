"""The folder pictures of README and docs/architecture.md are true, and so is `scripts/run --help`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from scripts.stack.options import argument_parser
from tests.rig.page_content import DOCS, ROOT, Page

PICTURES = (Page(ROOT / "README.md"), Page(DOCS / "architecture.md"))
# In these folders every folder is drawn in the large picture.
DRAWN_IN_FULL = {"dockerfw", "rules", "tests", "scripts", "docs"}
NOT_DRAWN = {"__init__.py", "requirements.txt", "conftest.py"}
# Tests are laid out like the code, so those folders need no line of their own.
MIRRORED = {"dockerfw", "rules"}


def drawn(page: Page) -> Iterator[str]:
    """Yield each path in a picture: two spaces for each level, names up to the first double space."""
    picture = page.section("The folders").split("```")[1]
    above: list[str] = []
    for line in picture.strip("\n").splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        del above[level:]
        yield from ("/".join([*above, name.rstrip("/")]) for name in names)
        above.append(names[-1].rstrip("/"))


def tracked() -> set[str]:
    """Return the files of this clone, those that git does not know yet included."""
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


@pytest.mark.parametrize("page", PICTURES, ids=str)
def test_what_the_picture_draws_is_there(page: Page) -> None:
    paths = list(drawn(page))
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_large_picture_draws_every_folder() -> None:
    paths = [name.split("/") for name in tracked()]
    folders = {parts[0] for parts in paths if len(parts) > 1 and not parts[0].startswith(".")}
    folders |= {"/".join(parts[:2]) for parts in paths if len(parts) > 2 and parts[0] in DRAWN_IN_FULL}
    assert folders >= {"rules", "dockerfw/iptables", "tests/kernel"}
    code = {folder.split("/")[1] for folder in folders if folder.split("/")[0] in MIRRORED and "/" in folder}
    own = {folder for folder in folders if not (folder.startswith("tests/") and folder[6:] in code)}
    assert sorted(own - set(drawn(PICTURES[1])) - {"docs/data", "docs/screenshots"}) == []


def test_each_folder_of_tests_is_one_of_the_code_or_drawn() -> None:
    paths = [name.split("/") for name in tracked() if name.count("/") > 1]
    folders = {parts[1] for parts in paths if parts[0] == "tests"}
    code = {parts[1] for parts in paths if parts[0] in MIRRORED}
    shown = {path.removeprefix("tests/") for path in drawn(PICTURES[1]) if path.startswith("tests/")}
    assert sorted(folders - code - shown) == []


@pytest.mark.parametrize("top", sorted(MIRRORED))
def test_the_top_level_of_both_packages_is_drawn(top: str) -> None:
    modules = {f"{top}/{file.name}" for file in (ROOT / top).glob("*.py") if file.name not in NOT_DRAWN}
    assert sorted(modules - set(drawn(PICTURES[1]))) == []


def test_the_help_of_run_names_every_option() -> None:
    shown = subprocess.run(
        [ROOT / "scripts" / "run", "--help"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    options = {option for action in argument_parser()._actions for option in action.option_strings}
    assert options == {"--host", "--bind", "--port", "--no-traffic"}
    assert all(option in shown for option in options)
