/* The trace form: hides fields that the chosen protocol or rules do not use, and copies the address of a result.
   Without it all fields are visible, and the browser's address bar has the address. */
(function () {
  "use strict";
  const ICMP = ["icmp", "icmpv6", "ipv6-icmp", "1", "58"];

  function update(form) {
    const protocol = form.elements["protocol"].value.trim().toLowerCase();
    const against = form.elements["against"].value;
    form.querySelectorAll("[data-part]").forEach(function (part) {
      if (part.dataset.part === "port") part.hidden = ICMP.includes(protocol);
      if (part.dataset.part === "icmp") part.hidden = !ICMP.includes(protocol);
      if (part.dataset.part === "day") part.hidden = against !== "day";
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    const form = document.getElementById("trace-form");
    if (!form) return;
    form.addEventListener("change", function () { update(form); });
    form.addEventListener("input", function () { update(form); });
    // Empty fields would make the address unreadable.
    form.addEventListener("formdata", function (event) {
      for (const name of Array.from(event.formData.keys())) {
        if (name !== "source" && event.formData.get(name) === "") event.formData.delete(name);
      }
    });
    update(form);
    // (Browsers offer the clipboard over TLS and on the own machine only.)
    const copy = document.getElementById("copy-link");
    if (!copy || !navigator.clipboard) return;
    copy.hidden = false;
    copy.addEventListener("click", function () {
      navigator.clipboard.writeText(window.location.href).then(
        function () { copy.textContent = "Link copied"; },
        function () { copy.textContent = "The browser did not allow copying"; }
      );
    });
  });
})();
