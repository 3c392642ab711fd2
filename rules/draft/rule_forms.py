"""The form of one rule: it turns text into the keys of a document rule, which the services validate."""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from dockerfw.document.document import DocumentRule
from dockerfw.document.every_port import opens_every_port
from dockerfw.document.fields import Problems, read_protocol
from dockerfw.document.rules import ALL_PORTS
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS
from rules.pages.forms import AS_TYPED, CODE, LINE_LIMIT, SEPARATORS, HelpedRadioSelect, PastedField
from rules.pages.wording import rule_values

ACTIONS = (("allow", "Allow"), ("block", "Block"))
ACTION_HELPS = {
    "allow": "Matching connections get through.",
    "block": "Matching packets are dropped, whatever other rules allow.",
}
SCOPES = (
    ("both", "Host and containers"),
    ("host", "The host only"),
    ("container", "Containers only"),
    ("forwarded", "Forwarded traffic"),
)
SCOPE_HELPS = {
    "both": "Programs on the host and published ports of containers.",
    "host": "Programs that run on the host itself, such as sshd.",
    "container": "Only ports that Docker publishes or routes.",
    "forwarded": "Virtual machines, routed networks and port forwards: other destinations than containers.",
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
    ("container", "Container port: the port inside the container, or at the destination"),
)

LIMIT_UNITS = (("second", "a second"), ("minute", "a minute"), ("hour", "an hour"))
# The fields of the folded part of the form, each with the value that it has in most rules.
ADVANCED = {
    **dict.fromkeys(("limit_number", "starts", "expires", "interface", "owner", "ticket", "tags"), ""),
    "port_kind": "published",
}
_TIME = {**AS_TYPED, "class": "code", "data-time": "", "placeholder": "2027-01-31T18:00Z or 8 hours"}
_RELATIVE = re.compile(r"(?:in\s+)?([0-9]{1,5})\s*(minutes?|min|hours?|h|days?|d|weeks?|w)", re.IGNORECASE)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

PORTS_MISSING = {
    "ports": "Enter ports, or tick Every port.",
    "every_port": "Tick Every port to allow every protocol with all ports, or choose a protocol.",
}
PORTS_AND_TICK = "Remove the tick to allow only these ports, or remove the ports."
MAX_SOURCES_TEXT = 500_000
_WITH_PORTS = ("any", *PROTOCOLS_WITH_PORTS)


class RuleForm(forms.Form):
    """One rule of the draft."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    action = forms.ChoiceField(
        required=False, choices=ACTIONS, label="Action", widget=HelpedRadioSelect(ACTION_HELPS)
    )
    protocol = forms.ChoiceField(choices=PROTOCOLS, label="Protocol")
    protocol_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Protocol name or number",
        help_text="For example gre, esp, ah, or a number from 1 to 255.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )
    ports = PastedField(
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
    sources = PastedField(
        required=False,
        max_length=MAX_SOURCES_TEXT,
        label="Sources",
        help_text="IPv4 and IPv6 addresses, networks and groups, separated by commas or lines. "
        "Empty means any source.",
        widget=forms.Textarea(attrs={**CODE, "rows": 1, "placeholder": "any"}),
    )
    scope = forms.ChoiceField(choices=SCOPES, label="Applies to", widget=HelpedRadioSelect(SCOPE_HELPS))
    to = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Destination",
        help_text="One of the host's own addresses, or for forwarded traffic the address or network behind "
        "this host, such as 192.168.122.10 or 192.168.122.0/24. Empty means any.",
        widget=forms.TextInput(attrs=CODE),
    )
    container = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Container",
        help_text="A container's name, project/service, or label:key=value. The rule follows it through "
        "restarts. Empty means all containers.",
        widget=forms.TextInput(attrs={**CODE, "list": "container-names", "placeholder": "all containers"}),
    )
    limit_number = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Limit",
        help_text="New connections of each source. More are refused. Empty means no limit.",
        widget=forms.TextInput(attrs={**AS_TYPED, "inputmode": "numeric"}),
    )
    limit_unit = forms.ChoiceField(
        required=False, choices=LIMIT_UNITS, initial="minute", label="Unit of the limit"
    )
    starts = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Starts",
        help_text="Empty means at once.",
        widget=forms.TextInput(attrs=_TIME),
    )
    expires = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Expires",
        help_text="Empty means never.",
        widget=forms.TextInput(attrs=_TIME),
    )
    interface = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Interface",
        help_text="The interface that packets arrive on. A + at the end matches any ending. Empty means any.",
        widget=forms.TextInput(attrs={**CODE, "list": "interface-names", "placeholder": "any"}),
    )
    owner = forms.CharField(
        required=False, max_length=LINE_LIMIT, label="Owner", help_text="Who to ask about this rule."
    )
    ticket = forms.CharField(required=False, max_length=LINE_LIMIT, label="Ticket")
    tags = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Tags",
        help_text="Separated by commas: web, shop.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )
    comment = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Name",
        help_text="What the rule is for. It stays in dockerfw: the kernel gets only a short id.",
    )
    enabled = forms.BooleanField(required=False, label="Enabled")

    def clean(self) -> dict[str, Any]:
        """Require ports, or the tick for every port, where an allowance is for a protocol with ports."""
        data = self.cleaned_data
        if not {"ports", "protocol", "protocol_other"} <= data.keys():
            return data
        protocol = read_protocol(self._protocol(), "", Problems())
        ports = split_ports(str(data["ports"]))
        if protocol not in _WITH_PORTS:
            return data
        if not ports and not data["every_port"] and data.get("action") != "block":
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
        limit = str(data["limit_number"]).strip()
        return {
            "action": data["action"] or "allow",
            "scope": data["scope"],
            "sources": split_sources(str(data["sources"])),
            "to": str(data["to"]).strip(),
            "protocol": self._protocol(),
            "ports": split_ports(str(data["ports"])),
            "port_kind": data["port_kind"],
            **{name: str(data[name]).strip() for name in ("container", "interface", "owner", "ticket")},
            "limit": f"{limit}/{data['limit_unit'] or 'minute'}" if limit.isdigit() else limit,
            "starts": read_moment(str(data["starts"])),
            "expires": read_moment(str(data["expires"])),
            "tags": [part for part in SEPARATORS.split(str(data["tags"])) if part],
            "comment": str(data["comment"]).strip(),
            "enabled": bool(data["enabled"]),
        }

    def fields_of_errors(self) -> dict[str, str]:
        """Return the form's field for each path of the validator that has another name here."""
        other = {"protocol": "protocol_other"} if self.data.get("protocol") == "other" else {}
        return {"limit": "limit_number", **other}

    @property
    def is_forwarded(self) -> bool:
        """Return True if the rule needs a destination: the field is then in the open part."""
        return str(self["scope"].value()) == "forwarded"

    @property
    def opens_advanced(self) -> bool:
        """Return True if a field of the folded part has a value or an error, or the rule is off."""
        names = (*ADVANCED, *(() if self.is_forwarded else ("to",)))
        return not self["enabled"].value() or any(
            bool(self[name].errors) or str(self[name].value() or "") not in ("", ADVANCED.get(name, ""))
            for name in names
        )


def rule_initial(rule: DocumentRule) -> dict[str, object]:
    """Return the form's fields for a document rule."""
    known = rule.protocol in dict(PROTOCOLS)
    return {
        **rule_values(rule),
        "sources": ", ".join(rule.sources),
        "tags": ", ".join(rule.tags),
        "limit_number": rule.limit.partition("/")[0],
        "limit_unit": rule.limit.partition("/")[2] or "minute",
        "protocol": rule.protocol if known else "other",
        "protocol_other": "" if known else rule.protocol,
        "ports": ", ".join(rule.ports),
        "every_port": not rule.ports and opens_every_port(rule),
    }


def split_sources(text: str) -> list[str]:
    """Split "10.0.0.0/8, @office" into addresses, networks and groups; `any` alone is no source."""
    found = [part for part in SEPARATORS.split(text) if part]
    return [] if [part.lower() for part in found] == ["any"] else found


def read_moment(text: str) -> str:
    """Return a typed time as it is, and a length from now such as `8 hours` as a time of UTC."""
    found = _RELATIVE.fullmatch(text.strip())
    if found is None:
        return text.strip()
    then = timezone.now() + timedelta(seconds=int(found[1]) * _SECONDS[found[2][0].lower()])
    return f"{then.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def split_ports(text: str) -> list[str]:
    """Split "22, 8000 - 8010" into ports and ranges; the validator names what is not a port."""
    joined = re.sub(r"(?<=\d)\s*([-:\u2013])\s*(?=\d)", "-", text)
    return [part for part in SEPARATORS.split(joined) if part]
