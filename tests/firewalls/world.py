"""One lab with another firewall: dockerfw's reports, compared with the kernel and with real packets.

The reports are the root worker's snapshot, drift, the sentence of `status`, exposure and trace. The truth
comes from the text of `iptables-save` and from connections of the client.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from ipaddress import ip_address

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.chains.drift import WITHOUT_EFFECT, Drift
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.sentences import describe_tables
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import canonical_json, digest
from dockerfw.document.values import Settings
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.snapshot_values import drift_of, listening_of, surroundings_of
from dockerfw.messages.snapshots import Snapshot
from dockerfw.reach.exposure import expose
from dockerfw.reach.offers import find_offers
from dockerfw.reach.question import Question, read_question
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.store.state import StateDirectory
from rules.applying.kernel_selectors import KernelSentence, measure_revision
from rules.models import Revision
from rules.seen.snapshot_selectors import SnapshotView
from tests.firewalls.neighbours import NEIGHBOURS, Neighbour, neighbourhood
from tests.rig.connections import Verdict, fetch, listening, try_port
from tests.rig.lab import CLIENT, CLIENT_6, EXTERNAL, HOST, HOST_6, NEIGHBOUR, STRANGER, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, CommandError, wait_until

DIALLED: dict[Family, str] = {4: HOST, 6: HOST_6}
SOURCES: dict[Family, tuple[str, ...]] = {4: (CLIENT, NEIGHBOUR, STRANGER), 6: (CLIENT_6,)}
# 22 and 25 are the host's own, 8080 and 8081 containers'; 25 and 8081 are allowed by no rule of ours.
PORTS = (22, 25, 8080, 8081)
NOT_ALLOWED = (25, 8081)
DOCUMENTS = (
    document(allow("host", 22), allow("container", 8080), heal_anchors=True),
    document(allow("host", 22), allow("container", 8080), allow("host", 99), heal_anchors=True),
)
_COUNTS = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)
ANCHORS = {"INPUT": "-j FILTERS-HOST", "DOCKER-USER": f"-i {EXTERNAL} -j FILTERS-CONTAINERS"}


@dataclass(frozen=True, slots=True)
class Told:
    """What dockerfw said after one step, and where it was wrong; `packets` is how many were compared."""

    drift: Drift
    sentence: KernelSentence
    beside: str
    packets: int
    wrong: tuple[str, ...]

    @property
    def codes(self) -> frozenset[str]:
        """What kinds of differences were found."""
        return frozenset(finding.code for finding in self.drift.findings)

    @property
    def who(self) -> tuple[str, ...]:
        """Whom it suspects, each sentence once."""
        return tuple(dict.fromkeys(finding.cause for finding in self.drift.findings if finding.cause))


@dataclass
class World:
    """A lab, a neighbour in it, and what the lookout told."""

    lab: Lab
    neighbour: Neighbour
    told: list[ConsoleEvent] = field(default_factory=list)
    revision: int = 0
    ours: dict[Family, list[str]] = field(default_factory=dict)

    def load(self, which: int = 0) -> list[str]:
        """Load and keep a new revision; return what of others' rules did not stay as it was."""
        self.revision += 1
        return self._load(which)

    def restore(self) -> list[str]:
        """Load the confirmed revision again, as *Restore* does; return what of others' did not stay."""
        return self._load(self.which)

    def _load(self, which: int) -> list[str]:
        self.which = which
        before = self.foreign()
        self.lab.load_unseen(DOCUMENTS[which], revision=self.revision)
        after = self.foreign()
        self.ours = {family: self._ours(family) for family in FAMILIES}
        return [
            f"IPv{family}: {line}"
            for family in FAMILIES
            for line in _difference(before[family], after[family])
        ]

    def heal(self) -> tuple[bool, list[str]]:
        """Look as the root worker does by itself; say whether it healed, and what of others did not stay."""
        before = self.foreign()
        self.told.clear()
        with self.lab.host.entered():
            self._monitor.look_and_heal()
        after = self.foreign()
        changed = [line for family in FAMILIES for line in _difference(before[family], after[family])]
        return any(event.verb == "heal" for event in self.told), changed

    def restart_engine(self) -> None:
        """Restart dockerd and wait until its containers serve."""
        self.lab.docker.restart_daemon()
        for name in ("web", "other"):
            wait_until(name, partial(self._serves, name))

    def _serves(self, name: str) -> bool:
        address = self.lab.docker.container_address(name)
        return bool(address) and fetch(self.lab.host, address, 80) == name

    @property
    def _monitor(self) -> DriftMonitor:
        state = StateDirectory(self.lab.host.directory / "state")
        return DriftMonitor(state, host="lab", tell=self.told.append)

    def save(self, family: Family, table: str = "") -> list[str]:
        """Return what `iptables-save` prints, without counters and dates."""
        text = self.lab.host.save(self.lab.docker.backend, family, table=table).decode("utf-8", "replace")
        return [_COUNTS.sub("", line) for line in text.splitlines() if line[:1] != "#"]

    @property
    def own_tables(self) -> list[str]:
        """The tables of nftables that are for both families, none of which is iptables'."""
        listed = self.lab.host.output("nft", "list", "tables").splitlines()
        return [line.removeprefix("table ") for line in listed if line.startswith("table inet ")]

    def foreign(self) -> dict[Family, list[str]]:
        """Return the lines that are not ours, of iptables and of nftables' own tables."""
        lines = {family: [line for line in self.save(family) if "FILTERS" not in line] for family in FAMILIES}
        for name in self.own_tables:
            lines[4] += self.lab.host.output(
                "nft", "--stateless", "list", "table", *name.split()
            ).splitlines()
        return lines

    def _ours(self, family: Family) -> list[str]:
        return [line for line in self.save(family, "filter") if line.startswith("-A FILTERS")]

    def in_force(self) -> list[str]:
        """Return what is not as it was loaded, by the text of the kernel's own save."""
        wrong = []
        for family in FAMILIES:
            lines = self.save(family, "filter")
            if self._ours(family) != self.ours[family]:
                wrong.append(f"IPv{family}: our chains")
            for chain, anchor in ANCHORS.items():
                first = next((line for line in lines if line.startswith(f"-A {chain} ")), "")
                if first != f"-A {chain} {anchor}":
                    wrong.append(f"IPv{family}: {chain}")
        return wrong

    def look(self) -> Told:
        """Take a snapshot while no program changes rules, and compare it with kernel and packets."""
        deadline = time.monotonic() + 60
        while True:
            before = self._quiet()
            told = self._look()
            if self._everything() == before:
                return told
            if time.monotonic() > deadline:
                raise CommandError("another program changes rules all the time")

    def _everything(self) -> tuple[object, ...]:
        return (self.save(4), self.save(6), self.own_tables)

    def _quiet(self) -> tuple[object, ...]:
        """Wait until rules have not changed for a while; dockerd answers firewalld's reload by itself."""
        held, since = self._everything(), time.monotonic()
        while time.monotonic() - since < self.neighbour.settles:
            time.sleep(0.3)
            if (now := self._everything()) != held:
                held, since = now, time.monotonic()
        return held

    def _look(self) -> Told:
        with self.lab.host.entered():
            seen = Snapshot.from_json(self._monitor.look().to_json())
        rulesets = {family: parse_save(seen.saves[family]) for family in FAMILIES}
        found = drift_of(seen, rulesets, self.lab.document, self.revision)
        view = SnapshotView(seen, rulesets, datetime.fromisoformat(seen.taken_at))
        said = measure_revision(view, self._kept())
        beside = describe_tables(seen.foreign_tables)
        wrong = [*self._about_the_kernel(found, said, beside, seen)]
        asked = [
            (family, source, port) for family in FAMILIES for source in SOURCES[family] for port in PORTS
        ]
        with ThreadPoolExecutor(len(asked)) as pool:
            met = dict(zip(asked, pool.map(self._dial, asked), strict=True))
        wrong += self._about_packets(seen, met, beside)
        if said.level == "ok":
            for (_, source, port), verdict in met.items():
                if port in NOT_ALLOWED and verdict == "connected":
                    wrong.append(f"called protected, and {source} reaches {port}")
        return Told(found, said, beside, 2 * len(met), tuple(wrong))

    def _kept(self) -> Revision:
        content = self.lab.document
        return Revision(number=self.revision, digest=digest(content), document=canonical_json(content))

    def _dial(self, asked: tuple[Family, str, int]) -> Verdict:
        family, source, port = asked
        return try_port(self.lab.client, DIALLED[family], port, source=source, seconds=1.2)

    def _about_the_kernel(
        self, found: Drift, said: KernelSentence, beside: str, seen: Snapshot
    ) -> Iterator[str]:
        lost = self.in_force()
        told = [each for each in found.findings if each.code not in WITHOUT_EFFECT]
        if lost and not told:
            yield f"not told: {lost}"
        if told and not lost:
            yield f"told and not so: {[each.message for each in told]}"
        if (said.level == "ok") != (not found.findings):
            yield f"the sentence says {said.text} beside {len(found.findings)} findings"
        own = self.own_tables
        if bool(own) != bool(beside):
            yield f"nftables holds {own}, told is {beside!r}"
        rulesets = {family: parse_save(seen.saves[family]) for family in FAMILIES}
        plan = plan_changes(
            self.lab.document, rulesets, revision=self.revision, foreign_tables=seen.foreign_tables
        )
        if any(each.code == "own-nftables" for each in plan.warnings) != bool(own):
            yield "the review does not warn of nftables' own tables"

    def _about_packets(
        self, seen: Snapshot, met: dict[tuple[Family, str, int], Verdict], beside: str
    ) -> Iterator[str]:
        """Compare exposure's rows and traces; behind nftables' own tables only what is refused is claimed."""
        rulesets = {family: parse_save(seen.saves[family]) for family in FAMILIES}
        around = surroundings_of(seen)
        prepared = {family: prepare(rulesets[family], around, family) for family in FAMILIES}
        offers = find_offers(listening_of(seen, rulesets))
        rows = expose(offers, prepared, outside_interfaces(Settings(external_interfaces=(EXTERNAL,)), around))
        for (family, source, port), verdict in met.items():
            arrived, what = verdict == "connected", f"{source} reaches {port}"
            question = Question(source, DIALLED[family], port=str(port), interface=EXTERNAL)
            traced = simulate(prepared[family], read_question(question, around).packet).verdict.kind
            if traced not in ("ACCEPT", "UNKNOWN") and arrived:
                yield f"trace says {traced}, and {what}"
            if traced == "ACCEPT" and not arrived and not beside:
                yield f"trace says that {what}, which is {verdict}"
            who = [
                each for row in rows if row.offer.port == port for each in row.access if each.family == family
            ]
            asked = ip_address(source)
            passes = any(asked in each.passes for each in who)
            unknown = any(asked in each.unknown for each in who)
            if arrived and not passes and not unknown:
                yield f"exposure does not say that {what}"
            if passes and not arrived and not beside:
                yield f"exposure says that {what}, which is {verdict}"


def _difference(before: list[str], after: list[str]) -> list[str]:
    """Return the lines that came or went; our own first load makes DOCKER-USER where Docker has none."""
    made = {":DOCKER-USER -"}
    gone = [f"- {line}" for line in before if line not in after]
    return gone + [f"+ {line}" for line in after if line not in before and line not in made]


@contextlib.contextmanager
def world(name: str) -> Iterator[World]:
    """Build a lab with a neighbour of this name, and the host's own two ports in it."""
    with contextlib.ExitStack() as stack:
        lab = Lab()
        stack.callback(lab.delete)
        for port in (22, 25):
            for address in ("0.0.0.0", "::"):
                stack.enter_context(listening(lab.host, address, port))
        inside = stack.enter_context(neighbourhood(lab))
        built = World(lab, NEIGHBOURS[name](inside, lab))
        built.load()
        yield built
