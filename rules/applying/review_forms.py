"""The form below a review, which starts an apply."""

from __future__ import annotations

from django import forms

from rules.pages.forms import AS_TYPED, LINE_LIMIT

WINDOWS = (
    (15, "15 seconds"),
    (30, "30 seconds"),
    (60, "1 minute"),
    (120, "2 minutes"),
    (300, "5 minutes"),
    (900, "15 minutes"),
    (3600, "1 hour"),
)
# The fields that stand beside what they are about, and not in the form at the end of the page.
_APART = {"form": "apply-form"}
# Must be typed by an admin whom the apply would lock out.
ANYWAY = "anyway"


class ApplyForm(forms.Form):
    """The reason for an apply, its confirmation window, and the checks that it overrides."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    message = forms.CharField(
        max_length=500,
        label="Reason",
        help_text="One line for the history: what this change is for.",
        error_messages={"required": "Enter the reason for this change."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    window = forms.TypedChoiceField(
        choices=WINDOWS,
        coerce=int,
        initial=60,
        label="Roll back automatically after",
        required=False,
        empty_value=None,
        help_text="Unless you click Keep before then.",
    )

    end_sessions = forms.BooleanField(
        required=False, label="End these sessions after Keep", widget=forms.CheckboxInput(attrs=_APART)
    )
    every_port = forms.BooleanField(
        required=False, label="Open every port", widget=forms.CheckboxInput(attrs=_APART)
    )
    override = forms.CharField(
        required=False,
        max_length=500,
        label="Reason for overriding the failed check",
        help_text="Required if an expectation fails now or after the load. The history shows it.",
        widget=forms.TextInput(attrs={**_APART, "autocomplete": "off"}),
    )
    anyway = forms.CharField(
        required=False,
        max_length=LINE_LIMIT,
        label=f'Type "{ANYWAY}" to continue',
        help_text="This apply would lock you out. The previous rules return unless an admin clicks Keep.",
        widget=forms.TextInput(attrs={**_APART, **AS_TYPED}),
    )

    def says_anyway(self) -> bool:
        """Return True if the word was typed that an apply needs when it locks out the caller."""
        return str(self.cleaned_data["anyway"]).strip().lower() == ANYWAY

    def seconds(self) -> int:
        """Return the length of the confirmation window in seconds; a form without it means a minute."""
        return int(self.cleaned_data["window"] or 60)
