"""Docker 29.1 with its nftables backend: dockerfw's own jump leads to the rules for containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerfw.host.observation import observe
from dockerfw.iptables.parse import parse_save
from dockerfw.messages.snapshot_values import drift_of, listening_of, surroundings_of
from dockerfw.reach.elsewhere import admit_elsewhere
from dockerfw.reach.question import Question, read_question
from dockerfw.simulation.simulate import prepare, simulate
from tests.rig.connections import fetch, listening, try_port
from tests.rig.docker_host import DockerHost
from tests.rig.engines import ENGINES
from tests.rig.lab import CLIENT, HOST, HOST_6, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, wait_until
from tests.rig.trees import why_unavailable as why_no_trees

pytestmark = pytest.mark.lab

OPTIONS = ("--firewall-backend=nftables", "--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/64")


@pytest.fixture(scope="module")
def nftables_lab(_engine_works: None) -> Iterator[Lab]:
    """A lab whose Docker uses nftables; it then leaves forwarding to the administrator."""
    reason = why_no_trees()
    if reason:
        pytest.skip(f"no engines: {reason}")
    start = DockerHost.start_daemon

    def start_forwarding(host: DockerHost) -> None:
        host.namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        start(host)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DockerHost, "start_daemon", start_forwarding)
        built = Lab(engine_options=OPTIONS, tree=ENGINES["29.1"].tree())
        yield built
        built.delete()


def trace(lab: Lab, port: int) -> str:
    with lab.host.entered():
        seen = observe("lab")
    rulesets = {family: parse_save(seen.saves[family]) for family in seen.families}
    assert seen.docker_state == "nftables"
    assert lab.revision == 0 or not drift_of(seen, rulesets, lab.document, lab.revision).findings
    around = surroundings_of(seen)
    packet = read_question(Question(source=CLIENT, destination=HOST, port=str(port)), around).packet
    found = simulate(prepare(rulesets[4], around, 4), packet)
    return admit_elsewhere(found, listening_of(seen, rulesets), around).verdict.kind


def test_rules_for_containers_have_effect_by_the_own_jump(nftables_lab: Lab) -> None:
    lab = nftables_lab
    assert [try_port(lab.client, host, 8081) for host in (HOST, HOST_6)] == ["connected", "connected"]
    lab.load_unseen(document(allow("container", 8080), allow("host", 22)))
    assert [fetch(lab.client, host, 8080) for host in (HOST, HOST_6)] == ["web", "web"]
    assert [try_port(lab.client, host, 8081) for host in (HOST, HOST_6)] == ["prohibited", "prohibited"]
    lab.assert_in_force()
    # What Docker translates is unknown, allowed or not, and the host's own ports are not.
    with listening(lab.host, HOST, 22):
        assert {port: trace(lab, port) for port in (8080, 8081, 22)} == {
            8080: "UNKNOWN",
            8081: "UNKNOWN",
            22: "ACCEPT",
        }
    with listening(lab.client, CLIENT, 9000, "outside"):
        assert lab.reach_out("web").startswith("outside")


def test_it_still_holds_after_a_new_network_and_a_restart(nftables_lab: Lab) -> None:
    lab = nftables_lab
    lab.load_unseen(document(allow("container", 8080)))
    lab.docker.docker("network", "create", "later")
    lab.docker.run_web("more", "--publish=8082:80", "--restart=always", network="later")
    lab.docker.restart_daemon()
    wait_until("the container", lambda: fetch(lab.host, "127.0.0.1", 8082) == "more")
    assert try_port(lab.client, HOST, 8082) == "prohibited"
    lab.assert_in_force()
    for family in FAMILIES:
        lab.host.iptables("-D", "FORWARD", "1", family=family)
    assert try_port(lab.client, HOST, 8082) == "connected"
