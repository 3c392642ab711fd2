"""The form of one rule: it turns text into the keys of a document rule, which the services validate."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from dockerfw.document.document import ALL_PORTS, DocumentRule
from dockerfw.document.every_port import opens_every_port
from dockerfw.document.fields import Problems, read_protocol
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from rules.pages.forms import AS_TYPED, CODE, LINE_LIMIT, SEPARATORS, HelpedRadioSelect
from rules.pages.wording import rule_values

SCOPES = (
    ("both", "Host and containers"),
    ("host", "The host only"),
    ("container", "Containers only"),
)
SCOPE_HELPS = {
    "both": "Programs on the host and published ports of containers.",
    "host": "Programs that run on the host itself, such as sshd.",
    "container": "Only ports that Docker publishes or routes.",
}
PROTOCOLS = (
    ("tcp", "TCP"),
    ("udp", "UDP"),
    ("any", "Any protocol"),
    ("icmp", "ICMP (ping and errors)"),
    ("sctp", "SCTP"),
    ("dccp", "DCCP"),
    ("other", "Another protocol"),
)
PORT_KINDS = (
    ("published", "Published port: the port that the client connects to"),
    ("container", "Container port: the port inside the container"),
)

PORTS_MISSING = {
    "ports": "Enter ports, or tick Every port.",
    "every_port": "Tick Every port to allow every protocol with all ports, or choose a protocol.",
}
PORTS_AND_TICK = "Remove the tick to allow only these ports, or remove the ports."
_WITH_PORTS = ("any", *PROTOCOLS_WITH_PORTS)


class RuleForm(forms.Form):
    """One rule of the draft."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    protocol = forms.ChoiceField(choices=PROTOCOLS, label="Protocol")
    protocol_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Protocol name or number",
        help_text="For example gre, esp, ah, or a number from 1 to 255.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )
    ports = forms.CharField(
        required=False,
        max_length=20 * LINE_LIMIT,
        label="Ports",
        help_text="Ports and ranges separated by commas: 22, 443, 8000-8010.",
        widget=forms.TextInput(attrs=CODE),
    )
    every_port = forms.BooleanField(
        required=False,
        label="Every port",
        help_text="Also ports of services that you start later. The review asks again before it applies.",
    )
    port_kind = forms.ChoiceField(choices=PORT_KINDS, label="Kind of port", widget=forms.RadioSelect)
    source = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Source",
        help_text="An IPv4 or IPv6 address or network: 198.51.100.7, 10.0.0.0/8, 2001:db8::/32. "
        "Empty means any source.",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "any"}),
    )
    scope = forms.ChoiceField(choices=SCOPES, label="Applies to", widget=HelpedRadioSelect(SCOPE_HELPS))
    comment = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Comment",
        help_text="Why this rule exists. The comment stays in dockerfw. The kernel gets only a short id.",
    )
    enabled = forms.BooleanField(required=False, label="Enabled")

    def clean(self) -> dict[str, Any]:
        """Require ports, or the tick for every port, where the protocol has ports."""
        data = self.cleaned_data
        if not {"ports", "protocol", "protocol_other"} <= data.keys():
            return data
        protocol = read_protocol(self._protocol(), "", Problems())
        ports = split_ports(str(data["ports"]))
        if protocol not in _WITH_PORTS:
            return data
        if not ports and not data["every_port"]:
            name = "every_port" if protocol == "any" else "ports"
            self.add_error(name, PORTS_MISSING[name])
        elif data["every_port"] and ports not in ([], [ALL_PORTS]):
            self.add_error("every_port", PORTS_AND_TICK)
        return data

    def _protocol(self) -> str:
        protocol = str(self.cleaned_data["protocol"])
        return str(self.cleaned_data["protocol_other"]).strip().lower() if protocol == "other" else protocol

    def document_values(self) -> dict[str, object]:
        """Return the values under the keys of a document rule."""
        data = self.cleaned_data
        return {
            "scope": data["scope"],
            "source": str(data["source"]).strip() or "any",
            "protocol": self._protocol(),
            "ports": split_ports(str(data["ports"])),
            "port_kind": data["port_kind"],
            "comment": str(data["comment"]).strip(),
            "enabled": bool(data["enabled"]),
        }

    def fields_of_errors(self) -> dict[str, str]:
        """Return the form's field for each path of the validator that has another name here."""
        return {"protocol": "protocol_other"} if self.data.get("protocol") == "other" else {}


def rule_initial(rule: DocumentRule) -> dict[str, object]:
    """Return the form's fields for a document rule."""
    known = rule.protocol in dict(PROTOCOLS)
    return {
        **rule_values(rule),
        "source": "" if rule.source == "any" else rule.source,
        "protocol": rule.protocol if known else "other",
        "protocol_other": "" if known else rule.protocol,
        "ports": ", ".join(rule.ports),
        "every_port": not rule.ports and opens_every_port(rule),
    }


def split_ports(text: str) -> list[str]:
    """Split "22, 8000 - 8010" into ports and ranges; the validator names what is not a port."""
    joined = re.sub(r"(?<=\d)\s*([-:\u2013])\s*(?=\d)", "-", text)
    return [part for part in SEPARATORS.split(joined) if part]
