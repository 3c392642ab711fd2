/* The rule form: hides fields that the chosen protocol or scope does not use, and fills in a service of the
   catalogue. Without it all fields are visible and the catalogue's links reload the form. */
(function () {
  "use strict";
  const WITH_PORTS = ["tcp", "udp", "sctp", "dccp", "udplite"];

  function update(form) {
    const protocol = form.elements["protocol"].value;
    const other = form.elements["protocol_other"].value.trim().toLowerCase();
    const scope = form.elements["scope"].value;
    const effective = protocol === "other" ? other : protocol;
    const hasPorts = WITH_PORTS.includes(effective);
    const typed = form.elements["ports"].value.trim() !== "";
    form.querySelectorAll("[data-part]").forEach(function (part) {
      // Typed values stay visible: a hidden value that is sent would confuse the admin.
      if (part.dataset.part === "other") part.hidden = protocol !== "other";
      if (part.dataset.part === "ports") part.hidden = !hasPorts && !typed;
      if (part.dataset.part === "every-port") part.hidden = !hasPorts && effective !== "any" && !form.elements["every_port"].checked;
      if (part.dataset.part === "no-ports") part.hidden = hasPorts || effective === "any";
      if (part.dataset.part === "port-kind") part.hidden = (!hasPorts || scope === "host") && !part.querySelector("[value=container]:checked");
    });
  }

  function start() {
    const form = document.getElementById("rule-form");
    if (!form) return;
    form.addEventListener("change", function () { update(form); });
    form.addEventListener("input", function () { update(form); });
    form.elements["ports"].addEventListener("input", function (event) {
      if (event.target.value.trim() !== "") form.elements["every_port"].checked = false;
    });
    const links = Array.from(document.querySelectorAll("[data-service-protocol]"));
    const names = new Set(links.map(function (link) { return link.dataset.serviceName; }));
    links.forEach(function (link) {
      link.addEventListener("click", function (event) {
        event.preventDefault();
        form.elements["protocol"].value = link.dataset.serviceProtocol;
        form.elements["ports"].value = link.dataset.servicePorts;
        form.elements["every_port"].checked = false;
        const comment = form.elements["comment"];
        // What an admin wrote stays; what another service filled in does not describe this one.
        if (comment.value.trim() === "" || names.has(comment.value)) comment.value = link.dataset.serviceName;
        update(form);
        form.elements["source"].focus();
      });
    });
    update(form);
  }
  document.addEventListener("DOMContentLoaded", start);
})();
