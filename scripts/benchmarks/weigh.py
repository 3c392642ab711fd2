"""`python -m scripts.benchmarks.weigh PATH…`: ask for pages in this process, and print their figures as JSON.

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

from dockerfw_site import urls  # noqa: E402
from rules.link import client as link  # noqa: E402
from rules.seen.memory import Memory  # noqa: E402
from scripts.benchmarks.measure import forget_results, in_turn  # noqa: E402
from tests.rig.namespace import wait_until  # noqa: E402

ROUNDS: Final = 3
EMPTY: Final = "/empty/"
HOST: Final = "local"


def main(places: Sequence[str]) -> int:
    """Print for each page the seconds beside an empty view, the bytes, those with gzip, and the queries.

    They are seconds of the processor: a page waits for hardly anything else, and a busy machine adds nothing.
    """
    urls.urlpatterns = [path("", include([path("empty/", _empty)])), *urls.urlpatterns]
    client = Client(headers={"host": "localhost"})
    user = get_user_model().objects.order_by("pk").first()
    assert user is not None
    client.force_login(user)
    print(json.dumps({place: _weigh(client, place) for place in places}))
    return 0


def _weigh(client: Client, place: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, prepare in PREPARED.items():
        # What the process makes once, such as templates, is not the page's.
        _seconds(client, place, prepare)
        calls = [functools.partial(_seconds, client, each, prepare) for each in (EMPTY, place)]
        found[name] = in_turn(calls, rounds=ROUNDS)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(place)
    sizes = (len(answer.content), len(gzip.compress(answer.content, 6)), len(queries))
    return {**found, **dict(zip(("html", "gzip", "queries"), sizes, strict=True))}


def _seconds(client: Client, place: str, prepare: Callable[[], object]) -> float:
    prepare()
    # A review waits for the look that it asks for itself, which is no work of the server.
    link.observe_send(HOST)
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
    wait_until("a new look", lambda: link.observe_send(HOST) or link.snapshot_head(HOST) != before)
    wait_until("a new look", lambda: link.snapshot_head(HOST) != before)


def _empty_memories() -> None:
    for each in gc.get_objects():
        if type(each) is Memory:
            each._known.clear()
            each._weights.clear()
    forget_results()


PREPARED: Final[Mapping[str, Callable[[], object]]] = {
    "warm": lambda: None,
    "moved": _wait_for_look,
    "cold": _empty_memories,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
