"""Create the first admin by a setup link.

Only the digest of a link is stored. A link expires when it is used, after one day, and when any user exists.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from rules.accounts.account_services import user_create
from rules.audit.actors import SYSTEM, Actor
from rules.audit.audit_services import audit_record
from rules.models import SetupLink
from rules.pages.errors import NotFound, ServiceError

LINK_LIVES = timedelta(hours=24)


def first_admin_link_create() -> str:
    """Create a link and return its token; earlier unused links stop working.

    ServiceError when a user exists.
    """
    with transaction.atomic():
        if get_user_model().objects.exists():
            raise ServiceError("An account exists already. Setup links are only for the first one.")
        token = secrets.token_urlsafe(32)
        SetupLink.objects.filter(used_at=None).delete()
        SetupLink.objects.create(token_digest=_digest(token))
        audit_record(actor=SYSTEM, verb="setup-link-create")
    return token


def first_admin_link_is_open(token: str) -> bool:
    """Return True if the token can still create the first admin."""
    return _open_link(token) is not None


def first_admin_create(*, token: str, username: str, password: str, address: str) -> User:
    """Create the first admin and use up the link. NotFound for an expired link, Invalid for the fields."""
    with transaction.atomic():
        link = _open_link(token)
        used = link and SetupLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now())
        if not used:
            raise NotFound("The link was used already, has expired, or was never valid.")
        user = user_create(username=username, password=password)
        actor = Actor(name=username, address=address, user_id=user.pk)
        audit_record(actor=actor, verb="setup-link-use", target=username)
    return user


def _open_link(token: str) -> SetupLink | None:
    if get_user_model().objects.exists():
        return None
    oldest = timezone.now() - LINK_LIVES
    return SetupLink.objects.filter(token_digest=_digest(token), used_at=None, created_at__gte=oldest).first()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
