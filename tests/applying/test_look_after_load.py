"""Pages between a load and the look that follows it, with a real root worker whose look is held back.

Nothing on a page may claim that the snapshot from before the load is what the kernel holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from rules.applying.answer_services import apply_keep_at_console, apply_roll_back
from rules.applying.apply_services import apply_start
from rules.applying.history_selectors import loaded_number
from rules.applying.kernel_selectors import kernel_sentence
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.models import Apply, Host
from rules.seen.snapshot_selectors import latest_snapshot, observe_request
from tests.rig.namespace import Namespace, end_process, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker
from tests.rig.web_pages import HOST, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis, pytest.mark.kernel]

LISTEN = "import socket, time; server = socket.create_server(('', 8443)); time.sleep(600)"
HTTPS = {"scope": "host", "protocol": "tcp", "ports": ["8443"]}
PACKET = "source=192.0.2.9&destination=192.0.2.1&protocol=tcp&port=8443&against=live"
PAGES = (
    "",
    "exposure/",
    "exposure/summary/",
    f"trace/?{PACKET}",
    "live/",
    "live/poll/?",
    "expectations/",
    "review/",
)
Send = Callable[[], object]


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    folder = tmp_path / "hooks"
    folder.mkdir()
    return folder


@pytest.fixture
def worker(queue: RedisServer, namespace: Namespace, tmp_path: Path, hooks: Path) -> Iterator[RootWorker]:
    """A root worker on a host where a program listens on 8443/tcp."""
    namespace.add_interface()
    program = namespace.start(sys.executable, "-c", LISTEN)
    one = RootWorker(queue, namespace, tmp_path)
    one.environment |= {"DOCKERFW_OBSERVE_SECONDS": "3600", "DOCKERFW_HOOK_DIR": str(hooks)}
    one.start().wait_until_serving()
    wait_until("a listener", lambda: ":8443" in namespace.output("ss", "-Hltn"))
    yield one
    one.stop()
    end_process(program)
    print(one.words())


class Dashboard:
    """The pages and services of one admin, who plays the clerk too."""

    def __init__(
        self,
        host: Host,
        alice: Actor,
        worker: RootWorker,
        client: Client,
        commits: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        self.host = host
        self._alice = alice
        self._worker = worker
        self._client = client
        self._commits = commits

    def apply(self) -> Apply:
        """Apply the draft, and wait until it is loaded and recorded."""
        self.host.refresh_from_db()
        with self._commits(execute=True):
            apply = apply_start(
                basis=basis_of(self.host),
                actor=self._alice,
                message="8443",
                draft_version=self.host.draft_version,
            )
        self.wait_for(apply, "awaiting")
        return apply

    def answer(self, send: Callable[..., object], apply: Apply, state: str) -> None:
        """Keep or roll back, and wait for the recorded end."""
        with self._commits(execute=True):
            send(apply=apply, actor=self._alice)
        self.wait_for(apply, state)

    def wait_for(self, apply: Apply, state: str) -> None:
        """Record what the root worker sends until the apply is in a state."""

        def is_recorded() -> bool:
            for outcome in self._worker.delivered():
                outcome_record(outcome=outcome)
            apply.refresh_from_db()
            return apply.state == state

        wait_until(state, is_recorded)
        self.host.refresh_from_db()

    def wait_for_look(self) -> None:
        """Ask for a look as pages do, until there is one of what the kernel holds now."""

        def is_current() -> bool:
            observe_request(self.host)
            view = latest_snapshot(self.host)
            return view is not None and not view.stale

        wait_until("a look", is_current)

    def adopt(self) -> str:
        """Return the words of the page that an attempt to adopt the kernel's rules leads to."""
        return text_of(self._client.get(f"{HOST}/adopt/", follow=True))

    def words(self) -> dict[str, str]:
        """Return the words of each page."""
        return {page: text_of(self._client.get(f"{HOST}/{page}")) for page in PAGES}


@pytest.fixture
def dashboard(
    host: Host,
    alice: Actor,
    worker: RootWorker,
    working: Client,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Dashboard:
    """A dashboard whose draft allows 8443/tcp and expects that."""
    rule_create(host=host, actor=alice, values=HTTPS)
    passes = {"passes": True, "source": "192.0.2.0/24", "protocol": "tcp", "port": 8443, "to": "host"}
    expectation_create(host=host, actor=alice, values=passes)
    return Dashboard(host, alice, worker, working, django_capture_on_commit_callbacks)


def test_no_page_claims_that_the_snapshot_from_before_is_current(
    dashboard: Dashboard, hooks: Path, alice: Actor
) -> None:
    dashboard.wait_for_look()
    hold = hooks / "look-begin"
    hold.touch()
    apply = dashboard.apply()
    assert_overtaken(dashboard, "revision 1 was loaded")
    # The answer ends the look that is held back, and another one follows, which is held back too.
    dashboard.answer(apply_keep_at_console, apply, "confirmed")
    assert_overtaken(dashboard, "revision 1 was loaded")
    hold.unlink()
    dashboard.wait_for_look()
    assert_current(dashboard)

    rule_create(host=dashboard.host, actor=alice, values={**HTTPS, "ports": ["9443"]})
    apply = dashboard.apply()
    dashboard.wait_for_look()
    assert loaded_number(latest_snapshot(dashboard.host)) == 2
    hold.touch()
    dashboard.answer(apply_roll_back, apply, "rolled_back")
    assert_overtaken(dashboard, "revision 2 was rolled back")
    hold.unlink()
    dashboard.wait_for_look()
    assert_current(dashboard)


def assert_overtaken(dashboard: Dashboard, change: str) -> None:
    """Check that every page says what came after its snapshot."""
    view = latest_snapshot(dashboard.host)
    assert view is not None
    assert view.overtaken.endswith(f"before {change}. The next look comes at once.")
    assert loaded_number(view) is None
    assert kernel_sentence(basis_of(dashboard.host)).level == "unknown"
    assert view.overtaken.partition(", ")[2] in dashboard.adopt()
    for page, words in dashboard.words().items():
        assert change in words or (page, change) == ("", "revision 1 was loaded"), page
        assert "Protected:" not in words, page
        assert "Holds now" not in words, page
        assert "No port" not in words, page


def assert_current(dashboard: Dashboard) -> None:
    """Check that the pages claim what the kernel holds."""
    sentence = kernel_sentence(basis_of(dashboard.host))
    assert sentence.text == "Protected: revision 1 is active for IPv4 and IPv6."
    pages = dashboard.words()
    for page, words in pages.items():
        assert "was loaded" not in words, page
        assert "was rolled back" not in words, page
    assert "8443/tcp" in pages["exposure/"]
    assert "anywhere" in pages["exposure/summary/"]
    assert "Allowed." in pages[f"trace/?{PACKET}"]
    assert "Holds now." in pages["expectations/"]
