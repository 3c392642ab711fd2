"""Read dockerfw's settings from environment variables.

Owns the names, the defaults and the checks of every DOCKERFW_ variable. It imports no Django, so that the
root worker can read the same settings, and it never prints a secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

BASE_DIR = Path(__file__).resolve().parent.parent
REDIS_SCHEMES = ("redis", "rediss", "unix")
DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql")
SECRET_KEY_MIN = 32
MOST_KEY_BYTES = 4096
# Among the allowed hosts: whatever is an IP address.
ANY_ADDRESS = "addresses"
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")

Network = IPv4Network | IPv6Network


class SettingError(Exception):
    """One environment variable holds something that is not allowed."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable} is {value!r}: {allowed}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Environment:
    """The settings of one process, checked."""

    secret_key: str | None
    debug: bool
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    secure_cookies: bool
    data_dir: Path
    database_url: str | None
    redis_url: str
    state_dir: Path
    settings_dir: Path
    host: str
    time_zone: str
    trusted_proxies: tuple[Network, ...]
    trust_unix_socket: bool
    docker_socket: Path | None
    observe_seconds: int
    alive_file: Path | None
    in_container: bool
    command: str


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check every variable; SettingError names the first one that is wrong."""
    source = os.environ if environ is None else environ
    data_dir = _path(source, "DOCKERFW_DATA_DIR", BASE_DIR / "var")
    networks, unix_socket = _proxies(source, "DOCKERFW_TRUSTED_PROXIES")
    return Environment(
        secret_key=_secret_key(source, data_dir),
        debug=_flag(source, "DOCKERFW_DEBUG", default=False),
        allowed_hosts=_words(source, "DOCKERFW_ALLOWED_HOSTS") or ("localhost", "127.0.0.1", "[::1]"),
        csrf_trusted_origins=_origins(source, "DOCKERFW_CSRF_TRUSTED_ORIGINS"),
        secure_cookies=_flag(source, "DOCKERFW_SECURE_COOKIES", default=True),
        data_dir=data_dir,
        database_url=_url(source, "DATABASE_URL", "DATABASE_URL_FILE", None, DATABASE_SCHEMES),
        redis_url=_url(
            source,
            "DOCKERFW_REDIS_URL",
            "DOCKERFW_REDIS_URL_FILE",
            "redis://127.0.0.1:6379/0",
            REDIS_SCHEMES,
        )
        or "",
        state_dir=_path(source, "DOCKERFW_STATE_DIR", Path("/var/lib/dockerfw")),
        settings_dir=_path(source, "DOCKERFW_SETTINGS_DIR", Path("/etc/dockerfw")),
        host=_host(source, "DOCKERFW_HOST"),
        time_zone=_time_zone(source, "DOCKERFW_TIME_ZONE"),
        trusted_proxies=networks,
        trust_unix_socket=unix_socket,
        docker_socket=_optional_path(source, "DOCKERFW_DOCKER_SOCKET"),
        observe_seconds=_seconds(source, "DOCKERFW_OBSERVE_SECONDS", 60, least=5, most=3600),
        alive_file=_optional_path(source, "DOCKERFW_ALIVE_FILE"),
        in_container=_flag(source, "DOCKERFW_IN_CONTAINER", default=False),
        command=_text(source, "DOCKERFW_COMMAND") or "dockerfw",
    )


def ensure_secret_key(environ: Mapping[str, str] | None = None) -> str:
    """Return the secret key, making DATA_DIR/secret_key (mode 0600) when none was given yet."""
    environment = read_environment(environ)
    if environment.secret_key is not None:
        return environment.secret_key
    environment.data_dir.mkdir(parents=True, exist_ok=True)
    path = environment.data_dir / "secret_key"
    draft = path.with_name(f"secret_key.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    # link(), not rename(): of two processes that start together the first one's key stays.
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def _words(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", _text(environ, name)) if word)


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = _text(environ, name)
    if not value:
        return default
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise SettingError(name, value, "allowed are 1 and 0 (also true, false, yes, no, on, off)")


def _path(environ: Mapping[str, str], name: str, default: Path) -> Path:
    value = _text(environ, name)
    if not value:
        return default
    path = Path(value)
    if not path.is_absolute():
        raise SettingError(name, value, "it has to be an absolute path, such as /var/lib/dockerfw")
    return path


def _optional_path(environ: Mapping[str, str], name: str) -> Path | None:
    return _path(environ, name, BASE_DIR) if _text(environ, name) else None


def _seconds(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    value = _text(environ, name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and least <= int(value[:9]) <= most):
        raise SettingError(name, value, f"it has to be a whole number of seconds from {least} to {most}")
    return int(value)


def _url(
    environ: Mapping[str, str], name: str, in_file: str, default: str | None, schemes: tuple[str, ...]
) -> str | None:
    """Return an address: the variable `name` holds it, or the file that the variable `in_file` names."""
    value, given = _text(environ, name), name
    file = _text(environ, in_file)
    if value and file:
        raise SettingError(in_file, file, f"{name} is set as well, and only one of the two can count")
    if file:
        value, given = _file(in_file, file), f"the address in {in_file}"
    if not value:
        return default
    scheme = value.partition("://")[0]
    if "://" not in value or scheme not in schemes:
        allowed = ", ".join(f"{known}://" for known in schemes)
        # The address may carry a password: only its scheme is shown, and of no address nothing.
        shown = f"{scheme[:20]}…" if "://" in value else "…"
        raise SettingError(given, shown, f"it has to begin with one of {allowed}")
    return value


def _file(name: str, file: str) -> str:
    """Return what a file holds that a variable names; it must hold something."""
    try:
        text = Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingError(name, file, f"it has to be a readable file ({reason})") from error
    if not text:
        raise SettingError(name, file, "the file is empty")
    return text


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = _words(environ, name)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise SettingError(
                name, origin, "each origin is https://name or https://name:port, separated by commas"
            )
    return tuple(origin.rstrip("/") for origin in origins)


def _host(environ: Mapping[str, str], name: str) -> str:
    value = _text(environ, name) or "local"
    if not _HOST_NAME.fullmatch(value):
        raise SettingError(name, value, "a host's name is 1 to 50 lower-case letters, digits and hyphens")
    return value


def _time_zone(environ: Mapping[str, str], name: str) -> str:
    value = _text(environ, name) or "UTC"
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError) as error:
        raise SettingError(name, value, "it has to be a zone name such as UTC or Europe/Berlin") from error
    return value


def _proxies(environ: Mapping[str, str], name: str) -> tuple[tuple[Network, ...], bool]:
    networks: list[Network] = []
    unix_socket = False
    for word in _words(environ, name):
        if word == "unix":
            unix_socket = True
            continue
        try:
            networks.append(ip_network(_gateway(name) if word == "gateway" else word, strict=False))
        except ValueError as error:
            allowed = "each entry is an address, a network such as 10.0.0.0/8, or the word unix or gateway"
            raise SettingError(name, word, allowed) from error
    return tuple(networks), unix_socket


def _gateway(name: str, routes: Path = Path("/proc/net/route")) -> str:
    """Return the IPv4 address of the default gateway: in a container the host's end of its network."""
    with contextlib.suppress(OSError):
        for line in routes.read_text().splitlines()[1:]:
            # Interface, destination, gateway, flags, …; addresses in hexadecimal as they lie in memory.
            words = line.split()
            if len(words) > 2 and words[1] == "00000000" and words[2] != "00000000":
                return str(IPv4Address(int(words[2], 16).to_bytes(4, sys.byteorder)))
    raise SettingError(
        name, "gateway", "there is no default route here, so nobody knows the gateway's address"
    )


def _secret_key(environ: Mapping[str, str], data_dir: Path) -> str | None:
    key = _text(environ, "DOCKERFW_SECRET_KEY")
    if key:
        return _long_enough("DOCKERFW_SECRET_KEY", key)
    named = _text(environ, "DOCKERFW_SECRET_KEY_FILE")
    if named:
        return _long_enough("DOCKERFW_SECRET_KEY_FILE", _file("DOCKERFW_SECRET_KEY_FILE", named))
    try:
        return _long_enough("DOCKERFW_SECRET_KEY_FILE", _own_key(data_dir / "secret_key"))
    except OSError:
        return None


def _own_key(path: Path) -> str:
    """Read the key in the data directory: root does it too, and the owner of that folder is not root."""
    allowed = "the secret key has to be a plain file of text: move away what is there"
    if path.is_symlink():
        raise SettingError("DOCKERFW_SECRET_KEY_FILE", str(path), allowed)
    # Neither a link that comes at the last moment is followed, nor waited for the other end of a pipe.
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
