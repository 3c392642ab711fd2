"""Rehearsals on the real kernel, in the scratch namespaces that the root worker uses."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dockerfw.chains.names import OWN_CHAINS
from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.host import loading as restore
from dockerfw.host.loading import RestoreFailed, rehearse
from dockerfw.iptables.model import FAMILIES, Backend, Family, Ruleset
from dockerfw.iptables.parse import parse_save, print_save
from tests.rig.host_states import ADDRESS, ARTICLE_INPUT, FOREIGN
from tests.rig.namespace import Namespace

pytestmark = pytest.mark.kernel

IN_A_USER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")


def live_and_wanted(rules: int) -> tuple[dict[Family, Ruleset], dict[Family, str]]:
    """Return a host with this many dockerfw rules, and the texts that load one more."""
    ports = [{"scope": "both", "protocol": "tcp", "ports": [str(1024 + n)]} for n in range(rules + 1)]
    before = parse_document({"format": "dockerfw/1", "rules": ports[:-1]})
    after = parse_document({"format": "dockerfw/1", "rules": ports})
    live: dict[Family, Ruleset] = {}
    for family in FAMILIES:
        text = render_restore(before, family, revision=1).replace("-I INPUT 1", "-A INPUT")
        live[family] = parse_save(text.replace("*filter\n", "*filter\n:INPUT ACCEPT [0:0]\n"))
    return live, {family: render_restore(after, family, live=live[family], revision=2) for family in FAMILIES}


def test_many_rules_fit_the_small_buffers_of_a_user_namespace(
    monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    monkeypatch.setattr(restore, "scratch_namespace", lambda: IN_A_USER_NAMESPACE)
    live, wanted = live_and_wanted(1500)
    rehearse(backend, live, wanted)
    broken = {
        family: text.replace("COMMIT", "-A FILTERS -j NOWHERE\nCOMMIT") for family, text in wanted.items()
    }
    with pytest.raises(RestoreFailed) as caught:
        rehearse(backend, live, broken)
    assert caught.value.family == 4


def test_the_old_content_of_our_chains_does_not_disturb_a_rehearsal(backend: Backend) -> None:
    live, wanted = live_and_wanted(2)
    # It loads only where such a set exists; the load itself starts by flushing it.
    needs_a_set = "-A FILTERS -m set --match-set only-here src -j RETURN\nCOMMIT"
    held = {
        family: parse_save(print_save(live[family]).replace("COMMIT", needs_a_set)) for family in FAMILIES
    }
    rehearse(backend, held, wanted)


def test_a_rehearsal_fails_where_the_load_fails(
    make_namespace: Callable[..., Namespace], backend: Backend, family: Family
) -> None:
    article = ARTICLE_INPUT if family == 4 else ARTICLE_INPUT.replace("203.0.113.9", "2001:db8::9")
    before = FOREIGN.format(input=article, address=ADDRESS[family])
    real, scratch = make_namespace("real"), make_namespace("scratch")
    real.restore(before, backend, family, counters=True)
    live = parse_save(real.save(backend, family))
    document = parse_document(
        {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["ens33"]},
            "rules": [{"scope": "both", "protocol": "tcp", "ports": ["22", "8000-8010"]}],
        }
    )
    text = render_restore(document, family, live=live, revision=1)
    real.restore(text, backend, family)
    scratch.restore(render_rehearsal(live, text), backend, family)
    loaded, rehearsed = (
        parse_save(namespace.save(backend, family)).tables["filter"].chains for namespace in (real, scratch)
    )
    assert set(OWN_CHAINS) < set(loaded) == set(rehearsed)
    assert {name: [rule.text for rule in chain.rules] for name, chain in rehearsed.items()} == {
        name: [rule.text for rule in chain.rules] for name, chain in loaded.items()
    }


@pytest.mark.parametrize("left", [299, 100, 1])
def test_chains_that_go_are_rehearsed(backend: Backend, left: int) -> None:
    """Of 300 rules with ports of their own, whose chains divide the ports, few or most go."""
    live, _ = live_and_wanted(300)
    document = parse_document(
        {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["ens33"]},
            "rules": [
                {"scope": "both", "protocol": "tcp", "ports": [str(1 + 7 * number)]} for number in range(left)
            ],
        }
    )
    restores = {family: render_restore(document, family, live=live[family]) for family in FAMILIES}
    rehearse(backend, live, restores)
    broken = {family: text.replace("COMMIT", "-X NOWHERE\nCOMMIT") for family, text in restores.items()}
    with pytest.raises(RestoreFailed):
        rehearse(backend, live, broken)


MIXED = [
    {"id": f"r{number:05d}", "protocol": ("tcp", "udp")[number % 2], "ports": [str(1024 + number)], **extra}
    for number in range(1500)
    for extra in [
        (
            {"scope": "both", "sources": [f"10.0.{number >> 8}.{number & 255}/32", f"2001:db8::{number:x}"]},
            {"scope": "host", "limit": "6/minute"},
            {"scope": "container", "to": f"192.168.{number >> 8}.{number & 255}"},
            {"scope": "host", "interface": f"wg{number}", "action": "block"},
            {
                "scope": "both",
                "ports": [f"{1024 + number}-{3000 + number}"],
                "expires": "2037-01-01T00:00:00Z",
            },
        )[number % 5]
    ]
]


def test_of_a_long_text_one_line_of_each_shape_is_rehearsed(
    make_namespace: Callable[..., Namespace], backend: Backend
) -> None:
    document = parse_document({"format": "dockerfw/2", "rules": MIXED})
    live = parse_save("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\nCOMMIT\n")
    for family in FAMILIES:
        text = render_restore(document, family, live=live, counters=True)
        rehearsed = render_rehearsal(live, text)
        assert rehearsed.count("\n") < text.count("\n") / 3
        for named in (r"^:(\S+)", r" -[gj] (\S+)", r" --match-set (\S+)", r" (-m \S+|--[a-z-]+) "):
            assert {*re.findall(named, text, re.MULTILINE)} <= {*re.findall(named, rehearsed, re.MULTILINE)}
        jumps = re.findall(r"^.* -[gj] FILTERS\S*$", text, re.MULTILINE)
        assert jumps == re.findall(r"^.* -[gj] FILTERS\S*$", rehearsed, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    [
        "-s 10.0.0.0/33 -p tcp -m tcp --dport 22 -j RETURN",
        "-p tcp -m tcp --dport 22:80:90 -j RETURN",
        "-p tcp -m unknown --dport 22 -j RETURN",
        "-p icmp -m tcp --dport 22 -j RETURN",
        "-p tcp -m set --match-set not-there src -j RETURN",
        "-g FILTERS-D",
    ],
)
def test_one_wrong_line_among_thousands_fails(backend: Backend, line: str) -> None:
    live, wanted = live_and_wanted(1500)
    lines = wanted[4].split("\n")
    at = next(number for number, each in enumerate(lines) if each.startswith("-A FILTERS "))
    lines.insert(at, f"-A FILTERS {line}")
    with pytest.raises(RestoreFailed):
        rehearse(backend, live, {4: "\n".join(lines)})
