"""The form of the trace page: one packet in the words of people, and against which rules it is tried.

It only reads text; what the words mean is the pure part's matter (dockerfw.reach.question), whose
findings `forms.place_errors` puts at these fields.
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
GUESSED = ("", "guessed from the source")
BASES = (
    ("live", "Live: what the kernel holds now"),
    ("draft", "The draft, as if it were applied"),
    (DAY, "What was in force on a day"),
)


class TraceForm(forms.Form):
    """One packet; the address of the answer carries it, so that it can be passed on."""

    source = forms.CharField(
        max_length=_LONGEST,
        label="From",
        help_text="An address, IPv4 or IPv6, or a container's name.",
        error_messages={"required": "Say where the packet comes from: an address, or a container's name."},
        widget=forms.TextInput(attrs={**CODE, "placeholder": "203.0.113.5", "list": "trace-sources"}),
    )
    destination = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="To",
        help_text="An address, or a container's name. Empty means this host.",
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
        help_text="The one that the client dials.",
        widget=forms.TextInput(attrs=_NUMBER),
    )
    icmp_type = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="ICMP type",
        help_text="A name or a number. Empty means ping.",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "echo-request"}),
    )
    interface = forms.CharField(
        required=False, max_length=_LONGEST, label="Comes in by", widget=forms.Select(choices=[GUESSED])
    )
    against = forms.CharField(
        required=False, max_length=_LONGEST, label="Against", widget=forms.Select(choices=BASES)
    )
    on = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="Which day",
        help_text="The revision that was confirmed then, among today's foreign rules.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    source_port = forms.CharField(
        required=False,
        max_length=_LONGEST,
        label="From port",
        help_text="Seldom matters. Where a rule asks for it and it is empty, nobody can tell.",
        widget=forms.TextInput(attrs=_NUMBER),
    )

    def offer(self, *, interfaces: Iterable[str], revisions: Mapping[str, str]) -> None:
        """Fill the lists to choose from; what was asked for stays in its list, offered or not."""
        by = [GUESSED, *((name, name) for name in interfaces)]
        bases = [*BASES, *revisions.items()]
        for field, choices in (("interface", by), ("against", bases)):
            asked = str(self[field].value() or "")
            known = not asked or asked in dict(choices)
            widget = self.fields[field].widget
            assert isinstance(widget, forms.Select)
            widget.choices = choices if known else [*choices, (asked, asked)]

    def question(self) -> Question:
        """Return what was asked, as it was typed."""
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
        """Ask for the day where one is meant."""
        data = super().clean() or {}
        if self.asks_for_a_day() and not data.get("on"):
            self.add_error("on", "Say which day, such as 2026-05-03.")
        return data

    def asks_for_a_day(self) -> bool:
        """Say whether the rules of some day are meant."""
        return self.data.get("against") == DAY

    def ground(self) -> str:
        """Return the word for the rules to try it against: live, draft, a revision's number or a day."""
        return str(self.cleaned_data["on" if self.asks_for_a_day() else "against"])
