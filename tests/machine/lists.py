"""The chapters of the story about lists and refused packets: a feed, a container's name, the kernel's log.

They need an installation with an applied revision. story.py applies, reboots and orders the chapters.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.machine.machine import Machine
from tests.machine.sight import Sight, expect
from tests.machine.tree import ROUTER

FEED = "/srv/partner.txt"
# Networks of nobody, so that the list may grow by one address and is not held.
SOME, MORE = "198.51.100.0/24\n2001:db8:7::/48\n", f"198.51.100.0/24\n2001:db8:7::/48\n{ROUTER}\n"
HELD = {"198.51.100.0/24", "2001:db8:7::/48", ROUTER}
# No container can run in the machine, whose control groups are read-only: this one is never there.
SHOP, SHUT = "shop", 9093
INTERNAL = "DOCKERFW_OUTBOUND_INTERNAL=1"
SOCKET = "DOCKERFW_DOCKER_SOCKET=/run/docker.sock"
RESTART = "systemctl restart dockerfw-clerk dockerfw-root"


def document(open_port: int, partner_port: int) -> str:
    """Allow one port to all, one to the feed's networks, and that of the container by its name."""
    feed = {"kind": "feed", "url": f"http://127.0.0.1:{open_port}/{Path(FEED).name}", "allow_http": True}
    rules = [
        {"scope": "both", "protocol": "tcp", "ports": [str(open_port)]},
        {"scope": "host", "protocol": "tcp", "ports": [str(partner_port)], "sources": ["@partner"]},
        {"scope": "container", "container": SHOP, "protocol": "tcp", "ports": [str(SHUT)]},
    ]
    settings = {"external_interfaces": ["host0"]}
    whole = {"format": "dockerfw/2", "settings": settings, "groups": {"partner": feed}, "rules": rules}
    return json.dumps(whole)


class Lists:
    """Changes what lists stand for in one machine, and reads what its kernel holds of them."""

    def __init__(self, machine: Machine, sight: Sight) -> None:
        self._machine = machine
        self._sight = sight

    def prepare(self) -> None:
        """Write the feed, and let dockerfw fetch from this machine and ask its Docker."""
        self.serve(SOME)
        self._machine.sh(
            f"echo {INTERNAL} >>/etc/dockerfw/site.env; echo {SOCKET} >>/etc/dockerfw/host.env; {RESTART}"
        )
        self._sight.await_serving()

    def clear(self) -> None:
        """Take back what `prepare` did."""
        self._machine.sh(
            f"rm {FEED}; sed -i '/^{INTERNAL}$/d' /etc/dockerfw/site.env; "
            f"sed -i '\\,^{SOCKET}$,d' /etc/dockerfw/host.env; {RESTART}"
        )
        self._sight.await_serving()

    def serve(self, networks: str) -> None:
        """Let the feed have these networks from now on."""
        self._machine.run("sh", "-c", f"cat >{FEED}; chmod 644 {FEED}", stdin=networks)

    def refresh(self) -> None:
        """Ask for the feed at once."""
        self._machine.run("dockerfw", "groups", "refresh", "partner")

    def networks(self) -> set[str]:
        """Return the members of the sets of networks: the feed's."""
        return self._members("hash:net")

    def containers(self) -> set[str] | None:
        """Return the members of the sets of addresses with ports, those of containers; None without a set."""
        return self._members("hash:net,port") if " hash:net,port " in self._saved() else None

    def refusal(self, port: int) -> dict[str, object] | None:
        """Return the newest packet for a port that the log of refused packets has, or None."""
        told = json.loads(self._machine.run("dockerfw", "refused", "--json", "--port", str(port)).stdout)
        return told[-1] if told else None

    def check_the_log(self) -> None:
        """Ask the doctor whether the kernel's log is read. Raises AssertionError."""
        told = json.loads(self._machine.run("dockerfw", "doctor", "--json", check=False).stdout)
        levels = {check["id"]: (check["level"], check["text"]) for check in told["checks"]}
        level, text = levels["chains.log"]
        expect(level == "ok" and "which is read" in text, text)
        reader = self._machine.sh("ps -eo user,args | grep '[r]eader_process'")
        users = {line.split()[0] for line in reader.splitlines()}
        expect(users == {"nobody"}, f"the reader of refused packets does not run as nobody:\n{reader}")

    def _members(self, kind: str) -> set[str]:
        saved = self._saved()
        sets = set(re.findall(rf"^create (\S+) {kind} ", saved, re.MULTILINE))
        found = re.findall(r"^add (\S+) (\S+)", saved, re.MULTILINE)
        return {member for name, member in found if name in sets}

    def _saved(self) -> str:
        return self._machine.sh("ipset save")
