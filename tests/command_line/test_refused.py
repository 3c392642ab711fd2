"""The verb `refused`: lines, objects, filters, new packets as they come, and errors of one sentence."""

from __future__ import annotations

import json
import time

import pytest

from rules.audit.actors import Actor
from rules.command_line import refused as verb
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.models import Host
from rules.overview import refused_stream_selectors
from rules.overview.refused_services import refusals_store
from tests.command_line.test_grouped import run, values
from tests.rig.busy_host import busy_store
from tests.rig.confirmed import confirm
from tests.rig.redis_fixtures import RedisServer
from tests.rig.refused import SCANNER, forwarded, refusal, refusals_add

pytestmark = [pytest.mark.django_db, pytest.mark.redis]


@pytest.fixture(autouse=True)
def _office_only(host: Host, alice: Actor, queue: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused_stream_selectors, "EVERY_SECONDS", 0.0)
    refused_stream_selectors.forget_tails()
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["198.51.100.0/24"]}
    rule_create(host=host, actor=alice, values=ssh)
    confirm(host, alice)
    busy_store(host, draft_document(host), 1)


def test_lines(host: Host) -> None:
    refusals_add("local", [refusal(count=4), forwarded("172.17.0.3", 5432, port=5432)])
    status, out, err = run("refused")
    assert (status, err) == (0, "")
    first, second = sorted(out.splitlines(), key=len)
    assert f" UTC       1  {SCANNER}  5432/tcp  shop/db  no rule allows 5432/tcp  (revision 1)" in first
    assert f"4  {SCANNER}  22/tcp  host  22/tcp is allowed only from 198.51.100.0/24  (revision 1)" in second
    assert run("refused", "allowed", "--port", "22")[1].count("\n") == 1


def test_objects(host: Host) -> None:
    assert values("refused") == []
    refusals_add("local", [refusal(), refusal(port=23)])
    refusals_store(host=host, then=None)
    (found,) = values("refused", "--reason", "no-rule")
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "count": 1,
        "source": SCANNER,
        "destination": "192.0.2.1",
        "port": 23,
        "protocol": "tcp",
        "interface": "ens33",
        "way": "host",
        "container": None,
        "revision": 1,
        "reason": "no-rule",
        "why": "no rule allows 23/tcp",
        "rules": [],
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_new_packets_follow(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    refusals_add("local", [refusal(port=1001)])
    turns = iter([1002, 1003])

    def between(seconds: float) -> None:
        port = next(turns, None)
        if port is None:
            raise KeyboardInterrupt
        refusals_add("local", [refusal(port=port), refusal(port=2000)])

    monkeypatch.setattr(verb, "time", type("Clock", (), {"sleep": staticmethod(between)}))
    status, out, _ = run("refused", "no", "rule", "--source", SCANNER, "--follow", *["--json"] * as_json)
    assert status == 0
    lines = out.splitlines()
    ports = [json.loads(line)["port"] for line in lines] if as_json else [int(_port(line)) for line in lines]
    assert sorted(ports) == [1001, 1002, 1003, 2000, 2000]
    assert time.sleep is not between


def _port(line: str) -> str:
    return line.split()[5].partition("/")[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--source", "office"], "--source: 'office' is not an address or network."),
        (["--port", "ssh"], "--port: 'ssh' is not a port."),
        (["--since", "never"], "--since: 'never' is not a choice. Use hour, day, week, month."),
        (["--reason", "because"], "--reason: 'because' is not a choice."),
        (["--host", "nowhere"], "there is no host nowhere"),
    ],
)
def test_bad_input(words: list[str], sentence: str) -> None:
    status, out, err = run("refused", *words)
    assert (status, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_without_redis(no_queue: None) -> None:
    refused_stream_selectors.forget_tails()
    status, out, err = run("refused")
    assert (status, out) == (0, "no refused packets\n")
    assert "Redis does not answer" in err
