"""docs/reference.md against the product: nothing undocumented, nothing documented that does not exist."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from dockerfw.document.document import rule_to_json_object
from dockerfw.document.expectations import expectation_to_json_object
from dockerfw.document.settings import settings_to_json_object
from dockerfw.document.values import DocumentRule, Expectation, Settings
from dockerfw_site.environment import BASE_DIR, Environment, read_environment
from tests.rig.page_content import DOCS, ROOT, Page, all_pages, table_rows
from tests.rig.surface import (
    VARIABLE,
    Argument,
    arguments_of,
    management_commands,
    script_arguments,
    scripts,
    variables,
    verb_parsers,
    what_differs,
)

REFERENCE = Page(DOCS / "reference.md")
COMMON = table_rows(REFERENCE.section("The command line").split("### ")[0].split("Options that more")[1])
TABLES = re.compile(r"\n\n(?=\| variable)")
# Where each variable's value stands in the settings, if its name does not say so.
NO_FIELD = {
    "DOCKERFW_SECRET_KEY_FILE",
    "DOCKERFW_REDIS_URL_FILE",
    "DATABASE_URL_FILE",
    "DOCKERFW_OUTBOUND_PROXY_FILE",
    "DOCKERFW_METRICS_TOKEN_FILE",
}


def settings_table() -> dict[str, str]:
    """Return the row of each setting."""
    return table_rows(TABLES.split(REFERENCE.section("Settings"))[1])


def test_every_variable_is_told_of_and_no_other() -> None:
    _, _, compose, tests = TABLES.split(REFERENCE.section("Settings"))
    of_compose, of_tests = table_rows(compose), table_rows(tests)
    assert variables() - set(of_tests) - set(of_compose) == set(settings_table())
    assert set(of_compose) <= variables()
    assert set(of_tests) <= variables((*("rules", "tests"),))
    assert len(settings_table()) > 10


def test_what_compose_takes_is_told_of_with_its_default_and_no_more() -> None:
    table = table_rows(Page(DOCS / "install-compose.md").section("Settings"))
    taken = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert {name for name in table if VARIABLE.fullmatch(name)} == set(taken)
    assert [name for name, default in taken.items() if default and f"`{default}`" not in table[name]] == []


def test_no_page_names_a_variable_that_does_not_exist() -> None:
    known = variables() | variables(("tests",))
    named = {name: str(page) for page in all_pages() for name in VARIABLE.findall(page.text)}
    assert {name: page for name, page in named.items() if name not in known} == {}


@pytest.mark.parametrize("variable", sorted(set(settings_table()) - NO_FIELD))
def test_the_default_of_a_setting_is_the_real_one(variable: str, tmp_path: Path) -> None:
    row = settings_table()[variable]
    said = row.strip("|").split("|")[1].strip()
    name = variable.removeprefix("DOCKERFW_").lower()
    assert name in {field.name for field in fields(Environment)}
    # A secret key may lie in the clone's own data folder.
    environ = {} if name != "secret_key" else {"DOCKERFW_DATA_DIR": str(tmp_path)}
    assert told_as(getattr(read_environment(environ), name), said)


def told_as(value: object, said: str) -> bool:
    """Return True if the table's text for a default is the value; text without `code` means none."""
    span = re.match(r"`([^`]+)`", said)
    if span is None:
        return value is None or value == ()
    if isinstance(value, bool):
        return span[1] == str(int(value))
    if isinstance(value, tuple):
        return span[1] == ",".join(map(str, value))
    if isinstance(value, Path) and value.is_relative_to(BASE_DIR):
        return span[1] == f"{value.relative_to(BASE_DIR)}/" and "in the clone" in said
    return span[1] == str(value)


def test_a_wrong_default_is_found() -> None:
    assert not told_as(60, "`61`")
    assert not told_as(False, "`1`")
    assert not told_as("local", "none")
    assert not told_as(("a", "b"), "`a`")
    assert not told_as(BASE_DIR / "var", "`var`")


def titles(section: str) -> set[str]:
    """Return what the parts of a section are about: its third headings."""
    return set(re.findall(r"^### (\S+)$", section, re.MULTILINE))


def names_that_differ(offered: set[str], told: set[str]) -> list[str]:
    """Return a sentence for each name that is not documented, or documented and not there."""
    missing = [f"{name} is not documented" for name in sorted(offered - told)]
    return missing + [f"{name} is told of and does not exist" for name in sorted(told - offered)]


def test_a_verb_or_script_that_is_undocumented_or_stale_is_found() -> None:
    section = REFERENCE.section("The command line")
    made_up = set(verb_parsers()) | {"frobnicate"}
    assert names_that_differ(made_up, titles(section)) == ["frobnicate is not documented"]
    stale = titles(f"{section}\n### gone\n\nIt was there once.\n")
    assert names_that_differ(set(verb_parsers()), stale) == ["gone is told of and does not exist"]
    with pytest.raises(AssertionError, match="has no part 'frobnicate'"):
        REFERENCE.section("frobnicate")


def test_every_verb_is_told_of_and_no_other() -> None:
    section = REFERENCE.section("The command line")
    assert names_that_differ(set(verb_parsers()), titles(section)) == []
    listed = {row.removeprefix("[") for row in table_rows(section.split("**Exit status**")[0])}
    assert listed - {"verb"} == set(verb_parsers())


@pytest.mark.parametrize("verb", sorted(verb_parsers()))
def test_every_argument_of_a_verb_is_told_of_and_no_other(verb: str) -> None:
    section = REFERENCE.section(verb)
    offered = [each for each in arguments_of(verb_parsers()[verb]) if not set(each.names) & set(COMMON)]
    assert what_differs(verb, offered, table_rows(section)) == []
    assert re.search(rf"^    (?:.* )?dockerfw {verb}\b", section, re.MULTILINE), "no example"


def test_the_options_that_verbs_share_are_as_told() -> None:
    having = {
        option: {
            verb
            for verb, parser in verb_parsers().items()
            if any(option in each.names for each in arguments_of(parser))
        }
        for option in COMMON
    }
    assert having["--json"] == set(verb_parsers())
    not_named = set(re.findall(r"`([a-z-]+)`", COMMON["--host"].split("so not")[1]))
    assert having["--host"] == set(verb_parsers()) - not_named
    assert set(COMMON) == {"--json", "--host"}


def test_every_management_command_is_told_of_and_no_other() -> None:
    section = REFERENCE.section("Management commands")
    assert names_that_differ(set(management_commands()), titles(section)) == []
    for name, command in management_commands().items():
        offered = arguments_of(command.create_parser("manage.py", name))
        assert what_differs(name, offered, table_rows(REFERENCE.section(name))) == []


def test_every_script_is_told_of_and_no_other() -> None:
    section = REFERENCE.section("The scripts")
    real = {f"scripts/{script.name}" for script in scripts()}
    assert names_that_differ(real, titles(section)) == []
    assert names_that_differ(real, set(table_rows(section.split("### ")[0]))) == []


@pytest.mark.parametrize("script", scripts(), ids=lambda script: script.name)
def test_every_argument_of_a_script_is_told_of_and_no_other(script: Path) -> None:
    name = f"scripts/{script.name}"
    told = table_rows(REFERENCE.section(name))
    assert what_differs(name, script_arguments(script), told) == []


RULE = rule_to_json_object(DocumentRule(id="", scope="both"))


@pytest.mark.parametrize(
    ("title", "values"),
    [
        ("Its settings", settings_to_json_object(Settings())),
        ("Its rules", RULE),
        ("Its expectations", expectation_to_json_object(Expectation("any", "tcp", None))),
    ],
)
def test_the_keys_of_a_document_are_as_told(title: str, values: dict[str, object]) -> None:
    rows = table_rows(REFERENCE.section(title))
    assert set(rows) == set(values)
    for key, row in rows.items():
        said = row.strip("|").split("|")[1].strip()
        if said.startswith("`"):
            assert json.loads(said.strip("`")) == values[key], key


def test_what_is_undocumented_or_stale_is_found(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-n", "--number", type=int, default=7, choices=(7, 8))
    parser.add_argument("--quiet", action="store_true")
    made_up = arguments_of(parser)
    rows = ["| `FILE` | what |", "| `-n`, `--number N` | `7` or `8` (`7`) |", "| `--quiet` | no word |"]
    assert what_differs("made-up", made_up, table_rows("\n".join(rows))) == []
    for row in rows:
        less = table_rows("\n".join(each for each in rows if each != row))
        assert what_differs("made-up", made_up, less), row
    stale = table_rows("\n".join([*rows, "| `--gone` | was there once |"]))
    assert what_differs("made-up", made_up, stale) == ["made-up: --gone is told of and does not exist"]
    vague = table_rows("\n".join([rows[0], "| `-n`, `--number N` | a number |", rows[2]]))
    assert len(what_differs("made-up", made_up, vague)) == 3


def test_the_arguments_of_a_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__main__.py").write_text('parser.add_argument("--deep", default=3)\n')
    script = tmp_path / "made-up"
    script.write_text(
        "#!/usr/bin/env bash\ncat <<'HELP'\n  --only-in-the-help)\nHELP\ncase $1 in\n"
        "    --here) shift ;;\n    -a | --also) shift ;;\n    -h | --help) exit ;;\nesac\n"
        'if [ "${1:-}" = --mended ]; then exit; fi\nexec python -m tool "$@"\n'
    )
    names = {name for each in script_arguments(script, tmp_path) for name in each.names}
    assert names == {"--here", "-a", "--also", "--mended", "--deep"}
    assert Argument(("--deep",), "3") in script_arguments(script, tmp_path)
    (tmp_path / "names").write_text("DOCKERFW_MADE_UP and DATABASE_URL_FILE")
    assert variables(("names",), tmp_path) == {"DOCKERFW_MADE_UP", "DATABASE_URL_FILE"}
