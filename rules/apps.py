"""The rules app. It registers the audit of sign-ins, the system checks and the facts of the frame."""

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.utils.module_loading import import_string


class RulesConfig(AppConfig):
    """dockerfw's one app."""

    name = "rules"
    verbose_name = "Firewall rules"

    def ready(self) -> None:
        """Connect the receivers, which need loaded models and so cannot be imported earlier."""
        from rules import checks
        from rules.accounts import sign_in_services
        from rules.draft.group_selectors import register_group_states, register_list_finder
        from rules.pages.frame import register_frame_facts
        from rules.seen.list_member_selectors import register_list_reader

        checks.register_checks()
        sign_in_services.connect()
        register_group_states(_later("rules.applying.group_list_selectors.group_states"))
        register_list_finder(_later("rules.applying.group_list_selectors.find_in_lists"))
        register_list_reader(_later("rules.lists.list_selectors.networks_of_lists"))
        register_frame_facts(
            _later("rules.draft.frame_selectors.pending_facts"),
            _later("rules.applying.frame_selectors.apply_facts"),
        )


def _later(path: str) -> Callable[..., Any]:
    """Return a function that is imported when it is called: commands that show no page start sooner."""
    return lambda *arguments: import_string(path)(*arguments)
