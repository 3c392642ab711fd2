"""Properties of the parser: nothing is lost, nothing crashes it, and it never takes long."""

from __future__ import annotations

import re
import signal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dockerfw.iptables import sentences
from dockerfw.iptables.canonical import canonical_rule, canonical_text
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.matches import read_matches
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_restore, parse_save, print_save
from dockerfw.iptables.tokens import Quoted, TokenError, join_tokens, split_tokens
from tests.iptables.saves import print_save_bytes

PIECES = [
    *(
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":X - [1:2]",
        "-A INPUT",
        "-A X -j INPUT",
        "COMMIT",
        "# text",
        "[1:2]",
    ),
    *(
        "-s 10.0.0.0/8",
        "! -d ::1",
        "-p tcp",
        "-m tcp --dport 22",
        "-m comment --comment",
        "-j ACCEPT",
        "-g X",
    ),
    *(
        '"',
        "\\",
        '\\"',
        '"a b"',
        "'",
        " ",
        "\n",
        "\t",
        "\r\n",
        "!",
        "-m",
        "-j",
        "-",
        "--",
        "=",
        ",",
        "\0",
        "é",
    ),
    *(
        "-I INPUT 1",
        "-D INPUT",
        "-F",
        "-N Y",
        "-X Y",
        "-R INPUT 1",
        "-E X Y",
        "-Z",
        "-P INPUT DROP",
        "-4",
        "-6",
    ),
    *("\udcff", "\x85", "\u2028", "\x0b", "-m multiport --dports 1,2", "--limit 5/s", "--ctstate NEW"),
]
FAMILIES: st.SearchStrategy[Family] = st.sampled_from([4, 6])
# The words of a rule may be anything that survives an argument list: no NUL, and bytes as surrogates.
WORDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from("\udc80\udcff -!\"'\\"),
    max_size=20,
)


def pieced() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PIECES), max_size=40).flatmap(
        lambda pieces: st.sampled_from(["", " ", "\n"]).map(lambda glue: glue.join(pieces))
    )


def read_everything(ruleset: Ruleset, family: Family) -> None:
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                assert rule.tokens[:2] == ("-A", rule.chain)
                assert rule.matches is rule.matches
                assert rule.target is None or rule.target.name
                assert rule.comment is None or rule.comment.encode() is not None
                assert canonical_rule(rule, family)


@given(st.binary(max_size=300), FAMILIES)
@example(b'*filter\n:X - [0:0]\n-A X --comment "a', 4)
@example(b"*filter\n:X - [0:0]\n-A X\nCOMMIT\n\xff\xfe", 4)
@example(b"*filter\n:X - [0:0]\n[1:2] -A X \nCOMMIT\n", 4)
def test_any_bytes_are_a_save_or_an_error(data: bytes, family: Family) -> None:
    try:
        ruleset = parse_save(data)
    except ParseError as error:
        assert_good(error)
    else:
        assert print_save_bytes(ruleset) == data
        read_everything(ruleset, family)


@given(st.text(max_size=200) | pieced(), FAMILIES)
def test_any_text_is_a_save_or_an_error(text: str, family: Family) -> None:
    try:
        ruleset = parse_save(text)
    except ParseError as error:
        assert_good(error)
    else:
        assert print_save(ruleset) == text
        read_everything(ruleset, family)


@given(st.binary(max_size=200) | st.text(max_size=200) | pieced(), FAMILIES)
def test_any_text_is_a_restore_file_or_an_error(text: bytes | str, family: Family) -> None:
    try:
        ruleset = parse_restore(text, family=family)
    except ParseError as error:
        assert_good(error)
    else:
        read_everything(ruleset, family)
        assert parse_save(print_save(ruleset)).tables.keys() == ruleset.tables.keys()


def assert_good(error: ParseError) -> None:
    assert error.line >= 1
    assert 1 <= error.column <= len(error.text) + 1
    shown, caret = error.excerpt().split("\n")
    assert caret.strip() == "^"
    assert len(caret) <= len(shown) + 1


@given(
    st.lists(st.sampled_from(PIECES).filter(lambda piece: not set(piece) & set('"\n\0')) | WORDS, max_size=12)
)
def test_a_rule_of_any_words_is_read_and_written_without_loss(words: list[str]) -> None:
    text = f"*filter\n:X - [0:0]\n-A X -m x {join_tokens(words)}\nCOMMIT\n"
    try:
        ruleset = parse_save(text)
    except ParseError as error:
        assert_error_about_form(error)
        return
    assert print_save(ruleset) == text
    chain = ruleset.chain("filter", "X")
    assert chain is not None
    assert chain.rules[0].tokens[4:] == tuple(words)


def assert_error_about_form(error: ParseError) -> None:
    options = ("-m", "-j", "-g")
    allowed = {
        sentences.SECOND_TARGET,
        sentences.NO_OPTION_AFTER_NEGATION,
        *map(sentences.missing_name, options),
        *map(sentences.negation_not_allowed, options),
    }
    assert error.message in allowed or error.message.endswith(sentences.stray_word("")), error


@st.composite
def saves(draw: st.DrawFn) -> str:
    """Draw a well-formed save; its rules have any options, values and counters."""
    lines = []
    for table in draw(st.lists(st.sampled_from(["filter", "nat", "raw"]), unique=True)):
        chains = draw(
            st.lists(st.sampled_from(["INPUT", "OUTPUT", "X", 'a"b', "漢"]), unique=True, min_size=1)
        )
        lines += ["# comment", f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
        for chain in draw(st.lists(st.sampled_from(chains), max_size=8)):
            counters = draw(st.sampled_from(["", "[0:0] ", "[7:9] "]))
            options = draw(
                st.lists(st.tuples(st.sampled_from(OPTIONS), st.lists(WORDS, max_size=2)), max_size=5)
            )
            words = [f"{option} {join_tokens(map(Quoted, values))}".rstrip() for option, values in options]
            end = draw(st.sampled_from(["", "-j X", "-g INPUT", "-j LOG --log-prefix x"]))
            # iptables-nft-save 1.8.7 prints the blank before a match or a target even if there is neither.
            bare = [] if words or end else draw(st.sampled_from([[], [""]]))
            lines.append(" ".join([f"{counters}-A {chain}", *words, *([end] if end else bare)]))
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


OPTIONS = [
    "-s",
    "! -d",
    "-p",
    "-i",
    "! -o",
    "-m tcp --dport",
    "-m comment --comment",
    "-m nosuch --x",
    "! --y",
]


@given(saves(), FAMILIES)
def test_a_save_of_the_right_form_is_read_whole(save: str, family: Family) -> None:
    ruleset = parse_save(save)
    assert print_save(ruleset) == save
    read_everything(ruleset, family)
    rules = [line for line in save.split("\n") if re.match(r"(\[\d:\d\] )?-A ", line)]
    assert sum(len(c.rules) for t in ruleset.tables.values() for c in t.chains.values()) <= len(rules)


@given(st.lists(WORDS))
def test_joined_words_are_split_again(words: list[str]) -> None:
    assert split_tokens(join_tokens(words)) == tuple(words)


@given(st.lists(WORDS | st.sampled_from(["-m", "-j", "-g", "!", "-s", "--x", "-p", "tcp", "--dport"])))
def test_no_word_of_a_rule_is_lost(words: list[str]) -> None:
    matches, target = read_matches(words)
    options = [option for match in matches for option in match.options]
    options += target.options if target else ()
    kept = {value for option in options for value in option.values}
    kept |= {match.module for match in matches if match.module} | ({target.name} if target else set())
    plain = {word for word in words if word[:1] not in ("-", "!")}
    verbs = sum(word[:2] in ("-j", "-g") for word in words)
    if verbs < 2:
        assert plain <= kept | {""}


@given(pieced(), FAMILIES)
def test_the_canonical_form_is_stable(text: str, family: Family) -> None:
    line = f"-A X {text}"
    try:
        form = canonical_text(line, family)
    except TokenError:
        return
    assert canonical_text(line + " ", family) == form


# The alarm ends the whole run: quadratic work on such a text takes hours, not seconds.
HANG_SECONDS = 120

HOSTILE = [
    '"\n' * 100_000,
    "*filter\n:X - [0:0]\n" + '-A X -m a "\n"\n' * 20_000,
    "*filter\n:X - [0:0]\n-A X -m a " + '"a" ' * 100_000,
    "*filter\n:X - [0:0]\n-A X -m a " + 'a"' * 200_000,
    "*filter\n:X - [0:0]\n-A X -m a " + '"' + "\\" * 300_001,
    "*filter\n:X - [0:0]\n-A X" + " " * 300_000 + "x",
    "*filter\n:X - [0:0]\n-A X " + "! " * 150_000,
    "*filter\n:X - [0:0]\n-A X " + "-" * 300_000 + '"',
    "*filter\n" + "".join(f":c{n} - [0:0]\n" for n in range(20_000)),
    "[" + "9" * 300_000,
    "*filter\n:X - [0:0]\n-A X -s " + ",".join(["1.1.1.1"] * 40_000) + "\nCOMMIT\n",
    "\n" * 300_000 + "x",
    "# " + "\udcff" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_hostile_text_ends_in_time(text: str) -> None:
    signal.alarm(HANG_SECONDS)
    for parse in (parse_save, parse_restore):
        try:
            ruleset = parse(text)
            read_everything(ruleset, 4)
        except ParseError as error:
            assert_good(error)
    signal.alarm(0)
