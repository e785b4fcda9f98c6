// The requests that run now, on all workers of this store.
import * as api from "./api.js";
import { el, header, tableRow } from "./dom.js";
import { duration, middle, tame, when } from "./format.js";
import { answered } from "./shell.js";
import { format } from "./state.js";

const POLL = 1000;
const COLUMNS = [
  { title: "Since", class: "when" }, { title: "Request", class: "path" }, { title: "Running for", number: true, class: "wall" },
  { title: "Where", class: "hot" }, { title: "Process", class: "host" }, { title: "State", class: "status" },
];

export async function show(main) {
  const body = el("tbody");
  const none = el("div", { class: "empty" }, el("h2", {}, "No request is running"), el("p", {}, "What runs on any worker of this store appears here within a second, and can be opened once it has run for two. What was killed stays until its profile is stored."));
  const place = el("div", { class: "rows" });
  const draw = async () => {
    const { requests } = await api.live();
    const focused = document.activeElement.closest("tr")?.dataset.id;
    body.replaceChildren(...requests.map((one) => {
      const name = middle(tame(one.path || one.route || ""), 90);
      const values = [
        when(one.started), [el("span", { class: "method" }, tame(one.method || "", 20)), " ", one.stored ? el("a", { href: format({ r: one.id }), "data-row": true }, name) : name],
        duration((one.running_ms || 0) * 1e6), el("span", { title: tame(one.hot || "") }, tame(one.hot || "")),
        tame([one.host, one.pid, one.thread].filter(Boolean).join(" "), 60), one.killed ? "killed" : one.state === "waits" ? "waits" : "runs",
      ];
      return tableRow(COLUMNS, values, { class: one.killed ? "bad" : null, "data-id": one.id });
    }));
    place.replaceChildren(requests.length ? el("table", { class: "live", "aria-label": "Running requests" }, header(COLUMNS), body) : none);
    if (focused) body.querySelector(`[data-id="${focused}"] a`)?.focus();
  };
  await draw();
  main.replaceChildren(el("h1", {}, "Running now"), place);
  const timer = setInterval(() => document.hidden || draw().then(() => answered(place), (error) => answered(place, error)), POLL);
  return { title: "Live", stop: () => clearInterval(timer) };
}
