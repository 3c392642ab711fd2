"""Django system checks for settings that are unsafe or wrong, each with a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from dockerfw_site.environment import Environment


def register_checks() -> None:
    """Register the checks of this module; called once when the app is ready."""
    register(Tags.security, deploy=True)(check_deployment)
    register(Tags.compatibility)(check_queue)


def check_deployment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn about settings that are unsafe for a site on a network (`manage.py check --deploy`)."""
    environment: Environment = settings.ENVIRONMENT
    messages: list[CheckMessage] = []
    if environment.secret_key is None:
        hint = "Set DOCKERFW_SECRET_KEY_FILE, or start the web process once. It stores DATA_DIR/secret_key."
        messages.append(Warning("No secret key is stored yet.", hint=hint, id="dockerfw.W001"))
    if not environment.secure_cookies:
        hint = "Unset DOCKERFW_SECURE_COOKIES. 0 is only for plain HTTP on the loopback address."
        messages.append(Warning("Cookies are sent over plain HTTP.", hint=hint, id="dockerfw.W002"))
    if "*" in environment.allowed_hosts:
        hint = "Name the site's own host names in DOCKERFW_ALLOWED_HOSTS."
        messages.append(Error("Any Host header is accepted.", hint=hint, id="dockerfw.E001"))
    return messages


def check_queue(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse queue settings that would let an entry be unpickled."""
    messages: list[CheckMessage] = []
    for name, queue in settings.RQ_QUEUES.items():
        if queue.get("SERIALIZER") != "rq.serializers.JSONSerializer":
            hint = "Set its SERIALIZER to rq.serializers.JSONSerializer. Pickle runs code that it reads."
            messages.append(Error(f"Queue {name} does not use JSON.", hint=hint, id="dockerfw.E002"))
    if "django_rq" in settings.INSTALLED_APPS:
        hint = "Remove django_rq from INSTALLED_APPS. Its worker and its pages unpickle data from Redis."
        messages.append(Error("django_rq is installed as an app.", hint=hint, id="dockerfw.E003"))
    return messages
