"""The text that puts our anchors back where they belong, and touches nothing else.

Our chains stay as they are, so it is of use only where they are intact (drift.py says whether they are).
"""

from __future__ import annotations

from dockerfw.chains.anchors import anchor_work, is_anchor, wanted_anchors
from dockerfw.chains.names import DOCKER_USER, body
from dockerfw.document.values import Settings
from dockerfw.iptables.model import Ruleset


def render_anchors(settings: Settings, live: Ruleset) -> str:
    """Return what `iptables-restore -n` is given to have the anchors first; empty when they are."""
    work = anchor_work(settings, live)
    wanted = wanted_anchors(settings)
    misplaced = [rule for rule in work.delete if is_anchor(rule) and body(rule) in wanted.get(rule.chain, ())]
    lines = [f"-N {DOCKER_USER}"] if work.creates_docker_user else []
    lines += [f"-D {rule.text[3:]}" for rule in misplaced]
    lines += [f"-I {chain} 1 {text}" for chain, text in work.insert]
    return "\n".join(["*filter", *lines, "COMMIT", ""]) if lines else ""
