"""What a browser waits for in the running product: a review with its effects, and the live page of many."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import unescape
from typing import Final

from scripts.benchmarks.measure import Row, in_turn, median, medians, milliseconds, paired_ratio, up_to
from scripts.benchmarks.person import Answer
from scripts.benchmarks.running import HOST, Site

SIZES: Final = (10, 1_000, 10_000)
ROUNDS: Final = 3
VIEWERS: Final = 50
POLLS: Final = 6
EVERY_SECONDS: Final = 2.0
_POLL = re.compile(r'id="live" hx-get="([^"]+)"')
_OPEN = re.compile(r'<details class="card chain" id="([^"]+)" open')


def measure_pages(site: Site, most: int) -> Iterator[Row]:
    """Measure a review, and polls of the live page, with these many rules in draft and kernel."""
    for size in up_to(most, SIZES):
        yield from _review(site, size, "review of a draft of new rules", "draft")
        site.wait_confirmed(site.apply()[1])
        yield from _review(site, size, "review of a change", "pending")
        with site.moving_counters():
            yield from _live(site, size)


def _review(site: Site, size: int, what: str, note: str) -> list[Row]:
    """Import drafts, and time to the last byte the first answer and the effects that its page asks for."""

    def get(path: str) -> float:
        return site.alice.get(path).seconds

    rounds = []
    for number in range(ROUNDS):
        site.import_rules(size, note=f"{note} {number}")
        parts = [
            partial(get, path) for path in ("/healthz", f"{HOST}/review/", f"{HOST}/review/?effects=yes")
        ]
        rounds += in_turn(parts, rounds=1)
    whole = [(floor, first + effects) for floor, first, effects in rounds]
    floor, first, _ = medians(rounds)
    ratio, aim = paired_ratio(whole, 1, 0), "at most 1,000 ms" if size == SIZES[-1] else None
    return [
        milliseconds(f"{what}: first answer", size, first, floor, ratio=paired_ratio(rounds, 1, 0)),
        milliseconds(f"{what}, weighed", size, medians(whole)[1], floor, ratio=ratio, aim=aim),
    ]


def _live(site: Site, size: int) -> list[Row]:
    """Time the polls of 50 open live pages, each with what its last answer told it to ask for."""
    began = site.processor_seconds("web")
    with ThreadPoolExecutor(VIEWERS) as viewers:
        starts = [viewer * EVERY_SECONDS / VIEWERS for viewer in range(VIEWERS)]
        polls = [poll for found in viewers.map(partial(_view, site), starts) for poll in found]
    # (The page itself costs about as much as a poll.)
    each = (site.processor_seconds("web") - began) / (len(polls) + VIEWERS)
    seconds = [poll.seconds for poll in polls]
    news = [poll for poll in polls if poll.text]
    what = f"live page, {VIEWERS} viewers, counters moving"
    slowest = statistics.quantiles(seconds, n=100)[-1]
    rows = [
        milliseconds(f"{what}: median poll", size, median(seconds)),
        milliseconds(f"{what}: 99th percentile", size, slowest, aim="under 100 ms"),
        milliseconds(f"{what}: processor time of a poll", size, each),
        Row(f"{what}: polls with news", size, 100 * len(news) / len(polls), "%"),
    ]
    if news:
        html, sent = medians((len(poll.text.encode()) / 1000, poll.sent / 1000) for poll in news)
        rows += [
            Row(f"{what}: HTML of a poll with news", size, html, "kB"),
            Row(f"{what}: a poll with news, as sent", size, sent, "kB", aim="at most 20 kB"),
        ]
    return rows


def _view(site: Site, start: float) -> list[Answer]:
    """Open the live page and poll it; return the answers to the polls."""
    time.sleep(start)
    page, found = site.alice.get(f"{HOST}/live/").text, []
    due = time.monotonic()
    for _ in range(POLLS):
        due += EVERY_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        opened = "".join(f"&open={name}" for name in _OPEN.findall(page))
        address = _POLL.search(page)
        assert address is not None
        answer = site.alice.get(f"{unescape(address[1])}&opened=yes{opened}", htmx=True)
        found.append(answer)
        page = answer.text or page
    return found
