"""Template tags that put an apply and its review into words. They read no database and decide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django import template

from rules.applying.apply_selectors import ApplyView, StepView
from rules.applying.review_selectors import Review

register = template.Library()

_TONES: Final = {"confirmed": "ok", "failed": "bad", "rolled_back": "warn", "awaiting": "warn"}
_ICONS: Final = {"confirmed": "check", "failed": "cross", "rolled_back": "undo"}
_STEP_ICONS: Final = {"done": "check", "failed": "cross"}
_ALARMS: Final = ("drift", "heal-failed", "heal-rests", "left-out", "sets-refilled")


@register.filter
def state_tone(state: str) -> str:
    """Return the colour of an apply's state: ok, warn, bad, or nothing."""
    return _TONES.get(state, "")


@register.filter
def state_icon(state: str) -> str:
    """Return the icon of an apply's state."""
    return _ICONS.get(state, "wait")


@register.filter
def step_icon(state: str) -> str:
    """Return the icon of a step's state."""
    return _STEP_ICONS.get(state, "wait")


@register.filter
def step_word(state: str) -> str:
    """Return the word for a step's state."""
    return "not reached" if state == "skipped" else state


@register.filter
def has_failed(steps: Sequence[tuple[str, StepView]]) -> bool:
    """Return True if one of the steps failed."""
    return any(step.state == "failed" for _, step in steps)


@register.filter
def steps_sentence(steps: Sequence[tuple[str, StepView]]) -> str:
    """Return the steps in one line: what failed, what runs now, or how many are done in which time."""
    for state, word in (("failed", "failed"), ("running", "running")):
        found = next((words for words, step in steps if step.state == state), None)
        if found is not None:
            return f"{found}: {word}"
    done = [step for _, step in steps if step.state == "done"]
    if not done:
        return "not started"
    seconds = sum(step.seconds or 0.0 for step in done)
    return f"{len(done)} of {len(steps)} done in {seconds:.1f} seconds"


@register.filter
def is_alarm(verb: str) -> bool:
    """Return True if an automatic event needs attention."""
    return verb in _ALARMS


@register.filter
def apply_sentence(view: ApplyView) -> str:
    """Return the state of an apply as a sentence."""
    revision = f"Revision {view.apply.revision.number}"
    if view.state == "confirmed":
        return f"{revision} was loaded, read back and confirmed for IPv4 and IPv6."
    if view.state == "failed":
        return f"{revision} was not applied."
    if view.state == "rolled_back":
        # After a reboot the kernel holds what the boot loaded, which may be something else.
        rebooted = view.way_back is not None and view.way_back.reason == "rebooted"
        return f"{revision} was rolled back{'' if rebooted else '. The previous rules are active again'}."
    if view.state == "awaiting":
        return f"{revision} is loaded but not confirmed."
    return "Waiting for the root worker." if view.state == "queued" else f"Loading {revision.lower()}."


@register.filter
def answer_sentence(view: ApplyView) -> str:
    """Return who ended the confirmation window, empty when no admin did."""
    admin = view.apply.answered_by
    if admin and view.state == "confirmed":
        return f"Confirmed by {admin}."
    asked = view.way_back is not None and view.way_back.reason == "asked"
    if admin and view.state == "rolled_back" and asked:
        return f"Requested by {admin}."
    return ""


@register.simple_tag
def review_title(rollback: int | None, restoring: bool) -> str:
    """Return the title of a review: of the draft, of a roll back, or of loading a revision again."""
    if rollback is None:
        return "Review"
    return f"{'Restore' if restoring else 'Roll back to'} revision {rollback}"


@register.simple_tag
def apply_verb(review: Review, rollback: int | None, restoring: bool) -> str:
    """Return the text of the button that applies what was reviewed."""
    if rollback is not None:
        return review_title(rollback, restoring)
    return f"Apply revision {review.revision_number} again" if review.loads_again else "Apply"


@register.simple_tag
def diff_sentence(review: Review, rollback: int | None, restoring: bool) -> str:
    """Return the differences from the confirmed revision in one sentence."""
    base, what = review.base, "the draft" if rollback is None else f"revision {rollback}"
    if review.diff.count:
        return review.diff.numbers if review.snapshot else review.diff.sentence
    if base is None:
        return "The draft is empty."
    if review.nothing_to_apply:
        return f"Nothing to apply: the kernel holds revision {base.number}, and {what} has the same content."
    if restoring:
        return f"No change of rules or settings: revision {rollback} is the confirmed one."
    return f"No change of rules or settings: {what} has the same content as revision {base.number}."


@register.simple_tag
def diff_hint(review: Review) -> str:
    """Return what applying does although no rule or setting changes, empty where one changes."""
    if review.diff.count:
        return ""
    if review.base is None:
        return "Applying it refuses everything except the basics. Add a rule for your SSH port first."
    if review.nothing_to_apply:
        return ""
    if review.plan is None:
        return "What the kernel holds is unknown. Applying loads the rules again."
    if not review.plan.changes_rules:
        return "dockerfw's chains in the kernel already match. Applying only renews their label."
    if review.sentence.holds_revision:
        return (
            f"The kernel holds revision {review.base.number} as it was loaded. dockerfw would write some of"
            " its rules differently now, as after an upgrade. Applying loads the revision again."
        )
    return "The kernel differs. Applying loads the rules again."
