"""The form of one group: it turns text into the keys of a document's group, which the services validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django import forms

from dockerfw.chains.list_entries import range_networks
from dockerfw.document.document import Group as DocumentGroup
from dockerfw.document.groups import group_to_json_object
from dockerfw.document.words import describe_count
from dockerfw.iptables.errors import FieldError
from rules.pages.forms import (
    AS_TYPED,
    CODE,
    LINE_LIMIT,
    SEPARATORS,
    HelpedRadioSelect,
    PastedField,
    place_errors,
)

KINDS = (
    ("static", "Addresses and networks"),
    ("feed", "Feed"),
    ("names", "DNS names"),
    ("countries", "Countries"),
)
KIND_HELPS = {
    "static": "A list that you paste or type here.",
    "feed": "A list at a URL, fetched again and again.",
    "names": "Hosts whose addresses change, such as a home connection.",
    "countries": "Networks of whole countries, from a file on the dashboard's machine.",
}
KIND_WORDS = dict(KINDS)
# 100,000 IPv6 networks with comments; a body of a request has at most 6 MiB.
MAX_TEXT = 5_000_000
TOO_LONG = "The list has %(show_value)d characters. At most %(limit_value)d are allowed."
MOST_ERRORS = 20
_RANGE = re.compile(r"(?<![^\s,;])([0-9A-Fa-f:.]{2,45})\s*-\s*([0-9A-Fa-f:.]{2,45})(?![^\s,;])", re.ASCII)
_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Typed:
    """A list as it was typed: its items, and the line on which each of them is."""

    items: tuple[str, ...]
    lines: tuple[int, ...]


class GroupForm(forms.Form):
    """One group of the draft. Fields of other kinds than the chosen one are not used."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Name",
        help_text="Lower-case letters, digits, and . _ - after the first. Rules name the group as @name.",
        widget=forms.TextInput(attrs={**CODE, "placeholder": "office"}),
    )
    kind = forms.ChoiceField(choices=KINDS, label="Kind", widget=HelpedRadioSelect(KIND_HELPS))
    entries = PastedField(
        required=False,
        max_length=MAX_TEXT,
        error_messages={"max_length": TOO_LONG},
        strip=False,
        label="Addresses and networks",
        help_text="IPv4 and IPv6, one on each line or separated by commas. A range such as "
        "192.0.2.1 - 192.0.2.9 is stored as networks, text after # is not.",
        widget=forms.Textarea(attrs={**CODE, "rows": 10}),
    )
    url = forms.CharField(
        required=False,
        max_length=3 * LINE_LIMIT,
        label="URL",
        help_text="A text with one address or network on each line.",
        widget=forms.TextInput(attrs={**CODE, "inputmode": "url"}),
    )
    refresh_hours = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        initial="24",
        label="Fetch again after (hours)",
        widget=forms.TextInput(attrs={**AS_TYPED, "inputmode": "numeric"}),
    )
    allow_http = forms.BooleanField(
        required=False,
        label="Allow plain http",
        help_text="Anyone on the way can then change the list.",
    )
    names = PastedField(
        required=False,
        max_length=20 * LINE_LIMIT,
        label="DNS names",
        help_text="One on each line or separated by commas: home.example.org.",
        widget=forms.Textarea(attrs={**CODE, "rows": 3}),
    )
    countries = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Countries",
        help_text="Codes of two letters, separated by commas: SE, NO.",
        widget=forms.TextInput(attrs=CODE),
    )
    comment = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label="Comment",
        help_text="Whose networks these are. The comment stays in dockerfw.",
    )

    def typed_name(self) -> str:
        """Return the name as a document writes it, without the @ of rules."""
        return str(self.cleaned_data["name"]).strip().lower().removeprefix("@")

    def document_values(self) -> dict[str, object]:
        """Return the values of the chosen kind under the keys of a document's group."""
        data = self.cleaned_data
        kind = str(data["kind"])
        hours = str(data["refresh_hours"]).strip() or "24"
        values: dict[str, Mapping[str, object]] = {
            "static": {"entries": list(split_list(str(data["entries"])).items)},
            "feed": {
                "url": str(data["url"]).strip(),
                "refresh_hours": int(hours)
                if hours.isascii() and hours.isdigit() and len(hours) < 9
                else hours,
                "allow_http": bool(data["allow_http"]),
            },
            "names": {"names": list(split_list(str(data["names"])).items)},
            "countries": {"countries": list(split_list(str(data["countries"])).items)},
        }
        return {"kind": kind, **values[kind], "comment": str(data["comment"]).strip()}

    def place(self, errors: Iterable[FieldError]) -> None:
        """Add each error to its field; those of a list name the line."""
        found = tuple(errors)
        for field in ("entries", "names", "countries"):
            listed = [each for each in found if each.path.startswith(f"{field}[")]
            if listed:
                text = split_list(str(self.cleaned_data.get(field, "")))
                for message in _line_errors(listed, text):
                    self.add_error(field, message)
        place_errors(self, (each for each in found if "[" not in each.path))


def split_list(text: str) -> Typed:
    """Split a pasted list at lines, commas and blanks; text after `#` is a comment, a range its networks."""
    items: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = [part for part in SEPARATORS.split(_split_ranges(line.partition("#")[0])) if part]
        items += found
        lines += [number] * len(found)
    return Typed(tuple(items), tuple(lines))


def _split_ranges(line: str) -> str:
    """Write each range as its networks; what is no range stays, without blanks, for the error to name."""
    if "-" not in line:
        return line
    return _RANGE.sub(
        lambda found: " ".join(range_networks(found[1], found[2])) or f"{found[1]}-{found[2]}", line
    )


def group_initial(group: DocumentGroup) -> dict[str, object]:
    """Return the form's fields for a document's group."""
    values = group_to_json_object(group)
    return {
        **values,
        "name": group.name,
        **{name: "\n".join(values[name]) for name in ("entries", "names") if name in values},
        **({"countries": ", ".join(values["countries"])} if "countries" in values else {}),
    }


def _line_errors(errors: Sequence[FieldError], typed: Typed) -> Iterator[str]:
    for error in errors[:MOST_ERRORS]:
        found = _INDEX.search(error.path)
        place = int(found[1]) if found else 0
        line = typed.lines[place] if place < len(typed.lines) else 0
        yield f"Line {line}: {error.message}."
    if len(errors) > MOST_ERRORS:
        yield f"{describe_count(len(errors) - MOST_ERRORS, 'more line')} cannot be read."
