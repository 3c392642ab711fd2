"""Runs inside the machine, from dockerfw's clone there: an admin who uses the pages, over real HTTP.

`visitor.py LINK DOCUMENT` becomes the first admin, imports the document, applies it at the review and keeps
it with the key that the page hands out.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time

from scripts.benchmarks.person import Person

HOST = "/hosts/local"
SECONDS = 240.0


def main(link: str, document: str) -> int:
    """Do all of it; status 1 when the apply was not confirmed."""
    alice = Person(link.split("/setup/")[0])
    alice.become_first_admin(link)
    with open(document) as file:
        fields = alice.fields(f"{HOST}/import/", "text")
        sent = {"mode": "replace", "text": file.read(), "confirmed": "yes"}
        alice.post(f"{HOST}/import/", {**fields, **sent})
    review = alice.fields(f"{HOST}/review/", "message")
    page = alice.post(f"{HOST}/review/", {**review, "message": "from the pages"})
    deadline = time.monotonic() + SECONDS
    keep = f"{page.url.rstrip('/')}/keep/"
    while time.monotonic() < deadline:
        found = re.search(r'data-state="(\w+)"', alice.get(page.url).text)
        state = found[1] if found else ""
        if state == "confirmed":
            return 0
        if state in ("failed", "rolled_back"):
            break
        if state == "awaiting":
            # (No key is handed out over a connection from before the clerk has heard of it.)
            with contextlib.suppress(LookupError):
                alice.post(keep, alice.fields(keep, "nonce"))
        time.sleep(0.5)
    print(f"{page.url}: {state}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
