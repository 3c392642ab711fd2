"""The addresses of the pages; those of a host stand below its name, so that more hosts change no address."""

from __future__ import annotations

from django.urls import include, path, re_path
from django.urls.resolvers import URLPattern, URLResolver

from rules.accounts import account_views as account
from rules.applying import answer_views as confirmation
from rules.applying import apply_views as applies
from rules.applying import history_views as history
from rules.applying import review_views as review
from rules.asking import exposure_views as exposure
from rules.asking import trace_views as trace
from rules.audit import audit_views as audit
from rules.draft import document_views as document
from rules.draft import expectation_views as expectations
from rules.draft import rule_list_views as rule_list
from rules.draft import rule_table_views as rule_table
from rules.draft import rule_views as rule_edit
from rules.draft import settings_views as settings
from rules.draft import warning_views as rule_doubts
from rules.overview import dashboard_views as dashboard
from rules.overview import health_views as health
from rules.overview import live_views as live

app_name = "rules"

KEY = r"(?P<key>[a-z0-9]{4,12})"

_of_a_host: list[URLPattern | URLResolver] = [
    path("", dashboard.dashboard, name="dashboard"),
    path("rules/", rule_list.rule_list, name="rule-list"),
    path("rules/new/", rule_edit.rule_new, name="rule-new"),
    path("rules/doubts/", rule_doubts.rule_doubts, name="rule-doubts"),
    path("rules/echo/", rule_edit.source_echo, name="source-echo"),
    re_path(rf"^rules/{KEY}/edit/$", rule_edit.rule_edit, name="rule-edit"),
    re_path(rf"^rules/{KEY}/toggle/$", rule_table.rule_toggle, name="rule-toggle"),
    re_path(rf"^rules/{KEY}/delete/$", rule_table.rule_delete_view, name="rule-delete"),
    re_path(rf"^rules/{KEY}/restore/$", rule_table.rule_restore_view, name="rule-restore"),
    path("expectations/", expectations.expectation_list, name="expectation-list"),
    path("expectations/new/", expectations.expectation_new, name="expectation-new"),
    path("expectations/<int:key>/edit/", expectations.expectation_edit, name="expectation-edit"),
    path("expectations/<int:key>/delete/", expectations.expectation_delete_view, name="expectation-delete"),
    path("settings/", settings.settings_edit, name="settings"),
    path("import/", document.draft_import, name="import"),
    path("adopt/", document.adopt, name="adopt"),
    path("export/", document.draft_export, name="export"),
    path("review/", review.review, name="review"),
    re_path(r"^review/restore/(?P<family>[46])/$", review.restore_text, name="restore-text"),
    path("discard/", review.discard, name="discard"),
    path("applies/<uuid:apply_id>/", applies.apply_page, name="apply"),
    path("applies/<uuid:apply_id>/status/", applies.apply_status, name="apply-status"),
    path("applies/<uuid:apply_id>/nonce/", confirmation.nonce, name="apply-nonce"),
    path("applies/<uuid:apply_id>/keep/", confirmation.keep, name="apply-keep"),
    path("applies/<uuid:apply_id>/roll-back/", confirmation.roll_back, name="apply-roll-back"),
    path("applies/<uuid:apply_id>/extend/", confirmation.extend, name="apply-extend"),
    path("window/", applies.window_banner, name="window-banner"),
    path("history/", history.history, name="history"),
    path("history/compare/", history.compare, name="compare"),
    path("history/<int:number>/", history.revision, name="revision"),
    path("history/<int:number>/export/", document.revision_export, name="revision-export"),
    path("history/<int:number>/rollback/", review.rollback, name="rollback"),
    path("exposure/", exposure.exposure_page, name="exposure"),
    path("exposure/summary/", exposure.exposure_summary, name="exposure-summary"),
    path("trace/", trace.trace, name="trace"),
    path("live/", live.live, name="live"),
    path("live/poll/", live.live_poll, name="live-poll"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard.home, name="home"),
    path("hosts/<slug:host_name>/", include(_of_a_host)),
    path("audit/", audit.audit, name="audit"),
    path("audit/audit.csv", audit.audit_csv, name="audit-csv"),
    path("sign-in/", account.SignIn.as_view(), name="sign-in"),
    path("sign-out/", account.SignOut.as_view(), name="sign-out"),
    path("setup/<str:token>/", account.setup, name="setup"),
    path("password/", account.ChangePassword.as_view(), name="password"),
    path("healthz", health.healthz, name="healthz"),
]
