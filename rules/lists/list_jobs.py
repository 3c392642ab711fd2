"""The jobs that fetch lists, and the processes that run them beside the clerk.

The clerk hands out what is due by the table, and each job runs in a forked process with a time limit. DNS
names have a queue of their own: they are asked each minute, and a slow feed must not hold them up.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone

from dockerfw.worker.companion import Companion
from dockerfw.worker.entries import AllowedJob, list_ids
from dockerfw.worker.worker import LockedWorker
from rules.link import client
from rules.link.fetching import Outbound
from rules.lists import sentences
from rules.lists.list_selectors import versions_on_host
from rules.lists.list_services import list_fail, list_record, list_release, lists_claim
from rules.lists.send_services import lists_send
from rules.lists.source_reading import Access, Source, SourceFailed, read_source
from rules.models import GroupList, Host

FEEDS_QUEUE = "lists"
NAMES_QUEUE = "names"
FETCH = "fetch_list"
SEND = "send_lists"
JOB_SECONDS = 240.0
# A host that does not hold its lists is sent them this often, and all is compared this often.
SEND_AGAIN_SECONDS = 60.0
COMPARE_SECONDS = 600.0

logger = logging.getLogger(__name__)

# What each host held when its lists were last sent, and when that was.
_sent: dict[int, tuple[object, float]] = {}


def hand_out_lists() -> int:
    """Send a job for each list that is due, and return how many. Raises DatabaseError."""
    sent = 0
    for row in lists_claim():
        queue = NAMES_QUEUE if row.kind == GroupList.Kind.NAMES else FEEDS_QUEUE
        try:
            client.list_job_send(queue=queue, func=FETCH, key=row.pk)
            sent += 1
        except client.QueueError as error:
            logger.warning("%s is not fetched now: %s", row, error)
            list_release(row=row)
    return sent


def hand_out_hosts() -> int:
    """Send a job for each host that may not hold its lists, and return how many. Raises DatabaseError."""
    now, sent = time.monotonic(), 0
    for host in Host.objects.all():
        rows = GroupList.objects.filter(host=host, wanted=True, accepted__isnull=False)
        columns = ("definition", "accepted__number", "allow", "block", "loaded_allow", "loaded_block")
        wanted = tuple(rows.order_by("definition").values_list(*columns))
        on_host = versions_on_host(host)
        if on_host is None or (not wanted and not on_host):
            continue
        mark, known = (wanted, tuple(sorted(on_host.items()))), _sent.get(host.pk)
        is_held = {row[0]: row[1] for row in wanted} == on_host
        pause = COMPARE_SECONDS if is_held else SEND_AGAIN_SECONDS
        if known is not None and known[0] == mark and now - known[1] < pause:
            continue
        try:
            client.list_job_send(queue=NAMES_QUEUE, func=SEND, key=host.pk)
            _sent[host.pk] = (mark, now)
            sent += 1
        except client.QueueError as error:
            logger.warning("the lists of %s are not sent now: %s", host, error)
    return sent


def send_lists(key: int) -> None:
    """Send a host its lists. Raises DatabaseError."""
    connections.close_all()
    try:
        host = Host.objects.filter(pk=key).first()
        if host is not None and lists_send(host=host):
            logger.info("sent the lists of %s", host)
    except client.QueueError as error:
        logger.warning("the lists are not sent now: %s", error)
    finally:
        connections.close_all()


def fetch_list(key: int) -> None:
    """Fetch one list and record what its source says. Raises DatabaseError."""
    connections.close_all()
    try:
        row = GroupList.objects.filter(pk=key, wanted=True).first()
        if row is None:
            return
        source = source_of(row)
        # The network may take long: no connection of the database is held for it.
        connections.close_all()
        try:
            answer = read_source(source, access(), timezone.now())
        except SourceFailed as error:
            logger.warning("%s: %s", row, error)
            list_fail(key=key, problem=str(error))
        else:
            list_record(key=key, answer=answer)
    finally:
        connections.close_all()


def note_cut_off(name: str, arguments: list[object]) -> None:
    """Record that the process of a job was killed, most often because its time was over."""
    if name != FETCH or len(arguments) != 1 or type(arguments[0]) is not int:
        return
    connections.close_all()
    try:
        list_fail(key=arguments[0], problem=sentences.CUT_OFF.format(seconds=JOB_SECONDS))
    except DatabaseError as error:
        logger.warning("a fetch that was cut off could not be recorded: %s", error)
    finally:
        connections.close_all()


def source_of(row: GroupList) -> Source:
    """Return where a list comes from, and what is known of the last time."""
    # After an error the source is asked for everything: what was not used is not known.
    etag = row.etag if row.accepted_id is not None or row.held_id is not None else ""
    return Source(
        kind=row.kind,
        url=row.source.get("url", ""),
        names=tuple(row.source.get("names", ())),
        countries=tuple(row.source.get("countries", ())),
        allow_http=row.allow_http,
        etag=etag,
        answers=row.answers,
    )


def access() -> Access:
    """Return how sources are reached, by this process's settings."""
    environment = settings.ENVIRONMENT
    outbound = Outbound(
        internal=environment.outbound_internal,
        ca_file=environment.outbound_ca_file,
        proxy=environment.outbound_proxy or "",
    )
    return Access(outbound, environment.name_servers, environment.country_file)


ALLOWED = {
    FETCH: AllowedJob(fetch_list, arguments=(int,), seconds=JOB_SECONDS),
    SEND: AllowedJob(send_lists, arguments=(int,), seconds=JOB_SECONDS),
}


def list_workers() -> tuple[Companion, ...]:
    """Return the processes that fetch lists, not started yet."""
    return tuple(Companion(queue, partial(_serve, queue)) for queue in (FEEDS_QUEUE, NAMES_QUEUE))


def _serve(queue: str) -> None:
    connections.close_all()
    LockedWorker(
        queue,
        connection=client.worker_connection(),
        ids=list_ids(),
        allowed=ALLOWED,
        on_crash=note_cut_off,
    ).work()
