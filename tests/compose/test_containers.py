"""What each container is and may: as compose.yaml says, asked of the kernel and of the engine."""

from __future__ import annotations

import json
import re

import pytest

from tests.compose.installed import SERVICES, Installed

# As the kernel numbers them (linux/capability.h).
CAPABILITIES = {"SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}
NOBODY = "65534"
SECRETS = {
    "redis": "/etc/dockerfw/redis/users.acl",
    "web": "/etc/dockerfw/web/redis.url",
    "clerk": "/etc/dockerfw/clerk/redis.url",
    "firewall": "/etc/dockerfw/firewall/redis.url",
}


@pytest.fixture(scope="module")
def said(installed: Installed) -> dict[str, dict[str, object]]:
    """What compose.yaml says of each service."""
    services: dict[str, dict[str, object]] = json.loads(installed.host.compose("config", "--format=json"))[
        "services"
    ]
    return services


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_its_processes_may_no_more_than_is_said(
    installed: Installed, said: dict[str, dict[str, object]], service: str
) -> None:
    given = said[service].get("cap_add") or []
    assert isinstance(given, list)
    allowed = sum(1 << CAPABILITIES[name] for name in given)
    user, group = str(said[service]["user"]).split(":")
    found = installed.processes(service)
    assert found
    for command, status in found.items():
        assert int(status["CapEff"], 16) & ~allowed == 0, (command, status)
        assert int(status["CapBnd"], 16) & ~allowed == 0, (command, status)
        assert status["NoNewPrivs"] == "1", command
        # A filter: the engine's own, since compose.yaml names none.
        assert status["Seccomp"] == "2", command
        # What reads the packets of anyone has no right and no account of its own.
        reads_packets = "dockerfw.refused.reader_process" in command
        assert set(status["Uid"].split()) == {NOBODY if reads_packets else user}, command
        assert set(status["Gid"].split()) == {NOBODY if reads_packets else group}, command
        if reads_packets:
            assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, (command, status)
    readers = [command for command in found if "dockerfw.refused.reader_process" in command]
    assert bool(readers) == (service == "firewall")


def test_only_the_root_worker_has_any_power(said: dict[str, dict[str, object]]) -> None:
    assert {name for name in SERVICES if said[name].get("cap_add")} == {"firewall"}
    assert {name for name in SERVICES if str(said[name]["user"]).startswith("0:")} == {"firewall"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_its_files_cannot_be_changed(installed: Installed, service: str) -> None:
    places = ("/opt/dockerfw/new", "/usr/bin/new", "/etc/new")
    tries = " ".join(f"touch {place} && echo {place};" for place in places)
    assert in_container(installed, service, tries) == ""
    assert installed.inspect(service)["HostConfig"]["ReadonlyRootfs"] is True


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_it_reads_only_its_own_secret(installed: Installed, service: str) -> None:
    tries = " ".join(f"cat {path} >/dev/null && echo {owner};" for owner, path in SECRETS.items())
    assert in_container(installed, service, tries) == service


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_only_the_pages_can_read_the_key_for_orders_and_none_can_change_one(
    installed: Installed, service: str
) -> None:
    keys = ("/etc/dockerfw/web/signing.key", "/etc/dockerfw/firewall/signer.pub")
    tries = " ".join(f"cat {path} >/dev/null && echo {path};" for path in keys)
    readable = {"web": keys[0], "firewall": keys[1]}
    assert in_container(installed, service, tries) == readable.get(service, "")
    tries = " ".join(f"(echo x >{path}) && echo {path};" for path in keys)
    assert in_container(installed, service, tries) == ""


def test_no_secret_is_in_sight_of_who_may_inspect(installed: Installed) -> None:
    secrets = set()
    for service, path in SECRETS.items():
        text = installed.host.compose("exec", "-T", service, "cat", path)
        secrets |= {text} if "://" not in text else {text, text.split("@")[0].rpartition(":")[2]}
    assert len(secrets) > len(SECRETS)
    for service in SERVICES:
        described = json.dumps(installed.inspect(service))
        assert not [secret for secret in secrets if secret in described]
        for variable in installed.inspect(service)["Config"]["Env"]:
            name, _, value = variable.partition("=")
            assert "PASSWORD" not in name
            assert "SECRET" not in name or name.endswith("_FILE")
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{name} has a password in it"


def test_they_come_back_by_themselves(installed: Installed) -> None:
    for service in SERVICES:
        policy = installed.inspect(service)["HostConfig"]["RestartPolicy"]["Name"]
        assert policy == "unless-stopped", service


def in_container(installed: Installed, service: str, script: str) -> str:
    """Run a shell script as the service itself, in its container, and return what it printed."""
    return installed.host.compose("exec", "-T", service, "sh", "-c", f"{script} true")
