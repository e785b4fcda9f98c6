// searchbox.js - looking for functions in whatever view is shown.
import { button, el } from "./dom.js";
import { count, matcher, percent } from "./format.js";

/** Looks in the panel of `page` (../README.md). Returns {form, run, step, focus}. */
export function searchBox(page) {
  const out = el("span", { class: "found", role: "status" });
  let found = null; // {count, show(i), ns}
  let at = -1;
  const input = el("input", { type: "search", value: page.state.q || "", placeholder: "name, file or /regex/", "aria-label": "Search in this profile", title: "Search (/), next match (n), match before (N)" });
  const words = () => `${at + 1} of ${count(found.count)}${found.ns === undefined ? "" : ` · ${percent(Math.min(found.ns, page.shared), page.shared)} of the request`}`;
  const step = (by) => {
    if (!found?.count) return;
    at = at < 0 && by < 0 ? found.count - 1 : (at + by + found.count) % found.count;
    out.textContent = words();
    found.show(at);
  };
  const inModel = async () => {
    const model = await page.model();
    const result = page.test ? model.search(page.test) : null;
    result?.indices.sort((a, b) => model.total[b] - model.total[a]);
    page.panel.mark?.(model, result && result.indices);
    return result && { count: result.indices.length, ns: result.ns, show: (i) => page.panel.select?.(model, result.indices[i]) };
  };
  const run = async () => {
    found = null;
    at = -1;
    input.removeAttribute("aria-invalid");
    try {
      page.test = matcher(input.value);
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      out.textContent = error.message;
      return;
    }
    found = page.panel.find ? page.panel.find(page.test) : await inModel();
    out.textContent = !page.test ? "" : found?.count ? words() : "nothing found";
  };
  const ask = async () => {
    if ((page.state.q || "") === input.value && found) return;
    page.keep({ q: input.value });
    await run();
  };
  input.addEventListener("search", () => input.value || ask());
  const form = el("form", { class: "search", role: "search", submit: async (event) => {
    event.preventDefault();
    await ask();
    step(1);
  } }, input, button("‹", async () => {
    await ask();
    step(-1);
  }, { "aria-label": "Previous match" }), el("button", { type: "submit", "aria-label": "Next match" }, "›"), out);
  return { form, run, step, focus: () => {
    input.focus();
    input.select();
  } };
}
