"""`python -m scripts.benchmarks.weigh ROUNDS PATH…`: ask for pages here, and print figures as JSON.

It runs with the environment of a running stack's web process, and reads that stack's data.
"""

from __future__ import annotations

import functools
import gc
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - Django has to know its settings first
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.urls import include, path  # noqa: E402

from dockerfw.messages.orders import observe_key  # noqa: E402
from dockerfw_site import urls  # noqa: E402
from dockerfw_site.garbage import Collector  # noqa: E402
from rules.link import client as link  # noqa: E402
from rules.seen.memory import Memory  # noqa: E402
from scripts.benchmarks.measure import forget_results, in_turn  # noqa: E402
from tests.rig.namespace import wait_until  # noqa: E402

LONGEST_MS: Final = 3_600_000
EMPTY: Final = "/empty/"
HOST: Final = "local"


def main(rounds: int, places: Sequence[str]) -> int:
    """Print for each page the seconds beside an empty view, the bytes, those with gzip, and the queries.

    They are seconds of the processor: a page waits for hardly anything else, and a busy machine adds nothing.
    """
    urls.urlpatterns = [path("", include([path("empty/", _empty)])), *urls.urlpatterns]
    client = Client(headers={"host": "localhost"})
    user = get_user_model().objects.order_by("pk").first()
    assert user is not None
    client.force_login(user)
    # As in the web process, whose answers no collection interrupts. Memories are found among all objects.
    Collector().start()
    gc.unfreeze()
    try:
        _allow_looks_after(LONGEST_MS)
        print(json.dumps({place: _weigh(client, place, rounds) for place in places}))
    finally:
        _allow_looks_after(1)
    return 0


def _weigh(client: Client, place: str, rounds: int) -> dict[str, object]:
    print(f"weighing {place}", file=sys.stderr)
    # What the process makes once, such as templates, is not the page's.
    _seconds(client, place)
    found: dict[str, object] = {}
    for name, (prepare, more) in PREPARED.items():
        calls = [
            functools.partial(_seconds, client, EMPTY),
            functools.partial(_prepared, client, place, prepare),
        ]
        found[name] = in_turn(calls, rounds=rounds + more)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(place)
    sizes = (len(answer.content), len(gzip.compress(answer.content, 6)), len(queries))
    return {**found, **dict(zip(("html", "gzip", "queries"), sizes, strict=True))}


def _prepared(client: Client, place: str, prepare: Callable[[], object]) -> float:
    prepare()
    return _seconds(client, place)


def _seconds(client: Client, place: str) -> float:
    gc.collect()
    began = time.process_time()
    answer = client.get(place)
    took = time.process_time() - began
    assert answer.status_code == 200, (place, answer.status_code)
    return took


def _empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _wait_for_look() -> None:
    before = link.snapshot_head(HOST)
    _allow_looks_after(1)
    wait_until("leave to ask for a look", lambda: link.observe_send(HOST))
    wait_until("a new look", lambda: link.snapshot_head(HOST) != before)
    _allow_looks_after(LONGEST_MS)


def _allow_looks_after(milliseconds: int) -> None:
    """Keep pages from asking for a look: it would come between two figures, and reviews would wait for it."""
    link.connection().set(observe_key(HOST), "1", px=milliseconds)


def _empty_memories() -> None:
    for each in gc.get_objects():
        if type(each) is Memory:
            each._known.clear()
            each._weights.clear()
    forget_results()


# What comes before each request of a kind, and how many rounds more it gets.
PREPARED: Final[Mapping[str, tuple[Callable[[], object], int]]] = {
    "warm": (lambda: None, 2),
    "moved": (_wait_for_look, 0),
    "cold": (_empty_memories, 0),
}

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
