"""Exposure and trace on a real kernel: a packet meets what the pages predict.

A server listens in the sandbox, and a client at the other end of ens33 connects to it.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, StorageState, expect

from tests.browser.conftest import NewPerson
from tests.browser.doorway import ADDRESS, entering, world_of
from tests.browser.person import Person
from tests.browser.screens import Screens
from tests.browser.stack import Stack
from tests.rig.namespace import PATIENCE, end_process, wait_until

pytestmark = pytest.mark.browser

PORT = 8443
# Outside the host's networks: it arrives by the default route.
STRANGER = "203.0.113.5"
# The listening programs, with the names that the page must show.
LISTENING = {
    "sshd": ("0.0.0.0:2222", "[::]:2222"),
    "caddy": ("0.0.0.0:8090", "[::]:8090", f"0.0.0.0:{PORT}", f"[::]:{PORT}"),
    "redis-server": ("127.0.0.1:6379",),
}
SERVE = """
import socket, sys
servers = []
for text in sys.argv[1:]:
    address, _, port = text.rpartition(":")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    servers.append(socket.create_server((address.strip("[]"), int(port)), family=family))
while True:
    servers[0].accept()[0].close()
"""
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).close()
    print("in")
except OSError as error:
    print("out", error.errno)
"""


@contextlib.contextmanager
def served(stack: Stack) -> Iterator[None]:
    """Run the listening programs inside the sandbox for a `with` block.

    They have no capabilities, as services mostly have not: whose process has more than the root worker's is
    not to be looked into by it, and has no name on the page.
    """
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--pdeathsig=KILL", "--")
    processes = []
    try:
        for name, places in LISTENING.items():
            program = stack.directory / name
            if not program.exists():
                program.symlink_to(Path(sys.executable).resolve())
            command = [*entering(stack.pid("root worker")), *bare, str(program), "-c", SERVE, *places]
            processes.append(subprocess.Popen(command))
        wanted = [place.rpartition(":")[2] for places in LISTENING.values() for place in places]
        for port in wanted:
            wait_until(
                f"a listener on {port}",
                lambda port=port: f":{port} " in stack.in_sandbox("ss", "-Hltn"),  # type: ignore[misc]
            )
        yield
    finally:
        for process in processes:
            end_process(process)


def gets_in(stack: Stack, port: int) -> bool:
    """Connect to the host from the other end of ens33."""
    command = [*entering(world_of(stack)), sys.executable, "-c", DIAL, ADDRESS, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.startswith(("in", "out")), done
    return done.stdout.startswith("in")


def row(person: Person, port: str) -> Locator:
    """Return the row of a port."""
    name = re.compile(rf"^{re.escape(port)}$")
    return person.page.locator("table.exposure tbody tr").filter(has=person.page.get_by_text(name))


def wait_for_row(person: Person, port: str, text: str = "") -> Locator:
    """Reload the page until a snapshot has the port, in a row with this text.

    After an apply the look at the kernel may still be on its way. Then the page has to say so.
    """

    def there() -> bool:
        person.goto("exposure/")
        page = person.page.locator("#exposure").inner_html()
        if row(person, port).filter(has_text=text).count() == 1:
            return True
        assert not text or "data-overtaken" in page, f"{text} is not in the row of {port}:\n{page}"
        return False

    wait_until(f"{text} in a row for {port}", there)
    return row(person, port)


def ask(person: Person, source: str, port: int, against: str = "live") -> Locator:
    """Trace a packet to the host; return the sentence of the result."""
    page = person.page
    person.goto("trace/")
    page.get_by_label("Source", exact=True).fill(source)
    page.get_by_label("Port", exact=True).fill(str(port))
    page.get_by_label("Test against").select_option(against)
    person.press("Trace")
    sentence = page.locator("[data-verdict]")
    expect(sentence).to_be_visible()
    return sentence


def test_a_packet_meets_what_the_pages_predict(stack: Stack, alice: Person, screens: Screens) -> None:
    with served(stack):
        refused_until_allowed(stack, alice)
        restricted_again(stack, alice, screens)
        ask_what_was_and_what_will_be(stack, alice, screens)
        ask_wrongly(alice, screens)


def refused_until_allowed(stack: Stack, alice: Person) -> None:
    """Check that the port is refused, allow it from its row, and connect."""
    found = wait_for_row(alice, f"{PORT}/tcp")
    expect(found).to_contain_text("nowhere")
    expect(found).to_contain_text("no rule allows it")
    expect(found).to_contain_text("caddy")
    assert not gets_in(stack, PORT)
    expect(row(alice, "6379/tcp")).to_contain_text("bound to 127.0.0.1: the host itself only")
    expect(row(alice, "9200/tcp")).to_contain_text("172.20.0.2:9200")
    found.get_by_role("link", name=re.compile("^Allow")).click()
    assert alice.page.get_by_label("Ports", exact=True).input_value() == str(PORT)
    assert alice.page.locator('input[name="scope"][value="host"]').is_checked()
    alice.save_rule()
    alice.apply(f"Let {PORT} be reached")
    assert gets_in(stack, PORT)
    expect(wait_for_row(alice, f"{PORT}/tcp", "anywhere")).to_contain_text("anywhere")


def restricted_again(stack: Stack, alice: Person, screens: Screens) -> None:
    """Restrict the port to a network from its row."""
    sentence = alice.page.locator(".sentence .text").first
    expect(sentence).to_contain_text("reachable from anywhere")
    screens.take(alice.page, "exposure")
    row(alice, f"{PORT}/tcp").get_by_role("link", name=re.compile("^Restrict")).click()
    alice.page.get_by_label("Sources", exact=True).fill("192.0.2.0/24")
    alice.save_rule()
    alice.apply(f"Only the neighbours reach {PORT}")
    found = wait_for_row(alice, f"{PORT}/tcp", "192.0.2.0/24")
    expect(found).to_contain_text("192.0.2.0/24")
    expect(found).not_to_contain_text("anywhere")
    assert gets_in(stack, PORT)
    alice.page.get_by_role("searchbox", name="Search").fill("6379")
    expect(row(alice, f"{PORT}/tcp")).to_have_count(0)
    expect(row(alice, "6379/tcp")).to_be_visible()
    alice.page.goto("/")
    expect(alice.page.locator("#exposure-summary")).to_contain_text("reachable")
    screens.take(alice.page, "dashboard-with-exposure")


def ask_what_was_and_what_will_be(stack: Stack, alice: Person, screens: Screens) -> None:
    """Trace packets against the kernel, the previous revision, and the draft."""
    expect(ask(alice, "192.0.2.1", PORT)).to_contain_text("Allowed.")
    expect(alice.page.locator("#answer")).to_contain_text(f"{PORT}/tcp from 192.0.2.0/24 to the host")
    screens.take(alice.page, "trace")
    assert not gets_in(stack, 8090)
    expect(ask(alice, "192.0.2.1", 8090)).to_contain_text("Rejected with icmp-host-prohibited.")
    stranger = ask(alice, STRANGER, PORT)
    expect(stranger).to_contain_text("Rejected")
    expect(stranger).to_contain_text("arriving on ens33")
    screens.take(alice.page, "trace-refused")
    against = alice.page.get_by_label("Test against").locator("option")
    before = str(against.nth(4).get_attribute("value"))
    expect(ask(alice, STRANGER, PORT, before)).to_contain_text("Allowed.")
    expect(alice.page.locator("[data-verdict]")).to_contain_text(f"Revision {before} as if it were loaded")
    alice.add_rule("host", "8090", comment="not applied yet")
    expect(ask(alice, STRANGER, 8090)).to_contain_text("Rejected")
    expect(ask(alice, STRANGER, 8090, "draft")).to_contain_text("Allowed.")
    address = alice.page.url
    assert f"source={STRANGER}" in address
    alice.page.goto("about:blank")
    alice.page.goto(address)
    expect(alice.page.locator("[data-verdict]")).to_contain_text("Allowed.")
    alice.page.locator("#path > summary").click()
    alice.page.get_by_role("link", name=re.compile(r"^filter INPUT")).first.click()
    expect(alice.page.locator("#v4-filter-INPUT")).to_be_visible()


def ask_wrongly(alice: Person, screens: Screens) -> None:
    """Make mistakes: each error is at its field, and the input is kept."""
    page = alice.page
    alice.goto("trace/")
    expect(page.get_by_label("ICMP type")).to_be_hidden()
    page.get_by_label("Source", exact=True).fill("nobody.example")
    page.get_by_label("Port", exact=True).fill("80-90")
    with alice.watch.expecting(422):
        alice.press("Trace")
        expect(page.get_by_role("alert")).to_contain_text("Your input is kept")
    assert "neither an address nor a running container" in alice.field_error("Source")
    assert "is a range" in alice.field_error("Port")
    assert page.get_by_label("Source", exact=True).input_value() == "nobody.example"
    screens.take(page, "trace-mistakes")
    page.get_by_label("Protocol").fill("icmp")
    expect(page.get_by_label("ICMP type")).to_be_visible()
    expect(page.get_by_label("Port", exact=True)).to_be_hidden()


def test_without_a_script(
    stack: Stack, alice: Person, new_person: NewPerson, admins: dict[str, StorageState]
) -> None:
    plain = new_person("alice", stack, storage_state=admins["alice"], java_script_enabled=False)
    page = plain.page
    plain.goto("exposure/")
    page.get_by_role("searchbox", name="Search").fill("9200")
    page.locator("form[role=search]").get_by_role("button", name="Search").click()
    expect(row(plain, "9200/tcp")).to_be_visible()
    row(plain, "9200/tcp").get_by_role("link", name=re.compile("^Trace")).click()
    assert page.get_by_label("Port", exact=True).input_value() == "9200"
    page.get_by_label("Source", exact=True).fill(STRANGER)
    plain.press("Trace")
    expect(page.locator("[data-verdict]")).to_contain_text("172.20.0.2:9200")
