"""Unusual output of iptables-save is read without loss too."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import OtherLine, Rule
from dockerfw.iptables.parse import parse_save
from tests.iptables.saves import print_save_bytes
from tests.rig.namespace import Backend, Family, Namespace

pytestmark = pytest.mark.kernel


def saved_rules(namespace: Namespace, backend: Backend, family: Family) -> tuple[Rule, ...]:
    """Save with and without counters, check both round trips, and return the rules of INPUT."""
    plain, counted = namespace.save(backend, family), namespace.save(backend, family, counters=True)
    for save in (plain, counted):
        assert print_save_bytes(parse_save(save)) == save
    chain = parse_save(counted).chain("filter", "INPUT")
    assert chain is not None
    return chain.rules


@pytest.mark.parametrize(
    ("comment", "read"),
    [
        ("first\nsecond", "first\nsecond"),
        ('\n"\n\\\n', '\n"\n\\\n'),
        ("x\n-A INPUT -j ACCEPT", "x\n-A INPUT -j ACCEPT"),
        ("x\nCOMMIT\n*filter", "x\nCOMMIT\n*filter"),
        ("tab\tand\rreturn", "tab\tand\rreturn"),
        (255 * "\n", 255 * "\n"),
        (255 * '"', 255 * '"'),
        (100 * "é漢", 51 * "é漢"),
        ("x" + 100 * "é漢", "x" + 50 * "é漢" + "é\ufffd"),
        ("\udcff\udc80", "\ufffd"),
        ("--comment -j DROP", "--comment -j DROP"),
        ("# not a comment line", "# not a comment line"),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_comments_of_every_kind(
    namespace: Namespace, backend: Backend, family: Family, comment: str, read: str
) -> None:
    namespace.iptables(
        "-A", "INPUT", "-m", "comment", "--comment", comment, "-j", "DROP", backend=backend, family=family
    )
    namespace.iptables("-A", "INPUT", "-j", "ACCEPT", backend=backend, family=family)
    first, second = saved_rules(namespace, backend, family)
    assert first.comment == read
    assert first.target is not None
    assert (first.target.name, second.comment, second.text) == ("DROP", None, "-A INPUT -j ACCEPT")


def test_names_that_iptables_prints_without_quotes(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    def iptables(*words: str) -> None:
        namespace.iptables(*words, backend=backend, family=family)

    for name in ('a"b', "[0:0]", "it's", "漢字", "#x", ":y"):
        iptables("-N", name)
        iptables("-A", "INPUT", "-j", name)
    iptables("-A", "INPUT", "-i", 'e"0', "-m", "recent", "--rcheck", "--name", "a b", "-j", "DROP")
    *jumps, last = saved_rules(namespace, backend, family)
    assert [rule.target.name for rule in jumps if rule.target] == ['a"b', "[0:0]", "it's", "漢字", "#x", ":y"]
    option = last.matches[1].option("--name")
    assert option is not None
    assert option.values == ("a", "b")


def test_tables_made_with_nft_are_in_a_comment_line(namespace: Namespace) -> None:
    if shutil.which("nft", path=namespace.environment["PATH"]) is None:
        pytest.skip("nft is not installed (Debian package nftables)")
    namespace.iptables("-A", "INPUT", "-j", "ACCEPT")
    namespace.run("nft", "add table ip mangle")
    namespace.run("nft", "add chain ip mangle own { type filter hook input priority 5; }")
    save = namespace.save()
    ruleset = parse_save(save)
    assert print_save_bytes(ruleset) == save
    others = [line.text for line in ruleset.lines if isinstance(line, OtherLine)]
    assert any("use 'nft' tool" in text for text in others)


def test_the_warning_about_legacy_tables_is_a_comment_line(namespace: Namespace) -> None:
    namespace.iptables("-A", "INPUT", "-j", "ACCEPT", backend="legacy")
    namespace.iptables("-A", "INPUT", "-j", "ACCEPT", backend="nft")
    done = namespace.run("sh", "-c", "iptables-nft-save 2>&1")
    assert b"iptables-legacy tables present" in done.stdout
    assert print_save_bytes(parse_save(done.stdout)) == done.stdout


def test_an_empty_namespace(
    make_namespace: Callable[..., Namespace], backend: Backend, family: Family
) -> None:
    save = make_namespace("empty").save(backend, family)
    assert print_save_bytes(parse_save(save)) == save


def test_a_save_cut_off_anywhere_is_refused(namespace: Namespace, backend: Backend, family: Family) -> None:
    for comment in ("plain", "with blanks and 'quotes'"):
        namespace.iptables(
            *("-A", "INPUT", "-m", "comment", "--comment", comment, "-j", "ACCEPT"),
            backend=backend,
            family=family,
        )
    save = namespace.save(backend, family, counters=True)
    start, end = save.index(b"*filter"), save.index(b"COMMIT") + len("COMMIT")
    for cut in range(start + 1, end):
        with pytest.raises(ParseError):
            parse_save(save[:cut])
    parse_save(save[:end])


def test_all_tables_of_a_host(namespace: Namespace, backend: Backend, family: Family) -> None:
    for table, chain in (
        ("filter", "INPUT"),
        ("nat", "POSTROUTING"),
        ("mangle", "FORWARD"),
        ("raw", "OUTPUT"),
    ):
        namespace.iptables("-t", table, "-A", chain, "-p", "tcp", backend=backend, family=family)
    namespace.iptables("-P", "FORWARD", "DROP", backend=backend, family=family)
    save = namespace.save(backend, family, counters=True)
    ruleset = parse_save(save)
    assert print_save_bytes(ruleset) == save
    assert set(ruleset.tables) >= {"filter", "nat", "mangle", "raw"}
    forward = ruleset.chain("filter", "FORWARD")
    assert forward is not None
    assert (forward.policy, forward.builtin, forward.rules) == ("DROP", True, ())
    assert ruleset.chain("nat", "FORWARD") is None
