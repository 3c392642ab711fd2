"""`manage.py firstadmin`: print the one-time link that creates the first account."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from rules.accounts.setup_services import first_admin_link_create
from rules.pages.errors import ServiceError


class Command(BaseCommand):
    """Print a new link; earlier links stop working."""

    # The checks are of the code and not of an installation, and load every page.
    requires_system_checks = []
    help = "Print the one-time link that creates the first account. Earlier links stop working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default="http://127.0.0.1:8000",
            help="the address of the dashboard (default: %(default)s)",
        )
        parser.add_argument("--if-needed", action="store_true", help="print nothing if an account exists")
        parser.add_argument(
            "--is-needed", action="store_true", help="print nothing; status 0 if no account exists, else 1"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["is_needed"]:
            sys.exit(1 if get_user_model().objects.exists() else 0)
        if options["if_needed"] and get_user_model().objects.exists():
            return
        try:
            token = first_admin_link_create()
        except ServiceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['url'].rstrip('/')}/setup/{token}/")
