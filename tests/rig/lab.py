"""The lab's wiring: a Docker host and one client behind its external interface `ens33`, as in the article.

    client, eth0                                      Docker host, ens33
    192.0.2.2/24 192.0.2.3/24 198.51.100.2/24  ----   192.0.2.1/24 198.51.100.1/24  -- docker0 -- containers
    2001:db8::2/64 2001:db8::3/64                     2001:db8::1/64

Every test finds three containers: `web` (8080 to 80), `other` (8081 to 80), `plain` (port 81, not published).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from pathlib import Path

from dockerfw.agent.apply import Apply
from dockerfw.bindings.binder_start import BinderKeeper
from dockerfw.chains.drift import find_drift
from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.document.document import digest, parse_document, to_json_object
from dockerfw.host.clock import utc_now
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.outcomes import Outcome
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from dockerfw.window.answers import carry_out
from tests.rig.connections import Verdict, fetch
from tests.rig.docker_host import DockerHost
from tests.rig.namespace import (
    FAMILIES,
    Backend,
    CommandError,
    Family,
    Namespace,
    join_namespaces,
    wait_until,
)

EXTERNAL = "ens33"
HOST = "192.0.2.1"
HOST_6 = "2001:db8::1"
CLIENT = "192.0.2.2"
NEIGHBOUR = "192.0.2.3"
STRANGER = "198.51.100.2"
CLIENT_6 = "2001:db8::2"
NEIGHBOUR_6 = "2001:db8::3"


class Lab:
    """A Docker host, a client, and three containers."""

    def __init__(
        self, backend: Backend = "nft", engine_options: Sequence[str] = (), tree: Path | None = None
    ) -> None:
        """Build the lab, which takes about two seconds; `engine_options` are dockerd's own.

        With `tree`, the engine and its iptables are those of a tree of another release.
        """
        self.client = Namespace("client")
        self._sequence = 0
        self._binder: BinderKeeper | None = None
        try:
            self.docker = DockerHost(backend, engine_options, tree)
        except BaseException:
            self.client.delete()
            raise
        try:
            self.host = self.docker.namespace
            self._join()
            self.docker.run_web("web", "--publish=8080:80", "--restart=always")
            self.docker.run_web("other", "--publish=8081:80", "--restart=always")
            self.docker.run_web("plain", "--restart=always", port=81)
            wait_until("bridges' IPv6 addresses", lambda: not self._unsettled())
        except BaseException:
            self.delete()
            raise

    def _join(self) -> None:
        join_namespaces(self.host, EXTERNAL, self.client, "eth0")
        self.host.add_addresses(EXTERNAL, f"{HOST}/24", "198.51.100.1/24", f"{HOST_6}/64")
        own = (f"{CLIENT}/24", f"{NEIGHBOUR}/24", f"{STRANGER}/24", f"{CLIENT_6}/64", f"{NEIGHBOUR_6}/64")
        self.client.add_addresses("eth0", *own)
        self.client.run("ip", "route", "add", "default", "via", HOST)

    def _unsettled(self) -> bytes:
        """Return addresses that the kernel still holds back, for a second, to look for doubles."""
        return self.host.run("ip", "-6", "-o", "address", "show", "scope", "global", "tentative").stdout

    def reach_out(self, container: str, address: str = CLIENT, port: int = 9000) -> str:
        """Return what a Listener outside answers to a line from a container, "" if none does."""
        return fetch(self.docker.container_namespace(container), address, port, line="hello\n")

    def direct_refusal(self, address: str) -> Verdict:
        """Return what a packet straight to a container's address meets where no rule allows it.

        Docker 28 and later drop it in the table `raw`, before anybody else is asked.
        """
        family: Family = 6 if ":" in address else 4
        dropped = rf"-A PREROUTING -d {re.escape(address)}/\d+ ! -i \S+ -j DROP"
        lines = self.host.save(self.docker.backend, family, table="raw").decode().splitlines()
        return "silent" if any(re.fullmatch(dropped, line) for line in lines) else "prohibited"

    def unload(self) -> None:
        """Take our chains and anchors away, as if nothing had ever been loaded."""
        for family in FAMILIES:
            saved = self.host.save(self.docker.backend, family, table="filter").decode().splitlines()
            ours = [line for line in saved if line.startswith((":FILTERS", "-A INPUT", "-A DOCKER-USER"))]
            lines = [
                "*filter",
                *(line.split()[0] + " - [0:0]" for line in ours if line.startswith(":FILTERS")),
            ]
            lines += [f"-D{line[2:]}" for line in ours if line.startswith("-A") and "-j FILTERS" in line]
            lines += [f"-X {line.split()[0][1:]}" for line in ours if line.startswith(":FILTERS")]
            self.host.restore("\n".join([*lines, "COMMIT", ""]), self.docker.backend, family)

    def live(self) -> dict[Family, Ruleset]:
        """Read back what the kernel holds, both families, with counters."""
        return {
            family: parse_save(self.host.save(self.docker.backend, family, counters=True))
            for family in FAMILIES
        }

    def load(self, value: dict[str, object], revision: int = 1, *, end_sessions: bool = False) -> Outcome:
        """Load and keep a document as the root worker does, check that it is active; return the report."""
        outcome = self.load_unseen(value, revision, end_sessions=end_sessions)
        self.assert_in_force()
        return outcome

    def load_unseen(
        self, value: dict[str, object], revision: int = 1, *, end_sessions: bool = False
    ) -> Outcome:
        """Load and keep a document as the root worker does; return the last word."""
        self.revision = revision
        self.document = parse_document(value)
        self._sequence += 1
        order = Order(
            apply=str(uuid.uuid4()),
            sequence=self._sequence,
            host="lab",
            revision=revision,
            document=to_json_object(self.document),
            digest=digest(self.document),
            confirm_seconds=60,
            issued_at=utc_now(),
            end_sessions=end_sessions,
        )
        state = StateDirectory(self.host.directory / "state")
        with self.docker.entered():
            self._follow(state)
            outcome = Apply(
                order,
                host="lab",
                state=state,
                tell=_forget,
                settle=_forget,
                docker_socket=Path(self.docker.socket.removeprefix("unix://")),
            ).run()
            if outcome.state != "awaiting":
                raise CommandError(f"the apply failed: {outcome.error}")
            answer = Answer(order.apply, order.sequence, "lab", "keep", None, utc_now())
            outcome = carry_out(answer, state, host="lab")
            self._follow(state)
        if outcome.state != "confirmed":
            raise CommandError(f"the rules could not be kept: {outcome.error}")
        return outcome

    def _follow(self, state: StateDirectory) -> None:
        """Have the bound sets follow the host, as the root worker does, while a revision needs them.

        A process of the revision before may be about to end, because that one needs no sets: the root worker
        would start it again within seconds, and here nobody would.
        """
        self.stop_following()
        path = Path(self.docker.socket.removeprefix("unix://"))
        self._binder = BinderKeeper(
            state, host="lab", docker_socket=path, confirmed=lambda: read_confirmed(state.boot)
        )
        self._binder.check()

    def stop_following(self) -> None:
        """End the process that fills the bound sets, as when the root worker is stopped."""
        if self._binder is not None:
            self._binder.stop()

    def follow_again(self) -> None:
        """Start the process that fills the bound sets, as a root worker that starts does."""
        state = StateDirectory(self.host.directory / "state")
        with self.docker.entered():
            self._follow(state)

    def plan(self) -> Plan:
        """Plan the last loaded document against what the kernel holds."""
        return plan_changes(self.document, self.live(), revision=self.revision)

    def assert_in_force(self) -> None:
        """See that the kernel still holds the last loaded document, first in line, with nothing to do."""
        live = self.live()
        plan = self.plan()
        assert plan.empty, plan
        drift = find_drift(self.document, self.revision, live)
        assert not drift.findings, drift.findings
        for family in FAMILIES:
            assert _first_rule(live[family], "INPUT") == "-A INPUT -j FILTERS-HOST"
            anchor = f"-A DOCKER-USER -i {EXTERNAL} -j FILTERS-CONTAINERS"
            assert _first_rule(live[family], "DOCKER-USER") == anchor

    def delete(self) -> None:
        """End everything that the lab started."""
        self.stop_following()
        self.docker.delete()
        self.client.delete()


def _forget(outcome: Outcome) -> None:
    """Accept an outcome without a reader."""


def _first_rule(live: Ruleset, chain_name: str) -> str:
    chain = live.chain("filter", chain_name)
    return chain.rules[0].text if chain is not None and chain.rules else ""
