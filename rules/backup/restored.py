"""What a restore says when it is done: where the former installation is, and what is to be done next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockerfw.document.document import digest
from dockerfw.document.words import counted
from dockerfw.host.observation import observe
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.tokens import printable
from dockerfw.messages.snapshot_values import drift_of
from dockerfw.store.backup import StoredState
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.records import StateError
from dockerfw.store.state import StateDirectory
from dockerfw_site.environment import Environment

MOST_FINDINGS = 5


def next_steps(
    stored: StoredState,
    found: dict[str, Any],
    kept: Sequence[str],
    changed: Sequence[str],
    *,
    whole: bool,
    environment: Environment,
) -> list[str]:
    """Say what was put in place and aside, and what has to follow."""
    lines = [f"{counted(found['revisions'], 'revision')}: each one's digest was computed again and is right."]
    if found["given_up"]:
        lines.append("An apply had not come to its end when the backup was made: it is given up.")
    if any(kept):
        lines.append(f"What was here before is kept: {', '.join(place for place in kept if place)}.")
    if not whole:
        lines.append("Only the database was restored; settings and the root worker's state stay as they are.")
    if whole and not _agree(stored, found):
        lines.append(
            "Root worker and database do not name the same revision as confirmed; what the root worker has "
            "yet to report may settle it, and the next apply will."
        )
    if changed:
        lines.append(
            f"Settings restored: {', '.join(changed)}. Renew Redis' users for this release (python -m "
            f"scripts.stack.redis_users {environment.settings_dir} {environment.host}) and restart Redis."
        )
    lines.append("Start dockerfw again. The first start brings the database up to date.")
    return lines


def _agree(stored: StoredState, found: dict[str, Any]) -> bool:
    confirmed = stored.confirmed
    own = [confirmed.revision, digest(confirmed.document)] if confirmed else None
    return bool(own == found["confirmed"])


def live_words(state: StateDirectory, environment: Environment) -> list[str]:
    """Say how the kernel's rules, which a restore leaves alone, compare with the restored revision."""
    try:
        confirmed = read_confirmed(state.boot)
        if confirmed is None:
            return ["No revision was kept in this backup. The kernel's rules are as they were."]
        snapshot = observe(environment.host)
        rulesets = {family: parse_save(snapshot.saves[family]) for family in snapshot.families}
        drift = drift_of(snapshot, rulesets, confirmed.document, confirmed.revision, loaded=confirmed.loaded)
    except (StateError, NetfilterError, OSError) as error:
        return [f"The kernel's rules are as they were; how they compare cannot be told: {error}"]
    if not drift.findings:
        return [f"The kernel holds the confirmed revision {confirmed.revision}."]
    lines = [
        f"The kernel's rules are as they were, and differ from the confirmed revision {confirmed.revision}:"
    ]
    lines += [f"  {printable(finding.message)}" for finding in drift.findings[:MOST_FINDINGS]]
    if len(drift.findings) > MOST_FINDINGS:
        lines.append(f"  and {len(drift.findings) - MOST_FINDINGS} more")
    lines.append(
        f"To load it: the dashboard's Restore, or {environment.command} rollback {confirmed.revision} "
        f"-m WHY; a reboot does too. Without dockerfw, as root: sh {state.boot}/dockerfw-boot.sh"
    )
    return lines
