"""An import means what its file means: the order of its lines counts, and what differs is said as packets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerfw.chains import import_sentences, packet_classes
from dockerfw.chains.after_load import filter_after_load
from dockerfw.chains.importing import Imported, import_rulesets, import_save
from dockerfw.chains.packet_classes import OTHER, Answer, Meaning, PacketClass, list_classes
from dockerfw.iptables.errors import ParseError
from dockerfw.iptables.protocols import ICMP
from dockerfw.iptables.replay import parse_restore
from dockerfw.reach.differences import find_differences
from dockerfw.simulation.surroundings import IpSet
from tests.rig.documents import source_of

HEAD = ("*filter", ":INPUT ACCEPT [0:0]", ":FILTERS - [0:0]", ":DOCKER-USER - [0:0]", ":mine - [0:0]")
JUMPS = ("-A INPUT -j FILTERS", "-A DOCKER-USER -i eth0 -j FILTERS")
SSH = "-p tcp -m tcp --dport 22"


def text(*lines: str, policy: str = "ACCEPT") -> str:
    return "\n".join([*HEAD, *lines, "COMMIT", ""]).replace("INPUT ACCEPT", f"INPUT {policy}")


def rules(found: Imported) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(rule.scope, source_of(rule), rule.protocol, rule.ports) for rule in found.document.rules]


def differences(found: Imported, file: str) -> list[str]:
    return [each.sentence for each in find_differences({4: parse_restore(file)}, found.document)]


def test_an_accept_behind_a_drop_allows_nothing() -> None:
    file = text(*JUMPS, f"-A FILTERS {SSH} -j ACCEPT", "-A FILTERS -i eth0 -j DROP", "-A FILTERS -j RETURN")
    found = import_save(file)
    assert rules(found) == [("both", "any", "tcp", ("22",))]
    assert found.document.settings.icmp == "refuse"
    (line,) = found.skipped
    assert (line.text, line.reason) == ("-A FILTERS -j RETURN", import_sentences.ACCEPTS_LESS)
    assert differences(found, file) == [
        "Packets from anywhere to every other tcp port, every udp port, ping, other ICMP types and every "
        "other protocol of the host, arriving on any interface that no rule names, pass today and would be "
        "refused."
    ]


def test_a_block_before_an_allowance_counts() -> None:
    file = text(
        *JUMPS,
        "-A FILTERS -s 10.0.0.0/9 -j DROP",
        f"-A FILTERS -s 10.0.0.0/8 {SSH} -j ACCEPT",
        "-A FILTERS -j DROP",
    )
    found = import_save(file)
    assert rules(found) == [("both", "10.0.0.0/9", "any", ()), ("both", "10.0.0.0/8", "tcp", ("22",))]
    assert [rule.action for rule in found.document.rules] == ["block", "allow"]
    assert found.skipped == ()
    assert differences(found, file) == []


def test_many_banned_addresses_become_one_block() -> None:
    banned = [f"203.0.{number >> 7}.{number * 2 & 255}" for number in range(500)]
    file = text(
        *(f'-A INPUT -s {each} -m comment --comment "banned" -j DROP' for each in banned),
        f"-A INPUT {SSH} -j ACCEPT",
        "-A INPUT -p icmp -j ACCEPT",
        "-A INPUT -j REJECT",
    )
    found = import_save(file)
    block, allowed = found.document.rules
    assert (block.action, block.scope, block.protocol, block.comment) == ("block", "host", "any", "banned")
    assert set(block.sources) == {f"{each}/32" for each in banned}
    assert (allowed.ports, allowed.sources, found.document.settings.icmp) == (("22",), (), "accept")
    assert found.skipped == ()
    assert differences(found, file) == []


@pytest.mark.parametrize(
    ("line", "earlier", "reason"),
    [
        (
            "-A INPUT -s 10.0.0.0/8 -j DROP",
            "-A INPUT -s 10.1.0.0/16 -j ACCEPT",
            import_sentences.REFUSES_LESS,
        ),
        ("-A INPUT -p tcp -m tcp --dport 23 -j DROP", "", import_sentences.REFUSES),
        (
            "-A INPUT -s 10.0.0.0/8 -i eth0 -j DROP",
            "-A DOCKER-USER -i eth0 -j DROP",
            import_sentences.REFUSES,
        ),
        ("-A INPUT -s 10.0.0.0/8 -m conntrack --ctstate ESTABLISHED -j DROP", "", import_sentences.REFUSES),
    ],
    ids=[
        "it would refuse what an earlier line accepts",
        "no rule allows it",
        "it is for one interface",
        "it is for open connections",
    ],
)
def test_a_line_that_refuses_is_no_block_where_it_would_not_mean_the_same(
    line: str, earlier: str, reason: str
) -> None:
    found = import_save(text(*filter(None, (earlier, line)), f"-A INPUT {SSH} -j ACCEPT", "-A INPUT -j DROP"))
    assert {rule.action for rule in found.document.rules} == {"allow"}
    assert reason in [each.reason for each in found.skipped if each.text == line]


def test_containers_alone_are_filtered() -> None:
    file = text("-A DOCKER-USER -j FILTERS", "-A FILTERS -s 10.0.0.0/8 -j RETURN", "-A FILTERS -j DROP")
    found = import_save(file)
    assert rules(found) == [("container", "10.0.0.0/8", "any", ())]
    assert found.document.settings.external_interfaces == ()
    closes, opens = differences(found, file)
    assert closes.startswith("Packets from anywhere to every tcp port (SSH too), every udp port")
    assert "of containers are refused today and would pass" in opens


def test_an_interface_of_the_hosts_jump_is_kept() -> None:
    file = text(
        "-A INPUT -i eth0 -j FILTERS",
        "-A FILTERS -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-A FILTERS {SSH} -j ACCEPT",
        "-A FILTERS -j DROP",
    )
    found = import_save(file)
    assert rules(found) == [("host", "any", "tcp", ("22",))]
    # The file does not filter containers, so the document does not either.
    assert found.document.settings.external_interfaces == ()
    assert found.document.settings.icmp == "refuse"
    (sentence,) = differences(found, file)
    assert "arriving on any interface that no rule names, pass today and would be refused" in sentence
    hint = import_sentences.only_some_interfaces(["eth0"])
    assert hint in [note.message for note in found.notes]
    both = text("-A INPUT -i eth0 -j FILTERS", "-A INPUT -j FILTERS", "-A FILTERS -j DROP")
    assert hint not in [note.message for note in import_save(both).notes]


def test_other_interfaces_that_a_file_does_not_filter_stay_open_once_they_are_trusted() -> None:
    file = text(
        "-A INPUT -i eth0 -j FILTERS",
        "-A INPUT -i docker0 -j ACCEPT",
        f"-A FILTERS {SSH} -j ACCEPT",
        "-A FILTERS -j DROP",
    )
    found = import_save(file)
    assert found.document.settings.trusted_interfaces == ("docker0", "lo")
    (sentence,) = differences(found, file)
    assert "docker0" not in sentence


def test_a_file_that_refuses_nothing_says_what_closes() -> None:
    file = text("-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT")
    found = import_save(file)
    assert rules(found) == [("host", "any", "tcp", ("443",))]
    assert found.document.settings.icmp == "accept"
    assert differences(found, file) == [
        "Packets from anywhere to every other tcp port (SSH too), every udp port and every other protocol "
        "of the host pass today and would be refused."
    ]


def test_members_of_a_set_are_allowed_only_where_they_are_known() -> None:
    file = text(*JUMPS, "-A FILTERS -m set ! --match-set office src -j DROP", "-A FILTERS -j RETURN")
    found = import_save(file)
    assert rules(found) == []
    lines = [line for line in file.split("\n") if line.startswith("-A FILTERS")]
    assert [line.text for line in found.skipped] == lines
    assert all("Cannot tell whether packets" in each for each in differences(found, file))
    sets = {"office": IpSet("office", "hash:net", ("192.0.2.0/24",))}
    known = import_rulesets((parse_restore(file),), sets=sets)
    assert rules(known) == [("both", "192.0.2.0/24", "any", ())]
    assert not find_differences({4: parse_restore(file)}, known.document, sets)


def test_what_another_chain_accepts_is_imported() -> None:
    file = text(
        "-A INPUT -p tcp -j mine",
        f"-A mine -s 192.0.2.0/24 {SSH} -j ACCEPT",
        "-A mine -p tcp -m tcp --dport 8000:8010 -j ACCEPT",
        policy="DROP",
    )
    found = import_save(file)
    assert rules(found) == [
        ("host", "192.0.2.0/24", "tcp", ("22",)),
        ("host", "any", "tcp", ("8000-8010",)),
    ]


def test_all_ports_but_some_are_ranges() -> None:
    lines = [f"-A INPUT -p tcp -m tcp --dport {port} -j DROP" for port in (1, 22, 65535)]
    found = import_save(text(*lines, "-A INPUT -p tcp -j ACCEPT", "-A INPUT -j DROP"))
    assert rules(found) == [("host", "any", "tcp", ("2-21", "23-65534"))]


@pytest.mark.parametrize("form", ["--syn", "--tcp-flags FIN,SYN,RST,ACK SYN"])
def test_a_rule_for_first_packets_is_a_rule(form: str) -> None:
    file = text(f"-A INPUT -p tcp -m tcp --dport 22 {form} -j ACCEPT", "-A INPUT -j DROP")
    assert rules(import_save(file)) == [("host", "any", "tcp", ("22",))]


@pytest.mark.parametrize(
    ("line", "icmp", "count"),
    [
        ("-A INPUT -p icmp -j ACCEPT", "accept", 0),
        ("-A INPUT -s 192.0.2.0/24 -p icmp -j ACCEPT", "refuse", 1),
        ("-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT", "refuse", 0),
        ("-A INPUT -p tcp -j ACCEPT", "refuse", 1),
    ],
)
def test_ping_passes_where_it_did(line: str, icmp: str, count: int) -> None:
    found = import_save(text(line, "-A INPUT -j DROP"))
    assert (found.document.settings.icmp, len(found.document.rules)) == (icmp, count)


@pytest.mark.parametrize(
    "file",
    [
        "\ufeff" + text(f"-A INPUT {SSH} -j ACCEPT", "-A INPUT -j DROP"),
        text(f"-A INPUT {SSH} -j ACCEPT", "-A INPUT -j DROP").replace("\n", "\r\n"),
        text("-A\tINPUT  -p tcp\t-m tcp --dport 22   -j ACCEPT", "-A INPUT -j DROP"),
        f"-P INPUT ACCEPT\n-N mine\n-A INPUT {SSH} -j ACCEPT\n-A INPUT -j DROP\n",
        f"#!/bin/sh\niptables -F\niptables -A INPUT {SSH} -j ACCEPT\nsudo iptables -A INPUT -j DROP\n",
        f"*filter\n-I INPUT -j DROP\n-I INPUT {SSH} -j ACCEPT\nCOMMIT\n",
        text(f"-A INPUT -c 1 2 {SSH} -j ACCEPT", "-A INPUT -j DROP"),
    ],
    ids=[
        "byte order mark",
        "line ends of Windows",
        "blanks and tabs",
        "iptables -S",
        "a script",
        "-I and no chain",
        "counters in a line",
    ],
)
def test_a_pasted_file_is_read(file: str) -> None:
    assert rules(import_save(file)) == [("host", "any", "tcp", ("22",))]


@pytest.mark.parametrize(
    "head", ["*filter\n{}COMMIT\n", "{}", "# by hand\n*filter\n-F DOCKER-USER\n{}COMMIT\n"]
)
def test_the_chain_that_docker_creates_needs_no_declaration(head: str) -> None:
    drop, ssh = "-I DOCKER-USER -i eth0 -j DROP\n", f"-I DOCKER-USER -i eth0 {SSH} -j ACCEPT\n"
    found = import_save(head.format(drop + ssh))
    assert rules(found) == [("container", "any", "tcp", ("22",))]
    assert found.document.settings.external_interfaces == ("eth0",)
    with pytest.raises(ParseError, match="there is no chain MINE"):
        import_save(head.format("-A MINE -j DROP\n"))


def test_with_too_many_ports_nothing_behind_a_refusal_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_classes, "MOST_CLASSES", 10)
    drop, back = "-A FILTERS -i eth0 -j DROP", "-A FILTERS -j RETURN"
    found = import_save(text(*JUMPS, f"-A FILTERS {SSH} -j ACCEPT", drop, back))
    assert rules(found) == [("both", "any", "tcp", ("22",))]
    assert import_sentences.NOT_NARROWED in map(str, found.notes)
    before = import_save(text("-A INPUT -s 10.0.0.0/8 -j DROP", *JUMPS, f"-A FILTERS {SSH} -j ACCEPT"))
    assert rules(before) == []


def test_a_limit_for_repeated_packets_refuses_no_first_one() -> None:
    file = text(
        f"-A INPUT {SSH} -m recent --update --seconds 60 --hitcount 4 --name ssh -j DROP",
        f"-A INPUT {SSH} -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 23 -m recent --rcheck --name knocked -j ACCEPT",
        "-A INPUT -j DROP",
    )
    assert rules(import_save(file)) == [("host", "any", "tcp", ("22",))]


MATCHES = (
    *("", "-s 10.0.0.0/8", "-s 10.1.0.0/16", "-i eth0", "-i eth1", "-p tcp", SSH, "-p udp -m udp --dport 53"),
    *("-p tcp -m tcp --dport 20:80", "-m conntrack --ctorigdstport 8080 --ctdir ORIGINAL", "-p icmp"),
    *("-m conntrack --ctstate NEW", "-m set --match-set office src", "-p tcp -m multiport --dports 22,443"),
)
LINES = st.builds(
    "-A {} {} -j {}".format,
    st.sampled_from(("INPUT", "DOCKER-USER", "FILTERS", "FILTERS", "mine")),
    st.sampled_from(MATCHES),
    st.sampled_from(("ACCEPT", "DROP", "REJECT", "RETURN", "mine")),
).filter(lambda line: not line.endswith("-j mine") or not line.startswith("-A mine"))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(LINES, max_size=8),
    st.sampled_from((JUMPS, JUMPS[:1], JUMPS[1:], ("-A DOCKER-USER -j FILTERS",))),
    st.sampled_from(("ACCEPT", "DROP")),
)
def test_no_import_allows_more_than_its_file(lines: list[str], jumps: tuple[str, ...], policy: str) -> None:
    file = parse_restore(text(*lines, *jumps, policy=policy))
    document = import_rulesets((file,)).document
    external = document.settings.external_interfaces
    alone = filter_after_load(parse_restore(text().replace(":FILTERS - [0:0]\n", "")), document, 4)
    before, after = Meaning(file, 4), Meaning(alone, 4)
    for kind in list_classes((file, alone), 4, external):
        if kind.place == "containers" and not external:
            # Without an external interface, dockerfw does not filter containers.
            continue
        if kind.interface in (external or (OTHER,)):
            assert not after.ask(kind).passes.difference(before.ask(kind).passes), (kind, document)


def test_the_lines_of_a_listing_keep_their_numbers() -> None:
    found = import_save("-P INPUT ACCEPT\n-A INPUT -m u32 --u32 0x0=0x1 -j ACCEPT\n-A INPUT -j DROP\n")
    assert [line.line for line in found.skipped] == [2]
    with pytest.raises(ParseError, match="line 2, column"):
        import_save('-P INPUT ACCEPT\n-A INPUT -m comment --comment "open -j DROP\n')


def test_only_ping_is_asked_about_where_dockerfw_wrote_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = text(
        *JUMPS,
        *(
            f'-A FILTERS -p tcp -m tcp --dport {port} -m comment --comment "dockerfw:r{port}" -j RETURN'
            for port in range(1_000, 1_100)
        ),
        "-A FILTERS -j DROP",
    )
    asked: list[PacketClass] = []
    ask = Meaning.ask

    def counted(meaning: Meaning, kind: PacketClass) -> Answer:
        asked.append(kind)
        return ask(meaning, kind)

    monkeypatch.setattr(Meaning, "ask", counted)
    assert len(import_save(file).document.rules) == 100
    assert {kind.protocol for kind in asked} == {ICMP}
    asked.clear()
    # What a chain of an admin accepts counts too, whatever is asked.
    import_save(file.replace("-A FILTERS -j DROP", "-A FILTERS -j mine\n-A FILTERS -j DROP"))
    assert len(asked) > 100
