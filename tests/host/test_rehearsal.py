"""Rehearsals on the real kernel, in the scratch namespaces that the root worker uses."""

from __future__ import annotations

import pytest

from rules.host import restore
from rules.host.restore import RestoreFailed, rehearse
from rules.netfilter.document import parse_document
from rules.netfilter.model import Family, Ruleset
from rules.netfilter.parse import parse_save
from rules.netfilter.render import render_restore
from rules.queue.snapshots import FAMILIES, Backend

pytestmark = pytest.mark.kernel

IN_A_USER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")


def live_and_wanted(rules: int) -> tuple[dict[Family, Ruleset], dict[Family, str]]:
    """Return a host that holds so many rules of ours, and the texts that load one more."""
    ports = [{"scope": "both", "protocol": "tcp", "ports": [str(1024 + n)]} for n in range(rules + 1)]
    before = parse_document({"format": "dockerfw/1", "rules": ports[:-1]})
    after = parse_document({"format": "dockerfw/1", "rules": ports})
    live: dict[Family, Ruleset] = {}
    for family in FAMILIES:
        text = render_restore(before, family, revision=1).replace("-I INPUT 1", "-A INPUT")
        live[family] = parse_save(text.replace("*filter\n", "*filter\n:INPUT ACCEPT [0:0]\n"))
    return live, {family: render_restore(after, family, live=live[family], revision=2) for family in FAMILIES}


def test_many_rules_fit_the_small_buffers_of_a_user_namespace(
    monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    monkeypatch.setattr(restore, "scratch_namespace", lambda: IN_A_USER_NAMESPACE)
    live, wanted = live_and_wanted(1500)
    rehearse(backend, live, wanted)
    broken = {
        family: text.replace("COMMIT", "-A FILTERS -j NOWHERE\nCOMMIT") for family, text in wanted.items()
    }
    with pytest.raises(RestoreFailed) as caught:
        rehearse(backend, live, broken)
    assert caught.value.family == 4
