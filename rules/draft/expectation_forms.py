"""The form of one expectation: it turns text into the keys of a document's expectation."""

from __future__ import annotations

from django import forms

from dockerfw.document.document import Expectation, expectation_to_json_object
from rules.pages.forms import AS_TYPED, CODE, LINE_LIMIT, HelpedRadioSelect

PROTOCOLS = (
    ("tcp", "TCP"),
    ("udp", "UDP"),
    ("icmp", "ICMP (ping)"),
    ("sctp", "SCTP"),
    ("dccp", "DCCP"),
    ("other", "Another protocol"),
)


class ExpectationForm(forms.Form):
    """The expected result for one service."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    passes = forms.ChoiceField(
        choices=(("yes", "Allowed"), ("no", "Refused")),
        label="Expected result",
        widget=HelpedRadioSelect(
            {"yes": "Every one of these sources gets through.", "no": "None of these sources gets through."}
        ),
    )
    protocol = forms.ChoiceField(choices=PROTOCOLS, label="Protocol")
    protocol_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Protocol name or number",
        help_text="For example gre, esp, or a number from 1 to 255. Used only with the choice above.",
        widget=forms.TextInput(attrs=AS_TYPED),
    )
    port = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Port",
        help_text="The port that the client connects to. Protocols such as ICMP have none.",
        widget=forms.TextInput(attrs={**CODE, "inputmode": "numeric"}),
    )
    to = forms.ChoiceField(
        choices=(("host", "The host itself"), ("container", "A container")),
        label="Target",
        widget=forms.RadioSelect,
    )
    container = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Container",
        help_text="Container name, Compose service, or project/service. "
        "Empty means any container that publishes the port.",
        widget=forms.TextInput(attrs=CODE),
    )
    source = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Source",
        help_text="An IPv4 or IPv6 address or network. Empty means any source.",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "any"}),
    )
    comment = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Comment",
        help_text="Why this must hold. Shown when a change would break it.",
    )

    def document_values(self) -> dict[str, object]:
        """Return the values under the keys of a document's expectation."""
        data = self.cleaned_data
        protocol, port = str(data["protocol"]), str(data["port"]).strip()
        return {
            "passes": data["passes"] == "yes",
            "protocol": str(data["protocol_other"]).strip().lower() if protocol == "other" else protocol,
            "port": int(port) if port.isascii() and port.isdigit() and len(port) < 10 else port or None,
            "to": data["to"],
            "container": str(data["container"]).strip(),
            "source": str(data["source"]).strip() or "any",
            "comment": str(data["comment"]).strip(),
        }

    def fields_of_errors(self) -> dict[str, str]:
        """Return the form's field for each path of the validator that has another name here."""
        return {"protocol": "protocol_other"} if self.data.get("protocol") == "other" else {}


def expectation_initial(expectation: Expectation) -> dict[str, object]:
    """Return the form's fields for a document's expectation."""
    known = expectation.protocol in dict(PROTOCOLS)
    return {
        **expectation_to_json_object(expectation),
        "passes": "yes" if expectation.passes else "no",
        "protocol": expectation.protocol if known else "other",
        "protocol_other": "" if known else expectation.protocol,
        "port": str(expectation.port or ""),
        "source": "" if expectation.source == "any" else expectation.source,
    }
