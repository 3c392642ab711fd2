"""The form of a draft's settings: it turns text into the keys of the document's settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from rules.pages.forms import CODE, LINE_LIMIT, SEPARATORS, HelpedRadioSelect
from rules.pages.wording import SETTING_VALUE_WORDS, SETTING_WORDS


class SettingsForm(forms.Form):
    """The settings of a host's draft. Interfaces are ticked in a list of the host's own, or typed."""

    mark = forms.CharField(max_length=64, widget=forms.HiddenInput)
    external_interfaces = forms.MultipleChoiceField(
        required=False, label="External interfaces", widget=forms.CheckboxSelectMultiple
    )
    external_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Other external interfaces",
        help_text="For interfaces that do not exist now: names separated by commas or spaces. "
        "A trailing + matches any ending: ppp+.",
        widget=forms.TextInput(attrs=CODE),
    )
    trusted_interfaces = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Trusted interfaces",
        help_text="Traffic arriving on these interfaces is always allowed. "
        "Keep lo (loopback). Add a VPN's interface if you trust it.",
        widget=forms.TextInput(attrs=CODE),
    )
    refuse = forms.ChoiceField(
        label=SETTING_WORDS["refuse"],
        choices=[(value, SETTING_VALUE_WORDS["refuse", value]) for value in ("reject", "drop")],
        widget=HelpedRadioSelect(
            {
                "reject": "Mistakes are easier to find.",
                "drop": "Scans take longer, and so does finding your own mistakes.",
            }
        ),
    )
    icmp = forms.ChoiceField(
        label="ICMP to the host (ping and error reports)",
        choices=[(value, SETTING_VALUE_WORDS["icmp", value]) for value in ("accept", "refuse")],
        widget=HelpedRadioSelect(
            {
                "accept": "Ping and path MTU discovery work.",
                "refuse": "Ping does not work. The ICMPv6 messages that IPv6 needs are still allowed.",
            }
        ),
    )
    containers_reach_host = forms.ChoiceField(
        label=SETTING_WORDS["containers_reach_host"],
        choices=[
            (value, SETTING_VALUE_WORDS["containers_reach_host", value]) for value in ("by-rules", "allow")
        ],
        widget=HelpedRadioSelect(
            {
                "by-rules": "A container needs a rule for a port of the host, like any other client.",
                "allow": "Containers of this host reach every port of it: a database, a DNS server.",
            }
        ),
    )
    log_refused = forms.BooleanField(required=False, label=SETTING_WORDS["log_refused"])
    heal_anchors = forms.BooleanField(required=False, label="Restore missing jumps automatically")

    def __init__(self, *args: Any, offered: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["external_interfaces"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in offered]

    def document_values(self) -> dict[str, object]:
        """Return the values under the keys of the document's settings."""
        data = self.cleaned_data
        external = [*data["external_interfaces"], *split_names(str(data["external_other"]))]
        return {
            "external_interfaces": list(dict.fromkeys(external)),
            "trusted_interfaces": split_names(str(data["trusted_interfaces"])),
            "refuse": data["refuse"],
            "icmp": data["icmp"],
            "containers_reach_host": data["containers_reach_host"],
            "log_refused": bool(data["log_refused"]),
            "heal_anchors": bool(data["heal_anchors"]),
        }


def split_names(text: str) -> list[str]:
    """Split interface names at commas and spaces, keeping the order and dropping repeats."""
    return list(dict.fromkeys(part for part in SEPARATORS.split(text) if part))
