"""A watch over pages for console errors, script errors, CSP violations and failed requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, Response

# How Chromium and Firefox call a request that its page ended.
_ABORTED = {"net::ERR_ABORTED", "NS_BINDING_ABORTED"}
# The digest of `body {}`, which Playwright puts into a page of Firefox for a moment, for a screenshot.
_OF_A_SCREENSHOT = "sha256-YjaKGiklmzC6wjXA513HAMmzus8VE61XCOT+SmwNZWA="
# The browser's own report, which reaches the console without a script of the page. An element that has
# left the page meanwhile is only in what the browser writes there itself.
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", function (event) {
  if (event.target === document && event.blockedURI === "inline") return;
  console.error("CSP violation: " + event.violatedDirective + " " + event.blockedURI + " " + event.sample);
});
document.addEventListener("htmx:timeout", function (event) {
  const polls = event.target.id === "apply-status" && event.detail.requestConfig.verb === "get";
  if (polls) console.debug("LATE_POLL");
});
"""
# What htmx writes about a poll of the page of an apply that got no answer in its 3 seconds. On a busy machine
# that happens; the page says so and asks again.
_LATE_POLL = ("htmx:afterRequest", "htmx:timeout")


class Watch:
    """Collects what goes wrong in every page of a browser context."""

    def __init__(self, context: BrowserContext) -> None:
        """Watch the pages that this context opens from now on."""
        self.troubles: list[str] = []
        self._expected: set[int] = set()
        self._offline = False
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("page", self._watch_page)

    def _watch_page(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)

    def _on_error(self, error: Error) -> None:
        if _OF_A_SCREENSHOT not in error.message:
            self.troubles.append(f"script error: {error}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "debug" and message.text == "LATE_POLL":
            self._forgive_late_poll(message.page)
        # The browser's line about an answer's status; the answer itself is judged in _on_response.
        about_status = "the server responded with a status of" in message.text
        if message.type in {"error", "warning"} and not about_status and not self._offline:
            self.troubles.append(
                f"console {message.type}: {message.text} ({message.page and message.page.url})"
            )

    def _forgive_late_poll(self, page: Page | None) -> None:
        for name in _LATE_POLL:
            about = (
                trouble
                for trouble in self.troubles
                if trouble.startswith(f"console error: {name}") and trouble.endswith(f"({page and page.url})")
            )
            told = next(about, None)
            if told is not None:
                self.troubles.remove(told)

    def _on_failure(self, request: Request) -> None:
        # Leaving a page ends its running polls, and a download ends its navigation.
        if request.failure not in _ABORTED and not self._offline:
            self.troubles.append(f"failed request: {request.method} {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        # Browsers keep a spare connection. One from before the load does not count: the page asks again.
        again = response.url.endswith("/nonce/") or "x-keep-again" in response.headers
        if response.status == 409 and again:
            return
        if response.status >= 400 and response.status not in self._expected:
            self.troubles.append(f"status {response.status}: {response.request.method} {response.url}")

    @contextlib.contextmanager
    def expecting(self, *statuses: int) -> Iterator[None]:
        """Accept answers with these statuses within a `with` block."""
        before = self._expected
        self._expected = before | set(statuses)
        try:
            yield
        finally:
            self._expected = before

    @contextlib.contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Accept requests that get no answer within a `with` block."""
        self._offline = True
        try:
            yield
        finally:
            self._offline = False

    def assert_quiet(self) -> None:
        """Fail if anything went wrong so far."""
        assert not self.troubles, "\n".join(self.troubles)
