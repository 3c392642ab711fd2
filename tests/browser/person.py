"""An admin in front of a browser, who finds fields by their labels and buttons by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from playwright.sync_api import Locator, Page, expect

from tests.browser.watch import Watch
from tests.rig.namespace import PATIENCE

PASSWORD = "correct horse battery staple"
HOST = "/hosts/local"

expect.set_options(timeout=PATIENCE * 1000)


class Person:
    """One admin with a browser; `watch` collects what goes wrong in it."""

    def __init__(self, page: Page, watch: Watch, name: str = "alice") -> None:
        self.page = page
        self.watch = watch
        self.name = name
        page.context.set_default_timeout(PATIENCE * 1000)

    def goto(self, place: str) -> None:
        """Open a page of the host, e.g. "rules/"."""
        self.page.goto(f"{HOST}/{place}")

    def press(self, name: str | re.Pattern[str]) -> None:
        """Press a button by its name."""
        self.page.get_by_role("button", name=name).click()

    def follow(self, name: str | re.Pattern[str]) -> None:
        """Follow a link by its name."""
        self.page.get_by_role("link", name=name).first.click()

    def create_first_admin(self, link: str) -> None:
        """Open the one-time link and create the account, which signs in."""
        self.page.goto(link)
        self.page.get_by_label("Username", exact=True).fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_label("Repeat password").fill(PASSWORD)
        self.press("Create the account and sign in")
        expect(self.page.locator("details.account")).to_contain_text(self.name)

    def sign_in(self, password: str = PASSWORD) -> None:
        """Sign in on the sign-in page."""
        self.page.goto("/sign-in/")
        self.page.locator("#id_username").fill(self.name)
        self.page.locator("#id_password").fill(password)
        self.press("Sign in")

    def sign_out(self) -> None:
        """Sign out through the account menu."""
        menu = self.page.get_by_role("button", name="Menu")
        if menu.is_visible():
            menu.click()
        self.page.locator("details.account summary").click()
        self.press("Sign out")

    def fill_rule(
        self,
        scope: str,
        ports: str,
        *,
        protocol: str = "tcp",
        source: str = "",
        comment: str = "",
        port_kind: str = "",
    ) -> None:
        """Fill in the rule form that is open."""
        page = self.page
        page.locator(f'input[name="scope"][value="{scope}"]').check()
        page.locator('select[name="protocol"]').select_option(protocol)
        if ports:
            page.get_by_label("Ports", exact=True).fill(ports)
        else:
            page.get_by_label("Every port").check()
        while (remove := page.locator("#source-chips li button")).count():
            remove.first.click()
        page.get_by_label("Sources", exact=True).fill(source)
        page.get_by_label("Name", exact=True).fill(comment)
        if port_kind:
            page.locator(f'input[name="port_kind"][value="{port_kind}"]').check()

    def save_rule(self) -> None:
        """Save the open rule form and come back to the list."""
        self.press(re.compile("^Save (to the draft|mine)$"))
        expect(self.page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()

    def add_rule(self, scope: str, ports: str, **values: str) -> None:
        """Add a valid rule."""
        self.goto("rules/new/")
        self.fill_rule(scope, ports, **values)
        self.save_rule()

    def rule_row(self, text: str) -> Locator:
        """Return the row of the rule table that shows this text."""
        return self.page.locator("#rule-table tbody tr").filter(has_text=text)

    def field_error(self, label: str) -> str:
        """Return the error of a field, found as a screen reader finds it."""
        field = self.page.get_by_label(label, exact=True)
        assert field.get_attribute("aria-invalid") == "true", f"{label} is not marked as wrong"
        described: Sequence[str] = (field.get_attribute("aria-describedby") or "").split()
        errors = [self.page.locator(f"#{name}") for name in described if "error" in name]
        assert errors, f"no error is joined to {label}: {described}"
        return errors[0].inner_text()

    def pending(self) -> int:
        """Return the number of pending changes beside the link to the review; 0 without one."""
        count = self.page.locator("#pending-count .count")
        return int(count.inner_text().split()[0]) if count.count() else 0

    def start_apply(self, message: str, button: str | re.Pattern[str] = "Apply") -> None:
        """Give the reason on the open review page and press the button."""
        self.page.get_by_label("Reason", exact=True).fill(message)
        every_port = self.page.get_by_label("Open every port")
        if every_port.count():
            every_port.check()
        self.page.get_by_role("button", name=button, exact=True).click()

    def apply(self, message: str, button: str | re.Pattern[str] = "Apply") -> None:
        """Review and apply the draft and wait until it is loaded."""
        self.goto("review/")
        self.start_apply(message, button)
        self.expect_applied()

    def expect_awaiting(self) -> None:
        """Wait until the open apply page shows that the rules wait for confirmation."""
        expect(self.page.locator('[data-state="awaiting"]')).to_be_visible()

    def expect_applied(self) -> None:
        """Click Keep on the open apply page, and wait until the revision is confirmed."""
        self.expect_awaiting()
        self.press("Keep")
        expect(self.page.locator('[data-state="confirmed"]')).to_be_visible()
