/* The rule form: hides fields that the chosen protocol or scope does not use, and offers containers and sources
   as buttons. Without it all fields are visible. service-field.js fills several fields at once. */
(function () {
  "use strict";
  const MOST_CHIPS = 12;
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
      if (part.dataset.part === "container") part.hidden = scope !== "container" && form.elements["container"].value.trim() === "";
      if (part.dataset.part === "ports") part.hidden = !hasPorts && !typed;
      if (part.dataset.part === "every-port") {
        part.hidden = ((typed && !part.querySelector("[aria-invalid]")) || (!hasPorts && effective !== "any")) && !form.elements["every_port"].checked;
      }
      if (part.dataset.part === "no-ports") part.hidden = hasPorts || effective === "any";
      if (part.dataset.part === "port-kind") part.hidden = (!hasPorts || scope === "host") && !part.querySelector("[value=container]:checked");
    });
    // Forwarded traffic needs a destination, for which the field leaves the folded part.
    const place = document.getElementById(scope === "forwarded" ? "to-forwarded" : "to-advanced");
    const to = form.querySelector("[data-part=to]");
    if (to.parentElement !== place) place.append(to);
    if (place.id === "to-advanced" && form.elements["to"].value.trim() !== "") place.closest("details").open = true;
  }

  function sourcesOf(form) {
    return form.elements["sources"].value.split(/[\s,;]+/).filter(function (part) { return part && part.toLowerCase() !== "any"; });
  }

  // A button adds its source, and takes it back where the field has it.
  function toggleSource(form, name) {
    const field = form.elements["sources"];
    const others = sourcesOf(form).filter(function (part) { return part !== name; });
    field.value = (others.length < sourcesOf(form).length ? others : others.concat(name)).join(", ");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function markSources(form) {
    const buttons = form.querySelectorAll("[data-source]");
    const typed = buttons.length ? new Set(sourcesOf(form)) : null;
    buttons.forEach(function (button) { button.setAttribute("aria-pressed", String(typed.has(button.dataset.source))); });
  }

  // The names of the list as buttons: some browsers of phones show no lists, and a finger needs room.
  function offer(form) {
    const place = form.querySelector("[data-chips]");
    const field = form.elements["container"];
    if (!place) return;
    const list = document.getElementById(place.dataset.chips);
    const names = Array.from(list.options).map(function (each) { return each.value; });
    field.removeAttribute("list");
    place.hidden = false;

    function show() {
      const typed = field.value.trim().toLowerCase();
      const fitting = names.filter(function (name) { return names.includes(field.value) || name.toLowerCase().includes(typed); });
      // The chosen one stays in sight, and so keeps the focus.
      fitting.sort(function (one, other) { return (other === field.value) - (one === field.value); });
      const more = fitting.length - MOST_CHIPS;
      place.replaceChildren.apply(place, fitting.slice(0, MOST_CHIPS).map(function (name) {
        const chip = document.createElement("button");
        chip.type = "button";
        chip.className = "chip";
        chip.textContent = name;
        chip.setAttribute("aria-pressed", String(name === field.value));
        return chip;
      }));
      document.getElementById("container-more").textContent = more > 0 ? more + " more. Type a part of the name to find them." : "";
    }

    place.addEventListener("click", function (event) {
      const chip = event.target.closest("button");
      if (!chip) return;
      field.value = chip.textContent === field.value ? "" : chip.textContent;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
      const again = Array.from(place.children).find(function (each) { return each.textContent === chip.textContent; });
      (again || field).focus();
    });
    field.addEventListener("input", show);
    form.addEventListener("dockerfw:restored", show);
    show();
  }

  function start() {
    const form = document.getElementById("rule-form");
    if (!form) return;
    form.addEventListener("change", function () { update(form); });
    form.addEventListener("input", function () { update(form); });
    form.elements["ports"].addEventListener("input", function (event) {
      if (event.target.value.trim() !== "") form.elements["every_port"].checked = false;
    });
    offer(form);
    form.querySelectorAll("[data-needs-script]").forEach(function (part) { part.hidden = false; });
    form.querySelectorAll("[data-source]").forEach(function (button) {
      button.addEventListener("click", function () { toggleSource(form, button.dataset.source); });
    });
    form.elements["sources"].addEventListener("input", function () { markSources(form); });
    form.addEventListener("dockerfw:filled", function () { form.elements["container"].dispatchEvent(new Event("input", { bubbles: true })); });
    form.addEventListener("dockerfw:restored", function () {
      update(form);
      const advanced = form.querySelector(".advanced");
      const texts = Array.from(advanced.querySelectorAll("input[type=text]"));
      if (texts.some(function (field) { return field.value.trim() !== ""; })) advanced.open = true;
      // The sentence, the warnings and what the sources cover are those of the restored rule.
      form.elements["sources"].dispatchEvent(new Event("input", { bubbles: true }));
      form.elements["sources"].dispatchEvent(new Event("change", { bubbles: true }));
    });
    update(form);
    markSources(form);
  }
  document.addEventListener("DOMContentLoaded", start);
})();
