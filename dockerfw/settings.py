"""The agent's settings, read from environment variables and checked. No message contains a secret.

The web's settings are in dockerfw_site/environment.py, which uses the readers of this module.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerfw.chains.log_lines import DEFAULT_GROUP

# The dashboard's public key in the folder of the settings.
SIGNER = "signer.pub"
LISTS_SIGNER = "lists.pub"
REDIS_SCHEMES = ("redis", "rediss", "unix")
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")


class SettingError(Exception):
    """An environment variable has a value that is not allowed."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable} is {value!r}: {allowed}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The settings that the agent and the commands on a managed host read."""

    redis_url: str
    state_dir: Path
    settings_dir: Path
    signer_file: Path
    lists_signer_file: Path
    host: str
    docker_socket: Path | None
    observe_seconds: int
    alive_file: Path | None
    nflog_group: int
    in_container: bool
    command: str


def read_settings(environ: Mapping[str, str] | None = None) -> AgentSettings:
    """Read and check the agent's variables. SettingError names the first wrong one.

    The web's variables are not read, so root never reads the web's secret key.
    """
    source = os.environ if environ is None else environ
    settings_dir = path_of(source, "DOCKERFW_SETTINGS_DIR", Path("/etc/dockerfw"))
    redis_url = url_of(source, "DOCKERFW_REDIS_URL", "DOCKERFW_REDIS_URL_FILE", REDIS_SCHEMES)
    return AgentSettings(
        redis_url=redis_url or "redis://127.0.0.1:6379/0",
        state_dir=path_of(source, "DOCKERFW_STATE_DIR", Path("/var/lib/dockerfw")),
        settings_dir=settings_dir,
        signer_file=path_of(source, "DOCKERFW_SIGNER_FILE", settings_dir / SIGNER),
        lists_signer_file=path_of(source, "DOCKERFW_LISTS_SIGNER_FILE", settings_dir / LISTS_SIGNER),
        host=host_of(source, "DOCKERFW_HOST"),
        docker_socket=optional_path_of(source, "DOCKERFW_DOCKER_SOCKET"),
        observe_seconds=seconds_of(source, "DOCKERFW_OBSERVE_SECONDS", 60, least=5, most=3600),
        alive_file=optional_path_of(source, "DOCKERFW_ALIVE_FILE"),
        nflog_group=log_group_of(source, "DOCKERFW_NFLOG_GROUP"),
        in_container=flag_of(source, "DOCKERFW_IN_CONTAINER", default=False),
        command=text_of(source, "DOCKERFW_COMMAND") or "dockerfw",
    )


def text_of(environ: Mapping[str, str], name: str) -> str:
    """Return a variable without surrounding blanks, empty when it is not set."""
    return environ.get(name, "").strip()


def words_of(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the words of a variable, separated by commas or blanks."""
    return tuple(word for word in re.split(r"[,\s]+", text_of(environ, name)) if word)


def flag_of(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Return a variable that is 1 or 0. Raises SettingError."""
    value = text_of(environ, name)
    if not value:
        return default
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise SettingError(name, value, "allowed are 1 and 0 (also true, false, yes, no, on, off)")


def path_of(environ: Mapping[str, str], name: str, default: Path) -> Path:
    """Return a variable that is an absolute path. Raises SettingError."""
    value = text_of(environ, name)
    if not value:
        return default
    path = Path(value)
    if not path.is_absolute():
        raise SettingError(name, value, "use an absolute path, such as /var/lib/dockerfw")
    return path


def optional_path_of(environ: Mapping[str, str], name: str) -> Path | None:
    """Return a variable that is an absolute path, None when it is not set. Raises SettingError."""
    return path_of(environ, name, Path("/")) if text_of(environ, name) else None


def seconds_of(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    """Return a variable that is a whole number of seconds from `least` to `most`. Raises SettingError."""
    allowed = f"use a whole number of seconds from {least} to {most}"
    return number_of(environ, name, default, range(least, most + 1), allowed)


def log_group_of(environ: Mapping[str, str], name: str) -> int:
    """Return a variable that is the number of a group of the kernel's log. Raises SettingError."""
    return number_of(environ, name, DEFAULT_GROUP, range(1, 65_536), "use a whole number from 1 to 65535")


def number_of(environ: Mapping[str, str], name: str, default: int, numbers: range, allowed: str) -> int:
    """Return a variable that is one of `numbers`. Raises SettingError, which says what is `allowed`."""
    value = text_of(environ, name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) in numbers):
        raise SettingError(name, value, allowed)
    return int(value)


def url_of(environ: Mapping[str, str], name: str, in_file: str, schemes: tuple[str, ...]) -> str | None:
    """Return an address from the variable `name` or from the file that `in_file` names, None without one.

    Raises SettingError.
    """
    value, given = text_of(environ, name), name
    file = text_of(environ, in_file)
    if value and file:
        raise SettingError(in_file, file, f"{name} is set too; set only one of the two")
    if file:
        value, given = file_of(in_file, file), f"the address in {in_file}"
    if not value:
        return None
    scheme = value.partition("://")[0]
    if "://" not in value or scheme not in schemes:
        allowed = ", ".join(f"{known}://" for known in schemes)
        # The address may contain a password, so the message shows only its scheme.
        shown = f"{scheme[:20]}…" if "://" in value else "…"
        raise SettingError(given, shown, f"it has to begin with one of {allowed}")
    return value


def file_of(name: str, file: str) -> str:
    """Return the text of the file that a variable names; an empty file is an error. Raises SettingError."""
    try:
        text = Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingError(name, file, f"the file cannot be read ({reason})") from error
    if not text:
        raise SettingError(name, file, "the file is empty")
    return text


def host_of(environ: Mapping[str, str], name: str) -> str:
    """Return a variable that is the name of a host, `local` when it is not set. Raises SettingError."""
    value = text_of(environ, name) or "local"
    if not _HOST_NAME.fullmatch(value):
        raise SettingError(name, value, "a host's name has 1 to 50 lower-case letters, digits and hyphens")
    return value
