"""The restore text for self-repair: it restores dockerfw's anchors and changes nothing else.

dockerfw's chains stay as they are, so it helps only while they are intact (drift.py tells).
"""

from __future__ import annotations

from collections.abc import Mapping

from dockerfw.chains.anchors import anchor_work, is_anchor
from dockerfw.chains.names import DOCKER_USER, FORWARD, body
from dockerfw.iptables.model import Ruleset


def render_anchors(wanted: Mapping[str, tuple[str, ...]], live: Ruleset) -> str:
    """Return text for `iptables-restore -n` that puts the anchors first; empty if they are first already.

    It also removes the jumps of dockerfw's own from FORWARD that are not wanted.
    """
    work = anchor_work(wanted, live)
    misplaced = [
        rule
        for rule in work.delete
        if is_anchor(rule) and (rule.chain == FORWARD or body(rule) in wanted.get(rule.chain, ()))
    ]
    lines = [f"-N {DOCKER_USER}"] if work.creates_docker_user else []
    lines += [f"-D {rule.text[3:]}" for rule in misplaced]
    lines += [f"-I {chain} 1 {text}" for chain, text in work.insert]
    return "\n".join(["*filter", *lines, "COMMIT", ""]) if lines else ""
