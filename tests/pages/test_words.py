"""Times, amounts and sizes as the templates print them."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from dockerfw.document.settings import settings_to_json_object
from dockerfw.document.values import DocumentRule
from dockerfw.document.values import Settings as DocumentSettings
from rules.draft.rule_forms import split_ports
from rules.draft.settings_forms import split_names
from rules.pages.wording import SETTING_WORDS
from rules.templatetags.dockerfw import ago, amount, duration, icon, size, when, when_exactly, with_times
from rules.templatetags.rule_words import before, owner_word, setting_value


def test_every_setting_of_a_document_has_a_label() -> None:
    assert SETTING_WORDS.keys() == settings_to_json_object(DocumentSettings()).keys()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("until 2027-01-31 18:00 UTC.", '<time datetime="2027-01-31T18:00:00+00:00" data-form="when">'),
        ("return at 12:30:16 UTC unless", '<time datetime="2025-03-04T12:30:16+00:00" data-form="clock">'),
        ("return at 00:10:00 UTC <b>", '<time datetime="2025-03-05T00:10:00+00:00" data-form="clock">'),
    ],
)
def test_a_time_in_a_sentence_is_one_for_the_browser(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = NOON.replace(hour=23) if "00:10" in text else NOON
    monkeypatch.setattr(timezone, "now", lambda: late)
    found = with_times(text)
    assert shown in found
    assert "<b>" not in found


@pytest.mark.parametrize("text", ["2001:db8::22 AND", "port 10:20", "at 12:30 CET", "25:61:00 UTC"])
def test_what_is_no_time_of_a_known_zone_stays(text: str) -> None:
    assert with_times(text) == text


NOON = datetime.datetime(2025, 3, 4, 12, 30, 15, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1250, "1.25 kB"),
        (999_999, "1 MB"),
        (10**15, "1 PB"),
    ],
)
def test_sizes(number: int | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.125, "0.12 s"),
        (3, "3 s"),
        (-5, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (200_000, "2 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_amounts_group_by_thousands() -> None:
    assert amount(1234567) == "1\u202f234\u202f567"
    assert amount(None) == ""


def test_a_moment_is_shown_in_the_configured_zone(settings: Settings) -> None:
    assert "4 Mar 2025, 12:30 UTC</time>" in when(NOON)
    assert 'datetime="2025-03-04T12:30:15+00:00"' in when(NOON)
    settings.TIME_ZONE = "Europe/Berlin"
    assert "2025-03-04 13:30:15 CET</time>" in when_exactly(NOON)


def test_today_is_named_and_texts_are_read() -> None:
    now = timezone.now()
    assert ">today " in when(now)
    assert when(now.isoformat()) == when(now)
    assert when("no time") == when(None) == when_exactly("") == ago(None) == ""
    assert ago(now - datetime.timedelta(seconds=300)) == "5 min ago"


def test_icons_are_decoration_only() -> None:
    assert 'aria-hidden="true"' in icon("ok")
    assert "style=" not in icon("running", "spin")


def test_words_of_settings_and_owners() -> None:
    assert setting_value(("ens33", "ppp+"), "external_interfaces") == "ens33, ppp+"
    assert setting_value((), "trusted_interfaces") == "none"
    assert setting_value("drop", "refuse") == "Drop (the client gets no answer)"
    assert owner_word("docker") == "Docker"
    assert owner_word("podman") == "podman"


def test_typed_text_is_split_and_never_lost() -> None:
    assert split_ports("22, 8000 - 8010;443\t53") == ["22", "8000-8010", "443", "53"]
    assert split_ports("ssh,, 22 ") == ["ssh", "22"]
    assert split_ports("8000\u20138010 9000:9010") == ["8000-8010", "9000-9010"]
    assert split_names("lo, wg0 lo") == ["lo", "wg0"]


@pytest.mark.parametrize(
    ("old", "words"),
    [
        ({"ports": ("8080",)}, "Before: port 8080."),
        ({"ports": ("8080-8089",)}, "Before: ports 8080-8089."),
        ({"ports": ("80", "443"), "sources": ()}, "Before: ports 80, 443, from anywhere."),
        ({"ports": (), "protocol": "udp"}, "Before: protocol udp, all ports."),
        ({"scope": "both", "enabled": False}, "Before: on host and containers, disabled."),
        ({"port_kind": "container"}, "Before: container port."),
        ({"comment": "ssh"}, "Before: the name \u201cssh\u201d."),
        ({"comment": ""}, "Before: no name."),
    ],
)
def test_the_previous_values_of_a_rule(old: dict[str, Any], words: str) -> None:
    new = DocumentRule(
        id="k3f9", scope="host", protocol="tcp", ports=("22",), sources=("192.0.2.0/24",), comment="new"
    )
    assert before(replace(new, **old), new) == words
