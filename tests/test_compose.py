"""compose.yaml and the image: what each service may do, read from the file that `docker compose` reads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dockerfw_site.environment import read_environment

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "compose.yaml"
FILE: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
RUNNING = ("redis", "web", "clerk", "firewall", "postgres", "tls")
ROOTS = {"setup", "firewall", "tools"}
# What each may do of root's powers; nothing for who is not here.
POWERS = {
    "firewall": {"NET_ADMIN", "NET_RAW", "SETPCAP", "SYS_ADMIN", "SETUID", "SETGID"},
    "tools": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID"},
}
# Each file with a password is in a volume that only these have.
SECRETS = {
    "redis-settings": {"setup", "redis"},
    "web-settings": {"setup", "web"},
    "clerk-settings": {"setup", "clerk"},
    "firewall-settings": {"setup", "firewall"},
}

each = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> dict[str, str]:
    """Return what a service mounts where: `VOLUME or FOLDER` by its place in the container."""
    pairs = (
        volume.rsplit(":", 2 if volume.endswith(":ro") else 1) for volume in SERVICES[name].get("volumes", ())
    )
    return {pair[1]: pair[0] for pair in pairs}


def test_the_services_are_these() -> None:
    assert set(SERVICES) == {"setup", "redis", "web", "clerk", "firewall", "tools", "postgres", "tls"}
    assert {name for name in SERVICES if SERVICES[name].get("profiles")} == {"tools", "postgres", "tls"}


@each
def test_no_service_has_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) == POWERS.get(name, set())
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "userns_mode", "devices", "env_file"} & set(service)
    assert service["logging"]["options"]["max-size"]


def test_an_address_with_a_password_comes_as_a_file_to_those_who_use_the_database() -> None:
    page = (ROOT / "docs" / "install-compose.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown = next(YAML(typ="safe").load(block) for block in blocks if "DATABASE_URL_FILE" in block)
    users = {name for name in SERVICES if "DATABASE_URL" in SERVICES[name].get("environment", {})}
    assert set(shown["services"]) == users == {"web", "clerk", "tools"}
    for name in users:
        service = shown["services"][name]
        assert service["environment"] == {"DATABASE_URL_FILE": "/run/secrets/database"}
        assert service["secrets"] == list(shown["secrets"]) == ["database"]
        assert ("network_mode" in service) == (SERVICES[name].get("network_mode") == "none")
    owner, file = re.findall(r"^    install -o (\d+) .* /dev/null (\S+)$", page, re.MULTILINE)[0]
    assert shown["secrets"]["database"] == {"file": file}
    assert {SERVICES[name]["user"].split(":")[0] for name in users} == {owner, "0"}
    # That Postgres which comes along has no password to hide.
    in_env = re.findall(r"^    DATABASE_URL=(\S+)$", page, re.MULTILINE)
    assert in_env
    assert not [address for address in in_env if re.search(r"://[^/@]*:[^/@]*@", address)]


@each
def test_no_registry_is_asked_for_an_image_of_ours(name: str) -> None:
    assert SERVICES[name]["pull_policy"] == "never"
    assert SERVICES[name]["image"].endswith(":local")


@each
def test_only_these_run_as_root(name: str) -> None:
    assert (SERVICES[name]["user"].split(":")[0] == "0") == (name in ROOTS)


@each
def test_only_the_pages_and_who_fetches_lists_have_a_network_and_only_the_root_worker_the_hosts(
    name: str,
) -> None:
    expected = {"web": None, "tls": None, "clerk": None, "firewall": "host"}.get(name, "none")
    assert SERVICES[name].get("network_mode") == expected
    assert ("ports" in SERVICES[name]) == (name in {"web", "tls"})


def test_no_service_gets_dockers_socket_by_default() -> None:
    assert all(
        "docker.sock" not in volume for name in SERVICES for volume in SERVICES[name].get("volumes", ())
    )
    assert "DOCKERFW_DOCKER_SOCKET" not in SERVICES["firewall"]["environment"]


@pytest.mark.parametrize("name", RUNNING)
def test_each_is_looked_after_and_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["healthcheck"]["interval"]


@pytest.mark.parametrize("volume", SECRETS)
def test_a_password_is_read_by_its_own_service_only(volume: str) -> None:
    assert {name for name in SERVICES if volume in mounts(name).values()} == SECRETS[volume]


def test_settings_are_read_only_where_they_are_used() -> None:
    for name in ("redis", "web", "clerk", "firewall"):
        own = [volume for volume in SERVICES[name]["volumes"] if "-settings:" in volume]
        assert own, name
        assert all(volume.endswith(":ro") for volume in own)


def test_no_password_is_in_the_file() -> None:
    words = re.findall(r"(?im)^\s*-?\s*\S*(?:password|secret|token)\S*\s*[:=].*$", COMPOSE.read_text())
    # One that the admin writes into .env may be handed on.
    assert [line for line in words if not re.search(r": \$\{DOCKERFW_[A-Z_]+:-\}$", line)] == []
    for name in SERVICES:
        environment = SERVICES[name].get("environment", {})
        assert not {"DOCKERFW_REDIS_URL", "DOCKERFW_SECRET_KEY"} & set(environment)


@each
def test_each_setting_is_one_that_is_read(name: str) -> None:
    readers = (ROOT / "dockerfw_site" / "environment.py", ROOT / "dockerfw" / "settings.py")
    source = "".join(reader.read_text() for reader in readers)
    known = set(re.findall(r'"((?:DOCKERFW|DATABASE)_[A-Z_]+)"', source))
    # These are the entrypoints' own.
    own = {"DOCKERFW_SERVICE", "DOCKERFW_BIND", "DOCKERFW_PORT", "DOCKERFW_NAME", "XTABLES_LOCKFILE"}
    assert set(SERVICES[name].get("environment", {})) - own <= known


def test_an_open_window_outlives_no_container() -> None:
    environment = SERVICES["firewall"]["environment"]
    assert read_environment({"DOCKERFW_IN_CONTAINER": environment["DOCKERFW_IN_CONTAINER"]}).in_container
    assert SERVICES["firewall"]["stop_grace_period"] == "330s"


def test_the_hosts_boot_unit_finds_what_the_root_worker_keeps() -> None:
    assert mounts("firewall")["/var/lib/dockerfw"] == "/var/lib/dockerfw"


def test_the_lock_of_the_legacy_backend_is_the_hosts_and_may_be_a_folder_after_a_reboot() -> None:
    firewall = SERVICES["firewall"]
    path = Path(firewall["environment"]["XTABLES_LOCKFILE"])
    assert mounts("firewall")[str(path)] == "/run/xtables.lock"
    assert str(path.parent) in {mount.split(":")[0] for mount in firewall["tmpfs"]}


def test_the_pages_are_published_on_the_host_itself_unless_told_otherwise() -> None:
    assert SERVICES["web"]["ports"] == ["${DOCKERFW_BIND-127.0.0.1}:${DOCKERFW_PORT:-8000}:8000"]


def test_the_socket_of_the_pages_is_for_tls_only_and_one_name_is_all_it_needs() -> None:
    assert {name for name in SERVICES if "/run/dockerfw-web" in mounts(name)} == {"web", "tls"}
    assert SERVICES["tls"]["environment"] == {"DOCKERFW_NAME": "${DOCKERFW_NAME:-}"}
    caddyfile = (ROOT / "deploy/caddy/Caddyfile").read_text()
    assert "reverse_proxy unix//run/dockerfw-web/web.sock" in caddyfile
    assert {port.split(":")[1] for port in SERVICES["tls"]["ports"]} == set(
        re.findall(r"^\thttps?_port (\d+)$", caddyfile, re.MULTILINE)
    )


@pytest.mark.parametrize("name", ["", "firewall.example.org"])
def test_the_name_of_tls_settles_everything_else_for_the_pages(name: str, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text('#!/bin/sh\n[ "$2" = gunicorn ] || exit 0\nenv\necho "ARGUMENTS=$*"\n')
    path.chmod(0o755)
    script = (ROOT / "deploy/compose/web").read_text().replace("cd /opt/dockerfw\n", "")
    given = {"DOCKERFW_ALLOWED_HOSTS": "localhost,addresses", "DOCKERFW_SECURE_COOKIES": "0"}
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "DOCKERFW_NAME": name, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    environment = read_environment({**said, "DOCKERFW_DATA_DIR": str(tmp_path)})
    assert environment.secure_cookies is environment.trust_unix_socket is bool(name)
    assert (name in environment.allowed_hosts) is bool(name)
    assert {"localhost", "addresses"} <= set(environment.allowed_hosts)
    assert environment.csrf_trusted_origins == ((f"https://{name}",) if name else ())
    assert ("--bind unix:/run/dockerfw-web/web.sock" in said["ARGUMENTS"]) is bool(name)


def test_the_image_is_pinned_and_ends_as_an_ordinary_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = [line.split() for line in text.splitlines() if line.startswith("FROM ")]
    outside = {words[1] for words in stages} - {words[3] for words in stages if len(words) > 3}
    assert outside == {"debian:trixie-20251103-slim"}
    last = stages[-1][1]
    own = text.split(f" AS {last}\n")[1].split("\nFROM ")[0]
    assert re.findall(r"^USER (\S+)", own, re.MULTILINE) == ["dockerfw"]
    assert not re.search(r"python3-(venv|pip|dev)|build-essential|gcc", own)


def test_the_image_gets_what_it_runs_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    assert [path for path in wanted if not (ROOT / path).exists()] == []
    assert not {"tests", ".git", ".env", "var"} & set(wanted)
    # The dashboard shows it.
    assert "docs" in wanted


@pytest.mark.parametrize(
    "script", sorted((ROOT / "deploy" / "compose").iterdir()), ids=lambda path: path.name
)
def test_entrypoints_can_be_run(script: Path) -> None:
    if script.suffix:
        pytest.skip("no entrypoint")
    assert script.stat().st_mode & 0o111
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0
