"""`python -m scripts.benchmarks.weigh PATH…`: ask for pages in this process, and print their figures as JSON.

It runs with the environment of a running stack's web process, and reads that stack's data.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

ROUNDS: Final = 5


def main(paths: Sequence[str]) -> int:
    """Print the median seconds, bytes, bytes with gzip, and queries of each page."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.http import HttpRequest, HttpResponse
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import include, path

    from dockerfw_site import urls

    def empty(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    urls.urlpatterns = [path("", include([path("empty/", empty)])), *urls.urlpatterns]
    client = Client(headers={"host": "localhost"})
    user = get_user_model().objects.order_by("pk").first()
    assert user is not None
    client.force_login(user)
    found = {}
    for place in paths:
        client.get(place)
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(place)
            took.append(time.perf_counter() - began)
            assert answer.status_code == 200, (place, answer.status_code)
        with CaptureQueriesContext(connection) as queries:
            client.get(place)
        size = len(answer.content)
        found[place] = (
            statistics.median(took),
            size,
            len(gzip.compress(answer.content, 6)),
            len(queries),
        )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
