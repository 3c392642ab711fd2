"""The bound sets in the real kernel: created, filled in one step, read, destroyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.chains.bound_sets import BOUND_SETS, MOST_MEMBERS, bound_sets_of
from dockerfw.host import runner
from dockerfw.host.bound_sets import (
    SetsFailed,
    create_bound_sets,
    destroy_bound_sets,
    fill_bound_set,
    read_bound_sets,
)
from dockerfw.host.loading import RestoreFailed, rehearse
from dockerfw.host.reading import look
from tests.rig.namespace import FAMILIES, Backend, Family, Namespace

pytestmark = pytest.mark.kernel

PROXY = "dockerfw4-proxy"
MEMBERS = {
    "dockerfw4-bridges": ("172.17.0.0/16,br-0123456789ab", "172.17.0.0/16,docker0"),
    "dockerfw4-proxy": ("0.0.0.0/1,tcp:8080", "128.0.0.0/1,tcp:8080", "192.0.2.1,udp:53"),
    "dockerfw6-bridges": ("fd00:1::/64,docker0",),
    "dockerfw6-proxy": ("2001:db8::1,tcp:443", "8000::/1,tcp:8080", "::/1,tcp:8080", "::1.2.3.4,tcp:1"),
}


def test_sets_hold_what_they_were_filled_with(inside: Namespace) -> None:
    assert read_bound_sets() == {}
    create_bound_sets(BOUND_SETS)
    create_bound_sets(BOUND_SETS)
    assert read_bound_sets() == dict.fromkeys(BOUND_SETS, ())
    members = {**MEMBERS, "dockerfw6-proxy": (*MEMBERS["dockerfw6-proxy"][:3], "::102:304,tcp:1")}
    for name, wanted in members.items():
        fill_bound_set(name, wanted)
    assert read_bound_sets() == {name: tuple(sorted(wanted)) for name, wanted in members.items()}
    create_bound_sets(BOUND_SETS)
    fill_bound_set(PROXY, ())
    assert read_bound_sets([PROXY, "dockerfw4-bridges"]) == {
        PROXY: (),
        "dockerfw4-bridges": MEMBERS["dockerfw4-bridges"],
    }
    assert ".new" not in inside.output("ipset", "list", "-n")


def test_a_large_set(inside: Namespace) -> None:
    create_bound_sets([PROXY])
    most = [f"10.{n >> 8}.{n & 255}.1,tcp:80" for n in range(MOST_MEMBERS)]
    fill_bound_set(PROXY, most)
    assert read_bound_sets([PROXY])[PROXY] == tuple(sorted(most))
    with pytest.raises(SetsFailed, match="takes more than"):
        fill_bound_set(PROXY, [*most, "11.0.0.1,tcp:80"])


def test_a_member_that_is_none_never_reaches_ipset(inside: Namespace) -> None:
    inside.run("ipset", "create", "f2b-sshd", "hash:ip")
    create_bound_sets([PROXY])
    fill_bound_set(PROXY, ["192.0.2.1,tcp:80"])
    with pytest.raises(SetsFailed, match="does not take"):
        fill_bound_set(PROXY, ["192.0.2.2,tcp:80", "192.0.2.3,tcp:80\ndestroy f2b-sshd"])
    assert read_bound_sets([PROXY])[PROXY] == ("192.0.2.1,tcp:80",)
    assert "f2b-sshd" in inside.output("ipset", "list", "-n")


def test_a_leftover_of_a_killed_fill_is_used_up(inside: Namespace) -> None:
    create_bound_sets([PROXY])
    inside.run("ipset", "create", f"{PROXY}.new", "hash:net,port", "maxelem", str(MOST_MEMBERS))
    inside.run("ipset", "add", f"{PROXY}.new", "192.0.2.9,tcp:9")
    fill_bound_set(PROXY, ["192.0.2.1,tcp:80"])
    assert read_bound_sets([PROXY])[PROXY] == ("192.0.2.1,tcp:80",)
    inside.run("ipset", "create", f"{PROXY}.new", "hash:net,port", "maxelem", str(MOST_MEMBERS))
    assert destroy_bound_sets([PROXY]) == (PROXY,)
    assert inside.output("ipset", "list", "-n") == ""


def test_a_set_that_a_rule_uses_is_filled_and_never_destroyed(inside: Namespace, backend: Backend) -> None:
    create_bound_sets([PROXY, "dockerfw6-proxy"])
    inside.iptables("-A", "INPUT", *f"-m set --match-set {PROXY} dst,dst -j ACCEPT".split(), backend=backend)
    fill_bound_set(PROXY, ["192.0.2.1,tcp:80"])
    assert destroy_bound_sets(BOUND_SETS) == (
        "dockerfw4-bridges",
        "dockerfw6-bridges",
        "dockerfw6-proxy",
    )
    assert read_bound_sets() == {PROXY: ("192.0.2.1,tcp:80",)}


def test_other_programs_sets_are_never_destroyed(inside: Namespace) -> None:
    inside.run("ipset", "create", "dockerfw4-feed", "hash:ip")
    assert destroy_bound_sets(["dockerfw4-feed", "f2b-sshd"]) == ()
    assert inside.output("ipset", "list", "-n") == "dockerfw4-feed\n"


def test_a_host_without_ipset_is_told_which_package_it_needs(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runner, "_SYSTEM_PATH", str(tmp_path))
    for act in (lambda: create_bound_sets([PROXY]), read_bound_sets):
        with pytest.raises(SetsFailed, match="install the package ipset"):
            act()


def test_a_set_of_another_type_is_named(inside: Namespace) -> None:
    inside.run("ipset", "create", PROXY, "hash:ip")
    with pytest.raises(SetsFailed, match="set with the same name already exists"):
        create_bound_sets([PROXY])


def test_a_rehearsal_has_the_sets_that_its_texts_name(inside: Namespace, backend: Backend) -> None:
    texts = {
        family: "*filter\n:FILTERS-HOST - [0:0]\n-A FILTERS-HOST -p tcp -m tcp --dport 80 -m set --match-set"
        f" dockerfw{family}-proxy dst,dst -j RETURN\nCOMMIT\n"
        for family in FAMILIES
    }
    assert bound_sets_of(texts.values()) == ("dockerfw4-proxy", "dockerfw6-proxy")
    live = look(backend).rulesets
    rehearse(backend, live, texts)
    assert inside.output("ipset", "list", "-n") == ""
    broken: dict[Family, str] = {4: texts[4].replace("dst,dst", "dst,dst,dst,dst,dst,dst,dst")}
    with pytest.raises(RestoreFailed):
        rehearse(backend, live, broken)
