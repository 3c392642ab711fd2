"""A Docker host as admins have them: networks, a Compose project, the host's network, two ways out.

    client 192.0.2.2    ---- ens33 192.0.2.1     host ---- docker0         web 8080, other 8081, plain (81)
    second 203.0.113.2  ---- ens34 203.0.113.1        ---- blue            inblue 8084, beside (80)
                                                      ---- shop_default    front 8090, db 5433, cache (80)
                                                           the host's own  inside 83, hidden 84

The rules loaded are those of `DOCUMENT`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from dockerfw.chains.names import DOCKER_USER
from tests.rig.connections import Listener, try_port
from tests.rig.docker_host import IMAGE
from tests.rig.engines import Engine, compose_program
from tests.rig.lab import CLIENT, CLIENT_6, EXTERNAL, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow
from tests.rig.namespace import (
    FAMILIES,
    Backend,
    CommandError,
    Family,
    Namespace,
    join_namespaces,
    wait_until,
)

# How packets come to containers: "own" is IPv6 to addresses that containers have, published by DNAT; "proxy"
# is IPv6 as an engine comes, with docker-proxy in front of containers that speak IPv4 only.
Way = Literal["ipv4", "proxy", "own"]
WAYS: tuple[Way, ...] = ("ipv4", "proxy", "own")
FAMILY: dict[Way, Family] = {"ipv4": 4, "proxy": 6, "own": 6}

SECOND = "ens34"
SECOND_HOST: dict[Family, str] = {4: "203.0.113.1", 6: "2001:db8:2::1"}
SECOND_CLIENT: dict[Family, str] = {4: "203.0.113.2", 6: "2001:db8:2::2"}
FIRST_HOST: dict[Family, str] = {4: HOST, 6: HOST_6}
FIRST_CLIENT: dict[Family, str] = {4: CLIENT, 6: CLIENT_6}
SUBNETS = {"docker0": "2001:db8:d0c::/64", "blue": "2001:db8:b10e::/64", "shop": "2001:db8:5409::/64"}

OWN_IPV6 = ("--ipv6", f"--fixed-cidr-v6={SUBNETS['docker0']}", "--experimental", "--ip6tables")

DOCUMENT: dict[str, object] = {
    "format": "dockerfw/1",
    "settings": {"external_interfaces": [EXTERNAL, SECOND]},
    "rules": [
        allow("container", 8080, 8090),
        allow("container", 8084, source=f"{CLIENT}/32"),
        allow("container", 8084, source=f"{CLIENT_6}/128"),
        allow("host", 22, 83),
    ],
}


class World:
    """The lab of tests/lab with an engine of one's choice and all of the above; use it in a `with` block."""

    def __init__(self, engine: Engine, backend: Backend, *, own_ipv6: bool) -> None:
        """Build it, which takes about ten seconds once the engine's tree is there."""
        self.engine, self.backend, self.own_ipv6 = engine, backend, own_ipv6
        self.second = Namespace("second")
        self._listeners: list[Listener] = []
        self._revision = 0
        try:
            self.lab = Lab(backend, OWN_IPV6 if own_ipv6 else (), engine.tree())
        except BaseException:
            self.second.delete()
            raise
        try:
            self.host, self.client = self.lab.host, self.lab.client
            self._join_second()
            self._start_containers()
            self._listen()
            self.before = {family: self.foreign(family) for family in FAMILIES}
            """The rules before any load, line by line."""
        except BaseException:
            self.delete()
            raise

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    @property
    def ways(self) -> tuple[Way, ...]:
        """Return the ways that packets have here."""
        return ("ipv4", "own") if self.own_ipv6 else ("ipv4", "proxy")

    def _join_second(self) -> None:
        join_namespaces(self.host, SECOND, self.second, "eth0")
        for family, bits in zip(FAMILIES, (24, 64), strict=True):
            self.host.add_addresses(SECOND, f"{SECOND_HOST[family]}/{bits}")
            self.second.add_addresses("eth0", f"{SECOND_CLIENT[family]}/{bits}")
            for space, gateway in ((self.client, FIRST_HOST[family]), (self.second, SECOND_HOST[family])):
                space.run("ip", f"-{family}", "route", "replace", "default", "via", gateway)

    def _start_containers(self) -> None:
        docker = self.lab.docker
        ipv6 = ("--ipv6", f"--subnet={SUBNETS['blue']}") if self.own_ipv6 else ()
        docker.docker("network", "create", *ipv6, "blue")
        docker.run_web("inblue", "--publish=8084:80", "--restart=always", network="blue")
        docker.run_web("beside", "--restart=always", network="blue")
        docker.run_web("inside", "--restart=always", port=83, network="host")
        docker.run_web("hidden", "--restart=always", port=84, network="host")
        self.compose("up", "--detach", "--no-build", "--pull=never")
        self.await_web()

    def compose(self, *words: str) -> str:
        """Run Compose on the project `shop` and return what it printed. Raises CommandError."""
        folder = self.lab.docker.directory / "shop"
        folder.mkdir(exist_ok=True)
        (folder / "compose.yaml").write_text(json.dumps(self._project()))
        done = subprocess.run(
            [compose_program(), "--project-name=shop", "--progress=plain", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env={**os.environ, "DOCKER_HOST": self.lab.docker.socket, "HOME": str(folder)},
        )
        if done.returncode != 0:
            raise CommandError(f"compose {' '.join(words)}: status {done.returncode}\n{done.stderr[-1500:]}")
        return done.stdout

    def _project(self) -> dict[str, object]:
        def service(name: str, *ports: str) -> dict[str, object]:
            serve = f"mkdir -p /www; echo -n {name} >/www/index.html; httpd -f -p 80 -h /www & wait"
            command = ["/bin/sh", "-c", f"trap exit TERM; {serve}"]
            return {"image": IMAGE, "command": command, "ports": list(ports), "restart": "always"}

        ipv6 = {"enable_ipv6": True, "ipam": {"config": [{"subnet": SUBNETS["shop"]}]}}
        return {
            "services": {
                "front": service("front", "8090:80"),
                "db": service("db", "5433:80"),
                "cache": service("cache"),
            },
            "networks": {"default": ipv6 if self.own_ipv6 else {}},
        }

    def _listen(self) -> None:
        # What containers reach outside, and what the host itself offers.
        for family in FAMILIES:
            for space, address in ((self.client, FIRST_CLIENT), (self.second, SECOND_CLIENT)):
                self._listeners.append(Listener(space, address[family], 9000, "outside"))
            for address in (FIRST_HOST, SECOND_HOST):
                for port in (22, 23):
                    self._listeners.append(Listener(self.host, address[family], port, "host"))

    def clients(self, family: Family) -> Iterator[tuple[Namespace, str, str, str]]:
        """Yield each client, its address, the host's there, and the interface by which it comes in."""
        yield self.client, FIRST_CLIENT[family], FIRST_HOST[family], EXTERNAL
        yield self.second, SECOND_CLIENT[family], SECOND_HOST[family], SECOND

    def address(self, container: str, family: Family) -> str:
        """Return a container's address on its one network, "" if it has none."""
        key = "IPAddress" if family == 4 else "GlobalIPv6Address"
        return self.lab.docker.docker(
            "inspect",
            "--format",
            f"{{{{range .NetworkSettings.Networks}}}}{{{{.{key}}}}}{{{{end}}}}",
            container,
        )

    def await_web(self, *more: str) -> None:
        """Wait until every server, and `more` containers, listen, asked from inside, where no rule stands."""
        for name, port in {**_SERVERS, **dict.fromkeys(more, 80)}.items():
            wait_until(f"{name} listens", lambda n=name, p=port: self._listens(n, p))  # type: ignore[misc]
        for port in (83, 84):
            wait_until(f"{port} listens", lambda p=port: self._answers_locally(p))  # type: ignore[misc]

    def _listens(self, name: str, port: int) -> bool:
        return bool(self.lab.docker.fetch_from(name, "127.0.0.1", port))

    def _answers_locally(self, port: int) -> bool:
        return try_port(self.host, "127.0.0.1", port) == "connected"

    def load(self, value: dict[str, object]) -> None:
        """Load and keep a document as the root worker does. Raises CommandError."""
        self._revision += 1
        self.lab.load_unseen(value, self._revision)

    @contextmanager
    def loaded(self, value: dict[str, object]) -> Iterator[None]:
        """Load another document for a `with` block."""
        self.load(value)
        try:
            yield
        finally:
            self.load(DOCUMENT)

    def foreign(self, family: Family) -> list[str]:
        """Return every line that is not ours, of every table, and every policy that is not ACCEPT."""
        found, table = [], ""
        for line in self.host.save(self.backend, family).decode().splitlines():
            if line.startswith("*"):
                table = line
                continue
            ours = " FILTERS" in line or line.startswith(":FILTERS")
            # A family that Docker leaves alone has no DOCKER-USER until a load makes it.
            made = line.startswith((f":{DOCKER_USER} ", "#", "COMMIT")) or " ACCEPT [" in line
            if not ours and not made:
                found.append(f"{table} {line.partition(' [')[0] if line.startswith(':') else line}")
        return found

    def delete(self) -> None:
        """End all of it."""
        for listener in self._listeners:
            listener.close()
        self.lab.delete()
        self.second.delete()


_SERVERS = {
    "web": 80,
    "other": 80,
    "plain": 81,
    "inblue": 80,
    "beside": 80,
    **{f"shop-{name}-1": 80 for name in ("front", "db", "cache")},
}
