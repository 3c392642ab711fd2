"""Facts in, findings out: what the doctor says of each thing that can be wrong, and of what is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockerfw.agent.sentences import LOG_LEFT_OUT
from dockerfw.doctor.boot import BootFacts, UnitFacts, judge_boot
from dockerfw.doctor.bound_sets import BoundSetFacts, judge_bound_sets
from dockerfw.doctor.clock import ClockFacts, judge_clock
from dockerfw.doctor.database import DatabaseFacts, judge_database
from dockerfw.doctor.disk import judge_space
from dockerfw.doctor.finding import Finding, in_order, note, ok, problem, unknown
from dockerfw.doctor.host import HostFacts, judge_host
from dockerfw.doctor.log import LogFacts, judge_log
from dockerfw.doctor.permissions import PermissionFacts, Place, judge_permissions
from dockerfw.doctor.redis_server import RedisFacts, judge_redis, wrong_users
from dockerfw.doctor.report import report, status_of
from dockerfw.doctor.signing import KeyFile, PairFacts, SigningFacts, judge_signing
from dockerfw.doctor.signing_facts import owner_of, signer_file, signing_key_file
from dockerfw.doctor.versions import Process, VersionFacts, judge_versions
from dockerfw.doctor.work import WorkFacts, judge_work
from dockerfw.messages.signatures import private_key_text
from dockerfw.messages.space import MIB, Space, size
from scripts.stack.redis_users import TEMPLATE, new_passwords, users_acl
from tests.rig.list_orders import LISTS_KEY, write_lists_signer
from tests.rig.signing import write_signer, write_signing_key


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the level of each check; every finding that is not well has something to do."""
    found: dict[str, str] = {}
    for finding in findings:
        assert finding.id not in found
        assert finding.text
        assert bool(finding.todo) == (finding.level in ("note", "problem"))
        found[finding.id] = finding.level
    return found


VERSIONS = VersionFacts(
    code="0.2.0",
    python="3.11.2",
    kernel="6.1.0-13-amd64",
    docker="28.5.2",
    redis="redis 7.0.15",
    root_worker=Process("0.2.0"),
    clerk=Process("0.2.0"),
    web=Process("0.2.0"),
)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("python", "problem", {"python": "3.10.12"}),
        ("kernel", "problem", {"kernel": "4.19.0-25"}),
        ("kernel", "ok", {"kernel": "5.4.0"}),
        ("docker", "problem", {"docker": "19.03.15"}),
        ("docker", "ok", {"docker": "20.10.24+dfsg1"}),
        ("docker", "ok", {"docker": ""}),
        ("docker", "unknown", {"docker": None}),
        ("redis", "problem", {"redis": "redis 6.2.14"}),
        ("redis", "ok", {"redis": "valkey 8.0.1"}),
        ("redis", "unknown", {"redis": None}),
        ("root-worker", "problem", {"root_worker": Process("0.1.9")}),
        ("root-worker", "problem", {"root_worker": Process("")}),
        ("root-worker", "unknown", {"root_worker": None}),
        ("clerk", "problem", {"clerk": Process("0.1.9")}),
        ("clerk", "problem", {"clerk": Process("")}),
        ("web", "note", {"web": Process("0.1.9")}),
        ("web", "ok", {"web": Process("")}),
    ],
)
def test_versions(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_versions(VERSIONS)).values()) == {"ok"}
    found = levels(judge_versions(replace(VERSIONS, **change)))
    assert found.pop(f"versions.{check}") == level
    assert set(found.values()) == {"ok"}


def place(path: str, mode: int, uid: int = 0, gid: int = 0) -> Place:
    return Place(path, uid, gid, mode, "root" if uid == 0 else "alice")


PERMISSIONS = PermissionFacts(
    state=(place("/var/lib/dockerfw", 0o700), place("/var/lib", 0o755), place("/", 0o755)),
    data=(place("/var/lib/dockerfw-web", 0o700, 999),),
    secret_key=(place("/var/lib/dockerfw-web/secret_key", 0o600, 999),),
    users_acl=(place("/etc/dockerfw/users.acl", 0o600, 998),),
    env_files=(place("/etc/dockerfw/web.env", 0o600),),
    code=(place("/opt/dockerfw", 0o755), place("/opt", 0o755), place("/", 0o755)),
    root_runs=True,
    docker_socket=place("/run/docker.sock", 0o660, 0, 999),
)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("state", "problem", {"state": (place("/s", 0o750), place("/", 0o755))}),
        ("state", "problem", {"state": (place("/s", 0o700, 1000), place("/", 0o755))}),
        ("state", "problem", {"state": (place("/a/s", 0o700), place("/a", 0o755, 1000), place("/", 0o755))}),
        ("state", "problem", {"state": (place("/a/s", 0o700), place("/a", 0o775), place("/", 0o755))}),
        ("state", "ok", {"state": (place("/tmp/s", 0o700), place("/tmp", 0o1777), place("/", 0o755))}),
        ("state", "problem", {"state": ()}),
        ("state", "unknown", {"state": None}),
        ("data", "problem", {"data": (place("/d", 0o755, 999),)}),
        ("data", "unknown", {"data": None}),
        ("secret-key", "problem", {"secret_key": (place("/d/secret_key", 0o640, 999),)}),
        ("secret-key", "ok", {"secret_key": ()}),
        ("users-acl", "problem", {"users_acl": (place("/e/users.acl", 0o644),)}),
        ("env-files", "problem", {"env_files": (place("/e/a.env", 0o600), place("/e/b.env", 0o604))}),
        ("env-files", "ok", {"env_files": (place("/etc/dockerfw/web/redis.url", 0o640, 0, 10001),)}),
        ("env-files", "problem", {"env_files": (place("/e/a.env", 0o660),)}),
        ("env-files", "unknown", {"env_files": None}),
        ("code", "problem", {"code": (place("/opt/dockerfw", 0o777), place("/", 0o755))}),
        ("code", "problem", {"code": (place("/opt/dockerfw/manage.py", 0o664, 0, 100),)}),
        ("code", "problem", {"code": (place("/home/alice/dockerfw", 0o755, 1000), place("/", 0o755))}),
        ("code", "unknown", {"code": ()}),
        ("code", "ok", {"code": (place("/h", 0o777, 1000),), "root_runs": False}),
        ("docker-socket", "problem", {"docker_socket": place("/run/docker.sock", 0o666)}),
        ("docker-socket", "note", {"docker_members": ("alice",)}),
        ("docker-socket", "ok", {"docker_socket": None}),
    ],
)
def test_permissions(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_permissions(PERMISSIONS)).values()) == {"ok"}
    found = levels(judge_permissions(replace(PERMISSIONS, **change)))
    assert found.pop(f"permissions.{check}") == level
    assert set(found.values()) == {"ok"}


def test_a_state_directory_of_a_sandbox_is_its_users() -> None:
    state = (place("/home/alice/state", 0o700, 1000), place("/home/alice", 0o755, 1000), place("/", 0o755))
    facts = replace(PERMISSIONS, state=state, root_runs=False)
    assert levels(judge_permissions(facts))["permissions.state"] == "ok"
    facts = replace(facts, state=(state[0], place("/home/alice", 0o755, 1001), state[2]))
    assert levels(judge_permissions(facts))["permissions.state"] == "problem"


CLOCK = ClockFacts(
    now=1000.0, offset=900.0, began=900.5, event=1000.5, file=999.0, redis=1001.0, sequence=0.0
)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("jump", "note", {"began": 890.0}),
        ("jump", "note", {"began": 910.0}),
        ("jump", "unknown", {"began": None}),
        ("database", "problem", {"event": 1061.0}),
        ("database", "unknown", {"event": None}),
        ("state", "problem", {"file": 9000.0}),
        ("redis", "problem", {"redis": 900.0}),
        ("redis", "problem", {"redis": 100_000.0}),
        ("redis", "unknown", {"redis": None}),
        ("sequence", "ok", {"sequence": 1299.0}),
        ("sequence", "problem", {"sequence": 1301.0}),
        ("sequence", "problem", {"sequence": (2**53 - 1) / 1000}),
        ("sequence", "unknown", {"sequence": None}),
    ],
)
def test_clocks(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_clock(CLOCK)).values()) == {"ok"}
    found = levels(judge_clock(replace(CLOCK, **change)))
    assert found.pop(f"clock.{check}") == level
    assert set(found.values()) == {"ok"}


TEXT = TEMPLATE.read_text()
ACL = users_acl(new_passwords(["local", "other"]))
REDIS = RedisFacts(error="", user="web", anonymous=False, allowed=(), users=ACL, template=TEXT, host="other")


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("default-user", "problem", {"anonymous": True}),
        ("default-user", "unknown", {"anonymous": None}),
        ("rights", "problem", {"allowed": ("KEYS x",)}),
        ("rights", "unknown", {"allowed": None}),
        ("users", "problem", {"users": ACL.replace("+lpos", "+lpos +keys", 1)}),
        ("users", "problem", {"users": ACL + "user mallory on nopass ~* +@all\n"}),
        ("users", "problem", {"host": "renamed"}),
        ("users", "unknown", {"users": None}),
    ],
)
def test_redis(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_redis(REDIS)).values()) == {"ok"}
    found = levels(judge_redis(replace(REDIS, **change)))
    assert found.pop(f"redis.{check}") == level
    assert set(found.values()) == {"ok"}


def test_a_redis_that_is_away_is_one_problem() -> None:
    found = levels(judge_redis(replace(REDIS, error="Connection refused")))
    assert [check for check, level in found.items() if level == "problem"] == ["redis.reachable"]


def test_the_users_that_have_other_rights_are_named() -> None:
    assert wrong_users(ACL, TEXT) == []
    lines = ACL.splitlines(keepends=True)
    without_clerk = "".join(line for line in lines if not line.startswith("user clerk "))
    assert wrong_users(without_clerk, TEXT) == ["clerk"]
    assert wrong_users(ACL.replace("user default off", "user default on"), TEXT) == ["default"]
    # Rights for one host in the hands of another.
    assert wrong_users(ACL.replace("dockerfw:snapshot:other", "dockerfw:snapshot:local"), TEXT) == [
        "root-other"
    ]
    assert wrong_users("".join(line for line in lines if "root-" not in line), TEXT) == ["root-*"]
    assert set(wrong_users("", TEXT)) >= {"default", "web", "clerk", "watch"}


UNIT = UnitFacts(there=True, same=True, enabled=True, masked=False)
BOOT = BootFacts(readable=True, unit=UNIT, revision=7, refused={}, database=7)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("unit", "problem", {"unit": replace(UNIT, there=False)}),
        ("unit", "problem", {"unit": replace(UNIT, enabled=False)}),
        ("unit", "problem", {"unit": replace(UNIT, masked=True)}),
        ("unit", "note", {"unit": replace(UNIT, same=False)}),
        ("unit", "unknown", {"unit": None}),
        ("files", "problem", {"missing": ("rules.v6",)}),
        ("files", "note", {"different": ("rules.v4",)}),
        ("loads", "problem", {"refused": {"rules.v4": "line 3 failed"}}),
        ("loads", "unknown", {"refused": None}),
        ("revision", "problem", {"database": 8}),
        ("revision", "problem", {"database": 0}),
        ("revision", "unknown", {"database": None}),
    ],
)
def test_boot(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_boot(BOOT)).values()) == {"ok"}
    found = levels(judge_boot(replace(BOOT, **change)))
    assert found.pop(f"boot.{check}") == level
    assert set(found.values()) == {"ok"}


def test_a_command_of_dockerfws_is_named_as_it_is_called_there() -> None:
    facts = replace(BOOT, problem="digest", command="scripts/firewall")
    todos = {finding.id: finding.todo for finding in judge_boot(facts)}
    assert todos["boot.files"] == "scripts/firewall apply -m 'write the boot files again'"


def test_boot_without_a_revision_or_without_a_right_to_look() -> None:
    assert set(levels(judge_boot(replace(BOOT, revision=0))).values()) == {"ok"}
    closed = levels(judge_boot(replace(BOOT, readable=False)))
    assert {check for check, level in closed.items() if level == "unknown"} == {
        "boot.files",
        "boot.loads",
        "boot.revision",
    }
    assert levels(judge_boot(replace(BOOT, problem="digest")))["boot.files"] == "problem"


WORK = WorkFacts(
    worker=True, restore="", snapshot=40.0, every=60.0, order=0.0, left="", words=0, oldest=0.0, clerk=20.0
)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("root-worker", "problem", {"worker": False}),
        ("root-worker", "unknown", {"worker": None}),
        ("restore", "problem", {"restore": "A restore did not finish."}),
        ("restore", "unknown", {"restore": None}),
        ("snapshot", "problem", {"snapshot": 200.0}),
        ("snapshot", "unknown", {"snapshot": None}),
        ("orders", "problem", {"order": 121.0}),
        ("orders", "unknown", {"order": None}),
        ("window", "problem", {"left": "that of revision 3, from an earlier boot"}),
        ("window", "unknown", {"left": None}),
        ("outcomes", "problem", {"words": 2, "oldest": 601.0}),
        ("outcomes", "ok", {"words": 2, "oldest": 5.0}),
        ("outcomes", "unknown", {"words": None}),
        ("clerk", "problem", {"clerk": 301.0}),
        ("clerk", "note", {"clerk": -1.0}),
        ("clerk", "unknown", {"clerk": None}),
    ],
)
def test_work(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_work(WORK)).values()) == {"ok"}
    found = levels(judge_work(replace(WORK, **change)))
    assert found.pop(f"queue.{check}") == level
    assert set(found.values()) == {"ok"}


HOST = HostFacts(
    missing=(),
    needs_sets=True,
    docker=True,
    docker6=True,
    keeps_apart=True,
    forward=True,
    forward6=True,
    bridges=True,
)


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("commands", "problem", {"missing": ("ip6tables-nft-restore",)}),
        ("conntrack", "note", {"missing": ("conntrack",)}),
        ("sets", "problem", {"sets_fault": "Kernel error received: Operation not supported"}),
        ("sets", "unknown", {"sets_fault": None}),
        ("forwarding", "problem", {"forward": False}),
        ("forwarding", "note", {"forward6": False}),
        ("forwarding", "unknown", {"forward": None}),
        ("forwarding", "ok", {"docker": False, "forward": False}),
        ("bridges", "problem", {"bridges": None}),
        ("bridges", "problem", {"bridges": False}),
        ("bridges", "ok", {"bridges": None, "keeps_apart": False}),
    ],
)
def test_the_host(check: str, level: str, change: dict[str, Any]) -> None:
    assert set(levels(judge_host(HOST)).values()) == {"ok"}
    found = levels(judge_host(replace(HOST, **change)))
    assert found.pop(f"host.{check}") == level
    assert set(found.values()) == {"ok"}


@pytest.mark.parametrize("needs_sets", [True, False])
def test_a_host_without_ipset(*, needs_sets: bool) -> None:
    found = {each.id: each for each in judge_host(replace(HOST, missing=("ipset",), needs_sets=needs_sets))}
    assert (found["host.ipset"].level, found["host.sets"].level) == ("note", "unknown")
    assert ("trace cannot read" in found["host.ipset"].text) == needs_sets


PROXY4, PROXY6 = "dockerfw4-proxy", "dockerfw6-proxy"
NEEDED = {PROXY4: ("0.0.0.0/1,tcp:80", "128.0.0.0/1,tcp:80"), PROXY6: ()}
SETS = BoundSetFacts((PROXY4, PROXY6), held=NEEDED, shown=NEEDED)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (SETS, "ok", "dockerfw4-proxy has 2 members"),
        (BoundSetFacts(), "ok", "No rule"),
        (None, "unknown", "by root"),
        (replace(SETS, held=None, why_not="ipset failed"), "unknown", "ipset failed"),
        (replace(SETS, problem="it has not looked for 300 seconds"), "problem", "300 seconds"),
        (replace(SETS, held={PROXY4: NEEDED[PROXY4]}), "problem", "missing: dockerfw6-proxy"),
        (replace(SETS, held={**NEEDED, PROXY6: ("::/1,tcp:80",)}), "problem", "it allows ::/1,tcp:80."),
        (replace(SETS, held={**NEEDED, PROXY4: ()}), "problem", "lacks 0.0.0.0/1,tcp:80 and 1 more"),
    ],
)
def test_the_bound_sets(facts: BoundSetFacts | None, level: str, words: str) -> None:
    found = judge_bound_sets(facts)
    assert (found.id, found.level) == ("chains.sets", level)
    assert words in found.text


LEFT_OUT = LOG_LEFT_OUT.format(error="IPv4: line 7")
LOG = LogFacts(wanted=True, groups=frozenset({7373}), readers={7373: 812})


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (LOG, "ok", "group 7373"),
        (LogFacts(), "ok", "No confirmed revision"),
        (None, "unknown", "by root"),
        (replace(LOG, readers=None), "unknown", "does not tell"),
        (replace(LOG, readers={5: 812}), "problem", "no program reads it"),
        (replace(LOG, groups=frozenset()), "note", "an earlier release"),
        (replace(LOG, groups=frozenset(), left_out=LEFT_OUT), "note", f"R{LEFT_OUT[1:]}."),
    ],
)
def test_the_log_of_refused_packets(facts: LogFacts | None, level: str, words: str) -> None:
    found = judge_log(facts)
    assert (found.id, found.level) == ("chains.log", level)
    assert words in found.text


def test_the_database() -> None:
    assert set(levels(judge_database(DatabaseFacts())).values()) == {"ok"}
    away = levels(judge_database(DatabaseFacts(error="no such file")))
    untold = {"database.append-only": "unknown"}
    assert away == {"database.reachable": "problem", "database.migrated": "unknown", **untold}
    old = levels(judge_database(DatabaseFacts(migrations=2)))
    assert old == {"database.reachable": "ok", "database.migrated": "problem", **untold}
    open_ = levels(judge_database(DatabaseFacts(triggers=("rules_revision_no_update",))))
    assert open_["database.append-only"] == "problem"
    assert set(levels(judge_database(DatabaseFacts(untried="not here"))).values()) == {"unknown"}


@pytest.mark.parametrize(
    ("space", "level"),
    [
        (Space(10**12, 10**13, 10**6), "ok"),
        (Space(300 * MIB, 10**13), "ok"),
        (Space(200 * MIB, 10**13), "note"),
        (Space(20 * MIB, 10**13), "problem"),
        # A small volume may be used up to its last tenth.
        (Space(20 * MIB, 100 * MIB), "ok"),
        (Space(9 * MIB, 100 * MIB), "note"),
        (Space(1 * MIB, 100 * MIB), "problem"),
        (Space(10**12, 10**13, 5), "problem"),
        (Space(10**12, 10**13, None, True), "problem"),
        (None, "unknown"),
    ],
)
def test_room(space: Space | None, level: str) -> None:
    assert judge_space("disk.state", "the state directory", space).level == level


def test_sizes_for_people() -> None:
    assert [size(count) for count in (0, 1023, 1024, 150 * 1024, 3 * MIB)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "150 KiB",
        "3.0 MiB",
    ]


WELL, NOTE = ok("boot.unit", "It is."), note("chains.foreign", "Others drop.", "nft list ruleset")
WRONG, UNSEEN = (
    problem("anchors.first", "It is " + "very " * 30 + "wrong.", "mend it"),
    unknown("disk.data", "why"),
)


def test_the_report_for_people_is_short_when_all_is_well() -> None:
    assert report([WELL, ok("boot.files", "It is.")]) == ["All 2 checks passed."]
    assert report([WELL], everything=True)[0] == "OK"


def test_the_report_for_people_begins_with_what_is_wrong() -> None:
    lines = report(in_order([WELL, NOTE, WRONG, UNSEEN]))
    assert lines[0] == "Problems"
    assert lines.index("Problems") < lines.index("Notes") < lines.index("Not checked")
    assert lines[-1] == "3 checks: 1 problem, 1 note, 1 OK."
    assert "                  To do: mend it" in lines
    assert all(len(line) <= 100 for line in lines)


def test_the_status() -> None:
    assert status_of([WELL, NOTE, UNSEEN]) == 0
    assert status_of([WELL, WRONG, UNSEEN]) == 1
    assert status_of([UNSEEN]) == 2


SIGNS, OTHER = "0123456789abcdef", "fedcba9876543210"
LISTS = "00112233445566778"
SIGNING = SigningFacts(
    orders=PairFacts(
        signer=KeyFile("/etc/dockerfw/signer.pub", fingerprint=SIGNS),
        key=KeyFile("/etc/dockerfw/signing.key", fingerprint=SIGNS, uid=998, mode=0o600),
    ),
    lists=PairFacts(
        signer=KeyFile("/etc/dockerfw/lists.pub", fingerprint=LISTS),
        key=KeyFile("/etc/dockerfw/lists.key", fingerprint=LISTS, uid=998, mode=0o600),
    ),
    account=998,
)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"signer": KeyFile("p", fault="it is gone")}, {"signer": "problem", "pair": "unknown"}),
        ({"signer": KeyFile("p", fault="no", readable=False)}, {"signer": "unknown", "pair": "unknown"}),
        ({"signer": None}, {"signer": "unknown", "pair": "unknown"}),
        ({"signer": None, "reported": SIGNS}, {"signer": "unknown"}),
        ({"signer": None, "reported": OTHER}, {"signer": "unknown", "pair": "problem"}),
        ({"signer": KeyFile("p", fingerprint=OTHER), "reported": SIGNS}, {"pair": "problem"}),
        ({"key": KeyFile("k", fault="it is gone")}, {"key": "problem", "pair": "unknown"}),
        ({"key": KeyFile("k", readable=False)}, {"key": "unknown", "pair": "unknown"}),
        ({"key": None}, {"key": "unknown", "pair": "unknown"}),
        ({"key": KeyFile("k", fingerprint=SIGNS, uid=998, mode=0o640)}, {"key": "problem"}),
        ({"key": KeyFile("k", fingerprint=SIGNS, uid=0, mode=0o644)}, {"key": "problem"}),
        # As in the image: the group has one member, and only its container has the file.
        ({"key": KeyFile("k", fingerprint=SIGNS, uid=0, mode=0o640)}, {}),
        # Another account, such as that of Redis, owns it.
        ({"key": KeyFile("k", fingerprint=SIGNS, uid=997, mode=0o600)}, {"key": "problem"}),
    ],
)
def test_signing(change: dict[str, Any], wanted: dict[str, str]) -> None:
    assert set(levels(judge_signing(SIGNING)).values()) == {"ok"}
    for name, ids in (("orders", "signing."), ("lists", "signing.lists-")):
        known = {
            key: replace(each, fingerprint=LISTS)
            if name == "lists" and isinstance(each, KeyFile) and each.fingerprint == SIGNS
            else LISTS
            if name == "lists" and each == SIGNS
            else each
            for key, each in change.items()
        }
        pair = replace(getattr(SIGNING, name), **known)
        found = levels(judge_signing(replace(SIGNING, **{name: pair})))
        assert {check: level for check, level in found.items() if level != "ok"} == {
            f"{ids}{check}": level for check, level in wanted.items()
        }


def test_a_host_without_a_pair_for_lists_has_a_note_and_one_key_for_both_is_a_problem() -> None:
    gone = KeyFile("p", fault="it is gone", missing=True)
    for field in ("signer", "key"):
        for name, level in (("orders", "problem"), ("lists", "note")):
            pair = replace(getattr(SIGNING, name), **{field: gone})
            found = levels(judge_signing(replace(SIGNING, **{name: pair})))
            assert level in found.values()
    found = levels(judge_signing(replace(SIGNING, lists=SIGNING.orders)))
    assert {check for check, level in found.items() if level == "problem"} == {"signing.two-pairs"}
    unread = PairFacts(None, None)
    assert levels(judge_signing(replace(SIGNING, lists=unread)))["signing.two-pairs"] == "unknown"


def test_the_keys_as_they_lie_there(tmp_path: Path) -> None:
    signer, key = write_signer(tmp_path), write_signing_key(tmp_path)
    lists_signer, lists_key = write_lists_signer(tmp_path), tmp_path / "lists.key"
    lists_key.write_bytes(private_key_text(LISTS_KEY))
    lists_key.chmod(0o600)

    def judged() -> dict[str, Finding]:
        facts = SigningFacts(
            PairFacts(signer_file(signer), signing_key_file(key)),
            PairFacts(signer_file(lists_signer), signing_key_file(lists_key)),
            owner_of(tmp_path),
        )
        return {finding.id: finding for finding in judge_signing(facts)}

    assert {finding.level for finding in judged().values()} == {"ok"}
    lists_key.chmod(0o644)
    assert judged()["signing.lists-key"].level == "problem"
    lists_key.write_bytes(key.read_bytes())
    assert judged()["signing.two-pairs"].level == "problem"
    assert judged()["signing.lists-pair"].level == "problem"
    signer.chmod(0o666)
    key.write_text("PRIVATE nonsense")
    lists_signer.unlink()
    found = judged()
    assert "users other than root can change" in found["signing.signer"].text
    assert found["signing.key"].text.endswith("it is not an Ed25519 private key in PEM.")
    assert found["signing.lists-signer"].level == "note"
    key.unlink()
    assert signing_key_file(key).fault.endswith("cannot be read (No such file or directory)")
