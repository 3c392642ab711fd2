"""The bound sets: which a text needs, what they take, and the text that fills them."""

from __future__ import annotations

import pytest

from dockerfw.chains.bound_sets import (
    BOUND_SETS,
    UnknownSet,
    bound_sets_of,
    render_contents,
    render_creation,
    usual_spelling,
)
from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS, own_sets_named

LINE = "-A FILTERS-HOST -p tcp -m tcp --dport 80 -m set --match-set {name} dst,dst -j RETURN"


def test_a_text_names_its_sets() -> None:
    lines = [LINE.format(name=name) for name in ("dockerfw6-proxy", "f2b-sshd", "dockerfw4-proxy")]
    assert bound_sets_of(["\n".join(lines), lines[0]]) == ("dockerfw4-proxy", "dockerfw6-proxy")
    assert bound_sets_of(["-A FILTERS -j RETURN"]) == ()
    comment = '-A FILTERS -m comment --comment "--match-set-dockerfw4-proxy" -j RETURN'
    assert own_sets_named(comment) == ()


def test_a_set_of_another_release_is_refused() -> None:
    with pytest.raises(UnknownSet, match="dockerfw4-feed is not a set of this release"):
        bound_sets_of([LINE.format(name="dockerfw4-feed")])


@pytest.mark.parametrize(
    ("name", "member", "taken"),
    [
        (BRIDGES_SETS[4], "172.17.0.0/16,docker0", True),
        (BRIDGES_SETS[4], "172.17.0.0/16,br-0123456789ab", True),
        (BRIDGES_SETS[6], "fd00::/64,docker0", True),
        (BRIDGES_SETS[4], "fd00::/64,docker0", False),
        (BRIDGES_SETS[4], "0.0.0.0/0,docker0", False),
        (BRIDGES_SETS[4], "172.17.0.1/16,docker0", False),
        (BRIDGES_SETS[4], "172.17.0.0/16,physdev:eth0", False),
        (BRIDGES_SETS[4], "172.17.0.0/16,docker0 nomatch", False),
        (BRIDGES_SETS[4], "172.17.0.0/16,docker0\ndestroy f2b-sshd", False),
        (BRIDGES_SETS[4], "172.17.0.0/16", False),
        (PROXY_SETS[4], "0.0.0.0/1,tcp:8080", True),
        (PROXY_SETS[4], "192.0.2.1,udp:53", True),
        (PROXY_SETS[4], "192.0.2.1,tcp:0", False),
        (PROXY_SETS[4], "192.0.2.1,tcp:65536", False),
        (PROXY_SETS[4], "192.0.2.1,tcp:80-90", False),
        (PROXY_SETS[4], "192.0.2.1,icmp:80", False),
        (PROXY_SETS[4], "example.org,tcp:80", False),
        (PROXY_SETS[6], "8000::/1,tcp:8080", True),
        (PROXY_SETS[6], "fe80::1%eth0,tcp:80", False),
    ],
)
def test_members(name: str, member: str, taken: bool) -> None:
    assert BOUND_SETS[name].takes(member) is taken


def test_the_texts_for_ipset() -> None:
    assert render_creation(["dockerfw6-bridges"]) == (
        "create dockerfw6-bridges hash:net,iface family inet6 maxelem 16384\n"
    )
    assert render_contents("dockerfw4-proxy", ["192.0.2.1,tcp:80"]).splitlines() == [
        "create dockerfw4-proxy.new hash:net,port family inet maxelem 16384",
        "flush dockerfw4-proxy.new",
        "add dockerfw4-proxy.new 192.0.2.1,tcp:80",
        "swap dockerfw4-proxy.new dockerfw4-proxy",
        "destroy dockerfw4-proxy.new",
    ]


def test_ipsets_spelling_is_made_usual() -> None:
    assert usual_spelling("::ffff:192.0.2.1,tcp:80") == "::ffff:c000:201,tcp:80"
    for member in ("192.0.2.0/24,docker0", "fd00::/64,br.lan", "::/1,tcp:80"):
        assert usual_spelling(member) == member
