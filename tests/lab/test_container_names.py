"""Rules for containers by name beside a real engine, with real packets and the root worker's own binder."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerfw.chains.container_sets import container_definitions
from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import containers_of, surroundings_of
from dockerfw.reach.question import Question, read_question
from dockerfw.simulation.simulate import prepare, simulate
from tests.rig.bound_sets import members_in
from tests.rig.connections import fetch, try_port
from tests.rig.docker_host import IMAGE
from tests.rig.engines import compose_program
from tests.rig.lab import CLIENT, HOST, HOST_6, Lab
from tests.rig.lab_documents import by_name, document
from tests.rig.namespace import wait_until
from tests.rig.trees import why_unavailable as why_no_trees

pytestmark = pytest.mark.lab

REFUSED = ""
OTHER_HOST = "198.51.100.1"


@pytest.fixture
def names(lab: Lab) -> Iterator[list[str]]:
    """The containers of a test, which are removed after it."""
    made: list[str] = []
    yield made
    for name in dict.fromkeys(made):
        # Some have gone already.
        lab.docker.try_docker("rm", "--force", "--volumes", name)


def run(lab: Lab, made: list[str], name: str, *options: str, network: str = "bridge") -> None:
    made.append(name)
    lab.docker.run_web(name, *options, network=network)


def set_of(lab: Lab, kind: str, family: int = 4) -> str:
    """Return the name of the one set of a kind that the loaded document has."""
    known = container_definitions(lab.document)
    (name,) = (
        key for key, each in known.items() if each.kind == kind and key.startswith(f"dockerfw{family}")
    )
    return name


def members(lab: Lab, kind: str = "published", family: int = 4) -> tuple[str, ...]:
    return members_in(lab.host, set_of(lab, kind, family))


def test_a_rule_by_name_follows_its_container_and_opens_nothing_else(lab: Lab, names: list[str]) -> None:
    run(lab, names, "db", "--publish=8082:80", "--publish=8443:80")
    run(lab, names, "rival", "--publish=8083:80")
    lab.load(document(by_name("db", 8082)))
    first = lab.docker.container_address("db")
    assert members(lab) == (f"{first},tcp:80",)
    for address in (HOST, HOST_6):
        assert fetch(lab.client, address, 8082) == "db"
        # The same port inside: published once more, by another container, and by the lab's own.
        for port in (8443, 8083, 8080):
            assert try_port(lab.client, address, port) == "prohibited"
    # Through docker-proxy, which takes IPv6 above, and a container's packets to its own host.
    assert lab.docker.fetch_from("plain", HOST, 8082) == "db"
    assert lab.docker.fetch_from("plain", HOST, 8443) == lab.docker.fetch_from("plain", HOST, 8083) == REFUSED
    assert try_port(lab.client, first, 80) == lab.direct_refusal(first)
    assert_simulated(lab, {8082: "ACCEPT", 8443: "REJECT", 8083: "REJECT"})

    lab.docker.docker("restart", "--time=1", "db")
    began = time.monotonic()
    wait_until("db after its restart", lambda: fetch_or_not(lab, 8082) == "db")
    print(f"reachable {time.monotonic() - began:.2f} s after the restart")

    # Another container gets its address, and even publishes its port.
    lab.docker.remove(["db"])
    wait_until("nothing in the sets", lambda: members(lab) == members(lab, "proxied") == ())
    run(lab, names, "squatter", "--publish=8082:80")
    assert lab.docker.container_address("squatter") == first
    for address in (HOST, HOST_6):
        assert try_port(lab.client, address, 8082) == "prohibited"
    lab.docker.docker("rename", "squatter", "squatter-2")
    names.append("squatter-2")
    lab.docker.docker("stop", "--time=1", "squatter-2")
    run(lab, names, "holder")
    assert lab.docker.container_address("holder") == first
    run(lab, names, "db", "--publish=8082:80", "--publish=8443:80")
    assert lab.docker.container_address("db") != first
    wait_until("db at another address", lambda: fetch_or_not(lab, 8082) == "db")
    wait_until("db over IPv6", lambda: fetch_or_not(lab, 8082, HOST_6) == "db")
    assert try_port(lab.client, HOST, 8443) == try_port(lab.client, HOST_6, 8443) == "prohibited"
    lab.assert_in_force()


def test_compose_services_and_labels_are_followed_through_a_recreation(lab: Lab, names: list[str]) -> None:
    service = ("--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=front")
    run(lab, names, "shop-front-1", "--publish=8084:80", *service)
    run(lab, names, "tagged", "--publish=8085:80", "--label=tier=edge")
    run(lab, names, "untagged", "--publish=8086:80", "--label=tier=edges")
    rules = (
        by_name("shop/front", "8084-8086"),
        by_name("label:tier=edge", "8000-8086"),
        by_name("later", 8086),
    )
    lab.load(document(*rules))
    assert fetch(lab.client, HOST, 8084) == "shop-front-1"
    assert fetch(lab.client, HOST, 8085) == "tagged"
    for port in (8086, 8080, 8081):
        assert try_port(lab.client, HOST, port) == "prohibited"
    # As Compose recreates: a new container under another name, which gets the old one's name, and starts.
    words = ("/bin/sh", "-c", "mkdir -p /www; echo -n new >/www/index.html; httpd -f -p 80 -h /www")
    lab.docker.docker("create", "--name=0123_shop-front-1", "--publish=8084:80", *service, IMAGE, *words)
    lab.docker.docker("stop", "--time=1", "shop-front-1")
    lab.docker.remove(["shop-front-1"])
    lab.docker.docker("rename", "0123_shop-front-1", "shop-front-1")
    lab.docker.docker("start", "shop-front-1")
    wait_until("the new container", lambda: fetch_or_not(lab, 8084) == "new")
    # A name that a running container gets, and loses.
    lab.docker.docker("rename", "untagged", "later")
    names.append("later")
    wait_until("the new name", lambda: fetch_or_not(lab, 8086) == "untagged")
    lab.docker.docker("rename", "later", "untagged")
    wait_until("the old name", lambda: try_port(lab.client, HOST, 8086) == "prohibited")


def test_a_service_is_followed_through_a_recreation_by_compose(lab: Lab) -> None:
    if reason := why_no_trees():
        pytest.skip(f"no Compose: {reason}")
    compose(lab, "up", "--detach", "--pull=never")
    try:
        lab.load(document(by_name("pair/front", 8092)))
        for recreated in (False, True):
            wait_until("the service", lambda: fetch_or_not(lab, 8092) == "front")
            # Another service of the project with the same port inside.
            assert try_port(lab.client, HOST, 8093) == try_port(lab.client, HOST_6, 8093) == "prohibited"
            assert members(lab) == (f"{lab.docker.container_address('pair-front-1', 'pair_default')},tcp:80",)
            if not recreated:
                compose(lab, "up", "--detach", "--pull=never", "--force-recreate")
                began = time.monotonic()
                wait_until("the new container", lambda: fetch_or_not(lab, 8092) == "front")
                print(f"reachable {time.monotonic() - began:.2f} s after Compose")
        wait_until("the service over IPv6", lambda: fetch_or_not(lab, 8092, HOST_6) == "front")
        assert try_port(lab.client, HOST_6, 8093) == "prohibited"
    finally:
        compose(lab, "down", "--timeout=1")


def compose(lab: Lab, *words: str) -> None:
    """Run Compose on a project of two services that serve on the same port inside."""
    folder = lab.docker.directory / "pair"
    folder.mkdir(exist_ok=True)

    def service(name: str, published: int) -> dict[str, object]:
        serve = f"mkdir -p /www; echo -n {name} >/www/index.html; httpd -f -p 80 -h /www & wait"
        command = ["/bin/sh", "-c", f"trap exit TERM; {serve}"]
        return {"image": IMAGE, "command": command, "ports": [f"{published}:80"]}

    project = {"services": {"front": service("front", 8092), "back": service("back", 8093)}}
    (folder / "compose.yaml").write_text(json.dumps(project))
    done = subprocess.run(
        [compose_program(), "--project-name=pair", "--progress=plain", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "DOCKER_HOST": lab.docker.socket, "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr


def test_one_port_of_two_addresses_of_the_host(lab: Lab, names: list[str]) -> None:
    run(lab, names, "one", f"--publish={HOST}:8087:80", f"--publish={HOST}:9087:81")
    run(lab, names, "two", f"--publish={OTHER_HOST}:8087:80", f"--publish={OTHER_HOST}:9087:80")
    lab.load(document(by_name("one", 8087, 9087)))
    assert fetch(lab.client, HOST, 8087) == "one"
    assert try_port(lab.client, HOST, 9087) == "closed"
    for port in (8087, 9087):
        assert try_port(lab.client, OTHER_HOST, port) == "prohibited"
        assert lab.docker.fetch_from("plain", OTHER_HOST, port) == REFUSED
    assert lab.docker.fetch_from("plain", HOST, 8087) == "one"
    assert members(lab, "proxied") == (f"{HOST},tcp:8087", f"{HOST},tcp:9087")
    # Ports that lead inside the other way round open no more than the rule says.
    lab.load(document(by_name("two", 9087)), revision=2)
    assert fetch(lab.client, OTHER_HOST, 9087) == "two"
    for address, port in ((OTHER_HOST, 8087), (HOST, 8087), (HOST, 9087)):
        assert try_port(lab.client, address, port) == "prohibited"


def test_an_address_that_is_given_away_while_the_root_worker_is_stopped(lab: Lab, names: list[str]) -> None:
    run(lab, names, "db", "--publish=8082:80")
    lab.load(document(by_name("db", 8082)))
    first = lab.docker.container_address("db")
    lab.stop_following()
    lab.docker.remove(["db"])
    run(lab, names, "squatter", "--publish=8082:80")
    assert lab.docker.container_address("squatter") == first
    assert members(lab) == (f"{first},tcp:80",)
    lab.follow_again()
    wait_until("nothing in the set", lambda: members(lab) == ())
    assert try_port(lab.client, HOST, 8082) == "prohibited"
    # The same while Docker does not answer either: nothing is known, and nothing is allowed.
    lab.docker.remove(["squatter"])
    run(lab, names, "db", "--publish=8082:80", "--restart=always")
    wait_until("db", lambda: fetch_or_not(lab, 8082) == "db")
    lab.stop_following()
    lab.docker.stop_daemon()
    lab.follow_again()
    wait_until("nothing in the set", lambda: members(lab) == ())
    lab.docker.start_daemon()
    wait_until("db after the engine's start", lambda: fetch_or_not(lab, 8082) == "db")


def test_routed_traffic_to_a_container_by_its_port_inside(lab: Lab, names: list[str]) -> None:
    mode = "com.docker.network.bridge.gateway_mode_ipv4=routed"
    made = lab.docker.try_docker("network", "create", f"--opt={mode}", "routed")
    if made.returncode:
        pytest.skip("this engine has no gateway mode")
    try:
        run(lab, names, "near", "--publish=80", network="routed")
        run(lab, names, "far", "--publish=80", network="routed")
        lab.load(document(by_name("near", 80, port_kind="container")))
        near, far = (lab.docker.container_address(name, "routed") for name in ("near", "far"))
        assert fetch(lab.client, near, 80) == "near"
        assert try_port(lab.client, far, 80) == "prohibited"
        # A published port is one of the host.
        lab.load(document(by_name("near", 80)), revision=2)
        assert try_port(lab.client, near, 80) == "prohibited"
        # The same where Docker translates the port, and lets packets to the container's own address pass.
        lab.docker.docker("network", "create", f"--opt={mode.replace('routed', 'nat-unprotected')}", "bare")
        run(lab, names, "both", "--publish=8088:80", "--publish=80:80", network="bare")
        lab.load(document(by_name("both", 80)), revision=3)
        assert fetch(lab.client, HOST, 80) == "both"
        assert try_port(lab.client, HOST, 8088) == "prohibited"
        assert try_port(lab.client, lab.docker.container_address("both", "bare"), 80) == "prohibited"
    finally:
        lab.docker.remove(names)
        names.clear()
        for network in ("routed", "bare"):
            lab.docker.try_docker("network", "rm", network)


def test_a_container_with_an_ipv6_address(ipv6_lab: Lab) -> None:
    lab = ipv6_lab
    lab.docker.run_web("db", "--publish=8082:80")
    lab.docker.run_web("rival", "--publish=8083:80")
    lab.load(document(by_name("db", 8082)))
    for address in (HOST, HOST_6):
        assert fetch(lab.client, address, 8082) == "db"
        assert try_port(lab.client, address, 8083) == "prohibited"
    (member,) = members(lab, family=6)
    assert (member[:13], member[-7:]) == ("2001:db8:d0c:", ",tcp:80")
    assert lab.docker.fetch_from("plain", HOST_6, 8082) == "db"
    assert lab.docker.fetch_from("plain", HOST_6, 8083) == REFUSED
    lab.docker.docker("restart", "--time=1", "db")
    wait_until("db after its restart", lambda: fetch_or_not(lab, 8082, HOST_6) == "db")


def fetch_or_not(lab: Lab, port: int, address: str = HOST) -> str:
    """Return what a port answers, "" while it does not."""
    try:
        return fetch(lab.client, address, port)
    except OSError:
        return ""


def assert_simulated(lab: Lab, verdicts: dict[int, str]) -> None:
    """See that the simulation of what the root worker reports says the same of ports of the host."""
    with lab.docker.entered():
        seen = observe("lab", docker_socket=Path(lab.docker.socket.removeprefix("unix://")))
    around = surroundings_of(seen)
    prepared = prepare(parse_save(seen.saves[4]), around, 4)
    for port, verdict in verdicts.items():
        question = Question(source=CLIENT, destination=HOST, port=str(port))
        packet = read_question(question, around, containers_of(seen)).packet
        assert simulate(prepared, packet).verdict.kind == verdict, port
