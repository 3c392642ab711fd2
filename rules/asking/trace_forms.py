"""The form of the trace page: one packet, and the rules to test it against.

dockerfw.reach.question reads the text of the fields; `place_errors` puts its errors at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from dockerfw.reach.question import Question
from rules.pages.forms import CODE

_LONGEST = 200
_NUMBER = {**CODE, "inputmode": "numeric"}
DAY = "day"
GUESSED = ("", "automatic, from the source")
BASES = (
    ("live", "Live: the kernel's rules now"),
    ("draft", "The draft as if it were applied"),
    (DAY, "The rules active on a given day"),
)


class TraceForm(forms.Form):
    """One packet; the URL carries it, so that an answer can be shared."""

    source = forms.CharField(
        max_length=_LONGEST,
        label="Source",
        help_text="An IPv4 or IPv6 address, or a container name.",
        error_messages={"required": "Enter a source: an address or a container name."},
        widget=forms.TextInput(attrs={**CODE, "placeholder": "203.0.113.5", "list": "trace-sources"}),
    )
    destination = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Destination",
        help_text="An address or a container name. Empty means this host.",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "this host", "list": "trace-destinations"}),
    )
    protocol = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Protocol",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "tcp", "list": "trace-protocols"}),
    )
    port = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Port",
        help_text="The port that the client connects to.",
        widget=forms.TextInput(attrs=_NUMBER),
    )
    icmp_type = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="ICMP type",
        help_text="A name or a number. Empty means ping (echo-request).",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "echo-request"}),
    )
    interface = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Incoming interface",
        widget=forms.Select(choices=[GUESSED]),
    )
    against = forms.CharField(
        required=False, max_length=_LONGEST, label="Test against", widget=forms.Select(choices=BASES)
    )
    on = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Day",
        help_text="The revision active on that day, with today's other rules.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    source_port = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Source port",
        help_text="Rarely needed. If a rule depends on it and it is empty, the result is unknown.",
        widget=forms.TextInput(attrs=_NUMBER),
    )

    def offer(self, *, interfaces: Iterable[str], revisions: Mapping[str, str]) -> None:
        """Fill the lists of choices; the current value stays in its list, offered or not."""
        by = [GUESSED, *((name, name) for name in interfaces)]
        bases = [*BASES, *revisions.items()]
        for field, choices in (("interface", by), ("against", bases)):
            asked = str(self[field].value() or "")
            known = not asked or asked in dict(choices)
            widget = self.fields[field].widget
            assert isinstance(widget, forms.Select)
            widget.choices = choices if known else [*choices, (asked, asked)]

    def question(self) -> Question:
        """Return the question as it was typed."""
        data = self.cleaned_data
        return Question(
            source=data["source"],
            destination=data["destination"],
            protocol=data["protocol"],
            port=data["port"],
            icmp_type=data["icmp_type"],
            interface=data["interface"],
            source_port=data["source_port"],
        )

    def clean(self) -> dict[str, Any]:
        """Require the day when a day is chosen."""
        data = super().clean() or {}
        if self.asks_for_a_day() and not data.get("on"):
            self.add_error("on", "Enter a day, such as 2026-05-03.")
        return data

    def asks_for_a_day(self) -> bool:
        """Return True if the rules of a given day are chosen."""
        return self.data.get("against") == DAY

    def ground(self) -> str:
        """Return the rules to test against: live, draft, a revision number or a day."""
        return str(self.cleaned_data["on" if self.asks_for_a_day() else "against"])
