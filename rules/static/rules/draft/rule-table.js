/* The table of rules: says how many rules are selected, and shows "select all" in each row. Without it the
   server selects all as well. */
(function () {
  "use strict";

  function parts() {
    const form = document.getElementById("bulk-form");
    return form && {
      form: form,
      all: form.elements["all"],
      picks: Array.from(form.elements).filter(function (each) { return each.name === "rule"; }),
    };
  }

  function tell() {
    const found = parts();
    if (!found) return;
    const ticked = found.picks.filter(function (each) { return each.checked; }).length;
    const count = found.all.checked ? Number(found.all.value) : ticked;
    document.getElementById("bulk-count").textContent =
      count === 1 ? "1 rule selected." : count.toLocaleString("en") + " rules selected.";
  }

  function start() {
    document.addEventListener("change", function (event) {
      const found = parts();
      if (!found) return;
      if (event.target === found.all) {
        found.picks.forEach(function (each) { each.checked = found.all.checked; });
      } else if (found.picks.includes(event.target)) {
        if (!event.target.checked) found.all.checked = false;
      } else return;
      tell();
    });
    // An own edit of one row is no edit that this page has not shown.
    document.addEventListener("htmx:load", function (event) {
      const found = parts(), draft = event.detail.elt.dataset && event.detail.elt.dataset.draft;
      if (found && draft && Number(draft) === Number(found.form.elements["draft"].value) + 1) {
        found.form.elements["draft"].value = draft;
      }
      tell();
    });
    document.addEventListener("dockerfw:restored", function (event) {
      if (event.target.id !== "bulk-form") return;
      const found = parts();
      if (found.picks.some(function (each) { return each.checked; })) found.form.closest("details").open = true;
      // What "all" was has to be counted again: the page may have other rules now.
      found.all.checked = false;
      tell();
    });
    tell();
  }
  document.addEventListener("DOMContentLoaded", start);
})();
