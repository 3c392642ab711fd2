"""The rules app. It registers the audit of sign-ins, the system checks and the facts of the frame."""

from django.apps import AppConfig


class RulesConfig(AppConfig):
    """dockerfw's one app."""

    name = "rules"
    verbose_name = "Firewall rules"

    def ready(self) -> None:
        """Connect the receivers, which need loaded models and so cannot be imported earlier."""
        from rules import checks
        from rules.accounts import sign_in_services
        from rules.applying.frame_selectors import apply_facts
        from rules.applying.group_list_selectors import find_in_lists, group_states
        from rules.draft.frame_selectors import pending_facts
        from rules.draft.group_selectors import register_group_states, register_list_finder
        from rules.lists.list_selectors import networks_of_lists
        from rules.pages.frame import register_frame_facts
        from rules.seen.list_member_selectors import register_list_reader

        checks.register_checks()
        sign_in_services.connect()
        register_group_states(group_states)
        register_list_finder(find_in_lists)
        register_list_reader(networks_of_lists)
        register_frame_facts(pending_facts, apply_facts)
