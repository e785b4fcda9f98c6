// searchbox.js - looking for functions in whatever view is shown.
import { el } from "./dom.js";
import { count, percent } from "./format.js";
import { matcher } from "./search.js";

/**
 * `page`: state.q, keep({q}), model() -> FlameModel, wall (ns), and panel with
 * select(model, index) and mark(model, indices or null); `changed()` is told
 * of another text. Returns {form, run}.
 */
export function searchBox(page, changed = () => {}) {
  const out = el("span", { class: "found", role: "status" });
  let found = null; // {indices, ns}
  let at = -1;
  const input = el("input", { type: "search", value: page.state.q || "", placeholder: "name, file or /regular expression/", "aria-label": "Search in this profile" });
  const step = (by) => {
    if (!found?.indices.length) return;
    at = (at + by + found.indices.length) % found.indices.length;
    out.textContent = words();
    page.model().then((model) => page.panel.select?.(model, found.indices[at]));
  };
  const words = () => `${at + 1} of ${count(found.indices.length)} · ${percent(found.ns, page.wall)} of the request`;
  const run = async () => {
    try {
      page.test = matcher(input.value);
    } catch (error) {
      found = null;
      out.textContent = error.message;
      return;
    }
    const model = await page.model();
    found = page.test ? model.search(page.test) : null;
    found?.indices.sort((a, b) => model.total[b] - model.total[a]);
    at = -1;
    out.textContent = found ? (found.indices.length ? words() : "nothing found") : "";
    page.panel.mark?.(model, found && found.indices);
  };
  const form = el("form", { class: "search", role: "search", submit: async (event) => {
    event.preventDefault();
    if (page.state.q !== input.value) {
      page.keep({ q: input.value });
      await run();
      changed();
    }
    step(1);
  } }, input, el("button", { type: "submit" }, "Next"), el("button", { type: "button", click: () => step(-1) }, "Previous"), out);
  return { form, run };
}

