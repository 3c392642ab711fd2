"""Create an account, whoever asks for it; the first admin's link has its own rules (setup_services)."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from dockerfw.iptables.errors import FieldError
from rules.audit.actors import Actor
from rules.audit.audit_services import audit_record
from rules.pages.errors import Invalid


def account_create(*, username: str, password: str, actor: Actor) -> User:
    """Create an account with all rights. Raises Invalid for the name or the password."""
    with transaction.atomic():
        user = user_create(username=username, password=password)
        audit_record(actor=actor, verb="account-create", target=username)
    return user


def user_create(*, username: str, password: str) -> User:
    """Create the row of an account, without an audit event. Raises Invalid."""
    user = User(username=username, is_staff=False, is_superuser=True)
    _check(user, password)
    user.set_password(password)
    user.save()
    return user


def _check(user: User, password: str) -> None:
    errors: list[FieldError] = []
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            errors += [FieldError(field, message) for message in messages]
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors += [FieldError("password", message) for message in error.messages]
    if errors:
        raise Invalid(tuple(errors))
