"""The exposure page: listeners and published ports, allowed clients, and the actions to change that."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.document.document import Document, DocumentRule
from dockerfw.iptables.model import Family
from dockerfw.messages.surroundings import Container, ContainerPort, ListeningSocket, PublishedPort
from dockerfw.reach.exposure import ExposureRow, find_idle_rules
from rules.asking import exposure_selectors
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_delete
from rules.draft.warning_selectors import moment_text
from rules.models import Host, Rule
from tests.rig.busy_host import CONTAINERS, PUBLISHED, SOCKETS, busy_save, busy_store
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import UNREAD_6, snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/exposure/"
SUMMARY = f"{HOST}/exposure/summary/"


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Rule:
    """ssh for the office, not applied yet."""
    values = {
        "scope": "host",
        "protocol": "tcp",
        "ports": ["22"],
        "source": "192.0.2.0/24",
        "comment": "office",
    }
    return rule_create(host=host, actor=alice, values=values)


@pytest.fixture
def shop(host: Host, alice: Actor, ssh: Rule) -> Rule:
    """The published shop for all and ssh for the office, confirmed as revision 1."""
    values = {"scope": "container", "protocol": "tcp", "ports": ["8080"], "comment": "the shop"}
    rule = rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    return rule


def rows(client: Client, **asked: str) -> dict[str, str]:
    """Return the words of each row by its port."""
    body = client.get(PATH, asked).content.decode()
    found = re.findall(r'<tr role="row" data-level="\w+">.*?</tr>', body, re.DOTALL)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]
    return {text.split()[0]: text for text in texts}


def links(client: Client, port: str) -> dict[str, str]:
    """Return the actions of a row with their URLs."""
    body = client.get(PATH).content.decode()
    row = next(row for row in re.findall(r"<tr .*?</tr>", body, re.DOTALL) if f">{port}<" in row)
    found = re.findall(r'<a class="button plain" href="([^"]+)"[^>]*>(\w+)</a>', row)
    return {words: address.replace("&amp;", "&") for address, words in found}


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in)
    assert_access(SUMMARY, signed_in)


def test_without_a_snapshot_it_says_why(signed_in: Client) -> None:
    assert "The exposure is unknown. Redis does not answer" in text_of(signed_in.get(PATH))
    assert "Unknown" in text_of(signed_in.get(SUMMARY))


@pytest.mark.redis
def test_before_anything_is_applied_all_is_open(working: Client, host: Host, ssh: Rule) -> None:
    busy_store(host)
    page = working.get(PATH)
    assert "3 ports are reachable from anywhere." in text_of(page)
    assert has_no_inline_code(page)
    assert "anywhere over IPv4 and IPv6 the policy of filter INPUT" in rows(working)["22/tcp"]
    way = links(working, "22/tcp")["Restrict"]
    assert way == f"{HOST}/rules/new/?scope=host&protocol=tcp&ports=22&comment=sshd"
    form = working.get(way).context["form"]
    assert [form[name].value() for name in ("scope", "protocol", "ports", "comment")] == [
        "host",
        "tcp",
        "22",
        "sshd",
    ]
    assert "scope=container" in links(working, "8080/tcp")["Restrict"]
    assert "Allow" not in links(working, "22/tcp")


@pytest.mark.redis
def test_each_port_with_who_reaches_it_and_by_which_rule(
    working: Client, host: Host, ssh: Rule, shop: Rule
) -> None:
    busy_store(host, draft_document(host), 1)
    words = text_of(working.get(PATH))
    assert "1 port is reachable from anywhere, 1 from some networks." in words
    assert '"Anywhere" means through ens33, where packets from outside arrive.' in words
    found = rows(working)
    assert list(found) == ["8080/tcp", "22/tcp", "53/udp", "5432/tcp", "6379/tcp"]
    assert "shop-web-1 shop/web container" in found["8080/tcp"]
    assert (
        "docker-proxy handles IPv6 on the host itself, and the host&#x27;s own connections."
        in found["8080/tcp"]
    )
    assert "any address &rarr; 172.17.0.2:80" in found["8080/tcp"]
    assert "anywhere over IPv4 and IPv6 by 8080/tcp from anywhere to containers" in found["8080/tcp"]
    assert "192.0.2.0/24 over IPv4 by 22/tcp from 192.0.2.0/24 to the host" in found["22/tcp"]
    assert "nowhere over IPv6 no rule allows it" in found["22/tcp"]
    assert "nowhere over IPv4 no rule allows it" in found["5432/tcp"]
    assert "bound to 127.0.0.1: the host itself only" in found["6379/tcp"]
    assert "127.0.0.53 on lo" in found["53/udp"]


@pytest.mark.redis
def test_restrict_edits_the_rule_and_allow_begins_one(
    working: Client, host: Host, ssh: Rule, shop: Rule
) -> None:
    busy_store(host, draft_document(host), 1)
    assert links(working, "8080/tcp")["Restrict"] == f"{HOST}/rules/{shop.key}/edit/"
    assert set(links(working, "22/tcp")) == {"Restrict", "Allow", "Trace"}
    database = links(working, "5432/tcp")
    assert set(database) == {"Allow", "Trace"}
    assert database["Allow"] == f"{HOST}/rules/new/?scope=container&protocol=tcp&ports=5432&comment=shop-db-1"
    form = working.get(database["Allow"]).context["form"]
    assert (form["scope"].value(), form["ports"].value()) == ("container", "5432")
    assert working.get(database["Trace"]).context["form"]["port"].value() == "5432"
    # What only the host itself reaches no rule could open.
    assert set(links(working, "6379/tcp")) == {"Trace"}


@pytest.mark.redis
def test_a_rule_that_the_draft_dropped_is_not_offered_again(
    working: Client, host: Host, alice: Actor, ssh: Rule, shop: Rule
) -> None:
    busy_store(host, draft_document(host), 1)
    rule_delete(host=host, actor=alice, key=shop.key, version=shop.version)
    assert "Restrict" not in links(working, "8080/tcp")
    assert f"rule {shop.key}" in rows(working)["8080/tcp"]


@pytest.mark.redis
def test_search_and_filter(working: Client, host: Host, ssh: Rule, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    assert set(rows(working, q="shop")) == {"8080/tcp", "5432/tcp"}
    assert set(rows(working, q="192.0.2.0 ssh")) == {"22/tcp"}
    assert set(rows(working, who="nobody")) == {"53/udp", "5432/tcp", "6379/tcp"}
    assert set(rows(working, who="anywhere", q="80")) == {"8080/tcp"}
    assert len(rows(working, who="elsewhere")) == 5
    assert set(rows(working, q=shop.key)) == {"8080/tcp"}
    assert f'href="{PATH}?q={shop.key}"' in working.get(f"{HOST}/rules/{shop.key}/edit/").content.decode()
    assert 'No port matches "nothing at all".' in text_of(working.get(PATH, {"q": "nothing at all"}))
    piece = working.get(PATH, {"q": "shop"}, headers={"HX-Request": "true"})
    assert piece.content.decode().lstrip().startswith('<div id="exposure-table">')


@pytest.mark.redis
def test_containers_at_their_own_addresses(working: Client, host: Host, ssh: Rule, shop: Rule) -> None:
    # As in gateway mode routed: Docker's rules open port 5432, and no port of the host leads there.
    apart = Container("00000000000a", "apart", addresses=("192.0.2.50",), ports=(ContainerPort("udp", 53),))
    containers = (*CONTAINERS, apart)
    document = draft_document(host)
    busy_store(host, document, 1, sockets=SOCKETS[:4], published=PUBLISHED[:1], containers=containers)
    found = rows(working)
    assert list(found) == ["8080/tcp", "53/udp", "22/tcp", "5432/tcp"]
    assert "shop-db-1 shop/db container port Published at the container" in found["5432/tcp"]
    assert "172.17.0.3 nowhere over IPv4 no rule allows it" in found["5432/tcp"]
    way = links(working, "5432/tcp")
    assert way["Allow"] == f"{HOST}/rules/new/?scope=container&protocol=tcp&ports=5432&comment=shop-db-1"
    assert way["Trace"] == f"{HOST}/trace/?port=5432&protocol=tcp&destination=172.17.0.3"
    assert "apart container past this host" in found["53/udp"]
    assert "cannot tell over IPv4 packets to 192.0.2.50 would leave by ens33" in found["53/udp"]
    assert links(working, "53/udp") == {}
    words = text_of(working.get(PATH))
    assert "1 port is reachable from anywhere, 1 from some networks." in words
    assert "Cannot tell who reaches 1 container (apart)" in words


@pytest.mark.redis
def test_nothing_listens(working: Client, host: Host) -> None:
    snapshot_store(host, around={"sockets": (), "published": (), "containers": ()})
    words = text_of(working.get(PATH))
    assert "Nothing listens and nothing is published." in words
    assert "Nothing listens on the host and Docker publishes no ports." in words


@pytest.mark.redis
def test_without_docker_containers_are_their_addresses(
    working: Client, host: Host, ssh: Rule, shop: Rule
) -> None:
    busy_store(host, draft_document(host), 1, containers=None)
    assert "container at 172.17.0.2:80" in rows(working)["8080/tcp"]
    assert "the root worker has no access to Docker's socket" in text_of(working.get(PATH))


@pytest.mark.redis
def test_a_container_on_the_hosts_network(working: Client, host: Host, ssh: Rule, shop: Rule) -> None:
    socket = ListeningSocket(4, "tcp", "", 9100, process="node_exporter", container="cccccccccccc")
    busy_store(host, draft_document(host), 1, sockets=(*SOCKETS, socket))
    assert "cccccccccccc node_exporter container on the host&#x27;s network" in rows(working)["9100/tcp"]


@pytest.mark.redis
def test_without_chosen_interfaces_it_asks_for_the_default_routes(working: Client, host: Host) -> None:
    host.external_interfaces = []
    host.save()
    busy_store(host)
    words = text_of(working.get(PATH))
    assert "This shows access through ens33, the interface with a default route or a public address." in words
    assert "3 ports are reachable from anywhere." in words


@pytest.mark.redis
def test_many_ports_come_in_pages(working: Client, host: Host) -> None:
    many = tuple(ListeningSocket(4, "tcp", "", 20_000 + 2 * number, process="many") for number in range(250))
    busy_store(host, sockets=many)
    assert len(rows(working)) == 100
    assert list(rows(working, page="3"))[-1] == "20498/tcp"
    words = text_of(working.get(PATH, {"q": "many", "page": "2"}))
    assert "101 to 200 of 250" in words
    assert "252 ports are reachable from anywhere." in words


@pytest.mark.redis
def test_a_block_is_no_reason_where_nothing_is_allowed(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    block = {"action": "block", "scope": "both", "sources": ["198.51.100.0/24"]}
    rule_create(host=host, actor=alice, values=block)
    revision = confirm(host, alice)
    busy_store(host, draft_document(host), revision.number)
    found = rows(working)["5432/tcp"]
    assert "nowhere over IPv4 no rule allows it" in found
    assert "block everything" not in found


@pytest.mark.redis
def test_where_docker_filters_with_nftables_the_result_is_unknown(
    working: Client, host: Host, ssh: Rule
) -> None:
    busy_store(host, docker_state="nftables", published=())
    assert (
        "cannot tell over IPv4 and IPv6 Docker keeps its rules in its own nftables tables"
        in rows(working)["8080/tcp"]
    )
    assert "anywhere" in rows(working)["22/tcp"]
    page = working.get(f"{HOST}/trace/", {"source": "203.0.113.5", "port": "8080"})
    assert 'data-verdict="UNKNOWN"' in page.content.decode()
    assert "Whether it lets packets to containers through is unknown." in text_of(page)


@pytest.mark.redis
def test_rules_with_nothing_behind_and_an_old_look(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    rule_create(
        host=host,
        actor=alice,
        values={"scope": "host", "protocol": "udp", "ports": ["51820"], "comment": "vpn"},
    )
    confirm(host, alice)
    busy_store(host, draft_document(host), 1, age=400)
    words = text_of(working.get(PATH))
    assert "Allowed, but nothing is listening" in words
    assert "51820/udp from anywhere to the host (vpn)." in words
    assert "The root worker has not reported since." in words


@pytest.mark.redis
def test_a_family_that_could_not_be_read(working: Client, host: Host, ssh: Rule, shop: Rule) -> None:
    saves: dict[Family, str] = {4: busy_save(draft_document(host), 4, 1), 6: ""}
    around = {"sockets": SOCKETS, "containers": CONTAINERS}
    snapshot_store(host, saves=saves, around={**around, "errors": UNREAD_6})
    assert "cannot tell over IPv6 the IPv6 rules could not be read" in rows(working)["22/tcp"]
    assert "unknown for 2 ports" in text_of(working.get(PATH))


@pytest.mark.redis
def test_the_dashboard_says_it_in_one_sentence(working: Client, host: Host, ssh: Rule, shop: Rule) -> None:
    busy_store(host, draft_document(host), 1)
    page = working.get(f"{HOST}/")
    assert f'hx-get="{SUMMARY}"' in page.content.decode()
    summary = working.get(SUMMARY)
    assert "1 port is reachable from anywhere, 1 from some networks. Show it" in text_of(summary)
    assert f'href="{PATH}?who=anywhere"' in summary.content.decode()
    assert "8080/tcp shop-web-1 container" in text_of(summary)


@pytest.mark.redis
@pytest.mark.parametrize("query", ["q=%00", "who=%F0", "q=" + "x" * 5000])
def test_odd_addresses_show_the_page(working: Client, host: Host, query: str) -> None:
    busy_store(host)
    assert working.get(f"{PATH}?{query}").status_code == 200


def many_store(
    host: Host, first: int, last: int, document: Document | None = None, *, docker_answers: bool = True
) -> None:
    """Store a snapshot of a host that also publishes a run of ports of one container."""
    ports = range(first, last + 1)
    here = "172.17.0.9"
    more = tuple(PublishedPort(4, "tcp", "", port, here, port - 1000) for port in ports)
    to = "[0:0] -A DOCKER ! -i docker0 -p tcp -m tcp --dport"
    nat = "".join(f"{to} {port} -j DNAT --to-destination {here}:{port - 1000}\n" for port in ports)
    inner = f"[0:0] -A DOCKER -d {here}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport"
    accepts = "".join(f"{inner} {port - 1000} -j ACCEPT\n" for port in ports)
    save = busy_save(document, 4, 1)
    nat_end, filter_end = save.index("COMMIT"), save.rindex("COMMIT")
    saves: dict[Family, str] = {
        4: save[:nat_end] + nat + save[nat_end:filter_end] + accepts + save[filter_end:],
        6: busy_save(document, 6, 1),
    }
    ftp = Container(
        "aaaaaaaaaaaa",
        "ftp",
        network_mode="bridge",
        addresses=(here,),
        ports=tuple(ContainerPort("tcp", port - 1000, port) for port in ports[:100]),
    )
    containers = (*CONTAINERS, ftp) if docker_answers else None
    around = {"sockets": SOCKETS, "published": (*PUBLISHED, *more), "containers": containers}
    snapshot_store(host, saves=saves, bridge=("172.17.0.1/16",), around=around)


@pytest.mark.redis
def test_a_run_of_equal_ports_is_one_row(working: Client, host: Host, ssh: Rule) -> None:
    many_store(host, 9000, 9039)
    found = rows(working)
    assert "9000-9039/tcp" in found
    assert "172.17.0.9:8000 to 172.17.0.9:8039" in found["9000-9039/tcp"]
    assert not any(port.startswith("900") and "-" not in port for port in found)
    assert list(rows(working, q="9003")) == ["9003/tcp"]
    allow = next(way for way in links(working, "9000-9039/tcp").values() if "rules/new" in way)
    assert "ports=9000-9039" in allow


@pytest.mark.redis
def test_a_run_of_a_container_without_a_name_is_one_row_too(working: Client, host: Host, ssh: Rule) -> None:
    # Without access to Docker's socket, a container is known by its address and port.
    many_store(host, 9000, 9039, docker_answers=False)
    found = rows(working)
    assert "container at 172.17.0.9:8000 to 172.17.0.9:8039" in found["9000-9039/tcp"]
    assert "container at 172.17.0.9:8003" in rows(working, q="9003")["9003/tcp"]


@pytest.mark.redis
def test_a_run_ends_where_a_port_says_something_else(working: Client, host: Host, alice: Actor) -> None:
    values = {"scope": "container", "protocol": "tcp", "ports": ["9005"]}
    rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    many_store(host, 9000, 9009, draft_document(host))
    found = rows(working)
    assert {"9000-9004/tcp", "9005/tcp", "9006-9009/tcp"} <= set(found)
    assert "anywhere" in found["9005/tcp"]
    assert "anywhere" not in found["9000-9004/tcp"]


@pytest.mark.redis
def test_rules_without_a_listener_obey_the_search_and_fold(working: Client, host: Host, alice: Actor) -> None:
    for number in range(25):
        values = {"scope": "host", "protocol": "udp", "ports": [str(5000 + number)], "comment": f"n{number}"}
        rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    busy_store(host, draft_document(host), 1)
    words = text_of(working.get(PATH))
    assert "Allowed, but nothing is listening 25" in words
    assert "5 more" in words
    words = text_of(working.get(PATH, {"q": "n24"}))
    assert "nothing is listening 1" in words
    assert "5024/udp" in words
    assert "5023/udp" not in words
    piece = working.get(PATH, {"q": "n24"}, headers={"HX-Request": "true"}).content.decode()
    assert '<div id="exposure-idle" hx-swap-oob="true">' in piece
    assert "nothing is listening" not in text_of(working.get(PATH, {"who": "anywhere"}))
    assert "nothing is listening" not in text_of(working.get(PATH, {"q": "no such thing"}))


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_rules_without_a_listener_are_looked_for_once(
    working: Client, host: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def count(document: Document, rows: Iterable[ExposureRow], moment: str) -> tuple[DocumentRule, ...]:
        looked.append(moment)
        return find_idle_rules(document, rows, moment)

    def is_idle() -> bool:
        return "5000/udp" in text_of(working.get(PATH))

    monkeypatch.setattr(exposure_selectors, "find_idle_rules", count)
    values = {"scope": "host", "protocol": "udp", "ports": ["5000"], "comment": "vpn"}
    rule = rule_create(host=host, actor=alice, values=values)
    expires = timezone.now() - timedelta(seconds=100)
    Rule.objects.filter(pk=rule.pk).update(expires=moment_text(expires))
    confirm(host, alice)
    document = draft_document(host)
    for age in (400, 300, 200):
        busy_store(host, document, 1, age=age)
        assert is_idle()
    assert len(looked) == 1
    # Then it has expired.
    busy_store(host, document, 1)
    assert not is_idle()
    rule_create(host=host, actor=alice, values={**values, "comment": "another"})
    confirm(host, alice)
    busy_store(host, draft_document(host), 2)
    assert is_idle()
    sockets = (*SOCKETS, ListeningSocket(4, "udp", "", 5000, process="wg"))
    busy_store(host, draft_document(host), 2, sockets=sockets)
    assert "wg" in rows(working)["5000/udp"]
    assert "nothing is listening" not in text_of(working.get(PATH))
    assert len(looked) == 4
