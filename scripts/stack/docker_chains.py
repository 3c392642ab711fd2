"""The chains of the sandbox's Docker, as dockerd 20.10 with `--userland-proxy=false` writes them."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.stack.shop import CONTAINERS, NETWORKS


def docker_chains(*, docker_user_exists: bool) -> str:
    """Return the restore text for the chains that dockerd creates at its start; it keeps DOCKER-USER."""
    lines = [*_nat(), *_filter(docker_user_exists=docker_user_exists)]
    return "\n".join(lines) + "\n"


def _nat() -> Iterator[str]:
    yield from ("*nat", ":DOCKER - [0:0]")
    yield "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
    yield "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER"
    for network in NETWORKS:
        yield f"-A POSTROUTING -s {network.gateway.network} ! -o {network.bridge} -j MASQUERADE"
    for container in CONTAINERS:
        own = f"{container.address}/32"
        for port in container.ports:
            yield f"-A POSTROUTING -s {own} -d {own} -p tcp -m tcp --dport {port.inside} -j MASQUERADE"
    for network in NETWORKS:
        yield f"-A DOCKER -i {network.bridge} -j RETURN"
    for container in CONTAINERS:
        for port in container.ports:
            only = f" -d {port.address}/32" if port.address else ""
            yield (
                f"-A DOCKER{only} ! -i {container.network.bridge} -p tcp -m tcp --dport {port.published}"
                f" -j DNAT --to-destination {container.address}:{port.inside}"
            )
    yield "COMMIT"


def _filter(*, docker_user_exists: bool) -> Iterator[str]:
    yield from ("*filter", ":FORWARD DROP [0:0]", ":DOCKER - [0:0]")
    yield from (":DOCKER-ISOLATION-STAGE-1 - [0:0]", ":DOCKER-ISOLATION-STAGE-2 - [0:0]")
    if not docker_user_exists:
        yield ":DOCKER-USER - [0:0]"
    yield from ("-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1")
    bridges = [network.bridge for network in NETWORKS]
    for bridge in bridges:
        yield f"-A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        yield f"-A FORWARD -o {bridge} -j DOCKER"
        yield f"-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT"
        yield f"-A FORWARD -i {bridge} -o {bridge} -j ACCEPT"
    for container in CONTAINERS:
        bridge = container.network.bridge
        for port in container.ports:
            yield (
                f"-A DOCKER -d {container.address}/32 ! -i {bridge} -o {bridge}"
                f" -p tcp -m tcp --dport {port.inside} -j ACCEPT"
            )
    for bridge in bridges:
        yield f"-A DOCKER-ISOLATION-STAGE-1 -i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2"
    yield "-A DOCKER-ISOLATION-STAGE-1 -j RETURN"
    for bridge in bridges:
        yield f"-A DOCKER-ISOLATION-STAGE-2 -o {bridge} -j DROP"
    yield "-A DOCKER-ISOLATION-STAGE-2 -j RETURN"
    yield from ("-A DOCKER-USER -j RETURN", "COMMIT")
