"""The forms of the guide, one for each step; the validator of the document judges what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms

from dockerfw.reach.container_access import LostService
from rules.draft.rule_forms import split_sources
from rules.draft.settings_forms import split_names
from rules.pages.forms import CODE, LINE_LIMIT, HelpedRadioSelect
from rules.start.start_selectors import Service, Viewer, service_key

NETWORK_HELP = "Addresses, networks or ranges, separated by commas: 203.0.113.0/24, 2001:db8:1::/48."

SERVICE_GONE = "A service that you ticked is not in the list any more. Check the list below."


class InterfacesForm(forms.Form):
    """The interfaces that face the internet: ticked in the host's list, or typed."""

    mark = forms.CharField(max_length=64, widget=forms.HiddenInput)
    external_interfaces = forms.MultipleChoiceField(required=False, label="External interfaces")
    external_other = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Another interface",
        help_text="The name of an interface that does not exist now. A trailing + matches any ending: ppp+.",
        widget=forms.TextInput(attrs=CODE),
    )

    def __init__(self, *args: Any, offered: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["external_interfaces"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in offered]

    def clean(self) -> dict[str, Any]:
        """Require an interface: without one, no rule reaches the traffic to containers."""
        data = super().clean() or self.cleaned_data
        if not self.errors and not self.names():
            self.add_error("external_interfaces", "Choose at least one interface.")
        return data

    def names(self) -> list[str]:
        """Return the chosen interfaces."""
        data = self.cleaned_data
        typed = split_names(str(data.get("external_other", "")))
        return list(dict.fromkeys([*data.get("external_interfaces", ()), *typed]))


class SourcesForm(forms.Form):
    """Who may connect: the viewer, a network, or everyone."""

    who = forms.ChoiceField(label="Allow SSH from")
    network = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Network",
        help_text=NETWORK_HELP,
        widget=forms.TextInput(attrs=CODE),
    )

    def __init__(self, *args: Any, viewer: Viewer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.viewer = viewer
        helps = {
            "me": "Only from where you are now. Connections at home and on the road often change it.",
            "network": "An office, a VPN, or your provider's networks.",
            "everyone": "The whole internet can try to sign in.",
        }
        me = (("me", f"My address, {viewer.address}"),) if viewer.address else ()
        field = self.fields["who"]
        assert isinstance(field, forms.ChoiceField)
        field.widget = HelpedRadioSelect(helps)
        field.choices = [*me, ("network", "A network"), ("everyone", "Everyone")]

    def clean(self) -> dict[str, Any]:
        """Require a network where it is chosen."""
        data = super().clean() or self.cleaned_data
        if data.get("who") == "network" and not split_sources(str(data.get("network", ""))):
            self.add_error("network", "Type an address or a network, for example 203.0.113.0/24.")
        return data

    def sources(self) -> list[str]:
        """Return the sources of the rule; none is everyone."""
        who = self.cleaned_data["who"]
        if who == "me":
            return [self.viewer.address]
        return split_sources(str(self.cleaned_data["network"])) if who == "network" else []


class ServicesForm(forms.Form):
    """The services to allow, by the keys of the host's list, and from where."""

    services = forms.MultipleChoiceField(required=False, label="Services")
    sources = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Allow the ticked services from",
        help_text=f"Empty is everyone. {NETWORK_HELP}",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "Everyone"}),
    )

    def __init__(self, *args: Any, offered: Sequence[Service], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = {each.key: each for each in offered}
        field = self.fields["services"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(key, key) for key in self.offered]
        field.error_messages["invalid_choice"] = SERVICE_GONE

    def rules(self) -> list[Mapping[str, object]]:
        """Return a rule for each ticked service."""
        sources = split_sources(str(self.cleaned_data["sources"]))
        return [{**self.offered[key].values, "sources": sources} for key in self.cleaned_data["services"]]


class ContainersForm(forms.Form):
    """What containers may reach on their own host: ticked services by rules, or every port."""

    mark = forms.CharField(max_length=64, widget=forms.HiddenInput)
    keep = forms.ChoiceField(
        label="After the first apply, containers reach",
        choices=[("rules", "The ticked services"), ("allow", "Every port of this host")],
        widget=HelpedRadioSelect(
            {
                "rules": "A rule for each, for the containers that reach it today. The others are refused.",
                "allow": "Also services that you start later.",
            }
        ),
    )
    services = forms.MultipleChoiceField(required=False, label="Services that containers reach today")

    def __init__(self, *args: Any, lost: Sequence[LostService], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lost = {service_key(each): each for each in lost}
        field = self.fields["services"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(key, each.name) for key, each in self.lost.items()]
        field.error_messages["invalid_choice"] = SERVICE_GONE

    def chosen(self) -> list[LostService]:
        """Return the ticked services."""
        return [self.lost[key] for key in self.cleaned_data["services"]]
