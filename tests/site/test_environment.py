"""Settings from the environment: what is allowed, and errors that name the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.settings import SettingError
from dockerfw_site.environment import BASE_DIR, _gateway, ensure_secret_key, read_environment


def test_nothing_set_gives_defaults() -> None:
    found = read_environment({})
    assert found.host == "local"
    assert found.secure_cookies
    assert not found.debug
    assert found.data_dir == BASE_DIR / "var"
    assert found.trusted_proxies == ()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("DOCKERFW_DEBUG", "maybe", "allowed are 1 and 0"),
        ("DOCKERFW_SECURE_COOKIES", "2", "allowed are 1 and 0"),
        ("DOCKERFW_DATA_DIR", "var", "absolute path"),
        ("DOCKERFW_STATE_DIR", "state", "absolute path"),
        ("DOCKERFW_SIGNING_KEY_FILE", "signing.key", "absolute path"),
        ("DOCKERFW_SIGNER_FILE", "signer.pub", "absolute path"),
        ("DOCKERFW_LISTS_KEY_FILE", "lists.key", "absolute path"),
        ("DOCKERFW_LISTS_SIGNER_FILE", "lists.pub", "absolute path"),
        ("DOCKERFW_DOCKER_SOCKET", "docker.sock", "absolute path"),
        ("DOCKERFW_OBSERVE_SECONDS", "1", "from 5 to 3600"),
        ("DOCKERFW_NFLOG_GROUP", "0", "use a whole number from 1 to 65535"),
        ("DOCKERFW_NFLOG_GROUP", "seven", "use a whole number from 1 to 65535"),
        ("DOCKERFW_OBSERVE_SECONDS", "1e9", "whole number"),
        ("DOCKERFW_REDIS_URL", "http://127.0.0.1", "redis://"),
        ("DATABASE_URL", "mysql://db", "postgres://"),
        ("DOCKERFW_HOST", "Not a host", "lower-case"),
        ("DOCKERFW_TIME_ZONE", "Mars/Olympus", "Europe/Berlin"),
        ("DOCKERFW_TIME_ZONE", "../etc/passwd", "Europe/Berlin"),
        ("DOCKERFW_TRUSTED_PROXIES", "proxy", "10.0.0.0/8"),
        ("DOCKERFW_OUTBOUND_INTERNAL", "maybe", "allowed are 1 and 0"),
        ("DOCKERFW_OUTBOUND_CA_FILE", "ca.pem", "absolute path"),
        ("DOCKERFW_OUTBOUND_PROXY", "socks5://proxy", "http://"),
        ("DOCKERFW_NAME_SERVERS", "192.0.2.53 dns.example.org", "192.0.2.53"),
        ("DOCKERFW_COUNTRY_FILE", "countries.mmdb", "absolute path"),
        ("DOCKERFW_REFUSED_DAYS", "0", "from 1 to 366"),
        ("DOCKERFW_REFUSED_DAYS", "a month", "whole number of days"),
        ("DOCKERFW_REFUSED_SHORTEN", "maybe", "allowed are 1 and 0"),
        ("DOCKERFW_METRICS_TOKEN", "short", "32 to 200 letters"),
        ("DOCKERFW_METRICS_TOKEN", "with a blank, which no header of HTTP can have", "32 to 200 letters"),
        ("DOCKERFW_METRICS_TOKEN_FILE", "/nonexistent/token", "cannot be read"),
        ("DOCKERFW_CSRF_TRUSTED_ORIGINS", "example.org", "https://name"),
        ("DOCKERFW_SECRET_KEY", "short", "at least 32 characters"),
        ("DOCKERFW_SECRET_KEY_FILE", "/nonexistent/key", "cannot be read"),
    ],
)
def test_errors_name_the_variable_and_what_is_allowed(variable: str, value: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_environment({variable: value})
    assert str(caught.value).startswith(f"{variable} is ")
    assert words in str(caught.value)


def test_the_keys_for_orders_lie_beside_the_settings() -> None:
    found = read_environment({})
    assert (found.signing_key_file, found.signer_file) == (
        Path("/etc/dockerfw/signing.key"),
        Path("/etc/dockerfw/signer.pub"),
    )
    found = read_environment({"DOCKERFW_SETTINGS_DIR": "/srv/settings", "DOCKERFW_SIGNER_FILE": "/srv/pub"})
    assert (found.signing_key_file, found.signer_file) == (
        Path("/srv/settings/signing.key"),
        Path("/srv/pub"),
    )


def test_what_the_root_worker_is_given() -> None:
    found = read_environment({})
    assert (found.docker_socket, found.observe_seconds) == (None, 60)
    found = read_environment(
        {"DOCKERFW_DOCKER_SOCKET": "/run/docker.sock", "DOCKERFW_OBSERVE_SECONDS": "3600"}
    )
    assert (found.docker_socket, found.observe_seconds) == (Path("/run/docker.sock"), 3600)


def test_errors_never_show_a_secret() -> None:
    with pytest.raises(SettingError) as caught:
        read_environment({"DOCKERFW_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingError) as caught:
        read_environment({"DATABASE_URL": "oracle://admin:hunter2@db/x"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingError) as caught:
        read_environment({"DOCKERFW_METRICS_TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_token_for_metrics_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ab" * 32 + "\n")
    found = read_environment({"DOCKERFW_METRICS_TOKEN_FILE": str(tmp_path / "token")})
    assert found.metrics_token == "ab" * 32
    assert read_environment({}).metrics_token is None
    both = {"DOCKERFW_METRICS_TOKEN": "ab" * 32, "DOCKERFW_METRICS_TOKEN_FILE": str(tmp_path / "token")}
    with pytest.raises(SettingError, match="set only one of the two"):
        read_environment(both)


def test_proxies_are_networks_and_the_word_unix() -> None:
    found = read_environment({"DOCKERFW_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1 unix"})
    assert [str(network) for network in found.trusted_proxies] == ["10.0.0.0/8", "2001:db8::1/128"]
    assert found.trust_unix_socket


def test_the_secret_key_is_made_once(tmp_path: Path) -> None:
    environ = {"DOCKERFW_DATA_DIR": str(tmp_path / "data")}
    key = ensure_secret_key(environ)
    assert len(key) > 50
    assert ensure_secret_key(environ) == key
    assert read_environment(environ).secret_key == key
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["secret_key"]


@pytest.mark.parametrize("kind", ["link", "pipe", "bytes"])
def test_only_a_plain_file_of_text_can_be_the_key(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "secret_key", tmp_path / "elsewhere"
    elsewhere.write_text("s" * 50)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"\xff" * 50)
    with pytest.raises(SettingError, match="has to be a plain text file"):
        read_environment({"DOCKERFW_DATA_DIR": str(tmp_path)})


def test_a_bad_setting_is_one_sentence_on_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "firewall", "parse"],
        cwd=BASE_DIR,
        env={**os.environ, "DOCKERFW_HOST": "NO"},
        input=b"",
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("dockerfw: DOCKERFW_HOST is 'NO'")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("DATABASE_URL", "postgres://user:word@db/dockerfw"),
        ("DOCKERFW_REDIS_URL", "unix://web:word@/run/redis.sock"),
    ],
)
def test_an_address_may_stand_in_a_file(tmp_path: Path, variable: str, address: str) -> None:
    file = tmp_path / "address"
    file.write_text(f"{address}\n")
    found = read_environment({f"{variable}_FILE": str(file)})
    assert address in (found.database_url, found.redis_url)

    with pytest.raises(SettingError, match=f"{variable}_FILE is .*: {variable} is set too"):
        read_environment({f"{variable}_FILE": str(file), variable: address})

    file.write_text("user:word@db\n")
    with pytest.raises(
        SettingError, match=f"the address in {variable}_FILE is '…': it has to begin with"
    ) as caught:
        read_environment({f"{variable}_FILE": str(file)})
    assert "word" not in str(caught.value)

    file.write_text("\n")
    with pytest.raises(SettingError, match="the file is empty"):
        read_environment({f"{variable}_FILE": str(file)})
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match="it is not text"):
        read_environment({f"{variable}_FILE": str(file)})
    with pytest.raises(SettingError, match="cannot be read"):
        read_environment({f"{variable}_FILE": str(tmp_path / "none")})


def test_the_word_gateway_is_the_default_routes(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    gateway = f"{int.from_bytes(bytes([172, 18, 0, 1]), sys.byteorder):08X}"
    routes.write_text(f"{head}eth0\t000012AC\t00000000\t0001\t0\neth0\t00000000\t{gateway}\t0003\t0\n")
    assert _gateway("DOCKERFW_TRUSTED_PROXIES", routes) == "172.18.0.1"
    routes.write_text(head)
    for path in (routes, tmp_path / "none"):
        with pytest.raises(SettingError, match="DOCKERFW_TRUSTED_PROXIES is 'gateway': there is no default"):
            _gateway("DOCKERFW_TRUSTED_PROXIES", path)
