"""The sets of lists on the real kernel: filled as a whole, swapped, read back, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dockerfw.agent.list_jobs import ListJobs
from dockerfw.bindings.binder import Binder
from dockerfw.bindings.list_binder import (
    bind_lists,
    held_lists,
    prepare_group_sets,
    repair_group_sets,
)
from dockerfw.chains.bound_sets import bound_set
from dockerfw.chains.group_sets import bound_set_name, group_definition, render_group_set
from dockerfw.document.values import Group
from dockerfw.host import group_sets
from dockerfw.host.bound_sets import SetsFailed, create_bound_sets
from dockerfw.host.errors import HostError
from dockerfw.host.group_sets import fill_group_set, list_group_sets, read_group_set
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.list_orders import BindLists, BoundList
from dockerfw.messages.signatures import sign
from dockerfw.store.bound_lists import read_list_record, write_part
from dockerfw.store.set_changes import read_set_change
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import HOST, answer, order, run
from tests.rig.list_orders import (
    DEFINITION,
    LISTS_KEY,
    OTHER,
    bound_list,
    list_order,
    write_lists_signer,
)
from tests.rig.namespace import PATIENCE, Namespace
from tests.rig.signing import KEY

pytestmark = pytest.mark.kernel

V4, V6 = bound_set_name(DEFINITION, 4), bound_set_name(DEFINITION, 6)


# Connects again and again until its standard input ends, and prints how often, and how often it failed.
CLIENT = """
import select, socket, sys
server = socket.create_server(("127.0.0.1", 8080), backlog=1024)
count = failed = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        with socket.create_connection(("127.0.0.1", 8080), timeout=0.5):
            server.accept()[0].close()
    except OSError:
        failed += 1
    count += 1
    if count == 1:
        print("connected", flush=True)
print(count, failed)
"""


def send(state: StateDirectory, *networks: str, sequence: int = 1) -> BoundList:
    """Store the parts of a list and carry out its order, with its sets there as after an apply."""
    create_bound_sets([V4, V6])
    one, parts = bound_list(networks, number=sequence)
    for part in parts:
        write_part(state, part)
    carry_out(state, list_order(one, sequence=sequence))
    return one


def carry_out(state: StateDirectory, order: BindLists) -> tuple[str, ...]:
    return bind_lists(state, order, host="local", now=datetime.now(UTC))


def test_sets_are_filled_and_then_swapped(inside: Namespace, state: StateDirectory) -> None:
    one = send(state, "192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::1:2:3:4")
    assert read_group_set(V4) == {"192.0.2.0/24", "198.51.100.7"}
    assert read_group_set(V6) == {"2001:db8::/32", "::1:2:3:4"}
    assert [held.digest for held in held_lists(state)] == [one.digest]
    change = read_set_change(state)
    assert change is not None
    assert change.text == "a list was filled"
    carry_out(state, list_order(one, sequence=2))
    assert read_set_change(state) == change
    send(state, "203.0.113.0/24", sequence=3)
    assert read_set_change(state) != change
    assert (read_group_set(V4), read_group_set(V6)) == ({"203.0.113.0/24"}, set())
    assert list_group_sets() == (V4, V6)
    # The list, and a text of ipset for each family.
    assert len(list((state.path / "lists").iterdir())) == 3


def test_a_set_that_rules_use_is_swapped(inside: Namespace, state: StateDirectory) -> None:
    send(state, "192.0.2.0/24")
    inside.iptables("-A", "INPUT", "-m", "set", "--match-set", V4, "src", "-j", "ACCEPT")
    send(state, "198.51.100.0/24", sequence=2)
    assert read_group_set(V4) == {"198.51.100.0/24"}


def test_a_hundred_thousand_entries_are_swapped_and_read_back(
    inside: Namespace, state: StateDirectory
) -> None:
    networks = [f"{20 + n // 65536}.{n // 256 % 256}.{n % 256}.1" for n in range(100_000)]
    send(state, *networks)
    held = read_group_set(V4)
    assert held is not None
    assert len(held) == 100_000


def test_an_order_that_is_old_repeated_or_of_others_changes_nothing(
    inside: Namespace, state: StateDirectory
) -> None:
    one = send(state, "192.0.2.0/24", sequence=5)
    later = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    far = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    for each in (
        list_order(sequence=5),
        list_order(sequence=4),
        list_order(sequence=far),
        list_order(sequence=6, host="other"),
        list_order(sequence=6, issued_at=later),
    ):
        with pytest.raises(HostError):
            carry_out(state, each)
    assert read_list_record(state).lists == (one,)
    assert read_group_set(V4) == {"192.0.2.0/24"}


def test_every_list_is_checked_before_the_first_set_is_filled(
    inside: Namespace, state: StateDirectory
) -> None:
    send(state, "192.0.2.0/24")
    good, parts = bound_list(["203.0.113.0/24"])
    missing, _ = bound_list(["198.51.100.1"], definition=OTHER)
    for part in parts:
        write_part(state, part)
    with pytest.raises(HostError, match=f"part 1 of 1 of the list {OTHER} has not arrived"):
        carry_out(state, list_order(good, missing, sequence=2))
    for wrong in (replace(good, digest="0" * 64), replace(good, packed="0" * 64)):
        with pytest.raises(HostError):
            carry_out(state, list_order(wrong, sequence=2))
    assert read_group_set(V4) == {"192.0.2.0/24"}
    assert list_group_sets() == (V4, V6)


def test_everyone_is_no_list(inside: Namespace, state: StateDirectory) -> None:
    one, parts = bound_list(["0.0.0.0/1", "128.0.0.0/1"])
    write_part(state, parts[0])
    with pytest.raises(HostError, match="is not what the order says"):
        carry_out(state, list_order(one))


def test_a_set_that_lost_half_of_its_list_is_found_and_filled_again(
    inside: Namespace, state: StateDirectory
) -> None:
    send(state, "192.0.2.0/24", "198.51.100.7", "2001:db8::1")
    assert repair_group_sets(state) == ()
    inside.run("ipset", "del", V4, "198.51.100.7")
    inside.run("ipset", "del", V6, "2001:db8::1")
    inside.run("ipset", "add", V6, "2001:db8::2")
    assert repair_group_sets(state) == (V4, V6)
    assert read_group_set(V4) == {"192.0.2.0/24", "198.51.100.7"}


def test_rules_get_the_stored_list_or_an_empty_set(inside: Namespace, state: StateDirectory) -> None:
    send(state, "192.0.2.0/24")
    inside.run("ipset", "destroy")
    empty = bound_set_name(OTHER, 4)
    prepare_group_sets(state, [V4, V6, empty, "dockerfw4-bridges"])
    assert list_group_sets() == tuple(sorted((V4, V6, empty)))
    assert (read_group_set(V4), read_group_set(empty)) == ({"192.0.2.0/24"}, set())
    inside.run("ipset", "add", V4, "198.51.100.7")
    prepare_group_sets(state, [V4])
    assert read_group_set(V4) == {"192.0.2.0/24", "198.51.100.7"}


def test_a_fill_that_was_killed_is_made_good(inside: Namespace, state: StateDirectory) -> None:
    inside.run("ipset", "create", bound_set(V4).new_name, "hash:net", "maxelem", "1048576")
    inside.run("ipset", "add", bound_set(V4).new_name, "198.51.100.7")
    send(state, "192.0.2.0/24")
    assert read_group_set(V4) == {"192.0.2.0/24"}


def test_a_set_of_another_type_is_not_touched(inside: Namespace, state: StateDirectory) -> None:
    inside.run("ipset", "create", V4, "hash:ip")
    with pytest.raises(SetsFailed):
        fill_group_set(V4, ["192.0.2.0/24"])
    assert read_group_set(V4) == set()


def test_what_the_kernel_did_not_take_is_noticed(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:

    def halved(name: str, members: list[str]) -> str:
        return render_group_set(name, members[:1])

    monkeypatch.setattr(group_sets, "render_group_set", halved)
    create_bound_sets([V4])
    with pytest.raises(SetsFailed, match="it has 1 of 2 members"):
        fill_group_set(V4, ["192.0.2.0/24", "198.51.100.7"])


def test_only_the_key_for_lists_orders_lists(
    inside: Namespace, state: StateDirectory, tmp_path: Path
) -> None:
    told: list[ConsoleEvent] = []
    jobs = ListJobs(state, host="local", signer=write_lists_signer(tmp_path), tell=told.append)
    one, parts = bound_list(["192.0.2.0/24"])
    unsigned = list_order(one).to_json()
    for value in (unsigned, sign(unsigned, KEY), {**sign(unsigned, LISTS_KEY), "sequence": 2}):
        jobs.bind_lists(value)
    jobs.list_part(sign(parts[0].to_json(), KEY))
    assert (told, jobs.report()) == ([], ((), ""))
    create_bound_sets([V4])
    jobs.bind_lists(sign(unsigned, LISTS_KEY))
    jobs.bind_lists(sign(unsigned, LISTS_KEY))
    assert [event.verb for event in told] == ["lists-failed"]
    assert "has not arrived" in jobs.report()[1]
    jobs.list_part(sign(parts[0].to_json(), LISTS_KEY))
    jobs.bind_lists(sign(unsigned, LISTS_KEY))
    assert [event.verb for event in told] == ["lists-failed", "lists-loaded"]
    assert read_group_set(V4) == {"192.0.2.0/24"}
    held, problem = jobs.report()
    assert ([one.definition for one in held], problem) == ([DEFINITION], "")
    ListJobs(state, host="local", signer=None, tell=told.append).bind_lists(sign(unsigned, LISTS_KEY))
    assert len(told) == 2


def test_a_client_that_is_allowed_throughout_never_fails_while_lists_are_swapped(
    inside: Namespace, state: StateDirectory
) -> None:
    send(state, "127.0.0.0/8")
    for words in (
        ("-A", "INPUT", "-m", "set", "--match-set", V4, "src", "-j", "ACCEPT"),
        ("-A", "INPUT", "-j", "DROP"),
    ):
        inside.iptables(*words)
    client = subprocess.Popen(
        [*inside.prefix, sys.executable, "-c", CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "connected\n"
    for number in range(2, 12):
        send(state, "127.0.0.0/8", *(f"192.0.2.{n}" for n in range(0, 2 * number, 2)), sequence=number)
    count, failed = client.communicate("", timeout=PATIENCE)[0].split()
    assert int(count) > 100
    assert failed == "0"


def test_an_apply_fills_the_sets_of_its_lists_and_a_boot_too(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = {"kind": "feed", "url": "https://lists.example.org/drop"}
    definition = group_definition(Group("drop", "feed", url=group["url"]))
    name = bound_set_name(definition, 4)
    one, parts = bound_list(["192.0.2.0/24", "2001:db8::/32"], definition=definition)
    for part in parts:
        write_part(state, part)
    assert carry_out(state, list_order(one)) == ()
    value = {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "groups": {"drop": group},
        "rules": [{"id": "a1b2", "scope": "host", "action": "block", "sources": ["@drop"]}],
    }
    outcome = run(order(value), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state).state == "confirmed"
    assert read_group_set(name) == {"192.0.2.0/24"}
    inside.run("ipset", "del", name, "192.0.2.0/24")
    Binder(state, host=HOST).restore_lists(tell=True)
    told = [path.read_text() for path in state.journal.glob("console-*.json")]
    assert any("sets-refilled" in text and name in text for text in told)
    assert read_group_set(name) == {"192.0.2.0/24"}
    # A boot: nothing of it is there any more.
    inside.run(
        "sh", "-c", "iptables-nft -F; iptables-nft -X; ip6tables-nft -F; ip6tables-nft -X; ipset destroy"
    )
    inside.run("sh", str(state.boot / "dockerfw-boot.sh"))
    assert read_group_set(name) == {"192.0.2.0/24"}
    assert read_group_set(bound_set_name(definition, 6)) == {"2001:db8::/32"}
    assert name.encode() in inside.save()
    inside.run("sh", str(state.boot / "dockerfw-boot.sh"))
    assert read_group_set(name) == {"192.0.2.0/24"}


PARTNERS = {"kind": "feed", "url": "https://lists.example.org/partners"}
FEED = group_definition(Group("partners", "feed", url=PARTNERS["url"]))


def allowing(action: str = "allow") -> dict[str, object]:
    return {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "groups": {"partners": PARTNERS},
        "rules": [{"id": "a1b2", "scope": "host", "action": action, "sources": ["@partners"]}],
    }


def rules_of(inside: Namespace) -> list[bytes]:
    return [line for line in inside.save().splitlines() if line.startswith(b"-A")]


def order_of_a_thief(jobs: ListJobs, sequence: int, *texts: str) -> str:
    """Send a list that is signed with the stolen key for lists; return the problem that the host reports."""
    one, parts = bound_list(texts, definition=FEED, number=sequence)
    for part in parts:
        jobs.list_part(sign(part.to_json(), LISTS_KEY))
    jobs.bind_lists(sign(list_order(one, sequence=sequence).to_json(), LISTS_KEY))
    return jobs.report()[1]


def test_a_stolen_key_for_lists_opens_no_allowance_to_half_the_world(
    inside: Namespace, state: StateDirectory, tmp_path: Path
) -> None:
    told: list[ConsoleEvent] = []
    jobs = ListJobs(state, host="local", signer=write_lists_signer(tmp_path), tell=told.append)
    name = bound_set_name(FEED, 4)
    assert order_of_a_thief(jobs, 1, "192.0.2.0/24") == ""
    for keep in (False, True):
        # In the window the order names the rules, afterwards the confirmed revision does.
        if keep:
            assert answer("keep", state).state == "confirmed"
        else:
            assert run(order(allowing()), state).state == "awaiting"
        for at, wide in enumerate((["0.0.0.0/1"], ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/4"]), 2):
            assert "prefix of /1" in order_of_a_thief(jobs, 10 * (keep + 1) + at, *wide)
        holes = [f"{first}.0.0.1-{first}.255.255.254" for first in range(1, 224)]
        assert "more than half" in order_of_a_thief(jobs, 10 * (keep + 1) + 5, *holes)
        assert "prefix of /16" in order_of_a_thief(jobs, 10 * (keep + 1) + 6, "2001::/16")
        assert read_group_set(name) == {"192.0.2.0/24"}
        assert [each.number for each in held_lists(state)] == [1]
    assert {event.verb for event in told} == {"lists-failed"}
    assert order_of_a_thief(jobs, 30, "198.51.100.0/24") == ""
    assert read_group_set(name) == {"198.51.100.0/24"}


def test_a_wide_list_from_before_its_rule_stops_the_apply(
    inside: Namespace, state: StateDirectory, tmp_path: Path
) -> None:
    jobs = ListJobs(state, host="local", signer=write_lists_signer(tmp_path), tell=lambda event: None)
    # No rule uses it yet, and then only a block, which may be wide.
    assert order_of_a_thief(jobs, 1, "0.0.0.0/1") == ""
    assert run(order(allowing("block")), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    before = rules_of(inside)
    outcome = run(order(allowing(), sequence=2), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert "@partners" in outcome.error.summary
    assert rules_of(inside) == before
    assert order_of_a_thief(jobs, 2, "192.0.2.0/24") == ""
    assert run(order(allowing(), sequence=3), state).state == "awaiting"
