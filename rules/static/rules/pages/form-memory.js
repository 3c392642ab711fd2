/* Forms that change something: what was typed and not saved is there again after a reload, after leaving the page
   and coming back, and after signing in again when the session had ended, and leaving the page asks first. It
   stays in this tab. Very long texts are not kept, nor passwords, nor what confirms a danger (data-forget). */
(function () {
  "use strict";
  const MOST = 1000000;
  const PREFIX = "dockerfw:typed:";
  const UNKEPT = ["hidden", "submit", "button", "file", "password"];

  function nameOf(form) {
    const name = form.id || form.getAttribute("action") || "";
    return PREFIX + name + ":" + window.location.pathname + window.location.search;
  }

  function fieldsOf(form) {
    return Array.from(form.elements).filter(function (field) {
      return field.name && !UNKEPT.includes(field.type) && !field.closest("[data-forget]");
    });
  }

  // Not a form for signing in, nor one that is only a button.
  function isKept(form) {
    return form.getAttribute("method") === "post" && fieldsOf(form).length > 0 && !form.querySelector("[type=password]");
  }

  // The hidden field that tells the saved version that the form was opened with, where it has one.
  function versionOf(form) {
    const field = form.elements["version"] || form.elements["mark"];
    return field ? field.value : "";
  }

  function store(form, sent) {
    const typed = fieldsOf(form).map(function (field) {
      const ticked = field.type === "checkbox" || field.type === "radio";
      return [field.name, field.type, ticked ? field.checked : field.value, ticked ? field.value : ""];
    });
    const text = JSON.stringify({ version: versionOf(form), typed: typed, sent: sent === true });
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
    // Another version was saved meanwhile: what was typed belongs to the earlier one.
    if (kept.version !== versionOf(form)) return;
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
    const forms = Array.from(document.querySelectorAll("form")).filter(isKept);
    // (The pages without a sidebar are for signing in, which comes between.)
    if (document.getElementById("side")) forgetSaved(forms);
    forms.forEach(function (form) {
      // A form that the server refused already has what was typed.
      if ((again || signedIn) && !form.querySelector("[role=alert]")) restore(form, !again);
    });
    let waiting = 0, typedIn = null;
    const unsaved = new Set();
    // Fields of a form may be outside of it, and htmx may put another form into the place of one.
    document.addEventListener("input", function (event) {
      const form = event.target.form;
      if (!form || !isKept(form)) return;
      // (Scripts that fill in a field say so by the same event.)
      if (event.isTrusted) unsaved.add(form);
      window.clearTimeout(waiting);
      typedIn = form;
      waiting = window.setTimeout(store, 300, form);
    });
    document.addEventListener("submit", function (event) {
      // (htmx prevents the browser's own sending. What it sends may come back refused, or lead to the sign-in.)
      const isSent = !event.defaultPrevented || event.target.hasAttribute("hx-post");
      if (!isSent || !isKept(event.target)) return;
      unsaved.delete(event.target);
      window.clearTimeout(waiting);
      typedIn = null;
      store(event.target, true);
    });
    // Ticks in a table select what to change; they are not worth a question.
    window.addEventListener("beforeunload", function (event) {
      const open = Array.from(unsaved).filter(function (form) { return form.isConnected && !form.closest(".bulk"); });
      if (open.length) event.preventDefault();
    });
    window.addEventListener("pagehide", function () { if (typedIn) store(typedIn); });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
