/* The group form: hides the fields of other kinds, and counts the entries of a pasted list. Without it all
   fields are visible, and the server uses those of the chosen kind. */
(function () {
  "use strict";

  function count(text) {
    let found = 0;
    text.split("\n").forEach(function (line) {
      found += line.split("#")[0].replace(/\s+-\s+/g, "-").split(/[\s,;]+/).filter(Boolean).length;
    });
    return found;
  }

  function start() {
    const form = document.getElementById("group-form");
    if (!form) return;
    const entries = form.elements["entries"];
    const echo = document.getElementById("entry-count");
    let waiting = 0;

    function tell() {
      const found = count(entries.value);
      echo.hidden = form.elements["kind"].value !== "static";
      echo.textContent = found === 1 ? "1 entry." : found.toLocaleString("en") + " entries.";
    }

    function update() {
      const kind = form.elements["kind"].value;
      form.querySelectorAll("[data-part]").forEach(function (part) {
        const wrong = part.querySelector("[aria-invalid=true]");
        part.hidden = part.dataset.part !== kind && !wrong;
      });
      tell();
    }

    form.addEventListener("change", update);
    entries.addEventListener("input", function () {
      window.clearTimeout(waiting);
      waiting = window.setTimeout(tell, 200);
    });
    document.addEventListener("dockerfw:restored", update);
    update();
  }
  document.addEventListener("DOMContentLoaded", start);
})();
