/* The table of rules: edits of one row replace that row only, and the boxes say how many rules are selected.
   Without it each edit is a form that leads back to the table, and "all" selects the rules that match. */
(function () {
  "use strict";

  function parts() {
    const form = document.getElementById("bulk-form");
    return form && {
      form: form,
      all: form.elements["all"],
      page: document.getElementById("pick-page"),
      picks: Array.from(document.querySelectorAll("#rule-table input[name=rule]")),
    };
  }

  function tell() {
    const found = parts();
    if (!found) return;
    const ticked = found.picks.filter(function (each) { return each.checked; }).length;
    const count = found.all && found.all.checked ? Number(found.all.value) : ticked;
    document.getElementById("bulk-count").textContent = count.toLocaleString("en") + " selected";
    found.page.checked = ticked > 0 && ticked === found.picks.length;
    found.page.indeterminate = ticked > 0 && ticked < found.picks.length;
  }

  function prepare() {
    document.querySelectorAll("#rule-table [data-needs-script]").forEach(function (part) { part.hidden = false; });
    tell();
  }

  // Enable, disable, delete and undo: the button names the address, and the answer replaces the row or deletes it.
  function sendRow(event) {
    const form = event.target, button = event.submitter;
    if (form.id !== "row-form" || !button || !window.htmx) return;
    event.preventDefault();
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    const row = button.closest("tr"), next = row.nextElementSibling, values = { back: form.elements["back"].value };
    if (button.name) values[button.name] = button.value;
    window.htmx.ajax("POST", button.getAttribute("formaction"),
      { source: row, target: row, swap: "none", values: values }).then(function () {
      // The same button again; after a delete "Undo"; after the row has gone, the next row.
      const again = document.getElementById(row.id);
      const same = again && again.querySelector("[formaction='" + button.getAttribute("formaction") + "']");
      const focus = same || (again || next).querySelector(".act");
      if (focus && document.activeElement === document.body) focus.focus();
      delete form.dataset.busy;
      tell();
    });
  }

  function changed(event) {
    const found = parts();
    if (!found) return;
    if (event.target === found.page || event.target === found.all) {
      found.picks.forEach(function (each) { each.checked = event.target.checked; });
      if (found.all && !event.target.checked) found.all.checked = false;
    } else if (found.picks.includes(event.target)) {
      if (!event.target.checked && found.all) found.all.checked = false;
      pickRange(found.picks, event.target);
    } else return;
    tell();
  }

  // With the Shift key everything between the last box and this one follows it.
  let last = null, shifted = false;
  function pickRange(picks, box) {
    const from = picks.indexOf(last), to = picks.indexOf(box);
    if (shifted && from >= 0) {
      picks.slice(Math.min(from, to), Math.max(from, to) + 1).forEach(function (each) { each.checked = box.checked; });
    }
    last = box;
  }

  // What is open over the table closes as a menu does.
  function closeOpen(except) {
    document.querySelectorAll("#rule-table :is(.notes, .bulk-more)[open]").forEach(function (part) {
      if (part.contains(except)) return;
      if (!except && part.contains(document.activeElement)) part.querySelector("summary").focus();
      part.open = false;
    });
  }

  function pressed(event) {
    if (event.key === "Escape") closeOpen(null);
    if (event.key !== "Enter" || !event.target.closest(".bulk-panel") || !event.target.matches("input")) return;
    event.preventDefault();
    event.target.form.requestSubmit(event.target.closest(".bulk-panel").querySelector("button"));
  }

  function start() {
    prepare();
    document.addEventListener("submit", sendRow, true);
    document.addEventListener("change", changed);
    document.addEventListener("keydown", pressed);
    document.addEventListener("click", function (event) {
      shifted = event.shiftKey;
      closeOpen(event.target);
    }, true);
    document.addEventListener("reset", function (event) {
      if (event.target.id === "bulk-form") window.setTimeout(tell, 0);
    });
    // An own edit of one row is no edit that this page has not shown.
    document.addEventListener("htmx:load", function (event) {
      const found = parts(), draft = event.detail.elt.dataset && event.detail.elt.dataset.draft;
      if (found && draft && Number(draft) === Number(found.form.elements["draft"].value) + 1) {
        found.form.elements["draft"].value = draft;
      }
      prepare();
    });
    document.addEventListener("dockerfw:restored", function (event) {
      if (event.target.id !== "bulk-form") return;
      // What "all" was has to be counted again: the page may have other rules now.
      const found = parts();
      if (found.all) found.all.checked = false;
      tell();
    });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
