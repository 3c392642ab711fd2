"""The form that imports a document or a ruleset into the draft."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from rules.pages.forms import CODE, HelpedRadioSelect

MAX_BYTES = 4 * 1024 * 1024


class ImportForm(forms.Form):
    """A document, the output of `iptables-save` or a restore file, as text or as an upload."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    mode = forms.ChoiceField(
        required=False,
        choices=(("replace", "Replace the draft"), ("add", "Add to the draft")),
        initial="replace",
        label="What to do",
        widget=HelpedRadioSelect(
            {
                "replace": "The draft has this content and no other afterwards.",
                "add": "Groups, rules and expectations are added. Settings stay.",
            }
        ),
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Paste text",
        widget=forms.Textarea(attrs={**CODE, "rows": 10, "data-most": str(MAX_BYTES)}),
    )
    file = forms.FileField(required=False, label="Or upload a file", allow_empty_file=True)

    def clean(self) -> dict[str, Any]:
        """Read the text or the file, at most 4 MiB, into `content`. Errors are those of the field."""
        data = super().clean() or {}
        upload, text = data.get("file"), str(data.get("text") or "")
        if upload is not None and text.strip():
            raise ValidationError({"file": "Send either text or a file, not both."})
        if upload is None and not text.strip():
            raise ValidationError({"text": "Paste text or choose a file."})
        if upload is None:
            data["content"] = text.replace("\r\n", "\n")
            if len(data["content"].encode()) > MAX_BYTES:
                raise ValidationError({"text": "The text is larger than 4 MiB."})
            return data
        if upload.size > MAX_BYTES:
            raise ValidationError({"file": "The file is larger than 4 MiB."})
        try:
            data["content"] = upload.read().decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"This is not UTF-8 text: byte {error.start + 1} cannot be read."
            raise ValidationError({"file": message}) from error
        return data

    def refuse(self, errors: Iterable[str]) -> None:
        """Add errors to the field of the text. Browsers do not keep a file, so its text is there instead."""
        upload = self.cleaned_data.get("file")
        if upload is not None:
            typed = {name: self.data.get(name) for name in self.fields}
            self.data = {**typed, "text": self.cleaned_data["content"].lstrip("\ufeff")}
            self["text"].label = f"Text of {upload.name}"
        for error in errors:
            self.add_error("text", error)
