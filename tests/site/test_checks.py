"""System checks and the settings that keep a browser and a queue safe."""

from __future__ import annotations

import pytest
from django.conf import settings as project
from django.core.management import load_command_class
from pytest_django import Settings

from dockerfw_site.environment import read_environment
from rules.checks import check_deployment, check_queue

KEY = "k" * 50


def codes(messages: list[object]) -> list[str]:
    return sorted(str(getattr(message, "id", "")) for message in messages)


def test_a_site_as_it_should_be_has_no_findings(settings: Settings) -> None:
    settings.ENVIRONMENT = read_environment(
        {"DOCKERFW_SECRET_KEY": KEY, "DOCKERFW_ALLOWED_HOSTS": "fw.example.org"}
    )
    assert check_deployment(None) == []
    assert check_queue(None) == []


def test_each_weak_setting_is_named_with_a_hint(settings: Settings) -> None:
    settings.ENVIRONMENT = read_environment(
        {
            "DOCKERFW_DATA_DIR": "/nonexistent",
            "DOCKERFW_ALLOWED_HOSTS": "*",
            "DOCKERFW_SECURE_COOKIES": "0",
        }
    )
    found = check_deployment(None)
    assert codes(list(found)) == ["dockerfw.E001", "dockerfw.W001", "dockerfw.W002"]
    assert all(message.hint for message in found)


def test_a_queue_that_unpickles_is_an_error(settings: Settings) -> None:
    settings.RQ_QUEUES = {"clerk": {"URL": "redis://x"}}
    settings.INSTALLED_APPS = [*project.INSTALLED_APPS, "django_rq"]
    assert codes(list(check_queue(None))) == ["dockerfw.E002", "dockerfw.E003"]


def test_the_policy_allows_nothing_inline() -> None:
    directives = project.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == directives["style-src"] == ["'self'"]
    assert not any("unsafe" in word for words in directives.values() for word in words)


@pytest.mark.parametrize(("value", "secure"), [("1", True), ("0", False)])
def test_cookies_are_secure_unless_said_otherwise(value: str, secure: bool) -> None:
    assert read_environment({"DOCKERFW_SECURE_COOKIES": value}).secure_cookies is secure
    assert project.SESSION_COOKIE_HTTPONLY
    assert project.CSRF_COOKIE_HTTPONLY
    assert "django_rq" not in project.INSTALLED_APPS
    assert "django.contrib.auth.middleware.LoginRequiredMiddleware" in project.MIDDLEWARE


@pytest.mark.parametrize("name", ["clerk", "createsuperuser", "firewall", "firstadmin"])
def test_a_command_does_not_load_every_page_to_check_it(name: str) -> None:
    assert load_command_class("rules", name).requires_system_checks == []
