"""The verbs on files: they need no configuration, no Redis and no database, and never show a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.document.container_definitions import MOST_DEFINITIONS
from dockerfw_site.environment import BASE_DIR
from rules.management.commands.firewall import VERBS
from tests.rig.command_fixtures import firewall, shell, typed
from tests.rig.kernel_reports import CLEAN
from tests.rig.namespace import PATIENCE

RAW = b"""*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m comment --comment "\xff\xc3\xbc \\" " -j RETURN
COMMIT
"""
SAVE = CLEAN.encode() + b"# Completed on Mon\n" + RAW
BAD_SAVE = b'*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j "ACCEPT\nCOMMIT\n'


def test_parse_gives_back_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "save"
    path.write_bytes(SAVE)
    done = shell("parse", "--print", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, SAVE, b"")
    for locale in ("C", "C.UTF-8"):
        piped = shell("parse", "-", "--print", stdin=SAVE, LC_ALL=locale)
        assert (piped.returncode, piped.stdout) == (0, SAVE)


def test_parse_prints_json_of_any_bytes() -> None:
    done = shell("parse", stdin=SAVE)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert [table["name"] for table in found["tables"]] == ["filter", "raw"]
    chains = {chain["name"]: chain for chain in found["tables"][0]["chains"]}
    assert chains["INPUT"] == {
        "name": "INPUT",
        "builtin": True,
        "policy": "ACCEPT",
        "packets": 10,
        "bytes": 1000,
        "rules": [],
    }
    rule = found["tables"][1]["chains"][0]["rules"][0]
    assert rule["line"] == 13
    assert rule["target"] == {"name": "RETURN", "goto": False, "options": []}
    assert rule["matches"][0]["options"][0]["values"] == ['\udcffü " ']
    assert typed("parse", "--json", stdin=SAVE).out.encode("utf-8", "surrogateescape") == done.stdout


def test_a_parse_error_has_a_caret() -> None:
    done = shell("parse", "-", stdin=BAD_SAVE)
    assert done.returncode == 2
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("standard input: line 3, column ")
    assert lines[-1].strip() == "^"
    assert lines[-1].index("^") == lines[-2].index('"')


def test_render_each_family(document: Path, tmp_path: Path) -> None:
    four = firewall("render", str(document), "--family", "4", "--revision", "12")
    assert four.status == 0
    assert four.out.startswith("*filter\n:FILTERS - [0:0]\n")
    assert four.out.endswith("COMMIT\n")
    assert '--comment "dockerfw r12 ' in four.out
    assert "-s 10.0.0.0/8" in four.out
    six = firewall("render", str(document), "--family", "6", "--json")
    assert json.loads(six.out)["family"] == 6
    assert "10.0.0.0/8" not in six.out
    assert "für" not in four.out
    bare = tmp_path / "bare"
    bare.write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    live = firewall("render", str(document), "--family", "4", "--live", str(bare))
    assert "-N DOCKER-USER" in live.out
    assert "-N DOCKER-USER" not in four.out


def test_render_the_sets_that_go_before_the_rules(tmp_path: Path) -> None:
    sources = [f"192.0.2.{last}" for last in range(1, 6)] + ["2001:db8::7"]
    ssh = {"id": "sshd", "scope": "host", "sources": sources, "protocol": "tcp", "ports": ["22"]}
    web = {"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["8080"]}
    file = tmp_path / "document.json"
    file.write_text(json.dumps({"format": "dockerfw/2", "rules": [ssh, web]}))
    sets = firewall("render", str(file), "--family", "4", "--sets").out
    (name,) = re.findall(r"^create (dockerfw4-s\S+) hash:net family inet ", sets, re.MULTILINE)
    assert f"add {name} 192.0.2.5\n" in sets
    assert "create dockerfw4-proxy " in sets
    rules = firewall("render", str(file), "--family", "4").out
    assert f"-m set --match-set {name} src" in rules
    both = json.loads(firewall("render", str(file), "--family", "4", "--json").out)
    assert (both["restore"], both["sets"]) == (rules, sets)
    # One source is a line.
    assert "add " not in firewall("render", str(file), "--family", "6", "--sets").out


def test_check_says_what_is_valid_and_every_error(document: Path, tmp_path: Path) -> None:
    good = firewall("check", str(document))
    assert good.status == 0
    assert "the network 10.0.0.0/8" in good.out
    assert good.out.splitlines()[-1].startswith("valid: 2 rules, digest ")
    expecting = tmp_path / "expecting.json"
    expecting.write_text('{"format": "dockerfw/1", "expectations": [{"port": 22, "passes": true}]}')
    assert firewall("check", str(expecting)).out.startswith("valid: 0 rules, 1 expectation, digest ")
    assert json.loads(firewall("check", str(expecting), "--json").out)["expectations"] == 1
    bad = tmp_path / "bad.json"
    bad.write_text(
        '{"format": "dockerfw/1", "rules": [{"scope": "host", "protocol": "tcp", "ports": [70000], "x": 1}]}'
    )
    done = firewall("check", str(bad))
    assert done.status == 2
    assert "rules[0].ports[0]: 70000 is not a port (1 to 65535)" in done.err.splitlines()
    assert len(done.err.splitlines()) == 2
    found = json.loads(firewall("check", str(bad), "--json").out)
    assert found["valid"] is False
    assert found["errors"][1]["path"] in ("rules[0].x", "rules[0].ports[0]")
    assert json.loads(firewall("check", str(document), "--json").out)["rules"] == 2


def test_plan_of_a_file(document: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.write_text(CLEAN)
    done = firewall("plan", str(document), "--live", str(clean))
    assert done.status == 1
    assert "IPv4 + chain FILTERS" in done.out.splitlines()
    assert "IPv4 insert jump: INPUT -j FILTERS-HOST" in done.out
    both = firewall("plan", str(document), "--live", str(clean), "--live6", str(clean), "--json")
    assert both.status == 1
    assert sorted(json.loads(both.out)["families"]) == ["4", "6"]
    six = firewall("plan", str(document), "--live", str(clean), "--family", "6", "--json")
    assert list(json.loads(six.out)["families"]) == ["6"]


def test_plan_of_what_is_loaded_is_empty(document: Path, tmp_path: Path) -> None:
    from dockerfw.document.document import load_document
    from tests.rig.kernel_reports import save_of

    loaded = tmp_path / "loaded"
    loaded.write_text(save_of(load_document(document.read_bytes()), 4, 3))
    done = firewall("plan", str(document), "--live", str(loaded))
    assert done.status == 0
    assert done.out.splitlines()[-1] == "nothing to do: the kernel already holds these rules"
    assert json.loads(firewall("plan", str(document), "--live", str(loaded), "--json").out)["empty"] is True


ARTICLE = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:FILTERS - [0:0]
:DOCKER-USER - [0:0]
-F INPUT
-F DOCKER-USER
-F FILTERS
-A INPUT -i lo -j ACCEPT
-A INPUT -j FILTERS
-A DOCKER-USER -i ens33 -j FILTERS
-A FILTERS -m state --state ESTABLISHED,RELATED -j ACCEPT
-A FILTERS -s 1.2.3.4/32 -j ACCEPT
-A FILTERS -m u32 --u32 "0x0=0x1" -j ACCEPT
-A FILTERS -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""


def test_import_prints_a_document_and_what_it_left_out() -> None:
    done = shell("import", "--print", "-", stdin=ARTICLE.encode())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == "dockerfw/1"
    assert found["settings"]["external_interfaces"] == ["ens33"]
    assert [rule["source"] for rule in found["rules"]] == ["1.2.3.4/32"]
    skipped = [line for line in done.stderr.decode().splitlines() if line.startswith("line 14: ")]
    assert len(skipped) == 1
    assert "u32" in skipped[0]
    assert json.loads(typed("import", "--print", "-", stdin=done.stdout).out) == found


BAD_INPUT = [
    (["parse", "/nonexistent/file"], b"", "No such file"),
    (["parse", "/tmp"], b"", "directory"),
    (["parse", "-"], b"\x00\x01\x02", "line 1"),
    (["check", "-"], b"", "empty"),
    (["check", "-"], b"{", "not JSON"),
    (["check", "-"], b"[" * 100_000, "nested too deeply"),
    (["check", "-"], b'{"format": "dockerfw/1", "rules": [NaN]}', "not a JSON value"),
    (["check", "-"], b"\xff\xfe", "not UTF-8"),
    (["check", "-"], b"TOO_MANY_CONTAINERS", "rules[1000].container: the enabled rules for containers"),
    (["render", "-", "--family", "4"], b"{}", "format"),
    (["render", "-"], b"{}", "--family"),
    (["render", "-", "--family", "5"], b"{}", "invalid choice"),
    (["plan", "-"], b"{}", "--live"),
    (["plan", "--live", "x"], b"", "needs a FILE"),
    (["plan", "-", "--live", "-"], b"{}", "read only once"),
    (["render", "-", "--family", "4", "--live", "-"], b"{}", "read only once"),
    (["import", "--print", "-"], b"root:x:0:0", "line 1"),
    (["import", "--print", "-"], b"{}", "format"),
    (["export", "--revision", "zero"], b"", "not a revision number"),
    (["apply"], b"", "--message"),
    (["rollback", "-m", "x"], b"", "N"),
    (["nonsense"], b"", "invalid choice"),
    ([], b"", "VERB"),
]


def too_many_containers() -> bytes:
    """Return a document whose rules need two sets more than a document may."""
    rule = {"scope": "container", "protocol": "tcp", "ports": ["80"]}
    rules = [{**rule, "container": f"c{number}"} for number in range(MOST_DEFINITIONS // 2 + 1)]
    return json.dumps({"format": "dockerfw/2", "rules": rules}).encode()


@pytest.mark.parametrize(("arguments", "stdin", "words"), BAD_INPUT, ids=lambda value: str(value)[:40])
def test_bad_input_is_status_2_and_never_a_traceback(arguments: list[str], stdin: bytes, words: str) -> None:
    done = typed(*arguments, stdin=stdin.replace(b"TOO_MANY_CONTAINERS", too_many_containers()))
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [(["check", "-"], b"\xff\xfe", "not UTF-8"), (["render", "-"], b"{}", "--family")],
    ids=["input", "arguments"],
)
def test_bad_input_is_the_same_for_a_process(arguments: list[str], stdin: bytes, words: str) -> None:
    done, here = shell(*arguments, stdin=stdin), typed(*arguments, stdin=stdin)
    assert words in here.err
    assert (done.returncode, done.stdout, done.stderr) == (here.status, b"", here.err.encode())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert firewall(verb, "--help").status == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "Exit status: 0 " in text


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "save"
    rules = b"".join(b"-A INPUT -s 10.0.%d.%d -j ACCEPT\n" % (n // 250, n % 250) for n in range(3_000))
    # More than a pipe holds.
    assert len(rules) > 1 << 16
    path.write_bytes(b"*filter\n:INPUT ACCEPT [0:0]\n" + rules + b"COMMIT\n")
    for extra in ([], ["--print"]):
        process = subprocess.Popen(
            [sys.executable, "manage.py", "firewall", "parse", str(path), *extra],
            cwd=BASE_DIR,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0
        process.stderr.close()


def test_a_save_of_random_bytes_is_refused_politely() -> None:
    for seed in range(3):
        data = b"*filter\n" + bytes((seed * 7 + n * 31) % 256 for n in range(3000))
        done = typed("parse", stdin=data)
        assert done.status == 2
        assert "Traceback" not in done.err


def test_import_and_a_first_plan_say_what_closes(tmp_path: Path) -> None:
    save, document = tmp_path / "save", tmp_path / "document.json"
    save.write_text("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n")
    closes = (
        "Packets from anywhere to every other tcp port (SSH too), every udp port and every other protocol of "
        "the host pass today and would be refused."
    )
    found = firewall("import", str(save), "--print")
    assert (found.status, closes in found.err.splitlines()) == (0, True)
    document.write_text(found.out)
    plan = firewall("plan", str(document), "--live", str(save))
    assert (plan.status, plan.out.splitlines()[0]) == (1, f"- {closes}")
    as_json = json.loads(firewall("plan", str(document), "--live", str(save), "--json").out)
    assert as_json["packets"] == [{"kind": "closes", "sentence": closes}]
    assert as_json["refusals"] == []


def test_render_and_plan_for_a_host_without_ipsets(tmp_path: Path) -> None:
    sources = [f"20.0.0.{number}" for number in range(9)]
    rule = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": sources}
    document: dict[str, object] = {"format": "dockerfw/2", "rules": [rule]}
    path, live = tmp_path / "rules.json", tmp_path / "save"
    path.write_text(json.dumps(document))
    live.write_text(CLEAN)
    words = ("render", str(path), "--family", "4")
    assert "--match-set" in firewall(*words).out
    assert firewall(*words, "--without-ipset").out.count("--dport 22 ") == 9
    plan = firewall("plan", str(path), "--live", str(live), "--without-ipset")
    assert (plan.status, "--match-set" in plan.out, "20.0.0.8" in plan.out) == (1, False, True)
    document["groups"] = {"bad": {"kind": "feed", "url": "https://example.org/x"}}
    path.write_text(json.dumps({**document, "rules": [{**rule, "sources": ["@bad"]}]}))
    refused = firewall(*words, "--without-ipset")
    assert (refused.status, refused.out) == (2, "")
    assert "“22/tcp from @bad to the host” needs ipsets, which this host does not have" in refused.err
