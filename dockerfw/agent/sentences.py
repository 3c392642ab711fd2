"""Sentences of the root worker that admins read: in outcomes, audit events, logs and on the console."""

from __future__ import annotations

from typing import Final

# Steps of an apply.
REHEARSED: Final = "loaded in a scratch network namespace"
REHEARSED_WITHOUT_LOG: Final = (
    "loaded in a scratch network namespace without the lines that log refused packets: this kernel has no"
    " NFLOG or no hashlimit"
)
LOG_LEFT_OUT: Final = "refused packets are not logged: this kernel has no NFLOG or no hashlimit ({error})"
SETS_PREPARED: Final = "{sets} ipsets with {members} members"
RETURNS_UNLESS_KEPT: Final = "the previous rules return after {seconds} s unless you click Keep"
NO_IPV6: Final = "this kernel has no IPv6, so there is nothing to load or refuse"

# Reasons to refuse an order.
WINDOW_IS_OPEN: Final = "{waiting}. Keep it or roll it back first"
ORDER_FOR_OTHER_HOST: Final = "the order is for the host {named!r}, and this is {host!r}"
ORDER_EXPIRED: Final = "the order is refused: {reason}. Apply again"
ORDER_REPLAYED: Final = (
    "the order's sequence number {sequence} is not above {last}, the last one that was accepted: the order is"
    " old or was sent twice"
)
ORDER_AHEAD: Final = (
    "the order's sequence number {sequence} is more than {minutes} minutes ahead of this host's clock: the"
    " clocks differ, or the order is not the dashboard's"
)
LAST_ORDER_AHEAD: Final = (
    "the last sequence number that was accepted, {last}, is more than {minutes} minutes ahead of this host's"
    " clock, so every order is refused. Run the command reset-sequence on the host, as root"
)
DIGEST_DIFFERS: Final = "the document's digest is {found}, and the order says {ordered}"
UNTRUSTED_ORDER: Final = (
    "The order is refused: {fault}. Nothing was changed. Apply again. If that fails too, run the"
    " command doctor on the host"
)
UNREADABLE_ORDER: Final = "The order cannot be read: {error}"

# How an apply failed.
READ_BACK_DIFFERS: Final = (
    "the kernel does not hold what was loaded: {what} differ when read back. Another program may have changed"
    " the rules at the same moment"
)
SETS_OF_SOURCES: Final = "the ipsets of sources"
NOTHING_CHANGED_IN_KERNEL: Final = "{summary}. Nothing was changed in the kernel."
PREVIOUS_RULES_RESTORED: Final = "{summary}. The previous rules are restored."
RESTORING_FAILED: Final = (
    "{summary}. Restoring the previous rules failed too: {error}. The watchdog retries until it works. Until"
    " then, check the live page"
)
JOB_DIED: Final = "The process that loaded the rules died or timed out. Nothing was changed."
WORKER_STOPPED: Final = "The root worker was stopped in the middle of the apply. Nothing was changed."

# Expectations.
NO_EXPECTATIONS: Final = "there are none"
NOT_CHECKED: Final = (
    "{expectations} not checked: other programs have {lines} rules, and at most {most} are checked"
)
NOT_MET: Final = "{expectations} not met. {named}"
MORE: Final = "; and {count} more"
HOLD: Final = "{count} of {total} hold"
OVERRIDDEN: Final = "overridden: {named}"

# Looks at the kernel.
LOOK_CUT_OFF: Final = "the look at this host failed or was ended after {seconds:.0f} seconds"
SNAPSHOT_TOO_LARGE: Final = "the snapshot has {bytes} bytes; at most {most} are stored"

# Drift and self-repair.
DRIFT_GONE: Final = "The kernel holds revision {revision} again, and its jumps come first."
MORE_LINES: Final = "  and {count} more lines"
EXPIRED: Final = "{done}, since these rules have expired: {rules}"
MORE_EXPIRED: Final = "; and {rules} more"
SELF_REPAIRED: Final = "Self-repair restored {what} of revision {revision}.\n{drift}"
SELF_REPAIR_FAILED: Final = "Self-repair could not restore {what}: {problem}\n{drift}"
JUMPS: Final = "the jumps"
SOURCE_LISTS: Final = "the source lists"
JUMPS_AND_SOURCE_LISTS: Final = "the jumps and the source lists"
SELF_REPAIR_PAUSED: Final = (
    "Self-repair restored the jumps {most} times, or tried to, and they are missing or not first again. It"
    " pauses for {minutes:.0f} minutes. Find the program that changes them."
)

# Panic and release.
PANIC_NOT_HELD: Final = "the kernel does not hold the panic: another program changed the rules meanwhile"
PANIC_STILL_HELD: Final = "the panic is still in the kernel: another program changed the rules meanwhile"
JUMPS_STILL_HELD: Final = (
    "jumps to dockerfw are still in the kernel: another program changed the rules meanwhile"
)
FOREIGN_JUMP_STAYS: Final = "IPv{family}: this rule is not dockerfw's and stays: {rule}"
RELEASE_AGAIN: Final = "an apply waits for confirmation: after it was rolled back, release the host once more"
NOT_ROLLED_BACK: Final = "an apply waits for confirmation and could not be rolled back: {error}"
ENDED_FIRST: Final = "the apply of revision {revision} was waiting for confirmation and has been ended first"
SELF_REPAIR_RESTORES: Final = "self-repair, where it is on, will restore these jumps ({reason})"
APPLY_WAS_RUNNING: Final = "an apply was running at the same time: check the rules, and repeat this if needed"
STATE_UNUSABLE: Final = "the state directory {path} cannot be used ({reason})"
RULES_UNREADABLE: Final = "the rules cannot be read: {error}"
RESTORE_FAILED_TOO: Final = "Restoring the previous rules failed too: {error}"
NOTHING_CHANGED: Final = "Nothing was changed."

NO_LISTS_SIGNER = "this host has no public key for orders about lists"
LISTS_LOADED = "The ipsets {names} were filled."
LISTS_FAILED = "The lists stay as they were: {why}."
