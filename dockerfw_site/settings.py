"""Django's settings, all derived from the environment.

The names of the variables, their defaults and their checks are in environment.py.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from dockerfw.log_lines import FORMAT
from dockerfw_site.allowed_hosts import django_hosts
from dockerfw_site.cookies import cookie_name
from dockerfw_site.environment import BASE_DIR, read_environment
from dockerfw_site.incoming import MOST_BODY_BYTES
from dockerfw_site.logs import drop_traceback

ENVIRONMENT = read_environment()

# Without a stored key each process gets its own, which is enough for commands; wsgi.py stores one for the
# web.
SECRET_KEY = ENVIRONMENT.secret_key or secrets.token_urlsafe(50)
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = django_hosts(ENVIRONMENT.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENVIRONMENT.csrf_trusted_origins)

# django_rq is left out on purpose: as an app it brings `rqworker` and admin pages, which unpickle what Redis
# holds.
INSTALLED_APPS = [
    # The first one's management commands take the place of Django's.
    "rules.apps.RulesConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "dockerfw_site.response_headers.ResponseHeadersMiddleware",
    "dockerfw_site.allowed_hosts.AddressHostMiddleware",
    "dockerfw_site.proxies.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "dockerfw_site.compression.CompressionMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    # After the one above, which counts the bytes of the answer.
    "dockerfw_site.visible_text.VisibleTextMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dockerfw_site.body_limit.BodyLimitMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "dockerfw_site.urls"
WSGI_APPLICATION = "dockerfw_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 10,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=10000;",
}
_database: dict[str, Any] = (
    dict(dj_database_url.parse(ENVIRONMENT.database_url, conn_max_age=60, conn_health_checks=True))
    if ENVIRONMENT.database_url
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": ENVIRONMENT.data_dir / "dockerfw.sqlite3"}
)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = SQLITE_OPTIONS
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENVIRONMENT.redis_url
SIGNING_KEY_FILE = ENVIRONMENT.signing_key_file
RQ_QUEUES: dict[str, dict[str, Any]] = {
    name: {"URL": REDIS_URL, "SERIALIZER": "rq.serializers.JSONSerializer", "DEFAULT_TIMEOUT": 120}
    for name in (f"firewall-{ENVIRONMENT.host}", "clerk")
}
RQ = {"COMMIT_MODE": "auto"}
RQ_SHOW_ADMIN_LINK = False

PASSWORD_HASHERS = ["rules.accounts.password_hashers.LowPriorityHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = cookie_name("session", SECRET_KEY, secure=ENVIRONMENT.secure_cookies)
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = ENVIRONMENT.secure_cookies
CSRF_COOKIE_NAME = cookie_name("csrf", SECRET_KEY, secure=ENVIRONMENT.secure_cookies)
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = ENVIRONMENT.secure_cookies
MESSAGES_COOKIE_NAME = cookie_name("messages", SECRET_KEY, secure=ENVIRONMENT.secure_cookies)
MESSAGE_STORAGE = "rules.pages.message_storage.MessageStorage"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if ENVIRONMENT.secure_cookies else 0
# proxies.py removes this header unless it comes from a trusted proxy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Uploads stay in memory, so that no request can fill a disk.
DATA_UPLOAD_MAX_MEMORY_SIZE = MOST_BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = MOST_BODY_BYTES
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

LANGUAGE_CODE = "en"
TIME_ZONE = ENVIRONMENT.time_zone
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
# Files are served from the apps' own folders, so there is no collectstatic step to forget.
STATIC_ROOT = None
# The font that scripts/setup makes, in the virtual environment. Where it could not be made, there is none.
FONTS = Path(sys.prefix) / "share" / "dockerfw"
STATICFILES_DIRS = [("rules/fonts", FONTS)] if (FONTS / "inter.woff2").exists() else []
WHITENOISE_USE_FINDERS = True

# Redirects to https, and HSTS for other names of the domain, are left to the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_traceback": {"()": "django.utils.log.CallbackFilter", "callback": drop_traceback}},
    "formatters": {"plain": {"()": "dockerfw_site.logs.SiteFormatter", "format": FORMAT}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain"},
        "refused": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["no_traceback"]},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "rules": {"level": "INFO"},
        "dockerfw": {"level": "INFO"},
        "django.security": {"handlers": ["refused"], "propagate": False},
    },
}
