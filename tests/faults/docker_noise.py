"""Rules that change all the time, as Docker changes them when containers start and stop."""

from __future__ import annotations

import threading

from tests.rig.namespace import FAMILIES, PATIENCE, Backend, Namespace, iptables_program


class DockerNoise:
    """Creates and removes containers' rules until `stop`, which removes the last ones."""

    def __init__(self, namespace: Namespace, backend: Backend) -> None:
        self._namespace = namespace
        self._backend = backend
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._make_containers, daemon=True)
        self.containers = 0
        self._thread.start()

    def stop(self) -> None:
        """End it and remove its rules."""
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _make_containers(self) -> None:
        while not self._stop.is_set():
            self.containers += 1
            number = self.containers % 200 + 2
            for family in FAMILIES:
                address = f"172.30.0.{number}/32" if family == 4 else f"fd00:30::{number:x}/128"
                self._container(family, address)

    def _container(self, family: int, address: str) -> None:
        accept = ("DOCKER", "-d", address, "!", "-i", "docker0", "-o", "docker0", "-j", "ACCEPT")
        chain = f"DOCKER-C{family}"
        rules = [("-t", "filter", "-A", *accept), ("-t", "filter", "-N", chain)]
        rules += [
            ("-t", "filter", "-A", chain, "-j", "RETURN"),
            ("-t", "filter", "-I", "FORWARD", "-j", chain),
        ]
        undo = [("-t", "filter", "-D", "FORWARD", "-j", chain), ("-t", "filter", "-F", chain)]
        undo += [("-t", "filter", "-X", chain), ("-t", "filter", "-D", *accept)]
        for rule in (*rules, *undo):
            program = iptables_program(self._backend, 4 if family == 4 else 6)
            self._namespace.run(program, *rule, check=False)
            self._stop.wait(0.03)
