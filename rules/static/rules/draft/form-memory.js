/* Forms with data-keep: what was typed and not saved is there again after a reload, after leaving the page and
   coming back, and after signing in again when the session had ended. It stays in this tab. Very long texts
   are not kept. */
(function () {
  "use strict";
  const MOST = 1000000;
  const PREFIX = "dockerfw:typed:";

  function nameOf(form) {
    return PREFIX + form.id + ":" + window.location.pathname + window.location.search;
  }

  function fieldsOf(form) {
    return Array.from(form.elements).filter(function (field) {
      return field.name && field.type !== "hidden" && field.type !== "submit" && field.type !== "file";
    });
  }

  function store(form, sent) {
    const typed = fieldsOf(form).map(function (field) {
      const ticked = field.type === "checkbox" || field.type === "radio";
      return [field.name, field.type, ticked ? field.checked : field.value, ticked ? field.value : ""];
    });
    const version = form.elements["version"] ? form.elements["version"].value : "";
    const text = JSON.stringify({ version: version, typed: typed, sent: sent === true });
    try {
      if (text.length <= MOST) window.sessionStorage.setItem(nameOf(form), text);
    } catch (error) { /* Without storage nothing is kept. */ }
  }

  function read(name) {
    try {
      return JSON.parse(window.sessionStorage.getItem(name) || "null");
    } catch (error) { return null; }
  }

  // A page that shows no such form after it was sent is the answer to it: it was saved.
  function forgetSaved(forms) {
    const here = forms.map(nameOf);
    Object.keys(window.sessionStorage).forEach(function (name) {
      if (!name.startsWith(PREFIX) || here.includes(name)) return;
      const kept = read(name);
      if (kept && kept.sent) window.sessionStorage.removeItem(name);
    });
  }

  function restore(form, signedInAgain) {
    const kept = read(nameOf(form));
    if (!kept || (signedInAgain && !kept.sent)) return;
    const version = form.elements["version"] ? form.elements["version"].value : "";
    // Another version was saved meanwhile: what was typed belongs to the earlier one.
    if (kept.version !== version) return;
    const fields = fieldsOf(form);
    kept.typed.forEach(function (each) {
      const field = fields.find(function (one) {
        const ticked = one.type === "checkbox" || one.type === "radio";
        return one.name === each[0] && one.type === each[1] && (!ticked || one.value === each[3]);
      });
      if (!field) return;
      if (typeof each[2] === "boolean") field.checked = each[2];
      else field.value = each[2];
    });
    form.dispatchEvent(new CustomEvent("dockerfw:restored", { bubbles: true }));
  }

  function start() {
    const entry = window.performance.getEntriesByType("navigation")[0];
    const signedIn = new URL(document.referrer || window.location.href).pathname === "/sign-in/";
    const again = entry && (entry.type === "reload" || entry.type === "back_forward");
    const forms = Array.from(document.querySelectorAll("form[data-keep]"));
    forgetSaved(forms);
    forms.forEach(function (form) {
      // A form that the server refused already has what was typed.
      if ((again || signedIn) && !form.querySelector("[role=alert]")) restore(form, !again);
    });
    let waiting = 0, typedIn = null;
    // Fields of a form may be outside of it, and htmx may put another form into the place of one.
    document.addEventListener("input", function (event) {
      const form = event.target.form;
      if (!form || !("keep" in form.dataset)) return;
      window.clearTimeout(waiting);
      typedIn = form;
      waiting = window.setTimeout(store, 300, form);
    });
    document.addEventListener("submit", function (event) {
      if (!("keep" in event.target.dataset) || event.defaultPrevented) return;
      window.clearTimeout(waiting);
      typedIn = null;
      store(event.target, true);
    });
    window.addEventListener("pagehide", function () { if (typedIn) store(typedIn); });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
