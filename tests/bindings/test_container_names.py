"""The sets of rules by name through applies, windows, restarts and an engine that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.bindings.binder import Binder
from dockerfw.bindings.binder_start import BinderKeeper
from dockerfw.chains.container_sets import ContainerSet
from dockerfw.doctor.bound_sets import judge_bound_sets
from dockerfw.doctor.bound_sets_facts import bound_set_facts, find_sets_fault
from dockerfw.host.bound_sets import list_bound_sets, read_bound_sets
from dockerfw.host.observation import observe
from dockerfw.messages.snapshot_values import surroundings_of
from dockerfw.store.bound_sets import describe_binder_problem, read_bound_record, write_bound_record
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import HOST, add_foreign, answer, order, run, stop_watchdogs
from tests.rig.lab_documents import by_name, document
from tests.rig.listed_containers import ListedContainers, listed
from tests.rig.namespace import Backend, Namespace, wait_until

pytestmark = pytest.mark.kernel

DB = ContainerSet("db", "published", "tcp", ("8080",)).name(4)
PROXIED = ContainerSet("db", "proxied", "tcp", ("8080",)).name(4)
WEB = ContainerSet("shop/web", "published", "tcp", ("8081",)).name(4)
FIRST = ("172.17.0.2,tcp:80",)
OPENED = document(by_name("db", 8080))


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def docker(socket: Path) -> Iterator[ListedContainers]:
    server = ListedContainers(socket, listed("db", "172.17.0.2", (8080, 80), (8443, 443)))
    yield server
    server.close()


def load(state: StateDirectory, socket: Path | None, value: dict[str, object], sequence: int = 1) -> None:
    outcome = run(order(value, sequence=sequence), state, docker_socket=socket)
    assert outcome.state == "awaiting", outcome.error


def keep(state: StateDirectory, socket: Path | None, value: dict[str, object], sequence: int = 1) -> None:
    load(state, socket, value, sequence)
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def look(
    state: StateDirectory, socket: Path | None, *, whole: bool = True, binder: Binder | None = None
) -> Binder:
    found = binder or Binder(state, host=HOST, docker_socket=socket)
    assert found.bind(whole=whole)
    return found


def held(name: str = DB) -> tuple[str, ...]:
    return read_bound_sets([name])[name]


def test_the_sets_of_a_window_and_of_its_end(
    inside: Namespace, backend: Backend, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    add_foreign(inside, backend)
    with docker_proxy(inside, 8080):
        keep(state, socket, OPENED)
        assert held() == FIRST
        assert held(PROXIED) == ("0.0.0.0/1,tcp:8080", "128.0.0.0/1,tcp:8080")
    docker.containers = [
        listed("db", "172.17.0.3", (8080, 80)),
        listed(
            "w",
            "172.17.0.9",
            (8081, 81),
            **{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
        ),
    ]
    load(state, socket, document(by_name("shop/web", 8081)), 2)
    assert held(WEB) == ("172.17.0.9,tcp:81",)
    # The sets of both revisions follow the host while the window is open.
    binder = look(state, socket)
    assert (held(), held(WEB)) == (("172.17.0.3,tcp:80",), ("172.17.0.9,tcp:81",))
    docker.containers = docker.containers[:1]
    look(state, socket, whole=False, binder=binder)
    assert (held(), held(WEB)) == (("172.17.0.3,tcp:80",), ())
    assert answer("rollback", state, sequence=2).state == "rolled_back"
    look(state, socket, binder=binder)
    assert held() == ("172.17.0.3,tcp:80",)
    assert WEB not in list_bound_sets()
    assert DB in inside.save(backend, 4).decode()


def test_an_engine_that_does_not_answer_is_told_and_then_nothing_is_allowed(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    keep(state, socket, OPENED)
    binder = look(state, socket)
    docker.containers = None
    look(state, socket, binder=binder)
    assert "Docker does not list them" in describe_binder_problem(state)
    assert held() == FIRST
    assert binder.has_problem
    record = read_bound_record(state)
    write_bound_record(state, replace(record, failing=record.failing - 61))
    look(state, socket, binder=binder)
    assert held() == ()
    docker.containers = [listed("db", "172.17.0.2", (8080, 80))]
    look(state, socket, binder=binder)
    assert (describe_binder_problem(state), held()) == ("", FIRST)
    # An apply meanwhile leaves alone what it cannot know, and says so.
    docker.containers = None
    keep(state, socket, document(by_name("db", 8080), by_name("shop/web", 8081)), 2)
    assert (held(), held(WEB)) == (FIRST, ())
    assert describe_binder_problem(state)


def test_a_binder_that_starts_trusts_no_member_that_it_finds(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    keep(state, socket, OPENED)
    assert held() == FIRST
    docker.containers = None
    look(state, socket)
    assert held() == ()


def test_without_dockers_socket_a_rule_by_name_allows_nothing_and_that_is_told(
    inside: Namespace, state: StateDirectory
) -> None:
    keep(state, None, OPENED)
    look(state, None)
    assert held() == ()
    assert "set DOCKERFW_DOCKER_SOCKET" in describe_binder_problem(state)


def test_a_set_that_another_program_changed_or_destroyed(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    keep(state, socket, OPENED)
    inside.run("ipset", "add", DB, "172.17.0.7,tcp:22")
    look(state, socket)
    assert held() == FIRST
    (event,) = [path.read_text() for path in state.journal.glob("console-*.json")]
    assert "sets-refilled" in event
    assert DB in event


def test_a_root_worker_in_a_container_begins_with_empty_sets(
    inside: Namespace,
    state: StateDirectory,
    socket: Path,
    docker: ListedContainers,
    make_namespace: Callable[..., Namespace],
) -> None:
    keep(state, socket, OPENED)
    stop_watchdogs(state)
    record = state.boot / "confirmed.json"
    text = record.read_text()
    record.write_text(text.replace(_boot_of(text), "an-earlier-one"))
    booted = make_namespace("booted")
    with booted.entered():
        assert load_after_boot(state)
        assert held() == ()
        look(state, socket)
        assert held() == FIRST


def _boot_of(text: str) -> str:
    return text.partition('"boot": "')[2].partition('"')[0]


def test_the_process_follows_dockers_events(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    keep(state, socket, OPENED)
    keeper = BinderKeeper(
        state, host=HOST, docker_socket=socket, confirmed=lambda: read_confirmed(state.boot)
    )
    try:
        keeper.check()
        wait_until("someone who follows", lambda: docker.is_followed)
        docker.containers = []
        docker.tell()
        wait_until("an empty set", lambda: held() == ())
        docker.containers = [listed("db", "172.17.0.5", (8080, 80))]
        docker.tell()
        wait_until("the new address", lambda: held() == ("172.17.0.5,tcp:80",))
    finally:
        keeper.stop()


def test_the_doctor_compares_the_sets_with_the_containers(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    assert find_sets_fault() == ""
    keep(state, socket, OPENED)
    saves = [inside.save("nft", 4).decode()]

    def judged(path: Path | None) -> tuple[str, str]:
        finding = judge_bound_sets(bound_set_facts(state, read_confirmed(state.boot), saves, path))
        return finding.level, finding.text

    assert judged(socket)[0] == "ok"
    inside.run("ipset", "flush", DB)
    level, words = judged(socket)
    assert (level, "it lacks 172.17.0.2,tcp:80" in words) == ("problem", True)
    assert judged(None)[0] == "unknown"


def test_a_hundred_rules_by_name(
    inside: Namespace, state: StateDirectory, socket: Path, docker: ListedContainers
) -> None:
    docker.containers = [listed(f"c{n}", f"172.17.1.{n}", (9000 + n, 80)) for n in range(1, 101)]
    value = document(*(by_name(f"c{n}", 9000 + n) for n in range(1, 101)))
    keep(state, socket, value)
    assert len(list_bound_sets()) == 400
    seen = observe(HOST, docker_socket=socket)
    around = surroundings_of(seen)
    assert len(around.sets) == 400
    found = ("172.17.1.7,tcp:80",)
    assert around.sets[ContainerSet("c7", "published", "tcp", ("9007",)).name(4)].members == found
