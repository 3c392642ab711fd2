"""One install for all of these tests, since it takes a while to come up, and a browser on its client."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import CHROMIUM
from tests.browser.person import Person
from tests.browser.screens import DESKTOP, Screens
from tests.browser.watch import Watch
from tests.compose.engines import TRIED
from tests.compose.installed import POSTGRES, URL, VARIANT, Installed
from tests.rig.engines import NEWEST
from tests.rig.trees import why_unavailable

SHOPS = "2001:db8:5::/64"


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    """dockerfw after `docker compose up -d` on a host with two shops, before the first admin."""
    reason = why_unavailable() or ("" if shutil.which("git") else "not installed: git (Debian package)")
    if reason:
        pytest.skip(f"no Compose install: {reason}")
    variant = os.environ.get(VARIANT, "").split()
    postgres = "postgres" in variant
    with Installed(
        *(POSTGRES if postgres else ()),
        engine=next((TRIED[word] for word in variant if word in TRIED), NEWEST),
        own_compose="own-compose" in variant,
        backend="legacy" if "legacy" in variant else "nft",
        images_of=("setup", "postgres") if postgres else ("setup",),
    ) as made:
        made.host.docker("network", "create", "--ipv6", f"--subnet={SHOPS}", "shops")
        made.run_shop("open-shop", 8080, "--network=shops")
        made.run_shop("shut-shop", 8081, "--network=shops")
        made.up()
        yield made


@pytest.fixture
def alice(installed: Installed, browser: Browser) -> Iterator[Person]:
    """A visitor on the client, who reaches the pages only through the host's own rules."""
    # Without TLS Chromium would complain on each page of a header that only holds with it.
    trusted = f"--unsafely-treat-insecure-origin-as-secure={URL}"
    program = installed.browser_program(CHROMIUM)
    far = browser.browser_type.launch(executable_path=program, args=["--no-sandbox", trusted])
    context = far.new_context(base_url=URL, viewport=DESKTOP)
    watch = Watch(context)
    try:
        yield Person(context.new_page(), watch, "alice")
        watch.assert_quiet()
    finally:
        far.close()


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """Where the screenshots go."""
    return Screens(tmp_path_factory.mktemp("screens"))
