"""What docs/ says is true: links lead somewhere, commands parse, sentences are the product's own."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError, CommandParser

from dockerfw.command_line.service import IN_WEB
from dockerfw.command_line.verbs import VERBS as ENGINE_VERBS
from dockerfw.document.document import load_document
from rules.command_line.__main__ import OF_MANAGE
from rules.management.commands.firewall import VERBS as FIREWALL_VERBS
from rules.urls import urlpatterns
from tests.browser.screens import DOCS_SCREENS, SCHEMES, SIZES
from tests.rig.messages import is_said, product_messages, python_messages, template_messages
from tests.rig.page_content import DOCS, ROOT, Page, all_pages, dead_links, reached_from
from tests.rig.surface import arguments_of, management_commands, script_arguments, verb_parsers

PAGES = all_pages()
# What may stand before the command itself.
WRAPPERS = re.compile(
    r"(?:sudo(?: -u \S+)? |env |exec |[A-Z_]+=\S* |\S*python3? (?=manage)"
    r"|docker compose (?:exec|run)(?: -\S+)* \S+ )*"
)
# What the command `dockerfw` hands to manage.py as it is.
PASSED_ON = {"firstadmin", "changepassword", "createsuperuser"}
# Verbs of the agent's own command line, without arguments.
ENGINE_ONLY = set(ENGINE_VERBS) - set(FIREWALL_VERBS)
# A page says these for "whatever verb" and "any command".
PLACEHOLDERS = {"VERB", "COMMAND", "…", "..."}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|TBD|XXX)\b|\bissue #?\d|(?i:coming soon|lorem ipsum|see below)")
# A path from the root folder, also after `unix://`; not the rest of a relative one or of a page's address.
ABSOLUTE = re.compile(r"(?<![\w.<~/*}…])(?://)?(/\.?\w[\w./-]*)")
# Where dockerfw keeps its things or may be told to; no path of the machine where a page was written.
FOLDERS = {"backups", "dev", "etc", "opt", "proc", "root", "run", "usr", "var"}
# What the addresses of the pages begin with.
ADDRESSES = {str(each.pattern).split("/")[0] for each in urlpatterns} - {""}


def our_commands(line: str) -> Iterator[tuple[str, list[str]]]:
    """Yield which of our parsers, and with which words, a line of shell asks; `scripts/x` for itself."""
    for part in re.split(r"\s*(?:&&|\|\||[|;<>])\s*", WRAPPERS.sub("", line, count=1)):
        try:
            words = shlex.split(WRAPPERS.sub("", part, count=1), comments=True)
        except ValueError:
            continue
        if words[:1] == ["dockerfw"] and words[1:2] and words[1] in PASSED_ON:
            yield words[1], words[2:]
        elif words[:1] == ["dockerfw"] and words[1:2] and words[1] in ENGINE_ONLY:
            continue
        elif words[:1] in (["dockerfw"], ["scripts/firewall"]):
            yield "firewall", words[1:]
        elif words[:1] == ["manage.py"] and words[1:2] and words[1] in management_commands():
            yield words[1], words[2:]
        elif words and re.fullmatch(r"scripts/[a-z-]+", words[0]):
            yield words[0], words[1:]


@cache
def parser_of(command: str) -> CommandParser:
    """Return the parser of one of manage.py's commands."""
    return load_command_class(get_commands()[command], command).create_parser("manage.py", command)


def what_is_wrong(command: str, words: list[str], *, whole: bool) -> str:
    """Return why a command line of ours cannot be meant; `whole` when it is not an excerpt of one."""
    if command.startswith("scripts/"):
        return _wrong_script(command, words)
    if PLACEHOLDERS & set(words):
        return ""
    if whole:
        parser = parser_of(command)
        try:
            parser.parse_args(words)
        except (CommandError, SystemExit) as error:
            return f"{command} {' '.join(words)}: {error}"
        return ""
    verbs = verb_parsers()
    if command != "firewall" or not words:
        return ""
    if words[0] not in verbs:
        return f"there is no verb {words[0]}"
    known = {name for argument in arguments_of(verbs[words[0]]) for name in argument.names}
    unknown = {word for word in words[1:] if re.fullmatch(r"-m|--[a-z][\w-]*", word)} - known
    return f"{words[0]} has no {', '.join(sorted(unknown))}" if unknown else ""


def _wrong_script(name: str, words: list[str]) -> str:
    script = ROOT / name
    if not script.exists():
        return f"there is no {name}"
    if name in ("scripts/test", "scripts/firewall"):
        return ""
    known = {each for argument in script_arguments(script) for each in argument.names} | {"--help", "-h"}
    unknown = {word for word in words if word.startswith("--")} - known
    return f"{name} has no {', '.join(sorted(unknown))}" if unknown else ""


def strange_paths(text: str) -> list[str]:
    """Return the absolute paths that begin with none of a host's folders, and as no page's address."""
    return [path for path in ABSOLUTE.findall(text) if path.split("/")[1] not in FOLDERS | ADDRESSES]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Page) -> None:
    assert dead_links(page) == []


def test_each_page_is_reached_from_the_index() -> None:
    assert set(DOCS.rglob("*.md")) - reached_from(Page(DOCS / "README.md")) == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages_are_finished(page: Page) -> None:
    assert UNFINISHED.findall(page.text) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_absolute_paths_are_those_of_a_host(page: Page) -> None:
    assert strange_paths(page.text) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_blocks_parse(page: Page) -> None:
    asked = [(line, *command) for line in page.commands for command in our_commands(line)]
    wrong = {line: what_is_wrong(command, words, whole=True) for line, command, words in asked}
    assert {line: why for line, why in wrong.items() if why} == {}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_the_prose_exist(page: Page) -> None:
    asked = [(span, *command) for span in page.spans for command in our_commands(span)]
    wrong = {span: what_is_wrong(command, words, whole=False) for span, command, words in asked}
    assert {span: why for span, why in wrong.items() if why} == {}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_is_quoted_the_product_says(page: Page) -> None:
    assert [quote for quote in page.quotes if not is_said(quote, product_messages())] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_documents_that_are_shown_are_valid(page: Page) -> None:
    for block in re.findall(r"^```json\n(.*?)^```$", page.text, re.MULTILINE | re.DOTALL):
        if "format" in json.loads(block):
            load_document(block)


def test_the_commands_that_go_to_manage_are_the_same_everywhere() -> None:
    assert set(IN_WEB) == PASSED_ON == OF_MANAGE


def test_commands_are_looked_at() -> None:
    """The tests above see something to check."""
    reference = Page(DOCS / "reference.md")
    asked = [command for line in reference.commands for command in our_commands(line)]
    verbs = {words[0] for command, words in asked if command == "firewall" and words}
    assert set(verb_parsers()) <= verbs
    assert {"scripts/run", "scripts/soak"} <= {command for command, _ in asked}


@pytest.mark.parametrize(
    "line",
    [
        "dockerfw aply -m why",
        "dockerfw apply",
        "sudo dockerfw panic --alow 192.0.2.7",
        "docker compose exec web dockerfw status --jsn",
        "iptables-save | scripts/firewall parse --nothing",
        "python manage.py firstadmin --uri http://x",
        "sudo scripts/run --hst",
        "scripts/gone",
        "cd /opt/dockerfw && .venv/bin/python manage.py firewall confirm --instead",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    wrong = [what_is_wrong(command, words, whole=True) for command, words in our_commands(line)]
    assert any(wrong), wrong


@pytest.mark.parametrize(
    "text",
    [
        "see /tmp/x",
        "`/home/alice/dockerfw`",
        "    cd /srv && ls",
        "unix:///usual/docker.sock",
        "(/mnt)",
        "a=/data/b",
        "-v ./a:/app",
        "/.hidden/x",
        "the page /rulez/",
    ],
)
def test_a_strange_path_is_found(text: str) -> None:
    assert len(strange_paths(text)) == 1


def test_known_paths_pages_and_addresses_are_no_strange_paths() -> None:
    text = (
        "/etc/dockerfw `/var/lib/dockerfw`, unix:///run/docker.sock; the pages /setup/ and /audit/audit.csv;"
        " http://ADDRESS:8000/srv, docs/tmp, ./tmp, ~/tmp, 8000/tcp, 192.0.2.0/24, </td>, web/clerk"
    )
    assert strange_paths(text) == []
    assert ABSOLUTE.findall(text)[:2] == ["/etc/dockerfw", "/var/lib/dockerfw"]


def test_a_wrong_command_in_the_prose_is_found() -> None:
    for span in ("dockerfw aply", "firewall: dockerfw apply --kep"):
        asked = list(our_commands(span.removeprefix("firewall: ")))
        assert all(what_is_wrong(command, words, whole=False) for command, words in asked)
        assert asked


def test_what_the_product_does_not_say_is_found() -> None:
    said = [
        *python_messages(
            'raise X(f"{name} is loaded and waits" f" until {then} to be kept. Wait for that.")'
        ),
        *template_messages(
            "<p>What was there <em>before</em> comes\n back at {{ until }}.</p><p>Not now.</p>"
        ),
    ]
    assert is_said("… is loaded and waits until … to be kept.", said)
    assert is_said("What was there before comes back at …", said)
    assert not is_said("bob is loaded and waits until … to be kept.", said)
    assert not is_said("What was there before comes again at …", said)
    assert not is_said("comes back at …. Not now.", said)
    assert not is_said("… before …", said), "too short to be a sentence of anybody's"


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# What is there, `x`\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#what-is-there-x) [b](other.md#twice-1) [c](#here) [d](https://example.org/none)\n"
        "[e](gone.md) [f](other.md#gone) ![g](gone.png) [h](#gone) `[i](no-link.md)`\n\n    [j](no-link.md)\n"
    )
    assert dead_links(Page(page)) == ["gone.md", "other.md#gone", "gone.png", "#gone"]
    assert reached_from(Page(page)) == {page, tmp_path / "other.md"}


def taken_screens() -> set[str]:
    """Return the names that the browser tests give to screenshots; of an f-string its beginning with `*`."""
    names: set[str] = set()
    for file in sorted((ROOT / "tests" / "browser").glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "take" or ast.unparse(node.func.value) != "screens":
                continue
            name = node.args[1]
            if isinstance(name, ast.JoinedStr):
                pieces = [str(each.value) if isinstance(each, ast.Constant) else "*" for each in name.values]
                names.add("".join(pieces))
            elif isinstance(name, ast.Constant):
                names.add(str(name.value))
    return names


def test_each_screenshot_is_one_that_the_browser_tests_take() -> None:
    shown = {Path(image).stem for page in PAGES for image in page.images}
    assert shown == DOCS_SCREENS
    assert {file.stem for file in (DOCS / "screenshots").iterdir()} == DOCS_SCREENS
    taken = {f"{name}-{size}-{scheme}" for name in taken_screens() for size in SIZES for scheme in SCHEMES}
    assert [title for title in DOCS_SCREENS if not any(fnmatch(title, each) for each in taken)] == []


def test_screenshots_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in (DOCS / "screenshots").iterdir()}
    assert {name: size for name, size in sizes.items() if size > 200_000} == {}


def test_each_image_says_in_words_what_it_shows() -> None:
    words = [text for page in PAGES for text in re.findall(r"!\[([^\]]*)\]", page.prose)]
    assert words
    assert [text for text in words if len(text.split()) < 4] == []
