"""Audit sign-ins, failed sign-ins and sign-outs by the signals of django.contrib.auth, without passwords."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model, signals
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from dockerfw_site.proxies import client_address
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record


def connect() -> None:
    """Connect the receivers; a second call changes nothing."""
    signals.user_logged_in.connect(_signed_in, dispatch_uid="dockerfw-signed-in")
    signals.user_logged_out.connect(_signed_out, dispatch_uid="dockerfw-signed-out")
    signals.user_login_failed.connect(_sign_in_failed, dispatch_uid="dockerfw-sign-in-failed")


def _signed_in(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    audit_record(actor=_actor(request, user), verb="sign-in", target=user.get_username())


def _signed_out(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    if user is not None:
        audit_record(actor=_actor(request, user), verb="sign-out", target=user.get_username())


def _sign_in_failed(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    name = str(credentials.get("username", ""))
    actor = Actor(name="", address=client_address(request) if request else "")
    # A name that is no account's may be a password in the wrong field. Its digest shows repetitions only.
    known = get_user_model().objects.filter(username=name).exists()
    digest = salted_hmac("dockerfw.sign-in-failed", name, algorithm="sha256").hexdigest()[:16]
    audit_record(
        actor=actor,
        verb="sign-in-failed",
        target=name if known else "unknown account",
        after=None if known else {"name digest": digest},
    )


def _actor(request: HttpRequest | None, user: Any) -> Actor:
    address = client_address(request) if request else ""
    return Actor(name=user.get_username(), address=address, user_id=user.pk)
