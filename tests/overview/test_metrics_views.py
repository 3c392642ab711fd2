"""`/metrics`: the recorded figures for whoever knows the token."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as site
from django.http import HttpResponse, HttpResponseBase
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings
from ruamel.yaml import YAML

from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create
from rules.models import Host, ProcessNote
from rules.overview.metrics_selectors import metrics_text
from rules.overview.sample_names import MOST_RULES, MOST_SETS
from rules.overview.sample_services import Kind, Reading, samples_store
from tests.rig.confirmed import confirm

pytestmark = pytest.mark.django_db
TOKEN = "0123456789abcdef" * 4
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LEVELS = {
    "unprotected": 0.0,
    "drift": 0.0,
    "open_ports": 3.0,
    "unknown_ports": 1.0,
    "pending": 2.0,
    "checks_failing": 1.0,
    "conntrack": 812.0,
    "conntrack_max": 262_144.0,
    "sessions": 5.0,
}


@pytest.fixture
def token(settings: Settings) -> str:
    """Metrics are on."""
    settings.ENVIRONMENT = replace(site.ENVIRONMENT, metrics_token=TOKEN)
    return TOKEN


def scrape(client: Client, authorization: str) -> HttpResponseBase:
    return client.get("/metrics", headers={"Authorization": authorization})


def content(page: HttpResponseBase) -> bytes:
    """Return what a page holds."""
    assert isinstance(page, HttpResponse)
    return page.content


def record(host: Host) -> None:
    """Record a look at everything, a moment ago."""
    at = timezone.now() - timedelta(seconds=10)
    counts = {"refused": 70, "accepted": 7}
    samples_store(host=host, kind=Kind.HOST, reading=Reading(at, "r1", counts, LEVELS))
    rules = Reading(at, "r1", {"rule:k3f9": 7}, {"set:f2b-sshd": 4})
    samples_store(host=host, kind=Kind.RULES, reading=rules)


def samples() -> dict[tuple[str, ...], float]:
    """Return the exported samples by name and label values other than the host's."""
    text = metrics_text("")[0].decode()
    return {
        (sample.name, *(value for label, value in sample.labels.items() if label != "host")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name != "dockerfw_build_info"
    }


def test_without_a_token_there_are_no_metrics(client: Client, signed_in: Client) -> None:
    for each in (client, signed_in):
        page = scrape(each, f"Bearer {TOKEN}")
        assert page.status_code == 404
        assert b"Set DOCKERFW_METRICS_TOKEN" in content(page)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ü",
    ],
)
def test_a_wrong_token_is_refused_also_from_loopback(
    client: Client, signed_in: Client, host: Host, token: str, authorization: str
) -> None:
    record(host)
    for each in (client, signed_in):
        page = scrape(each, authorization)
        assert page.status_code == 401
        assert page["WWW-Authenticate"] == 'Bearer realm="dockerfw"'
        assert b"Authorization: Bearer TOKEN" in content(page)
        assert b"dockerfw_" not in content(page)


def test_the_token_opens_the_figures_and_nothing_else(client: Client, host: Host, token: str) -> None:
    record(host)
    page = scrape(client, f"Bearer {token}")
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/plain; version=")
    assert 'dockerfw_open_ports{host="local"} 3.0' in content(page).decode()
    assert page["Cache-Control"].startswith("max-age=0")
    assert client.post("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 405
    assert client.get("/hosts/local/", headers={"Authorization": f"Bearer {token}"}).status_code == 302


def test_everything_that_is_known_is_exported(host: Host, alice: Actor) -> None:
    ends = timezone.now() + timedelta(hours=3)
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "expires": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    ProcessNote.objects.create(name="clerk", version="1", seen_at=timezone.now())
    record(host)
    found = samples()
    assert found["dockerfw_protected",] == 1
    assert found["dockerfw_refused_packets_total",] == 70
    assert found["dockerfw_accepted_connections_total",] == 7
    assert found["dockerfw_conntrack_limit",] == 262_144
    assert found["dockerfw_rule_hits_total", "k3f9"] == 7
    assert found["dockerfw_set_entries", "f2b-sshd"] == 4
    assert found["dockerfw_revision",] == 1
    assert found["dockerfw_next_expiry_timestamp_seconds",] == int(ends.timestamp())
    assert found["dockerfw_clerk_timestamp_seconds",] <= timezone.now().timestamp()


def test_what_is_not_known_is_left_out(host: Host) -> None:
    assert {name for name, *_ in samples()} == set()
    at = timezone.now() - timedelta(seconds=10)
    samples_store(host=host, kind=Kind.HOST, reading=Reading(at, levels={"pending": 0.0}))
    assert {name for name, *_ in samples()} == {
        "dockerfw_pending_changes",
        "dockerfw_sample_timestamp_seconds",
    }


def test_what_was_recorded_long_ago_is_not_passed_off_as_current(host: Host) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    samples_store(host=host, kind=Kind.HOST, reading=Reading(at, "r1", {"refused": 7}, LEVELS), now=at)
    samples_store(
        host=host, kind=Kind.RULES, reading=Reading(at, "r1", {"rule:k3f9": 7}, {"set:x": 1.0}), now=at
    )
    # The time of it stays, so that an alert can tell that the root worker is silent.
    assert samples() == {("dockerfw_sample_timestamp_seconds",): pytest.approx(at.timestamp(), abs=1)}


def test_the_number_of_labels_is_bounded_and_the_queries_are_few(
    host: Host, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    at = timezone.now() - timedelta(seconds=10)
    counts = {f"rule:r{each:05}": each + 1 for each in range(3 * MOST_RULES)}
    levels = {f'set:{each}"}} 1\n': 1.0 for each in range(2 * MOST_SETS)}
    samples_store(host=host, kind=Kind.RULES, reading=Reading(at, "r1", counts, levels))
    record(Host.objects.create(name="web-1"))
    with django_assert_max_num_queries(6):
        found = samples()
    names = [name for name, *_ in found]
    assert names.count("dockerfw_rule_hits_total") == MOST_RULES + 1
    assert names.count("dockerfw_set_entries") == MOST_SETS + 1
    assert ("dockerfw_rule_hits_total", f"r{3 * MOST_RULES - 1:05}") in found


def exported(host: Host, alice: Actor) -> set[str]:
    """Return the names of all figures."""
    test_everything_that_is_known_is_exported(host, alice)
    return {name for name, *_ in samples()} | {"dockerfw_build_info"}


def test_the_grafana_dashboard_uses_exported_figures(host: Host, alice: Actor) -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dockerfw.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 10
    assert set(re.findall(r"dockerfw_\w+", " ".join(queries))) <= exported(host, alice)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_alerts_use_exported_figures(host: Host, alice: Actor) -> None:
    alerts = YAML(typ="safe").load(DEPLOY / "prometheus" / "dockerfw-alerts.yml")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert set(re.findall(r"dockerfw_\w+", json.dumps(rules))) <= exported(host, alice)
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == set(rule["annotations"])


def test_the_documentation_names_every_figure(host: Host, alice: Actor) -> None:
    page = (DEPLOY.parent / "docs" / "metrics.md").read_text()
    assert exported(host, alice) <= set(re.findall(r"`(dockerfw_\w+)", page))
