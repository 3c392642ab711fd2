"""What the forms of all folders share: attributes of fields, limits, and errors placed at their fields.

Forms only read text and turn it into the keys of the document. The one validator in
`dockerfw.document.document`, which the services call, decides whether a value is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from dockerfw.iptables.errors import FieldError

# Enough for every valid value; longer text is a paste by mistake.
LINE_LIMIT = 2000
# Phones must not correct what is typed into fields for addresses and names.
AS_TYPED = {"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
CODE = {"class": "code", **AS_TYPED}
SEPARATORS = re.compile(r"[\s,;]+")


class PastedField(forms.CharField):
    """A text that people paste. It is refused where it is too long, and never cut.

    A browser cuts a paste at `maxlength` without a word, and half an address is another one. So the limit
    is in `data-most`: dockerfw.js names it before it sends anything, and the server refuses the text too.
    """

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """Return the attributes of the field."""
        attrs = dict(super().widget_attrs(widget))
        attrs["data-most"] = attrs.pop("maxlength")
        return attrs


class HelpedRadioSelect(forms.RadioSelect):
    """Radio buttons with a hint for each value; templates read it as `radio.data.help`."""

    def __init__(self, helps: Mapping[str, str]) -> None:
        super().__init__()
        self.helps = helps

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return an option with its hint."""
        return {**super().create_option(name, value, *args, **kwargs), "help": self.helps.get(str(value), "")}


def place_errors(
    form: forms.Form, errors: Iterable[FieldError], fields: Mapping[str, str] | None = None
) -> None:
    """Add each error of the document's validator to the form's field that it names.

    `fields` renames the first part of a path. An error whose path names no field is one of the whole form.
    """
    for error in errors:
        name = re.split(r"[.\[]", error.path, maxsplit=1)[0]
        name = (fields or {}).get(name, name)
        form.add_error(name if name in form.fields else None, error.message)
