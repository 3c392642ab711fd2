"""The dashboard's notices about dockerfw itself: versions, a silent clerk, full file systems."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from dockerfw.messages.about import About, about_key
from dockerfw.messages.codec import dump_json
from dockerfw.messages.space import Space
from dockerfw.version import VERSION
from rules.audit.process_services import process_seen
from rules.link import client as queue_client
from rules.models import Host, ProcessNote
from rules.overview import process_selectors as processes
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


def about_store(host: Host, taken: datetime, *, version: str = VERSION, **changes: Any) -> None:
    """Store a report of the root worker about itself, as of the snapshot at `taken`."""
    about = About(
        host=host.name,
        at=taken.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        version=version,
        boot="",
        offset=0.0,
        every=60,
        state=changes.get("state", Space(2**40, 2**41)),
        sets_problem=changes.get("sets_problem", ""),
    )
    queue_client.connection().set(about_key(host.name), dump_json(about.to_json()))


@pytest.fixture
def clerk(db: None) -> ProcessNote:
    """A clerk that reported a moment ago."""
    return ProcessNote.objects.create(name="clerk", version=VERSION, seen_at=timezone.now())


def test_every_page_shows_the_version(working: Client) -> None:
    assert f"dockerfw {VERSION}" in text_of(working.get(f"{HOST}/rules/"))


def test_the_same_version_everywhere_needs_no_notice(working: Client, host: Host, clerk: ProcessNote) -> None:
    about_store(host, snapshot_store(host, None))
    page = text_of(working.get(f"{HOST}/"))
    assert "Restart" not in page
    assert "file system" not in page


def test_another_root_worker_is_named(working: Client, host: Host, clerk: ProcessNote) -> None:
    about_store(host, snapshot_store(host, None), version="0.1.9")
    page = text_of(working.get(f"{HOST}/"))
    assert f"The root worker runs 0.1.9, the web process runs {VERSION}. Restart it: systemctl" in page


def test_a_root_worker_of_0_1_0_is_understood(working: Client, host: Host, clerk: ProcessNote) -> None:
    snapshot_store(host, None)
    page = text_of(working.get(f"{HOST}/"))
    assert f"The root worker runs a version before 0.2.0, the web process runs {VERSION}." in page
    assert "Nothing has been applied yet" in page
    # An earlier report of a newer one does not count.
    about_store(host, timezone.now() - timedelta(seconds=60))
    assert "a version before 0.2.0" in text_of(working.get(f"{HOST}/"))


def test_another_clerk_or_none_is_named(working: Client, host: Host) -> None:
    about_store(host, snapshot_store(host, None))
    assert "The clerk has not reported in yet." in text_of(working.get(f"{HOST}/"))
    note = ProcessNote.objects.create(name="clerk", version="0.1.9", seen_at=timezone.now())
    assert f"The clerk runs 0.1.9, the web process runs {VERSION}." in text_of(working.get(f"{HOST}/"))
    note.version, note.seen_at = VERSION, timezone.now() - timedelta(minutes=6)
    note.save()
    assert "The clerk last reported at" in text_of(working.get(f"{HOST}/"))


def test_a_process_reports_once_a_minute(db: None) -> None:
    process_seen(name="other")
    assert ProcessNote.objects.get(name="other").version == VERSION
    ProcessNote.objects.all().delete()
    process_seen(name="other")
    assert not ProcessNote.objects.filter(name="other").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            Space(2**20, 2**30),
            "has 1.0 MiB left of 1.0 GiB. Until it is writable, applies are refused",
        ),
        (Space(60 * 2**20, 2**30), "has 60.0 MiB left of 1.0 GiB. Free some space before it is full."),
        (Space(2**40, 2**41, 3), "has room for 3 more files only."),
        (Space(2**40, 2**41, None, True), "is read-only."),
    ],
    ids=["scarce", "low", "files", "read-only"],
)
def test_a_nearly_full_state_directory_is_a_notice(
    working: Client, host: Host, clerk: ProcessNote, state: Space, words: str
) -> None:
    about_store(host, snapshot_store(host, None), state=state)
    page = text_of(working.get(f"{HOST}/"))
    assert f"The file system of the root worker's state directory {words}" in page


def test_sets_that_may_be_wrong_are_a_notice(working: Client, host: Host, clerk: ProcessNote) -> None:
    about_store(host, snapshot_store(host, None))
    assert "bound sets" not in text_of(working.get(f"{HOST}/"))
    about_store(host, snapshot_store(host, None), sets_problem="`ss` failed: no sockets")
    page = text_of(working.get(f"{HOST}/"))
    assert "The bound sets may not hold what the host shows" in page
    assert "too little or too much: `ss` failed: no sockets. Restart it: systemctl" in page


def test_a_nearly_full_data_directory_is_a_notice(
    working: Client, host: Host, clerk: ProcessNote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    about_store(host, snapshot_store(host, None))
    monkeypatch.setattr(processes, "data_space", lambda: Space(0, 2**30))
    page = text_of(working.get(f"{HOST}/"))
    assert "The file system of the data directory has 0 B left of 1.0 GiB." in page
    assert "nothing can be edited or applied." in page
