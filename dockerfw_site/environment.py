"""The settings of the dashboard's processes, read from environment variables and checked.

They include the agent's settings from dockerfw/settings.py. No secret is ever printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dockerfw.settings import (
    AgentSettings,
    SettingError,
    file_of,
    flag_of,
    number_of,
    optional_path_of,
    path_of,
    read_settings,
    text_of,
    url_of,
    words_of,
)

# The key that signs orders, in the folder of the settings: outside the data, so outside every backup.
SIGNING_KEY = "signing.key"
# The key that signs orders about lists, for the process that fetches them.
LISTS_KEY = "lists.key"
BASE_DIR = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql")
PROXY_SCHEMES = ("http", "https")
SECRET_KEY_MIN = 32
MOST_KEY_BYTES = 4096
_DAYS = range(1, 367)
_DAYS_ALLOWED = "use a whole number of days from 1 to 366"
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{32,200}", re.ASCII)
_BEARER_ALLOWED = "a token has 32 to 200 letters, digits and ._~+/=-, such as openssl rand -hex 32 prints"
# This word among the allowed hosts stands for every IP address.
ANY_ADDRESS = "addresses"

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Environment(AgentSettings):
    """The checked settings of a dashboard process, the agent's included."""

    secret_key: str | None
    debug: bool
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    secure_cookies: bool
    data_dir: Path
    signing_key_file: Path
    lists_key_file: Path
    database_url: str | None
    time_zone: str
    trusted_proxies: tuple[Network, ...]
    trust_unix_socket: bool
    outbound_internal: bool
    outbound_ca_file: Path | None
    outbound_proxy: str | None
    name_servers: tuple[str, ...]
    country_file: Path | None
    refused_days: int
    refused_shorten: bool
    metrics_token: str | None


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check every variable. Raises SettingError for the first one that is wrong."""
    source = os.environ if environ is None else environ
    agent = read_settings(source)
    data_dir = path_of(source, "DOCKERFW_DATA_DIR", BASE_DIR / "var")
    networks, unix_socket = _proxies(source, "DOCKERFW_TRUSTED_PROXIES")
    return Environment(
        **{field.name: getattr(agent, field.name) for field in fields(agent)},
        secret_key=_secret_key(source, data_dir),
        debug=flag_of(source, "DOCKERFW_DEBUG", default=False),
        allowed_hosts=words_of(source, "DOCKERFW_ALLOWED_HOSTS") or ("localhost", "127.0.0.1", "[::1]"),
        csrf_trusted_origins=_origins(source, "DOCKERFW_CSRF_TRUSTED_ORIGINS"),
        secure_cookies=flag_of(source, "DOCKERFW_SECURE_COOKIES", default=True),
        data_dir=data_dir,
        signing_key_file=path_of(source, "DOCKERFW_SIGNING_KEY_FILE", agent.settings_dir / SIGNING_KEY),
        lists_key_file=path_of(source, "DOCKERFW_LISTS_KEY_FILE", agent.settings_dir / LISTS_KEY),
        database_url=url_of(source, "DATABASE_URL", "DATABASE_URL_FILE", DATABASE_SCHEMES),
        time_zone=_time_zone(source, "DOCKERFW_TIME_ZONE"),
        trusted_proxies=networks,
        trust_unix_socket=unix_socket,
        outbound_internal=flag_of(source, "DOCKERFW_OUTBOUND_INTERNAL", default=False),
        outbound_ca_file=optional_path_of(source, "DOCKERFW_OUTBOUND_CA_FILE"),
        outbound_proxy=url_of(
            source, "DOCKERFW_OUTBOUND_PROXY", "DOCKERFW_OUTBOUND_PROXY_FILE", PROXY_SCHEMES
        ),
        name_servers=_addresses(source, "DOCKERFW_NAME_SERVERS"),
        country_file=optional_path_of(source, "DOCKERFW_COUNTRY_FILE"),
        refused_days=number_of(source, "DOCKERFW_REFUSED_DAYS", 30, _DAYS, _DAYS_ALLOWED),
        refused_shorten=flag_of(source, "DOCKERFW_REFUSED_SHORTEN", default=False),
        metrics_token=_token(source, "DOCKERFW_METRICS_TOKEN", "DOCKERFW_METRICS_TOKEN_FILE"),
    )


def ensure_secret_key(environ: Mapping[str, str] | None = None) -> str:
    """Return the secret key; create DATA_DIR/secret_key (mode 0600) if there is none yet."""
    environment = read_environment(environ)
    if environment.secret_key is not None:
        return environment.secret_key
    environment.data_dir.mkdir(parents=True, exist_ok=True)
    path = environment.data_dir / "secret_key"
    draft = path.with_name(f"secret_key.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    # link(), not rename(), so that of two processes that start together the first one's key stays.
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = words_of(environ, name)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise SettingError(
                name, origin, "each origin is https://name or https://name:port, separated by commas"
            )
    return tuple(origin.rstrip("/") for origin in origins)


def _time_zone(environ: Mapping[str, str], name: str) -> str:
    value = text_of(environ, name) or "UTC"
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError) as error:
        raise SettingError(name, value, "it has to be a zone name such as UTC or Europe/Berlin") from error
    return value


def _proxies(environ: Mapping[str, str], name: str) -> tuple[tuple[Network, ...], bool]:
    networks: list[Network] = []
    unix_socket = False
    for word in words_of(environ, name):
        if word == "unix":
            unix_socket = True
            continue
        try:
            networks.append(ip_network(_gateway(name) if word == "gateway" else word, strict=False))
        except ValueError as error:
            allowed = "each entry is an address, a network such as 10.0.0.0/8, or the word unix or gateway"
            raise SettingError(name, word, allowed) from error
    return tuple(networks), unix_socket


def _addresses(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = words_of(environ, name)
    for word in found:
        try:
            ip_address(word)
        except ValueError as error:
            raise SettingError(name, word, "each entry is an address such as 192.0.2.53") from error
    return found


def _gateway(name: str, routes: Path = Path("/proc/net/route")) -> str:
    """Return the IPv4 address of the default gateway; in a container, the host's end of its network."""
    with contextlib.suppress(OSError):
        for line in routes.read_text().splitlines()[1:]:
            # Interface, destination, gateway, flags, …; addresses are hexadecimal, in memory order.
            words = line.split()
            if len(words) > 2 and words[1] == "00000000" and words[2] != "00000000":
                return str(IPv4Address(int(words[2], 16).to_bytes(4, sys.byteorder)))
    raise SettingError(name, "gateway", "there is no default route here, so the gateway's address is unknown")


def _secret_key(environ: Mapping[str, str], data_dir: Path) -> str | None:
    key = text_of(environ, "DOCKERFW_SECRET_KEY")
    if key:
        return _long_enough("DOCKERFW_SECRET_KEY", key)
    named = text_of(environ, "DOCKERFW_SECRET_KEY_FILE")
    if named:
        return _long_enough("DOCKERFW_SECRET_KEY_FILE", file_of("DOCKERFW_SECRET_KEY_FILE", named))
    try:
        return _long_enough("DOCKERFW_SECRET_KEY_FILE", _own_key(data_dir / "secret_key"))
    except OSError:
        return None


def _token(environ: Mapping[str, str], name: str, in_file: str) -> str | None:
    """Return the token from one of the two variables, None without one."""
    token, file = text_of(environ, name), text_of(environ, in_file)
    if token and file:
        raise SettingError(in_file, file, f"{name} is set too; set only one of the two")
    given, token = (in_file, file_of(in_file, file)) if file else (name, token)
    if token and not _BEARER.fullmatch(token):
        # It is a secret, so the message shows only its length.
        raise SettingError(given, f"({len(token)} characters)", _BEARER_ALLOWED)
    return token or None


def _own_key(path: Path) -> str:
    """Read the key in the data directory safely, because root reads it too and does not own that folder."""
    allowed = "the secret key has to be a plain text file. Move this away"
    if path.is_symlink():
        raise SettingError("DOCKERFW_SECRET_KEY_FILE", str(path), allowed)
    # Do not follow a link that appears after the check, and do not wait for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SettingError("DOCKERFW_SECRET_KEY_FILE", str(path), allowed)
        try:
            return file.read(MOST_KEY_BYTES).decode().strip()
        except ValueError:
            raise SettingError("DOCKERFW_SECRET_KEY_FILE", str(path), allowed) from None


def _long_enough(variable: str, key: str) -> str:
    if len(key) < SECRET_KEY_MIN:
        allowed = f"a secret key has at least {SECRET_KEY_MIN} characters"
        raise SettingError(variable, f"({len(key)} characters)", allowed)
    return key
