"""What a new version of a list would do to the host, asked before it is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dockerfw.chains.group_sets import bound_group_set, group_definition
from dockerfw.chains.list_judgement import Members
from dockerfw.document.document import Document, canonical_json, digest, parse_document
from dockerfw.document.values import Group
from dockerfw.messages.surroundings import SetMembers
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.lists import sentences
from rules.lists.consequence_selectors import find_harm
from rules.models import Host, Revision
from tests.rig.kernel_reports import snapshot_store
from tests.rig.redis_fixtures import RedisServer

pytestmark = pytest.mark.redis

HOME = Group("home", "names", names=("home.example.org",))
DEFINITION = group_definition(HOME)
ADMIN = "192.0.2.77"


def document(*expectations: dict[str, Any]) -> Document:
    """Return a document that allows SSH for the admins' home."""
    return parse_document(
        {
            "format": "dockerfw/2",
            "settings": {"external_interfaces": ["ens33"]},
            "groups": {"home": {"kind": "names", "names": ["home.example.org"]}},
            "rules": [{"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@home"]}],
            "expectations": list(expectations),
        }
    )


def loaded(host: Host, wanted: Document, *home: str) -> None:
    """Let the host report that it has loaded a document, and that the home has these addresses."""
    names = {family: bound_group_set(HOME, family) for family in (4, 6)}
    sets = tuple(
        SetMembers(
            names[family], "hash:net", home if family == 4 else (), f"family inet{'' if family == 4 else 6}"
        )
        for family in names
    )
    snapshot_store(host, wanted, 1, around={"sets": sets})
    revision = Revision.objects.create(
        host=host, number=1, document=canonical_json(wanted), digest=digest(wanted), author_name="alice"
    )
    Host.objects.filter(pk=host.pk).update(confirmed_revision=revision)
    host.refresh_from_db()


def harm(host: Host, *home: str) -> str:
    """Return what speaks against these addresses of the home."""
    return find_harm(host, {DEFINITION: Members(v4=home)})


def test_an_admin_at_work_is_not_locked_out(queue: RedisServer, host: Host, alice: Actor) -> None:
    loaded(host, document(), ADMIN, "198.51.100.9")
    assert harm(host, "198.51.100.9") == ""
    audit_record(actor=replace(alice, address=ADMIN), verb="rule-create")
    assert harm(host, ADMIN) == ""
    assert harm(host, "198.51.100.9") == sentences.LOCKS_OUT.format(address=ADMIN, port=22)


def test_an_expectation_goes_on_to_hold(queue: RedisServer, host: Host) -> None:
    never = {"port": 22, "source": "203.0.113.0/24", "passes": False}
    loaded(host, document(never), ADMIN)
    assert harm(host, ADMIN, "198.51.100.0/24") == ""
    found = harm(host, ADMIN, "203.0.113.7")
    assert found.startswith(
        "with it an expectation fails (22/tcp of the host from 203.0.113.0/24 is refused)"
    )


def test_what_fails_already_holds_no_list_back(queue: RedisServer, host: Host) -> None:
    never = {"port": 22, "source": "203.0.113.0/24", "passes": False}
    loaded(host, document(never), "203.0.113.7")
    assert harm(host, "203.0.113.8") == ""


def test_without_a_report_nothing_is_judged(queue: RedisServer, host: Host) -> None:
    assert harm(host, ADMIN) == sentences.CANNOT_JUDGE.format(
        why="The root worker has not reported what the kernel holds yet."
    )


def test_a_list_that_no_loaded_rule_names_changes_nothing(queue: RedisServer, host: Host) -> None:
    snapshot_store(host)
    assert harm(host, "203.0.113.7") == ""
