"""Read the verdict on one packet under the kernel's rules, the draft, a revision, or the rules of a day."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.utils import timezone

from dockerfw.chains.container_sets import container_definitions
from dockerfw.document.document import Document
from dockerfw.iptables.errors import FieldError, ParseError
from dockerfw.iptables.model import Family
from dockerfw.messages.snapshot_values import containers_of, surroundings_of
from dockerfw.reach.elsewhere import admit_elsewhere
from dockerfw.reach.question import Question, QuestionError, ResolvedQuestion, read_question
from dockerfw.simulation.simulate import Prepared, simulate
from rules.applying.history_selectors import revision_get
from rules.applying.proposal_selectors import next_number
from rules.asking.trace_row_selectors import TraceRows, lay_out
from rules.draft.basis_selectors import Basis
from rules.draft.draft_selectors import revision_document
from rules.models import Apply, Host
from rules.seen.listening_selectors import listening_of
from rules.seen.snapshot_selectors import SnapshotView
from rules.seen.surroundings_selectors import prepare_family, prepare_family_after

LIVE = "live"
DRAFT = "draft"


class RulesUnread(QuestionError):  # noqa: N818 - it states a fact
    """The rules that the question is about are not known, so it has no answer."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The rules that a packet is tested against; `document` None means the kernel's rules."""

    word: str
    sentence: str
    document: Document | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a packet, and the rules it was tested against."""

    asked: ResolvedQuestion
    ground: Ground
    rows: TraceRows


def answer_question(basis: Basis, view: SnapshotView, question: Question, against: str) -> Answer:
    """Return the verdict on a packet in `view`, the snapshot of `basis`.

    Raises QuestionError, also for the field `against`.
    """
    errors: list[FieldError] = []
    ground: Ground | None = None
    asked: ResolvedQuestion | None = None
    try:
        ground = ground_of(basis, against)
    except QuestionError as error:
        errors += error.errors
    try:
        asked = read_question(question, surroundings_of(view.snapshot), containers_of(view.snapshot))
    except QuestionError as error:
        errors += error.errors
    if ground is None or asked is None:
        raise QuestionError(tuple(errors))
    prepared = _prepared(view, ground, asked.packet.family)
    listening = listening_of(view)
    trace = admit_elsewhere(simulate(prepared, asked.packet), listening, prepared.surroundings)
    documents = [ground.document] if ground.document else [basis.base_document, basis.draft]
    definitions = {
        name: each for known in documents if known for name, each in container_definitions(known).items()
    }
    return Answer(asked, ground, lay_out(trace, prepared.surroundings.sets, definitions))


def ground_of(basis: Basis, against: str) -> Ground:
    """Return the rules for live, draft, a revision number or a day. Raises QuestionError."""
    word = against.strip().lower() or LIVE
    if word == LIVE:
        return Ground(LIVE, "The kernel's rules.")
    if word == DRAFT:
        sentence = "The draft as if it were applied, with the current other rules."
        return Ground(DRAFT, sentence, basis.draft, next_number(basis.host))
    number = word.removeprefix("r")
    if number.isascii() and number.isdigit() and len(number) <= 9:
        revision = revision_get(basis.host, int(number))
        if revision is None:
            raise _wrong(f"there is no revision {number}")
        sentence = f"Revision {revision.number} as if it were loaded, with the current other rules."
        return Ground(str(revision.number), sentence, revision_document(revision), revision.number)
    return _ground_at(basis.host, word)


def read_moment(text: str) -> datetime.datetime | None:
    """Read `2026-05-03` (its end) or `2026-05-03 14:00` in the configured zone, None for anything else."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1970 < moment.year < 9999:
        return None
    if len(text) <= 10:
        moment = datetime.datetime.combine(moment, datetime.time.max)
    try:
        return moment if moment.tzinfo else timezone.make_aware(moment)
    except (ValueError, OverflowError):
        return None


def _ground_at(host: Host, text: str) -> Ground:
    moment = read_moment(text.upper())
    if moment is None:
        raise _wrong(f"{text[:40]} is not live, draft, a revision number, or a day such as 2026-05-03")
    confirmed = Apply.objects.filter(host=host, state=Apply.State.CONFIRMED, finished_at__isnull=False)
    found = (
        confirmed.filter(finished_at__lte=moment).select_related("revision").order_by("-finished_at").first()
    )
    if found is None or found.finished_at is None:
        first = confirmed.order_by("finished_at").first()
        since = f"; the first was on {_day(first.finished_at)}" if first and first.finished_at else ""
        raise _wrong(f"no revision was confirmed by then{since}")
    number = found.revision.number
    sentence = (
        f"Revision {number}, confirmed on {_day(found.finished_at)} and active then, "
        "with the current other rules."
    )
    return Ground(text, sentence, revision_document(found.revision), number)


def _day(moment: datetime.datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %Y, %H:%M}"


def _wrong(message: str) -> QuestionError:
    return QuestionError((FieldError("against", message),))


def _prepared(view: SnapshotView, ground: Ground, family: Family) -> Prepared:
    try:
        if ground.document is None:
            prepared = prepare_family(view, family)
        else:
            prepared = prepare_family_after(view, ground.document, ground.number, family)
    except ParseError as error:
        raise _wrong(f"the live rules of IPv{family} cannot be replayed: {error.message}") from error
    if prepared is None:
        sentence = f"the rules of IPv{family} could not be read on the host"
        raise RulesUnread((FieldError("against", sentence),))
    return prepared
