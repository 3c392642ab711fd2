"""What Django loads when it starts: the models, and not what only pages show."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_network

from dockerfw_site.environment import BASE_DIR
from rules.draft import group_selectors
from rules.models import Host
from rules.pages import frame
from rules.seen import list_member_selectors


def test_a_command_that_shows_no_page_loads_none() -> None:
    code = "import django, sys; django.setup(); print(*sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "dockerfw_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"redis", "rules.urls", "rules.applying.frame_selectors"} & set(done.stdout.split())


def test_what_the_folders_below_are_told_of_the_folders_above(host: Host) -> None:
    assert frame.page_context(host, section="rules").keys() >= {"pending", "frame_state"}
    assert group_selectors.group_states(host) == {}
    assert group_selectors.find_in_draft(host, ip_network("192.0.2.0/24")).holders == ()
    (reader,) = list_member_selectors._readers
    assert reader("local", ()) == {}
