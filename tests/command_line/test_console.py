"""`firewall panic` and `firewall release` as root types them: nothing else is up, and packets are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent.journal import Journal
from dockerfw.chains.panic import (
    find_anchors,
    render_panic,
    render_panic_end,
    render_panic_undo,
    render_release,
)
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.events import NOTICED_VERBS, ConsoleEvent, Verb
from dockerfw.store.state import LastOrder, StateDirectory
from dockerfw.worker.entries import done_key, read_call
from rules.applying.clerk_jobs import record_console
from rules.audit.audit_services import VERBS
from rules.models import AuditEvent, Host
from tests.rig.host_states import ARTICLE_INPUT, PLAIN_INPUT, Saboteur, add_foreign, held
from tests.rig.namespace import Backend, Namespace, join_namespaces
from tests.rig.redis_fixtures import RedisServer

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
EVENT = ConsoleEvent(
    "00000000-0000-4000-8000-000000000001",
    "local",
    "panic",
    "alice (console)",
    "2026-01-31T12:00:00Z",
    "All.",
)


# The engine's own command, and the dashboard's, which takes four times as long to start.
ENGINE, DASHBOARD = ("-m", "dockerfw"), (str(ROOT / "manage.py"), "firewall")


def firewall(
    namespace: Namespace, state: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return console(ENGINE, namespace, state, *words, **environment)


def console(
    by: tuple[str, ...], namespace: Namespace, state: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return namespace.run(
        *(sys.executable, *by, *words),
        check=False,
        timeout=60,
        environment={
            "DOCKERFW_STATE_DIR": str(state),
            "DOCKERFW_DATA_DIR": "/nonexistent",
            "DATABASE_URL": "postgres://nobody@192.0.2.255/nothing",
            "DOCKERFW_REDIS_URL": "unix:///nonexistent/redis.sock",
            "SSH_CONNECTION": "",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
    )


def own_rules(lines: list[str]) -> list[str]:
    return [line.partition("] ")[2] for line in lines if "FILTERS-PANIC" in line and " -A " in line]


def without_counters(lines: list[str]) -> list[str]:
    return [line.partition("] ")[2] or line.partition(" [")[0] for line in lines]


def anchored(namespace: Namespace, backend: Backend, *, lines: str = PLAIN_INPUT) -> None:
    """Put on a host what dockerfw would have loaded, beside Docker's and others' rules."""
    add_foreign(namespace, backend, lines)
    for family in (4, 6):
        text = "*filter\n:FILTERS-HOST - [0:0]\n:FILTERS-CONTAINERS - [0:0]\n-A FILTERS-HOST -j FILTERS\n"
        text += "-A FILTERS-CONTAINERS -j FILTERS\n-I INPUT 1 -j FILTERS-HOST\n"
        text += "-I DOCKER-USER 1 -i ens33 -j FILTERS-CONTAINERS\nCOMMIT\n"
        namespace.restore(text, backend, 4 if family == 4 else 6)


def test_panic_and_back(namespace: Namespace, backend: Backend, tmp_path: Path) -> None:
    by = ENGINE if backend == "nft" else DASHBOARD
    anchored(namespace, backend)
    before = held(namespace, backend)
    done = console(by, namespace, tmp_path, "panic", "--allow", "192.0.2.7", "--allow", "2001:db8::/64")
    assert done.returncode == 0, done.stderr.decode()
    assert "dockerfw panic --off" in done.stdout.decode()
    now = held(namespace, backend)
    for family, address in ((4, "192.0.2.7/32"), (6, "2001:db8::/64")):
        lines = without_counters(now[4 if family == 4 else 6])
        for chain in ("INPUT", "FORWARD", "DOCKER-USER"):
            assert next(line for line in lines if line.startswith(f"-A {chain} ")).endswith(
                "-j FILTERS-PANIC"
            )
        panic = [line for line in lines if line.startswith("-A FILTERS-PANIC ")]
        assert panic[0] == "-A FILTERS-PANIC -i lo -j RETURN"
        assert panic[-1] == '-A FILTERS-PANIC -m comment --comment "dockerfw panic" -j DROP'
        assert f"-A FILTERS-PANIC -s {address} -j RETURN" in panic
        assert f"-A FILTERS-PANIC -d {address} -j RETURN" in panic
        assert ("ipv6-icmp" in "".join(panic)) == (family == 6)
    # Again, without --allow: it replaces the first panic.
    assert firewall(namespace, tmp_path, "panic").returncode == 0
    assert "192.0.2.7" not in "".join(held(namespace, backend)[4])
    assert console(by, namespace, tmp_path, "panic", "--off").returncode == 0
    assert {f: without_counters(lines) for f, lines in held(namespace, backend).items()} == {
        f: without_counters(lines) for f, lines in before.items()
    }
    assert "nothing to do" in firewall(namespace, tmp_path, "panic", "--off").stdout.decode()
    events = [json.loads(path.read_text()) for path in (tmp_path / "journal").glob("console-*.json")]
    assert sorted(event["verb"] for event in events) == ["panic", "panic", "panic-off"]
    assert any("192.0.2.7/32 and 2001:db8::/64" in event["detail"] for event in events)


@pytest.mark.parametrize("lines", [PLAIN_INPUT, ARTICLE_INPUT], ids=["plain", "article"])
def test_release_takes_our_anchors_and_nothing_else(
    namespace: Namespace, backend: Backend, tmp_path: Path, lines: str
) -> None:
    anchored(namespace, backend, lines=lines)
    before = held(namespace, backend)
    assert firewall(namespace, tmp_path, "panic").returncode == 0
    done = firewall(namespace, tmp_path, "release")
    assert done.returncode == 0, done.stderr.decode()
    after = held(namespace, backend)
    for family, was in before.items():
        gone = [
            line
            for line in without_counters(was)
            if line == "-A INPUT -j FILTERS-HOST" or line.endswith("-j FILTERS-CONTAINERS")
        ]
        assert gone
        left = without_counters(after[family])
        assert left == [line for line in without_counters(was) if line not in gone]
    printed = done.stdout.decode()
    assert ("stays: -A INPUT -j FILTERS" in done.stderr.decode()) == (lines == ARTICLE_INPUT)
    # The printed commands undo the release.
    for line in printed.splitlines():
        if line.startswith("  ip"):
            wait = ["-w", "10"] if backend == "legacy" else []
            program, *rest = line.split()
            namespace.run(program, *wait, *rest)
    assert {f: without_counters(lines) for f, lines in held(namespace, backend).items()} == {
        f: without_counters(lines) for f, lines in before.items()
    }


@pytest.mark.parametrize("verb", ["panic", "release"])
def test_if_one_family_fails_the_other_is_restored(
    namespace: Namespace, backend: Backend, tmp_path: Path, verb: str
) -> None:
    anchored(namespace, backend)
    before = {family: without_counters(lines) for family, lines in held(namespace, backend).items()}
    saboteur = Saboteur(tmp_path, backend)
    saboteur.on(6, "echo broken >&2; exit 3")
    done = firewall(namespace, tmp_path / "state", verb, PATH=saboteur.path + ":/usr/sbin:/sbin")
    assert done.returncode == 1
    assert b"not done: IPv6" in done.stderr
    assert b"broken" in done.stderr
    assert b"Nothing was changed." in done.stderr
    assert {f: without_counters(lines) for f, lines in held(namespace, backend).items()} == before
    assert not list((tmp_path / "state").glob("journal/console-*.json"))


def test_it_really_keeps_everybody_out_but_who_is_named(make_namespace: object, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can join two namespaces")
    assert callable(make_namespace)
    host, world = make_namespace(), make_namespace()
    join_namespaces(host, "ens33", world, "out0")
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "ens33")
    world.run("ip", "address", "add", "192.0.2.66/24", "dev", "out0")
    world.run("ip", "address", "add", "192.0.2.7/24", "dev", "out0")
    host.start(sys.executable, "-m", "http.server", "8099", "--directory", str(tmp_path))

    def reached(source: str, space: Namespace = world, target: str = "192.0.2.1") -> bool:
        code = (
            "import socket, sys; socket.create_connection((sys.argv[2], 8099), 1, (sys.argv[1], 0)).close()"
        )
        return space.run(sys.executable, "-c", code, source, target, check=False).returncode == 0

    for _ in range(50):
        if reached("192.0.2.66"):
            break
    assert reached("192.0.2.66")
    assert firewall(host, tmp_path, "panic", "--allow", "192.0.2.7").returncode == 0
    assert not reached("192.0.2.66")
    assert reached("192.0.2.7")
    assert reached("127.0.0.1", host, "127.0.0.1")
    assert firewall(host, tmp_path, "panic", "--off").returncode == 0
    assert reached("192.0.2.66")


def test_what_is_refused_before_anything_happens(namespace: Namespace, tmp_path: Path) -> None:
    before = held(namespace, "nft")
    for words, environment, said in (
        (["panic", "--allow", "nowhere"], {}, "not an address"),
        (["panic", "--off", "--allow", "192.0.2.1"], {}, "--off takes no --allow"),
        (["panic"], {"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.1 22"}, "Add --allow 192.0.2.9"),
        (
            ["panic", "--allow", "192.0.2.8"],
            {"SSH_CONNECTION": "192.0.2.9 1 192.0.2.1 22"},
            "Add --allow 192.0.2.9",
        ),
    ):
        done = firewall(namespace, tmp_path, *words, **environment)
        assert done.returncode == 2
        assert said in done.stderr.decode()
    assert held(namespace, "nft") == before


def test_it_goes_on_without_a_state_directory(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = firewall(namespace, tmp_path / "file", "panic")
    assert done.returncode == 0
    assert b"cannot be used" in done.stderr
    assert b"the audit log will not show this" in done.stderr
    assert any("FILTERS-PANIC" in line for line in held(namespace, "nft")[4])


def test_the_sequence_number_is_reset(namespace: Namespace, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare()
    state.write_last_order(LastOrder(2**53 - 1, "x"))
    done = firewall(namespace, state.path, "reset-sequence")
    assert done.returncode == 0, done.stderr
    assert b"orders are accepted from now on" in done.stdout
    assert abs(state.read_last_order().sequence / 1000 - time.time()) < 60
    assert [json.loads(path.read_bytes())["verb"] for path in state.journal.iterdir()] == ["reset-sequence"]
    again = firewall(namespace, state.path, "reset-sequence")
    assert (again.returncode, again.stdout) == (0, b"There was nothing to do.\n")


def test_only_root_may() -> None:
    done = subprocess.run(
        ["unshare", "--user", sys.executable, "manage.py", "firewall", "panic"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "needs root" in done.stderr


def test_the_way_back_is_found_from_anything() -> None:
    plain = parse_save("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n")
    assert render_panic_end(plain) == render_release(plain) == render_panic_undo(plain, plain) == ""
    assert find_anchors(plain) == []
    assert "DOCKER-USER" not in render_panic(4, plain, [])


@pytest.mark.django_db(transaction=True)
def test_the_audit_hears_of_it_once(redis_server: RedisServer, tmp_path: Path) -> None:
    Host.objects.get_or_create(name="local")
    redis = redis_server.client()
    journal = Journal(tmp_path, host="local")
    journal.write(EVENT)
    journal.deliver(redis)
    journal.deliver(redis)
    job_id = f"firewall-local_console-{EVENT.id}"
    assert redis.lrange("rq:queue:clerk", 0, -1) == [job_id.encode()]
    packed = redis.hget(f"rq:job:{job_id}", "data")
    assert isinstance(packed, bytes)
    name, arguments = read_call(packed)
    assert name == "record_console"
    for _ in range(2):
        record_console(job_id, arguments[0])  # type: ignore[arg-type]
    event = AuditEvent.objects.get(verb="console-panic")
    assert (event.actor_name, event.detail) == ("alice (console)", "All.")
    redis.set(done_key(job_id), "1")
    journal.deliver(redis)
    assert list(tmp_path.iterdir()) == []
    record_console(job_id, {"format": "dockerfw-console/1", "verb": "nonsense"})
    assert AuditEvent.objects.filter(verb__startswith="console-").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("verb", NOTICED_VERBS)
def test_what_the_root_worker_noticed_is_written_down_once(verb: Verb) -> None:
    Host.objects.get_or_create(name="local")
    event = replace(EVENT, verb=verb, actor="root worker", detail="IPv4: INPUT has no jump to dockerfw.")
    for _ in range(2):
        record_console(f"firewall-local_console-{event.id}", dict(event.to_json()))
    stored = AuditEvent.objects.get(verb=verb)
    assert verb in VERBS
    assert (stored.actor_name, stored.detail) == (event.actor, event.detail)
    assert stored.host is not None
    assert stored.after == {"event": event.id, "at": event.at}
