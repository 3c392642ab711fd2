"""dockerfw installed as its documentation says: a clone, a file .env, `docker compose up -d`.

This includes the client at the other end of ens33 and the host's other containers. The tests use dockerfw as
an admin does, through Compose or through its pages.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.compose import images
from tests.compose.host import HOST, Host
from tests.machine.tree import copy_clone
from tests.rig.engines import NEWEST, Engine
from tests.rig.namespace import Backend, CommandError, Family, Namespace, wait_until

PORT = 8000
URL = f"http://{HOST}:{PORT}"
SERVICES = {"redis", "web", "clerk", "firewall"}
# Of a container's first process: whose it is and what it may do.
STATUS = ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
UP_SECONDS = 240.0
# An environment variable: words for what is otherwise than in the suite, see __main__.
VARIANT = "DOCKERFW_COMPOSE_TEST"
POSTGRES = (
    "COMPOSE_PROFILES=postgres",
    "DATABASE_URL=postgres://dockerfw@%2Frun%2Fdockerfw-postgres/dockerfw",
)


class Installed:
    """dockerfw on a host of its own; use it in a `with` block. `settings` are lines of its .env."""

    def __init__(
        self,
        *settings: str,
        engine: Engine = NEWEST,
        own_compose: bool = False,
        backend: Backend = "nft",
        images_of: Sequence[str] = ("setup",),
    ) -> None:
        """Start the host, load the images of these services, and say what .env says; nothing is up yet."""
        with contextlib.ExitStack() as stack:
            self.host = stack.enter_context(Host(engine=engine, own_compose=own_compose, backend=backend))
            self.client = Namespace("client")
            stack.callback(self.client.delete)
            self.host.join(self.client)
            for service in images_of:
                images.load(self.host, images.built(service, engine))
            copy_clone(self.host.project)
            lines = ["DOCKERFW_BIND=0.0.0.0", f"DOCKERFW_PORT={PORT}", *settings]
            (self.host.project / ".env").write_text("\n".join(lines) + "\n")
            self._leftovers = stack.pop_all()

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._leftovers.close()

    def up(self, *options: str) -> None:
        """Run `docker compose up -d` and wait until everything is healthy. Raises CommandError."""
        try:
            self.host.compose("up", "--detach", "--no-build", *options, timeout=UP_SECONDS)
            self.wait_healthy()
        except CommandError as error:
            raise CommandError(f"{error}\n{self.logs()[-4000:]}") from error

    def down(self) -> None:
        """Run `docker compose down`."""
        self.host.compose("down", timeout=UP_SECONDS)

    def wait_healthy(self) -> None:
        """Wait until each service that goes on running is healthy."""
        wait_until(
            "all services healthy", lambda: self.health().items() >= _HEALTHY.items(), seconds=UP_SECONDS
        )

    def health(self) -> dict[str, str]:
        """Return for each running service what its health check said."""
        listed = self.host.compose("ps", "--format=json").splitlines()
        return {each["Service"]: each["Health"] for each in map(json.loads, listed)}

    def logs(self, *services: str) -> str:
        """Return what services logged."""
        return self.host.compose("logs", "--no-color", "--no-log-prefix", *services)

    def link(self) -> str:
        """Return the way to the first admin's page, by the command that the web's log names."""
        logged = self.logs("web")
        assert "/setup/" not in logged
        command = re.search(r"docker compose exec web dockerfw (firstadmin --url http://\S+)", logged)
        if command is None:
            raise CommandError(f"no command in the log of web:\n{logged[-2000:]}")
        return urlsplit(self.dockerfw(*command[1].split()).strip()).path

    def try_dockerfw(self, service: str, *verb: str) -> subprocess.CompletedProcess[str]:
        """Run `dockerfw VERB` in a service's container and return how it ended."""
        return self.host.try_run("docker", "compose", "exec", "-T", service, "dockerfw", *verb)

    def dockerfw(self, *verb: str) -> str:
        """Run `dockerfw VERB` beside the pages and return what it printed. Raises CommandError."""
        return self.host.compose("exec", "-T", "web", "dockerfw", *verb)

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        return self.host.compose("ps", "--all", "--quiet", service)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine says of a service's container."""
        described: dict[str, Any] = json.loads(self.host.docker("inspect", self.container(service)))[0]
        return described

    def first_process(self, service: str) -> str:
        """Return the id of a container's first process, as the host counts."""
        return str(self.inspect(service)["State"]["Pid"])

    def processes(self, service: str) -> dict[str, dict[str, str]]:
        """Return what the kernel says of each process of a service, by its command line.

        A health check's processes may end meanwhile: they are left out. Raises CommandError without the first
        process, which is the service itself.
        """
        first = self.first_process(service)
        pids = self.host.docker("top", self.container(service), "-eo", "pid").split()[1:]
        found = {}
        for pid in pids:
            # One command for both files, and a process that has ended has an empty command line for a moment.
            read = self.host.try_run("cat", f"/proc/{pid}/status", f"/proc/{pid}/cmdline")
            text, _, command = read.stdout.rpartition("\n")
            command = command.replace("\0", " ").strip()
            if read.returncode == 0 and command:
                lines = (line.split(":", 1) for line in text.splitlines())
                found[command] = {name: value.strip() for name, value in lines if name in STATUS}
            elif pid == first:
                raise CommandError(f"the first process of {service} has ended: {read.stderr}")
        if first not in pids:
            raise CommandError(f"the first process of {service}, {first}, is not one of {pids}")
        return found

    def rules(self, family: Family = 4) -> list[str]:
        """Return our chains and what calls them, as the host's kernel holds them, without counters."""
        saved = self.host.run("iptables-save" if family == 4 else "ip6tables-save", "-t", "filter")
        return [line for line in saved.splitlines() if line.startswith("-A") and "FILTERS" in line]

    def both(self) -> tuple[list[str], list[str]]:
        """Return what `rules` does for IPv4 and IPv6."""
        return self.rules(4), self.rules(6)

    def boot_files(self) -> str:
        """Return what a boot of the host would load, each file below its name."""
        return self.host.run("sh", "-c", "cd /var/lib/dockerfw/boot && tail -n +1 rules.v4 rules.v6")

    def run_shop(self, name: str, port: int, *options: str) -> None:
        """Run another container, whose port 80 Docker publishes as `port`."""
        serve = ("/opt/dockerfw/.venv/bin/python", "-m", "http.server", "80", "--bind=::", "--directory=/tmp")
        words = ("--detach", f"--name={name}", f"--publish={port}:80", "--restart=always", *options)
        self.host.docker("run", *words, "--entrypoint=", "dockerfw:local", *serve)

    def browser_program(self, chromium: Path) -> Path:
        """Write a program that runs Chromium on the client, and return where it is."""
        program = self.client.directory / "chromium-on-the-client"
        program.write_text(f'#!/bin/sh\nexec {" ".join(self.client.prefix)} {chromium} "$@"\n')
        program.chmod(0o700)
        return program


_HEALTHY = dict.fromkeys(SERVICES, "healthy")
