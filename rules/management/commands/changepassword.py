"""`manage.py changepassword`: Django's command, with an audit event."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from rules.audit.actors import command_line_actor
from rules.audit.audit_services import audit_record


class Command(changepassword.Command):
    """Change the password of an account."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Ask for the password, change it and audit it."""
        with transaction.atomic():
            said = super().handle(*args, **options)
            audit_record(actor=command_line_actor(), verb="password-change", target=options["username"] or "")
        return said
