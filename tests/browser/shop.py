"""The sandbox's shop as its admin has it after a week: groups, rules of every kind, a history, a change."""

from __future__ import annotations

import json
import os
import subprocess

from tests.browser.person import PASSWORD
from tests.browser.stack import ROOT, Stack

MAKE_ADMIN = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("alice", password=PASSWORD)
"""
SETTINGS = {"external_interfaces": ["ens33"], "trusted_interfaces": ["lo"], "log_refused": True}
GROUPS: dict[str, object] = {
    "office": {"kind": "static", "entries": ["192.0.2.0/28", "2001:db8:1::/48"], "comment": "both sites"},
    "badguys": {"kind": "static", "entries": ["203.0.113.64/26"], "comment": "kept by hand"},
}
RULES: list[dict[str, object]] = [
    {
        "id": "ssh1",
        "scope": "host",
        "sources": ["@office"],
        "protocol": "tcp",
        "ports": ["22"],
        "comment": "ssh",
    },
    {"id": "web1", "scope": "container", "protocol": "tcp", "ports": ["80", "443"], "comment": "the shop"},
    {
        "id": "logs1",
        "scope": "container",
        "container": "logs/elastic",
        "protocol": "tcp",
        "ports": ["9200"],
        "sources": ["198.51.100.7"],
        "comment": "search for the consultant",
        "expires": "2031-01-31T18:00:00Z",
        "owner": "alice",
        "ticket": "OPS-7",
        "tags": ["search"],
    },
    {"id": "db01", "scope": "container", "protocol": "tcp", "ports": ["3306"], "comment": "a mistake"},
    {"id": "bad1", "action": "block", "scope": "both", "sources": ["@badguys"], "comment": "they scan"},
]
EXPECTATIONS = [
    {"port": 443, "source": "198.51.100.9", "passes": True},
    {"port": 3306, "source": "198.51.100.9", "passes": False},
]


class LivingStack(Stack):
    """A run whose visitors and containers send packets, with alice as its admin."""

    words = ()

    def make_admin(self) -> None:
        """Create alice's account."""
        self.manage("shell", "--command", f"PASSWORD = {PASSWORD!r}\n{MAKE_ADMIN}")

    def load_shop(self) -> None:
        """Apply two revisions of the shop's rules, and leave a change pending."""
        first = [rule for rule in RULES if rule["id"] != "db01"]
        self._import(first)
        self.firewall("apply", "--anyway", "--keep", "-m", "The first rules of the shop")
        self._import(RULES)
        self.firewall(
            "apply", "--anyway", "--keep", "--override", "For an hour only", "-m", "MySQL, for a test"
        )
        pending = [rule for rule in RULES if rule["id"] != "ssh1"]
        self._import([*pending, {**RULES[0], "comment": "ssh for the office", "limit": "6/minute"}])

    def firewall(self, *arguments: str, typed: str = "") -> str:
        """Run the command line of this run and return what it printed."""
        environment = {**os.environ, "DOCKERFW_DATA_DIR": str(self.data)}
        done = subprocess.run(
            ["scripts/firewall", *arguments],
            cwd=ROOT,
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _import(self, rules: list[dict[str, object]]) -> None:
        document = {"format": "dockerfw/2", "settings": SETTINGS, "groups": GROUPS, "rules": rules}
        document["expectations"] = EXPECTATIONS
        self.firewall("import", "-", typed=json.dumps(document))
