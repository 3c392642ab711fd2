"""`manage.py clerk`: serve the clerk's queue and write the root workers' outcomes into the database."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from dockerfw.messages.orders import CLERK_QUEUE
from dockerfw.worker.entries import report_ids
from dockerfw.worker.worker import LockedWorker
from dockerfw_site.environment import read_environment
from dockerfw_site.presence import take_part
from rules.applying import clerk_jobs
from rules.link.client import worker_connection


class Command(BaseCommand):
    """Serve until SIGTERM or SIGINT."""

    help = "Write the outcomes that root workers report into the database. Runs until it is stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        take_part(read_environment().data_dir)
        worker = LockedWorker(
            CLERK_QUEUE,
            connection=worker_connection(),
            ids=report_ids(),
            allowed=clerk_jobs.ALLOWED,
            on_idle=clerk_jobs.expire_applies,
            alive=settings.ENVIRONMENT.alive_file,
        )
        worker.work()
