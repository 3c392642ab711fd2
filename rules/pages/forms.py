"""The forms of the pages: what is asked, in which words, and how errors find their field.

Forms here only read text and turn it into the keys of the `dockerfw/1` document. Whether a value is valid is
decided by the one validator in `dockerfw.document.document`, which the services call; `place_errors` puts its
findings at the fields. Must not write to the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import ValidationError

from dockerfw.document.document import DocumentRule
from dockerfw.iptables.errors import FieldError
from rules.pages.wording import rule_values

SCOPES = (
    ("both", "Host and containers"),
    ("host", "The host only"),
    ("container", "Containers only"),
)
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
    ("published", "Published port: the one that the client dials"),
    ("container", "Container port: the one inside the container"),
)
WINDOWS = (
    (15, "15 seconds"),
    (30, "30 seconds"),
    (60, "1 minute"),
    (120, "2 minutes"),
    (300, "5 minutes"),
    (900, "15 minutes"),
    (3600, "1 hour"),
)
# Both are enough for what the validator takes; longer text is a paste by mistake.
LINE_LIMIT = 2000
# Phones must not correct what is typed into fields for addresses and names.
# What has to be typed by whoever would be shut out.
ANYWAY = "anyway"
AS_TYPED = {"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
_CODE = {"class": "code", **AS_TYPED}
_SEPARATORS = re.compile(r"[\s,;]+")


class RuleForm(forms.Form):
    """One rule of the draft."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    protocol = forms.ChoiceField(choices=PROTOCOLS, label="Protocol")
    protocol_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Name or number of the protocol",
        help_text="For example gre, esp, ah, or a number from 1 to 255.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )
    ports = forms.CharField(
        required=False,
        max_length=20 * LINE_LIMIT,
        label="Ports",
        help_text="Ports and ranges with commas between: 22, 443, 8000-8010. Empty means all ports.",
        widget=forms.TextInput(attrs=_CODE),
    )
    port_kind = forms.ChoiceField(choices=PORT_KINDS, label="Which port is meant", widget=forms.RadioSelect)
    source = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="From",
        help_text="An address or a network, IPv4 or IPv6: 198.51.100.7, 10.0.0.0/8, 2001:db8::/32. "
        "Empty means everyone.",
        widget=forms.TextInput(attrs={**_CODE, "placeholder": "any"}),
    )
    scope = forms.ChoiceField(choices=SCOPES, label="What it opens", widget=forms.RadioSelect)
    comment = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Comment",
        help_text="Why this rule exists. It stays in dockerfw; the kernel is given only a short id.",
    )
    enabled = forms.BooleanField(required=False, label="Enabled")

    def document_values(self) -> dict[str, object]:
        """Return what was typed under the keys of a document rule."""
        data = self.cleaned_data
        protocol = str(data["protocol"])
        return {
            "scope": data["scope"],
            "source": str(data["source"]).strip() or "any",
            "protocol": str(data["protocol_other"]).strip().lower() if protocol == "other" else protocol,
            "ports": split_ports(str(data["ports"])),
            "port_kind": data["port_kind"],
            "comment": str(data["comment"]).strip(),
            "enabled": bool(data["enabled"]),
        }

    def fields_of_errors(self) -> dict[str, str]:
        """Return where the validator's findings go when their field has another name here."""
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
    }


def split_ports(text: str) -> list[str]:
    """Split "22, 8000 - 8010" into ports and ranges; what is no port is left for the validator to name."""
    joined = re.sub(r"(?<=\d)\s*([-:\u2013])\s*(?=\d)", "-", text)
    return [part for part in _SEPARATORS.split(joined) if part]


class SettingsForm(forms.Form):
    """The settings of a host's draft. Interfaces are ticked from what the host has, or typed."""

    mark = forms.CharField(max_length=64, widget=forms.HiddenInput)
    external_interfaces = forms.MultipleChoiceField(
        required=False, label="External interfaces", widget=forms.CheckboxSelectMultiple
    )
    external_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="External interfaces that are not there now",
        help_text="Names with commas or spaces between. A trailing + stands for any ending: ppp+.",
        widget=forms.TextInput(attrs=_CODE),
    )
    trusted_interfaces = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Trusted interfaces",
        help_text="Everything that arrives on these reaches the host unasked. "
        "lo, the loopback, belongs here; a VPN may.",
        widget=forms.TextInput(attrs=_CODE),
    )
    refuse = forms.ChoiceField(
        label="What is not allowed",
        choices=(("reject", "is rejected with an answer"), ("drop", "is dropped silently")),
        widget=forms.RadioSelect,
    )
    icmp = forms.ChoiceField(
        label="ICMP to the host (ping and error reports)",
        choices=(("accept", "is let through"), ("refuse", "is refused")),
        widget=forms.RadioSelect,
    )
    heal_anchors = forms.BooleanField(required=False, label="Put the anchors back by itself")

    def __init__(self, *args: Any, offered: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["external_interfaces"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in offered]

    def document_values(self) -> dict[str, object]:
        """Return what was chosen under the keys of the document's settings."""
        data = self.cleaned_data
        external = [*data["external_interfaces"], *split_names(str(data["external_other"]))]
        return {
            "external_interfaces": list(dict.fromkeys(external)),
            "trusted_interfaces": split_names(str(data["trusted_interfaces"])),
            "refuse": data["refuse"],
            "icmp": data["icmp"],
            "heal_anchors": bool(data["heal_anchors"]),
        }


def split_names(text: str) -> list[str]:
    """Split interface names at commas and spaces, keeping the order and dropping repeats."""
    return list(dict.fromkeys(part for part in _SEPARATORS.split(text) if part))


class ImportForm(forms.Form):
    """A document, an `iptables-save` text or a restore file, pasted or as a file."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    text = forms.CharField(
        required=False,
        strip=False,
        label="Paste it",
        widget=forms.Textarea(attrs={**_CODE, "rows": 10}),
    )
    file = forms.FileField(required=False, label="Or choose a file", allow_empty_file=True)

    MAX_BYTES = 4 * 1024 * 1024

    def clean(self) -> dict[str, Any]:
        """Take exactly one of text and file, at most 4 MiB."""
        data = super().clean() or {}
        upload, text = data.get("file"), str(data.get("text") or "")
        if upload is not None and text.strip():
            raise ValidationError("Both a text and a file were given. Send one of them.")
        if upload is None and not text.strip():
            raise ValidationError("Paste a text or choose a file.")
        if upload is not None and upload.size > self.MAX_BYTES:
            raise ValidationError("The file is larger than 4 MiB.")
        raw = upload.read() if upload is not None else text.replace("\r\n", "\n").encode()
        if len(raw) > self.MAX_BYTES:
            raise ValidationError("The text is larger than 4 MiB.")
        try:
            data["content"] = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValidationError(
                f"This is not UTF-8 text: byte {error.start + 1} cannot be read."
            ) from error
        return data


class ApplyForm(forms.Form):
    """The reason for a change, below its diff; how long it waits to be kept, and what keeping it ends."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    message = forms.CharField(
        max_length=500,
        label="Why",
        help_text="One line for the history: what this change is for.",
        error_messages={"required": "Say in a few words what this change is for."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    window = forms.TypedChoiceField(
        choices=WINDOWS,
        coerce=int,
        initial=60,
        label="Time to keep it",
        required=False,
        empty_value=None,
        help_text="It is loaded at once. Unless you keep it in this time, what was there before comes back.",
    )

    end_sessions = forms.BooleanField(required=False, label="End these sessions after Keep")
    override = forms.CharField(
        required=False,
        max_length=500,
        label="Why all the same",
        help_text="Needed where an expectation fails, now or once it is loaded. It goes into the history.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    anyway = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label=f"Type {ANYWAY} to go on",
        help_text="You would be shut out. Unless somebody keeps it, what was there before comes back.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )

    def says_anyway(self) -> bool:
        """Say whether the word was typed that being shut out needs."""
        return str(self.cleaned_data["anyway"]).strip().lower() == ANYWAY

    def seconds(self) -> int:
        """Return the time to keep it, in seconds; what a form without the field means is a minute."""
        return int(self.cleaned_data["window"] or 60)


class SignInForm(AuthenticationForm):
    """Django's own sign-in, with a plain sentence for a wrong name or password."""

    error_messages = {
        "invalid_login": "The name or the password is wrong. Capital letters matter in both.",
        "inactive": "This account is switched off.",
    }


class SetupForm(forms.Form):
    """The first administrator."""

    username = forms.CharField(
        max_length=150,
        label="Name",
        help_text="The history and the audit log show it.",
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    password1 = forms.CharField(
        strip=False, label="Password", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    password2 = forms.CharField(
        strip=False,
        label="The same password again",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = " ".join(password_validators_help_texts())

    def clean(self) -> dict[str, Any]:
        """Compare the password with its repetition; whether it is good enough the service says."""
        data = super().clean() or {}
        first, second = data.get("password1"), data.get("password2")
        if first and second and first != second:
            self.add_error("password2", "The two passwords differ.")
        return data


def place_errors(
    form: forms.Form, errors: Iterable[FieldError], fields: Mapping[str, str] | None = None
) -> None:
    """Put each finding of the document's validator at the form's field that it names.

    `fields` renames the first part of a path; a path that names no field goes on top of the form.
    """
    for error in errors:
        name = re.split(r"[.\[]", error.path, maxsplit=1)[0]
        name = (fields or {}).get(name, name)
        form.add_error(name if name in form.fields else None, error.message)
