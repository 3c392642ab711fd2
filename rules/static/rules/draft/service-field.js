/* The field "Service or container" of the rule form: a combobox over the choices of its datalist, which fills
   ports, protocol, where, container and comment. The ports beside the form fill it in the same way. Without
   scripts the browser shows the datalist, and the button beside the field fills the form. */
(function () {
  "use strict";

  const FILLED = ["scope", "protocol", "ports", "port_kind", "container", "comment"];
  const MOST_SHOWN = 40;
  const GROUPS = { port: "On this host", container: "Containers", catalogue: "Common services", typed: "Port" };
  const PORT = /^(\d{1,5}(?:-\d{1,5})?)\s*(?:\/\s*(tcp|udp|sctp)?)?$/;

  function read(option) {
    const values = {};
    FILLED.forEach(function (name) {
      const text = option.getAttribute("data-" + name);
      if (text !== null) values[name] = text;
    });
    return { label: option.value, kind: option.dataset.kind, values: values };
  }

  function typedPort(text) {
    const found = PORT.exec(text.trim().toLowerCase());
    if (!found) return [];
    return (found[2] ? [found[2]] : ["tcp", "udp"]).map(function (protocol) {
      return { label: found[1] + "/" + protocol, kind: "typed", values: { protocol: protocol, ports: found[1] } };
    });
  }

  function fits(choice, words) {
    const label = choice.label.toLowerCase();
    return words.every(function (word) { return label.includes(word); });
  }

  // What an admin wrote stays; what another choice filled in does not describe this one.
  function fill(form, choice, comments) {
    const comment = form.elements["comment"];
    const values = Object.assign({ container: "" }, choice.values);
    FILLED.forEach(function (name) {
      if (!(name in values)) return;
      if (name === "comment" && comment.value.trim() !== "" && !comments.has(comment.value)) return;
      const field = form.elements[name];
      field.value = values[name];
    });
    if (choice.kind !== "container") form.elements["every_port"].checked = false;
    form.dispatchEvent(new CustomEvent("dockerfw:filled", { bubbles: true }));
    form.elements["ports"].dispatchEvent(new Event("input", { bubbles: true }));
    form.elements["ports"].dispatchEvent(new Event("change", { bubbles: true }));
  }

  function start() {
    const form = document.getElementById("rule-form");
    const field = document.getElementById("service");
    if (!form || !field) return;
    const list = document.getElementById("service-options");
    const count = document.getElementById("service-count");
    const choices = Array.from(document.getElementById("service-choices").options).map(read);
    const comments = new Set(choices.map(function (each) { return each.values.comment; }));
    let shown = [], active = -1;

    document.getElementById("service-fill").remove();
    field.removeAttribute("list");
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-expanded", "false");
    field.setAttribute("aria-controls", list.id);

    function close() {
      list.hidden = true;
      active = -1;
      field.setAttribute("aria-expanded", "false");
      field.removeAttribute("aria-activedescendant");
    }

    function mark(number) {
      const options = list.querySelectorAll("[role=option]");
      if (!options.length) return;
      active = (number + options.length) % options.length;
      options.forEach(function (option, at) { option.setAttribute("aria-selected", String(at === active)); });
      field.setAttribute("aria-activedescendant", options[active].id);
      options[active].scrollIntoView({ block: "nearest" });
    }

    function row(choice, at) {
      const option = document.createElement("li");
      option.id = "service-option-" + at;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = choice.label;
      const kind = document.createElement("small");
      kind.textContent = GROUPS[choice.kind];
      option.append(kind);
      return option;
    }

    function open() {
      const words = field.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const fitting = choices.filter(function (choice) { return fits(choice, words); });
      const typed = typedPort(field.value);
      shown = fitting.slice(0, MOST_SHOWN - typed.length).concat(typed);
      list.replaceChildren.apply(list, shown.map(row));
      list.hidden = shown.length === 0;
      active = -1;
      field.setAttribute("aria-expanded", String(!list.hidden));
      field.removeAttribute("aria-activedescendant");
      const more = fitting.length + typed.length - shown.length;
      count.textContent = shown.length === 0 ? "Nothing found." :
        shown.length + (shown.length === 1 ? " choice" : " choices") + (more > 0 ? ", " + more + " more" : "") + ".";
    }

    function choose(choice) {
      field.value = choice.label;
      close();
      fill(form, choice, comments);
      count.textContent = "Filled in: " + choice.label + ".";
    }

    field.addEventListener("input", open);
    field.addEventListener("click", function () { if (list.hidden) open(); });
    field.addEventListener("keydown", function (event) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (list.hidden) open();
        mark(event.key === "ArrowDown" ? active + 1 : active < 0 ? -1 : active - 1);
      } else if (event.key === "Enter") {
        // Enter chooses, it never sends the form from here.
        event.preventDefault();
        if (!list.hidden && shown.length) choose(shown[Math.max(active, 0)]);
      } else if (event.key === "Escape" && !list.hidden) {
        event.preventDefault();
        event.stopPropagation();
        close();
      } else if (event.key === "Tab") {
        if (!list.hidden && active >= 0) choose(shown[active]);
        else close();
      }
    });
    // Before the field loses the focus, which closes the list.
    list.addEventListener("mousedown", function (event) { event.preventDefault(); });
    list.addEventListener("click", function (event) {
      const option = event.target.closest("[role=option]");
      if (option) choose(shown[Array.from(list.children).indexOf(option)]);
    });
    field.addEventListener("blur", close);

    document.querySelectorAll("[data-service]").forEach(function (link) {
      link.addEventListener("click", function (event) {
        const choice = choices.find(function (each) { return each.label === link.dataset.service; });
        if (!choice || event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        choose(choice);
        document.querySelector("label[for^=id_sources]").control.focus();
      });
    });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
