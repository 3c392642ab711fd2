"""What root does on the console, and self-repair, with rules that name bound sets."""

from __future__ import annotations

import pytest

from dockerfw.agent.heal import heal_anchors
from dockerfw.agent.panic import end_panic, panic, release
from dockerfw.doctor.bound_sets import judge_bound_sets
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.host.bound_sets import read_bound_sets
from dockerfw.host.static_sets import fill_static_sets
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from scripts.installation import kernel as uninstalling
from tests.rig.bound_sets import PROXIES, PROXY, published, sets_in
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import HOST, answer, order, run
from tests.rig.namespace import Backend, Namespace
from tests.rig.static_sets import numbered

pytestmark = pytest.mark.kernel


@pytest.fixture
def kept(inside: Namespace, backend: Backend, state: StateDirectory) -> StateDirectory:
    """A host with a confirmed revision whose rules name the proxies' sets."""
    inside.restore("*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n", backend)
    outcome = run(order(published("8080")), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state).state == "confirmed"
    return state


def test_a_panic_and_a_release_leave_the_sets(inside: Namespace, kept: StateDirectory) -> None:
    assert panic(kept, []).changed
    assert sets_in(inside) == PROXIES
    assert end_panic(kept).changed
    assert release(kept).changed
    assert sets_in(inside) == PROXIES


def test_self_repair_works_beside_sets(inside: Namespace, backend: Backend, kept: StateDirectory) -> None:
    inside.iptables("-D", "INPUT", "-j", "FILTERS-HOST", backend=backend)
    confirmed = read_confirmed(kept.boot)
    assert confirmed is not None
    healed = heal_anchors(kept, confirmed)
    assert healed is not None
    assert healed.problem == ""
    assert "-A INPUT -j FILTERS-HOST" in inside.save(backend, 4).decode()


def test_the_doctor_compares_the_sets_with_the_host(inside: Namespace, kept: StateDirectory) -> None:
    def found() -> tuple[str, str]:
        finding = judge_bound_sets(look_at_kernel(HOST, kept).sets)
        return finding.level, finding.text

    assert found()[0] == "ok"
    with docker_proxy(inside, 8080):
        level, text = found()
        assert (level, "it lacks 0.0.0.0/1,tcp:8080 and 1 more" in text) == ("problem", True)
    inside.run("ipset", "add", PROXY, "192.0.2.1,tcp:22")
    level, text = found()
    assert (level, "it allows 192.0.2.1,tcp:22" in text) == ("problem", True)


def test_uninstalling_removes_the_sets_with_the_chains(
    inside: Namespace,
    backend: Backend,
    kept: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(uninstalling, "STATE", kept.path)
    inside.run("ipset", "create", "f2b-sshd", "hash:ip")
    static = numbered(5)
    fill_static_sets([static])
    rule = f"-I FILTERS-HOST -m set --match-set {static.name} src -j RETURN"
    inside.iptables(*rule.split(), backend=backend)
    assert uninstalling.main("show") == 0
    shown = capsys.readouterr().out.splitlines()
    # In this order: the kernel keeps a set that a rule names.
    sets = ("dockerfw4-proxy", "dockerfw6-proxy", static.name)
    assert shown[-3:] == [f"ipset destroy {name}" for name in sets]
    assert uninstalling.main("remove") == 0
    assert sets_in(inside) == {"f2b-sshd"}
    assert uninstalling.main("show") == 0
    assert capsys.readouterr().out == ""
    assert read_bound_sets() == {}


def test_the_printed_commands_remove_everything(
    inside: Namespace,
    kept: StateDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(uninstalling, "STATE", kept.path)
    assert uninstalling.main("show") == 0
    inside.run("sh", "-e", stdin=capsys.readouterr().out)
    assert sets_in(inside) == set()
    assert uninstalling.main("show") == 0
    assert capsys.readouterr().out == ""
