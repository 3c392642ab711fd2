"""`manage.py createsuperuser`: Django's command, with checks that cannot be skipped and an audit event."""

from __future__ import annotations

import os
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rules.accounts.account_services import account_create
from rules.audit.actors import command_line_actor
from rules.pages.errors import Invalid


class Command(BaseCommand):
    """Create an account, whose password is typed twice or comes from the environment."""

    # The checks are of the code and not of an installation, and load every page.
    requires_system_checks = []
    help = "Create an account with all rights. Asks for the password unless DJANGO_SUPERUSER_PASSWORD is set."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", help="the name of the account, asked for if omitted")
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="ask nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username = options["username"] or os.environ.get("DJANGO_SUPERUSER_USERNAME", "")
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
        if options["interactive"]:
            username = username or input("Username: ")
            password = password or _ask_twice()
        try:
            account_create(username=username, password=password, actor=command_line_actor())
        except Invalid as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The account {username} was created.")


def _ask_twice() -> str:
    password = getpass()
    if getpass("Password (again): ") != password:
        raise CommandError("the passwords differ")
    return password
