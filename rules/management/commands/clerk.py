"""`manage.py clerk`: serve the clerk's queue and write the root workers' outcomes into the database.

Processes beside it fetch lists, store refused packets and record samples over time.
"""

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
from rules.asking.exposure_selectors import exposure_counts
from rules.link.client import worker_connection
from rules.lists.list_jobs import list_workers
from rules.overview.refused_jobs import refusals_companion
from rules.overview.sample_jobs import samples_companion


class Command(BaseCommand):
    """Serve until SIGTERM or SIGINT."""

    # The checks are of the code and not of an installation, and load every page.
    requires_system_checks = []
    help = "Write what root workers report into the database, and fetch lists. Runs until it is stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        take_part(read_environment().data_dir)
        beside = (*list_workers(), refusals_companion(), samples_companion(exposure_counts))

        def keep_running() -> None:
            for companion in beside:
                companion.check()

        worker = LockedWorker(
            CLERK_QUEUE,
            connection=worker_connection(),
            ids=report_ids(),
            allowed=clerk_jobs.ALLOWED,
            on_idle=clerk_jobs.when_idle,
            on_tick=keep_running,
            alive=settings.ENVIRONMENT.alive_file,
        )
        try:
            worker.work()
        finally:
            for companion in beside:
                companion.stop()
