"""The messages of the next page, in a cookie with a name of this installation's own.

Not in the session: its row could not be written with a full disk, and every page would fail.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class NamedCookieStorage(CookieStorage):
    """Keep messages in the cookie that the settings name."""

    cookie_name = settings.MESSAGES_COOKIE_NAME


class MessageStorage(FallbackStorage):
    """Keep messages in the cookie, and in the session those that it has no room for."""

    storage_classes = (NamedCookieStorage, SessionStorage)
