"""The output of a finished restore: where the former installation is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockerfw.document.document import digest
from dockerfw.document.words import describe_count
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
SIGNING_KEYS = "A backup has no keys for signing orders. This installation keeps its own."


def next_steps(
    stored: StoredState,
    found: dict[str, Any],
    kept: Sequence[str],
    changed: Sequence[str],
    *,
    whole: bool,
    environment: Environment,
) -> list[str]:
    """Return lines about what was restored, what was kept, and the next steps."""
    revisions = describe_count(found["revisions"], "revision")
    lines = [f"{revisions}: all digests were recomputed and match."]
    if found["given_up"]:
        lines.append("An apply was still running when the backup was made. It is marked as given up.")
    if any(kept):
        lines.append(f"The former installation is kept: {', '.join(place for place in kept if place)}.")
    if not whole:
        lines.append(
            "Only the database was restored. The settings and the root worker's state did not change."
        )
    if whole and not _agree(stored, found):
        lines.append(
            "The root worker and the database have different confirmed revisions. Reports that the root "
            "worker still has to send may fix this, and the next apply will."
        )
    if whole:
        lines.append(SIGNING_KEYS)
    if changed:
        lines.append(
            f"Settings restored: {', '.join(changed)}. Renew Redis' users for this release (python -m "
            f"scripts.stack.redis_users {environment.settings_dir} {environment.host}) and restart Redis."
        )
    lines.append("Start dockerfw again. The first start applies the database's migrations.")
    return lines


def _agree(stored: StoredState, found: dict[str, Any]) -> bool:
    confirmed = stored.confirmed
    own = [confirmed.revision, digest(confirmed.document)] if confirmed else None
    return bool(own == found["confirmed"])


def live_words(state: StateDirectory, environment: Environment) -> list[str]:
    """Compare the kernel's rules, which a restore does not change, with the restored revision."""
    try:
        confirmed = read_confirmed(state.boot)
        if confirmed is None:
            return ["This backup has no confirmed revision. The kernel's rules did not change."]
        snapshot = observe(environment.host)
        rulesets = {family: parse_save(snapshot.saves[family]) for family in snapshot.families}
        drift = drift_of(snapshot, rulesets, confirmed.document, confirmed.revision, loaded=confirmed.loaded)
    except (StateError, NetfilterError, OSError) as error:
        return [f"The kernel's rules did not change. They cannot be compared with the backup: {error}"]
    if not drift.findings:
        return [f"The kernel holds the confirmed revision {confirmed.revision}."]
    lines = [
        f"The kernel's rules did not change, and differ from the confirmed revision {confirmed.revision}:"
    ]
    lines += [f"  {printable(finding.message)}" for finding in drift.findings[:MOST_FINDINGS]]
    if len(drift.findings) > MOST_FINDINGS:
        lines.append(f"  and {len(drift.findings) - MOST_FINDINGS} more")
    lines.append(
        f"To load it, click Restore in the dashboard, or run {environment.command} rollback "
        f"{confirmed.revision} -m REASON. A reboot loads it too. "
        f"Without dockerfw, as root: sh {state.boot}/dockerfw-boot.sh"
    )
    return lines
