/* Times in the zone of this browser, with UTC on hover. Without scripts they stay in the zone of the server, which
   they name. */
(function () {
  "use strict";

  const two = function (number) { return String(number).padStart(2, "0"); };
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  function clock(moment) { return two(moment.getHours()) + ":" + two(moment.getMinutes()); }

  function exactly(moment) {
    return moment.getFullYear() + "-" + two(moment.getMonth() + 1) + "-" + two(moment.getDate()) + " " +
      clock(moment) + ":" + two(moment.getSeconds());
  }

  // The forms are those of the template filters `when`, `when_exactly`, `clock` and `tick`.
  function words(moment, form) {
    const now = new Date();
    if (form === "exact") return exactly(moment);
    if (form === "minute") return clock(moment);
    if (form === "clock") return clock(moment) + ":" + two(moment.getSeconds());
    if (moment.toDateString() === now.toDateString()) return "today " + clock(moment);
    const year = moment.getFullYear() === now.getFullYear() ? "" : " " + moment.getFullYear();
    return moment.getDate() + " " + MONTHS[moment.getMonth()] + year + ", " + clock(moment);
  }

  function show(part) {
    part.querySelectorAll("time[data-form]").forEach(function (time) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) return;
      time.title = moment.toISOString().slice(0, 19).replace("T", " ") + " UTC";
      time.textContent = words(moment, time.dataset.form);
      // What htmx puts in later is asked for once.
      delete time.dataset.form;
    });
  }

  document.addEventListener("DOMContentLoaded", function () { show(document); });
  document.addEventListener("htmx:load", function () { show(document); });
})();
