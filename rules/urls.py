"""The URLs of the pages. Those of a host are below its name, so that more hosts change no URL."""

from __future__ import annotations

from django.urls import include, path, re_path
from django.urls.resolvers import URLPattern, URLResolver

from rules.accounts import account_views
from rules.applying import (
    adopt_views,
    answer_views,
    apply_views,
    group_list_views,
    history_views,
    review_views,
)
from rules.asking import exposure_views, trace_views
from rules.audit import audit_views
from rules.docs import doc_views
from rules.draft import (
    document_views,
    expectation_views,
    group_views,
    rule_bulk_views,
    rule_list_views,
    rule_table_views,
    rule_views,
    settings_views,
    warning_views,
)
from rules.overview import (
    chart_views,
    dashboard_views,
    health_views,
    live_views,
    metrics_views,
    refused_views,
)
from rules.search import search_views
from rules.start import start_views

app_name = "rules"

KEY = r"(?P<key>[a-z0-9]{4,12})"
GROUP = r"(?P<name>[a-z0-9][a-z0-9._-]{0,39})"

_of_a_host: list[URLPattern | URLResolver] = [
    path("", dashboard_views.dashboard, name="dashboard"),
    path("tiles/", dashboard_views.dashboard_tiles, name="dashboard-tiles"),
    path("charts/", chart_views.charts, name="charts"),
    path("start/", start_views.start, name="start"),
    path("start/<slug:step>/", start_views.start_step, name="start-step"),
    path("rules/", rule_list_views.rule_list, name="rule-list"),
    path("rules/new/", rule_views.rule_new, name="rule-new"),
    path("rules/bulk/", rule_bulk_views.rule_bulk, name="rule-bulk"),
    path("rules/bulk/undo/", rule_bulk_views.rule_bulk_undo, name="rule-bulk-undo"),
    path("rules/warnings/", warning_views.rule_warnings, name="rule-warnings"),
    path("rules/echo/", rule_views.source_echo, name="source-echo"),
    re_path(rf"^rules/{KEY}/edit/$", rule_views.rule_edit, name="rule-edit"),
    re_path(rf"^rules/{KEY}/toggle/$", rule_table_views.rule_toggle, name="rule-toggle"),
    re_path(rf"^rules/{KEY}/delete/$", rule_table_views.rule_delete_view, name="rule-delete"),
    re_path(rf"^rules/{KEY}/restore/$", rule_table_views.rule_restore_view, name="rule-restore"),
    re_path(rf"^rules/{KEY}/undelete/$", rule_table_views.rule_undelete_view, name="rule-undelete"),
    path("groups/", group_views.group_list, name="group-list"),
    path("groups/new/", group_views.group_new, name="group-new"),
    re_path(rf"^group/{GROUP}/$", group_views.group_page, name="group"),
    re_path(rf"^group/{GROUP}/edit/$", group_views.group_edit, name="group-edit"),
    re_path(rf"^group/{GROUP}/delete/$", group_views.group_delete_view, name="group-delete"),
    re_path(rf"^group/{GROUP}/restore/$", group_views.group_restore_view, name="group-restore"),
    re_path(rf"^group/{GROUP}/list/$", group_list_views.group_list_page, name="group-list-page"),
    re_path(rf"^group/{GROUP}/list/fetch/$", group_list_views.group_list_fetch, name="group-list-fetch"),
    re_path(rf"^group/{GROUP}/list/accept/$", group_list_views.group_list_accept, name="group-list-accept"),
    path("expectations/", expectation_views.expectation_list, name="expectation-list"),
    path("expectations/new/", expectation_views.expectation_new, name="expectation-new"),
    path("expectations/<int:key>/edit/", expectation_views.expectation_edit, name="expectation-edit"),
    path(
        "expectations/<int:key>/delete/", expectation_views.expectation_delete_view, name="expectation-delete"
    ),
    path("settings/", settings_views.settings_edit, name="settings"),
    path("settings/containers/", settings_views.containers_reach_host, name="containers-reach-host"),
    path("import/", document_views.draft_import, name="import"),
    path("adopt/", adopt_views.adopt, name="adopt"),
    path("draft/undo/", document_views.draft_undo_view, name="draft-undo"),
    path("export/", document_views.draft_export, name="export"),
    path("review/", review_views.review, name="review"),
    re_path(r"^review/restore/(?P<family>[46])/$", review_views.restore_text, name="restore-text"),
    path("review/waiting/", review_views.apply_waiting, name="apply-waiting"),
    path("discard/", review_views.discard, name="discard"),
    path("applies/<uuid:apply_id>/", apply_views.apply_page, name="apply"),
    path("applies/<uuid:apply_id>/status/", apply_views.apply_status, name="apply-status"),
    path("applies/<uuid:apply_id>/nonce/", answer_views.nonce, name="apply-nonce"),
    path("applies/<uuid:apply_id>/keep/", answer_views.keep, name="apply-keep"),
    path("applies/<uuid:apply_id>/roll-back/", answer_views.roll_back, name="apply-roll-back"),
    path("applies/<uuid:apply_id>/extend/", answer_views.extend, name="apply-extend"),
    path("window/", apply_views.window_banner, name="window-banner"),
    path("state/", apply_views.state_banner, name="state-banner"),
    path("history/", history_views.history, name="history"),
    path("history/compare/", history_views.compare, name="compare"),
    path("history/<int:number>/", history_views.revision, name="revision"),
    path("history/<int:number>/export/", history_views.revision_export, name="revision-export"),
    path("history/<int:number>/rollback/", review_views.rollback, name="rollback"),
    path("exposure/", exposure_views.exposure_page, name="exposure"),
    path("exposure/summary/", exposure_views.exposure_summary, name="exposure-summary"),
    path("search/", search_views.search_page, name="search"),
    path("trace/", trace_views.trace, name="trace"),
    path("refused/", refused_views.refused, name="refused"),
    path("refused/poll/", refused_views.refused_poll, name="refused-poll"),
    path("refused/summary/", refused_views.refused_summary, name="refused-summary"),
    path("live/", live_views.live, name="live"),
    path("live/poll/", live_views.live_poll, name="live-poll"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard_views.home, name="home"),
    path("hosts/", dashboard_views.host_list, name="host-list"),
    path("hosts/<slug:host_name>/", include(_of_a_host)),
    path("audit/", audit_views.audit, name="audit"),
    path("audit/<int:key>/", audit_views.event, name="audit-event"),
    path("audit/audit.csv", audit_views.audit_csv, name="audit-csv"),
    path("docs/", doc_views.docs, name="docs"),
    re_path(r"^docs/(?P<path>[\w/.-]+\.png)$", doc_views.image, name="doc-image"),
    re_path(r"^docs/(?P<name>[\w/-]+)/$", doc_views.page, name="doc-page"),
    path("sign-in/", account_views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", account_views.SignOut.as_view(), name="sign-out"),
    path("setup/<str:token>/", account_views.setup, name="setup"),
    path("password/", account_views.ChangePassword.as_view(), name="password"),
    path("healthz", health_views.healthz, name="healthz"),
    path("metrics", metrics_views.metrics, name="metrics"),
]
