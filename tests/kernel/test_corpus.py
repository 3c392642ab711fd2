"""The output of the real kernel for every extension is read without loss, and with the right values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import pytest

from dockerfw.iptables.canonical import canonical_rule
from dockerfw.iptables.model import Match, Option, Rule, Ruleset, Target
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from tests.iptables.saves import print_save_bytes
from tests.kernel.corpus import IP_SET, TARGET_CHAIN, Sample, samples
from tests.rig.namespace import Backend, Family, Namespace, iptables_program, why_unavailable

pytestmark = pytest.mark.kernel

# Extensions that every kernel with Docker has; all others depend on how the kernel was built.
ALWAYS_THERE = {
    "tcp",
    "udp",
    "conntrack",
    "comment",
    "multiport",
    "addrtype",
    "mark",
    "limit",
}


@dataclass(frozen=True)
class Loaded:
    """The result of loading the corpus: the saves, and the sample of each chain with a rule."""

    save: bytes
    save_with_counters: bytes
    chains: dict[str, Sample]
    refused: dict[Sample, str]

    def rule(self, sample: Sample, ruleset: Ruleset) -> Rule:
        name = next(chain for chain, loaded in self.chains.items() if loaded == sample)
        chain = ruleset.chain(sample.table, name)
        assert chain is not None
        assert len(chain.rules) == 1, f"{sample} became {len(chain.rules)} rules"
        return chain.rules[0]


@cache
def load_corpus(backend: Backend, family: Family) -> Loaded:
    """Load each sample into its own chain, and save."""
    reason = why_unavailable()
    if reason:
        pytest.skip(f"no network namespace can be made: {reason}")
    with Namespace("corpus") as namespace:
        _make_set(namespace, family)
        chains: dict[str, Sample] = {}
        refused: dict[Sample, str] = {}
        for table in ("filter", "nat", "mangle", "raw", "security"):
            namespace.run(iptables_program(backend, family), "-t", table, "-N", TARGET_CHAIN, check=False)
        for number, sample in enumerate(samples(family)):
            name = f"c{number:03}"
            error = _load(namespace, backend, family, name, sample)
            if error:
                refused[sample] = error
            else:
                chains[name] = sample
        save = namespace.save(backend, family)
        return Loaded(save, namespace.save(backend, family, counters=True), chains, refused)


def _make_set(namespace: Namespace, family: Family) -> None:
    kind = "inet" if family == 4 else "inet6"
    extensions = ("skbinfo", "counters", "timeout", "0")
    namespace.run("ipset", "create", IP_SET, "hash:ip", "family", kind, *extensions, check=False)


def _load(namespace: Namespace, backend: Backend, family: Family, name: str, sample: Sample) -> str:
    """Load one sample; return the error, or an empty text."""
    program = iptables_program(backend, family)
    made = namespace.run(program, "-t", sample.table, "-N", name, check=False)
    if made.returncode == 0:
        added = namespace.run(program, "-t", sample.table, "-A", name, *sample.words, check=False)
        if added.returncode == 0:
            return ""
        namespace.run(program, "-t", sample.table, "-X", name, check=False)
        made = added
    return made.stderr.decode("utf-8", "replace").strip().partition("\n")[0] or f"status {made.returncode}"


def test_every_save_of_the_corpus_prints_unchanged(backend: Backend, family: Family) -> None:
    loaded = load_corpus(backend, family)
    print(f"\n{backend} IPv{family}: {len(loaded.chains)} samples loaded, {len(loaded.refused)} refused")
    for sample, error in loaded.refused.items():
        print(f"  refused by this kernel: {sample}: {error}")
    for save in (loaded.save, loaded.save_with_counters):
        assert print_save_bytes(parse_save(save)) == save


def test_extensions_of_every_kernel_were_loaded(backend: Backend, family: Family) -> None:
    loaded = load_corpus(backend, family)
    there = {word for sample in loaded.chains.values() for word in sample.words}
    assert there >= ALWAYS_THERE | ({"icmp"} if family == 4 else {"icmp6"})


def test_every_rule_has_the_loaded_values(backend: Backend, family: Family) -> None:
    loaded = load_corpus(backend, family)
    ruleset = parse_save(loaded.save_with_counters)
    for name, sample in loaded.chains.items():
        rule = loaded.rule(sample, ruleset)
        assert (rule.table, rule.chain) == (sample.table, name)
        assert rule.counters is not None
        _check_modules(rule, sample)
        _check_target(rule, sample)
        _check_negation(rule, sample)
        if "--comment" in sample.words:
            assert rule.comment == sample.words[sample.words.index("--comment") + 1]


def _check_modules(rule: Rule, sample: Sample) -> None:
    given = [sample.words[index + 1] for index, word in enumerate(sample.words) if word == "-m"]
    saved = [match.module for match in rule.matches if match.module is not None]
    implied = {"--syn": "tcp", "--icmp-type": "icmp"}
    given += [module for option, module in implied.items() if option in sample.words and module not in given]
    assert sorted(saved) == sorted(given), rule.text


def _check_target(rule: Rule, sample: Sample) -> None:
    verbs = [index for index, word in enumerate(sample.words) if word in {"-j", "-g"}]
    # A word of a comment can look like a target, so the last one counts.
    if not verbs or sample.words[verbs[-1] - 1] == "--comment":
        assert rule.target is None, rule.text
        return
    assert rule.target is not None, rule.text
    name = sample.words[verbs[-1] + 1]
    assert rule.target.name in {name, {"NOTRACK": "CT"}.get(name, name)}
    assert rule.target.goto == (sample.words[verbs[-1]] == "-g")


def _check_negation(rule: Rule, sample: Sample) -> None:
    # The kernel stores days as bits, so `! --monthdays 1,2` comes back as all other days.
    given = sum(
        word == "!" and before != "--comment" and after != "--monthdays"
        for before, word, after in zip(
            ("", *sample.words), sample.words, (*sample.words[1:], ""), strict=False
        )
    )
    options = [option for match in rule.matches for option in match.options]
    assert sum(option.negated for option in options) == given, rule.text


def test_a_sample_and_its_save_are_the_same_rule_if_the_extension_is_known(
    backend: Backend, family: Family
) -> None:
    loaded = load_corpus(backend, family)
    ruleset = parse_save(loaded.save)
    known = re.compile(r"^(filter|nat): ")
    for name, sample in loaded.chains.items():
        if not known.match(str(sample)) or UNKNOWN_SPELLINGS & set(sample.words):
            continue
        saved = loaded.rule(sample, ruleset)
        rule = f"-A {name} {_restore_words(sample)}"
        text = f"*{sample.table}\n:{TARGET_CHAIN} - [0:0]\n:{name} - [0:0]\n{rule}\nCOMMIT\n"
        given = parse_restore(text).chain(sample.table, name)
        assert given is not None
        assert canonical_rule(given.rules[0], family) == canonical_rule(saved, family)


# Extensions whose values canonical.py does not change.
UNKNOWN_SPELLINGS = {
    *(
        "ah",
        "bpf",
        "cluster",
        "connlabel",
        "dccp",
        "dst",
        "esp",
        "frag",
        "hbh",
        "ipv6header",
        "mh",
        "rt",
        "srh",
    ),
    *("hashlimit", "ipcomp", "policy", "rateest", "sctp", "string", "tcpmss", "time", "u32", "cgroup", "osf"),
    *("--queue-balance", "--nflog-size", "RATEEST", "IDLETIMER", "SYNPROXY", "LED", "AUDIT", "ULOG", "ecn"),
    *("CLUSTERIP", "ipvs", "DNAT"),
}


def _restore_words(sample: Sample) -> str:
    """Return the words as text for iptables-restore, in quotes where needed."""
    written = []
    for before, word in zip(("", *sample.words), sample.words, strict=False):
        is_text = before == "--comment" or not word or not set(word).isdisjoint(" \\'\"")
        written.append(_in_quotes(word) if is_text else word)
    return " ".join(written)


def _in_quotes(word: str) -> str:
    """Return a word in double quotes, with escapes."""
    escaped = re.sub(r"([\"\\'])", r"\\\1", word)
    return f'"{escaped}"'


SPOT_CHECKS: list[tuple[str, tuple[Match, ...], Target | None]] = [
    (
        "! -p tcp -g ELSEWHERE",
        (Match(None, (Option("-p", True, ("tcp",)),)),),
        Target("ELSEWHERE", True, ()),
    ),
    (
        "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -m comment --comment a1c2 -j RETURN",
        (
            Match(None, (Option("-p", False, ("tcp",)),)),
            Match(
                "conntrack",
                (Option("--ctorigdstport", False, ("8080",)), Option("--ctdir", False, ("ORIGINAL",))),
            ),
            Match("comment", (Option("--comment", False, ("a1c2",)),)),
        ),
        Target("RETURN", False, ()),
    ),
    (
        "-p tcp -m multiport ! --dports 22,80,8000:8010",
        (
            Match(None, (Option("-p", False, ("tcp",)),)),
            Match("multiport", (Option("--dports", True, ("22,80,8000:8010",)),)),
        ),
        None,
    ),
    (
        "-m comment --comment -j -j ACCEPT",
        (Match("comment", (Option("--comment", False, ("-j",)),)),),
        Target("ACCEPT", False, ()),
    ),
    (
        "-p tcp -j REJECT --reject-with tcp-reset",
        (Match(None, (Option("-p", False, ("tcp",)),)),),
        Target("REJECT", False, (Option("--reject-with", False, ("tcp-reset",)),)),
    ),
    (
        "-m limit --limit 5/minute --limit-burst 9",
        (Match("limit", (Option("--limit", False, ("5/min",)), Option("--limit-burst", False, ("9",)))),),
        None,
    ),
]


@pytest.mark.parametrize(("words", "matches", "target"), SPOT_CHECKS, ids=[check[0] for check in SPOT_CHECKS])
def test_known_values(
    backend: Backend, family: Family, words: str, matches: tuple[Match, ...], target: Target | None
) -> None:
    loaded = load_corpus(backend, family)
    sample = next(sample for sample in loaded.chains.values() if " ".join(sample.words) == words)
    rule = loaded.rule(sample, parse_save(loaded.save))
    assert rule.matches == matches
    assert rule.target == target
