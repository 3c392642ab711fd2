"""The rules app: connects the audit of sign-ins and registers the system checks."""

from django.apps import AppConfig


class RulesConfig(AppConfig):
    """dockerfw's one app."""

    name = "rules"
    verbose_name = "Firewall rules"

    def ready(self) -> None:
        """Connect the receivers; importing them earlier would need loaded models."""
        from rules import checks
        from rules.accounts import sign_in_services as sign_ins

        checks.register_checks()
        sign_ins.connect()
