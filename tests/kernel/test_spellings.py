"""The real kernel decides whether two spellings are the same rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.iptables.canonical import canonical_rule
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.model import Rule
from dockerfw.iptables.parse import parse_restore, parse_save
from tests.rig.namespace import Backend, CommandError, Family, Namespace

pytestmark = pytest.mark.kernel

TABLES = ("raw", "mangle", "nat", "filter")


def spellings(family: Family) -> list[tuple[str, str]]:
    """Return (table, rule) for each spelling of one family."""
    lines = Path(__file__).with_name("spellings.txt").read_text("utf-8").splitlines()
    split = [line.split(" ", 2) for line in lines if line[0] != "#"]
    return [(table, rule) for families, table, rule in split if str(family) in families]


def restore_text(family: Family) -> str:
    """Return a restore file with each spelling in its own chain."""
    lines = []
    for table in TABLES:
        rules = {f"c{n:03}": rule for n, (at, rule) in enumerate(spellings(family)) if at == table}
        lines += [f"*{table}", ":ELSEWHERE - [0:0]", *(f":{chain} - [0:0]" for chain in rules)]
        lines += [f"-A {chain} {rule}" for chain, rule in rules.items()]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def test_loaded_and_saved_rules_are_the_same_rules(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    text = restore_text(family)
    namespace.restore(text, backend, family)
    given = parse_restore(text, family=family)
    saved = parse_save(namespace.save(backend, family))
    assert {name: list(table.chains) for name, table in given.tables.items()} == {
        name: list(table.chains) for name, table in saved.tables.items()
    }
    for name, table in given.tables.items():
        for chain in table.chains:
            assert canonical_of(given.tables[name].chains[chain].rules, family) == canonical_of(
                saved.tables[name].chains[chain].rules, family
            )


def canonical_of(rules: tuple[Rule, ...], family: Family) -> list[str]:
    return [canonical_rule(rule, family) for rule in rules]


def test_rules_that_differ_in_the_kernel_differ_in_canonical_form(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    """Two rules that iptables prints differently must not count as one, except for known cases."""
    namespace.restore(restore_text(family), backend, family)
    forms: dict[str, set[str]] = {}
    for table in parse_save(namespace.save(backend, family)).tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                form = canonical_rule(rule, family).replace(rule.chain, "", 1)
                # (iptables-nft-save 1.8.7 prints a blank after a rule without target.)
                text = rule.text.removeprefix(f"-A {rule.chain}").rstrip()
                forms.setdefault(form, set()).add(text)
    together = {texts for texts in map(frozenset, forms.values()) if len(texts) > 1}
    assert together <= SAME_MEANING, together - SAME_MEANING


SAME_MEANING = {
    frozenset({" -p tcp", " -p tcp -m tcp"}),
    *(
        frozenset({f" -p tcp -m tcp --dport {port}", f" -p tcp -m multiport --dports {port}"})
        for port in (22, 80)
    ),
    # iptables-extensions(8): "This option has never worked".
    frozenset({" -j NFLOG", " -j NFLOG --nflog-range 1"}),
    frozenset({" -p tcp -m tcp --dport 22 -m tcp --sport 5", " -p tcp -m tcp --sport 5 --dport 22"}),
    frozenset(f" -m {module} RELATED,ESTABLISHED" for module in ("conntrack --ctstate", "state --state")),
}

# iptables-nft 1.8.9 cannot rename a chain, replace a rule, or insert before a deleted one if these are of the
# same transaction (it fails or crashes): hence the COMMITs.
REPLAYED = """\
*filter
:INPUT DROP [5:6]
:MINE - [0:0]
:zed - [0:0]
:Abc - [0:0]
-A MINE -j RETURN
-I MINE -s {one},{two} -d {three},{four} -j ACCEPT
-A MINE -s {one},{two} -d {three},{four} -j DROP
-I MINE 2 -s {one},{two}
-A MINE -p tcp -m multiport --dport 80,443
-A MINE -j LOG --log-prefix="a b"
[7:8] -A INPUT -j MINE
-N LATE
-A LATE -j DROP
-F LATE
-X LATE
-P FORWARD DROP
COMMIT
# the same table again
*filter
:Abc - [0:0]
-I INPUT -g Abc
-R MINE 1 -s {four}
-D MINE -s {one}/{bits} -d {four} -j DROP
-D MINE 3
-4 -A Abc -j ACCEPT
-6 -A Abc -j DROP
-E zed zoo
-Z MINE
COMMIT
"""
ADDRESSES: dict[Family, dict[str, str]] = {
    4: {"one": "192.0.2.1", "two": "192.0.2.2", "three": "192.0.2.3", "four": "192.0.2.4", "bits": "32"},
    6: {
        "one": "2001:db8::1",
        "two": "2001:db8::2",
        "three": "2001:db8::3",
        "four": "2001:db8::4",
        "bits": "128",
    },
}


def test_a_restore_file_is_replayed_like_the_kernel(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    text = REPLAYED.format(**ADDRESSES[family])
    namespace.restore(text, backend, family)
    given = parse_restore(text, family=family).tables["filter"]
    saved = parse_save(namespace.save(backend, family)).tables["filter"]
    assert list(given.chains) == list(saved.chains)
    for name, chain in given.chains.items():
        assert chain.policy == saved.chains[name].policy
        assert canonical_of(chain.rules, family) == canonical_of(saved.chains[name].rules, family), name


@pytest.mark.parametrize(
    "commands",
    [
        "-A NOWHERE -j ACCEPT",
        "-D INPUT -j ACCEPT",
        "-D INPUT 1",
        "-I INPUT 2 -j ACCEPT",
        "-R INPUT 1 -j ACCEPT",
        "-N INPUT",
        "-N a\n-N a",
        "-X INPUT",
        "-N a\n-A INPUT -j a\n-X a",
        "-F NOWHERE",
        "-N a\n-P a DROP",
        "-E INPUT a",
        "-N " + 29 * "x",
        "-N -a",
        "-A INPUT -j",
        "-A INPUT -j ACCEPT -j DROP",
        "-A INPUT !",
        "-A INPUT word",
        "-A",
        "words",
    ],
)
def test_iptables_refuses_what_the_replay_refuses(namespace: Namespace, commands: str) -> None:
    text = f"*filter\n{commands}\nCOMMIT\n"
    with pytest.raises(ParseError):
        parse_restore(text)
    with pytest.raises(CommandError):
        namespace.restore(text)
