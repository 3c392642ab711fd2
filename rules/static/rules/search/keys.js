/* Single keys: / searches, n adds a rule, g and a letter opens a page, ? lists them. They do nothing while a
   field is being typed in, beside Ctrl, Alt or Meta, in a dialog, or when they are switched off. */
(function () {
  "use strict";

  const OFF = "dockerfw-keys-off";
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const toggle = document.getElementById("keys-on");
  let goes = 0;

  function areOff() {
    try { return window.localStorage.getItem(OFF) === "yes"; } catch { return false; }
  }
  function remember() {
    try {
      if (toggle.checked) window.localStorage.removeItem(OFF);
      else window.localStorage.setItem(OFF, "yes");
    } catch { /* Then the choice holds for this page. */ }
  }
  toggle.checked = !areOff();
  toggle.addEventListener("change", remember);

  function open() {
    if (!dialog.open) dialog.showModal();
  }
  dialog.addEventListener("click", function (event) {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  document.addEventListener("click", function (event) {
    if (!event.target.closest("[data-keys]")) return;
    const other = event.target.closest("dialog");
    if (other) other.close();
    open();
  });

  function isVisible(element) { return element && element.checkVisibility({ visibilityProperty: true }); }
  function search() {
    const field = Array.from(document.querySelectorAll("main input[type=search]")).find(isVisible);
    if (!field) {
      window.dockerfwPalette.open();
      return;
    }
    field.focus();
    field.select();
  }

  const keys = {
    "/": search,
    "?": open,
    n: function () {
      (document.querySelector("main [data-key=n]") || dialog.querySelector("[data-key=n]")).click();
    },
    g: function () { goes = Date.now(); },
  };

  document.addEventListener("keydown", function (event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!toggle.checked || document.querySelector("dialog:modal")) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const page = Date.now() - goes < 1500 && dialog.querySelector('[data-go="' + CSS.escape(event.key) + '"]');
    goes = 0;
    if (!page && !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    if (page) page.click();
    else keys[event.key]();
  });
})();
