/* The times of the rule form: a picker in the zone of this browser above each field, which goes on holding the
   time of UTC that is sent. A text that is no time stays as it was typed. */
(function () {
  "use strict";

  const UNFINISHED = "a date without a time";

  function two(number) { return String(number).padStart(2, "0"); }

  function local(moment) {
    return moment.getFullYear() + "-" + two(moment.getMonth() + 1) + "-" + two(moment.getDate()) + "T" +
      two(moment.getHours()) + ":" + two(moment.getMinutes());
  }

  function utc(moment) { return moment.toISOString().replace(/\.\d+Z$/, "Z"); }

  function pick(field) {
    const picker = document.createElement("input");
    picker.type = "datetime-local";
    picker.id = field.id + "_local";
    picker.setAttribute("aria-describedby", field.getAttribute("aria-describedby") || "");
    if (field.getAttribute("aria-invalid")) picker.setAttribute("aria-invalid", "true");
    const label = document.querySelector('label[for="' + field.id + '"]');
    if (label) label.setAttribute("for", picker.id);
    field.before(picker);
    field.setAttribute("aria-label", (label ? label.textContent : "") + " (UTC)");

    function show() {
      const text = field.value.trim();
      const moment = new Date(text);
      const readable = text === "" || (/(Z|[+-]\d\d:?\d\d)$/.test(text) && !Number.isNaN(moment.getTime()));
      // What cannot be shown by the picker stays in sight.
      field.hidden = readable;
      picker.value = text !== "" && readable ? local(moment) : "";
    }

    picker.addEventListener("change", function () {
      const moment = new Date(picker.value);
      field.value = picker.value === "" || Number.isNaN(moment.getTime()) ? "" : utc(moment);
      field.hidden = true;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
    field.addEventListener("dockerfw:show", show);
    // A picker with a date and no time has no value, which must not become "never".
    field.form.addEventListener("submit", function () {
      if (picker.validity.badInput) field.value = UNFINISHED;
    });
    show();
  }

  function start() {
    const form = document.getElementById("rule-form");
    if (!form) return;
    const fields = form.querySelectorAll("[data-time]");
    fields.forEach(pick);
    function showAll() {
      fields.forEach(function (field) { field.dispatchEvent(new Event("dockerfw:show")); });
    }
    form.addEventListener("dockerfw:restored", showAll);
    form.querySelectorAll("[data-expires-in]").forEach(function (button) {
      button.addEventListener("click", function () {
        const minutes = Number(button.dataset.expiresIn);
        const moment = new Date((Math.ceil(Date.now() / 60000) + minutes) * 60000);
        const field = form.elements["expires"];
        field.value = minutes ? utc(moment) : "";
        showAll();
        field.dispatchEvent(new Event("input", { bubbles: true }));
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
