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
        from rules.draft.frame_selectors import pending_facts
        from rules.pages.frame import register_frame_facts

        checks.register_checks()
        sign_in_services.connect()
        register_frame_facts(pending_facts, apply_facts)
