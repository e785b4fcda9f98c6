// Views of one thing: one is shown, searched, and found as it was left.
import { button, el, tabList } from "./dom.js";
import { count, matcher, percent } from "./format.js";
import { go, recall, remember, replace, toList } from "./shell.js";
import { without } from "./state.js";

/** Belongs to one view and goes when another is opened. */
const OF_VIEW = ["root", "permille"];

/** Looks in the panel of `page` (../README.md). Returns {form, run, step, focus}. */
function searchBox(page) {
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

export class ViewPage {
  /** `views`: {name: [title, page -> panel]} (../README.md); `key`: whose place it is. */
  constructor(views, state, key) {
    this.views = views;
    this.state = { ...state };
    this.key = key;
    this.panel = {};
    try {
      this.test = matcher(state.q); // of functions
    } catch {
      this.test = null; // said when the search runs
    }
    this.turn = 0;
    this.search = searchBox(this);
    this.tools = el("div", { class: "viewtools" });
    this.tabs = tabList(views, (view) => view !== this.view && this.open({ view }));
    this.area = el("div", { role: "tabpanel", id: "panel" });
  }

  get view() {
    return this.state.view in this.views ? this.state.view : Object.keys(this.views)[0];
  }

  keep(values) {
    replace(Object.assign(this.state, values));
  }

  redraw(values) {
    this.keep(values);
    return this.showView();
  }

  /** Moves on to another view, or another state of it. */
  open(values) {
    go({ ...without(this.state, ...(values.view && values.view !== this.view ? OF_VIEW : [])), ...values });
  }

  place(view) {
    return `view ${this.key} ${view}`;
  }

  save() {
    if (this.shown && this.panel.save) remember(this.place(this.shown), this.panel.save());
  }

  async showView() {
    const turn = ++this.turn;
    this.save();
    this.panel.stop?.();
    this.panel = {};
    const { view } = this;
    this.shown = null;
    for (const tab of this.tabs.children) {
      tab.setAttribute("aria-selected", String(tab.dataset.view === view));
      tab.tabIndex = tab.dataset.view === view ? 0 : -1; // arrow keys reach the others
    }
    this.area.setAttribute("aria-label", this.views[view][0]);
    const late = setTimeout(() => turn === this.turn && this.area.replaceChildren(el("p", { class: "state loading" }, "Loading…")), 250);
    try {
      const panel = await this.views[view][1](this);
      if (turn !== this.turn) return panel.stop?.();
      clearTimeout(late);
      this.panel = panel;
      this.tools.replaceChildren(...(panel.tools || []).filter(Boolean));
      this.area.replaceChildren(panel.root);
      await panel.ready?.(recall(this.place(view)));
      if (turn !== this.turn) return undefined;
      this.shown = view;
      // Last: it wants the whole page laid out.
      this.tabs.querySelector("[aria-selected=true]").scrollIntoView({ block: "nearest", inline: "nearest" });
      if (this.state.q) await this.search.run();
    } catch (error) {
      clearTimeout(late);
      if (turn !== this.turn) return undefined;
      this.tools.replaceChildren();
      this.area.replaceChildren(el("div", { class: "state" }, el("p", { class: "said", role: "alert" }, `${error.message}.`), button("Try again", () => this.showView())));
    }
    return undefined;
  }

  /** What keys and the palette ask of a page. */
  controls() {
    return {
      save: () => this.save(),
      stop: () => {
        this.save();
        this.turn++;
        this.panel.stop?.();
      },
      search: () => this.search.focus(),
      match: (by) => this.search.step(by),
      step: (by) => this.panel.step?.(by),
      leave: toList,
      view: (i) => {
        this.tabs.children[i]?.focus(); // what had it is gone with its view
        this.tabs.children[i]?.click();
      },
      places: () => Object.entries(this.views).map(([view, [title]]) => ({ kind: "view", text: title, act: () => this.open({ view }) })),
    };
  }
}
