// keys.js - what single keys do, anywhere; and the page that tells.
import { choice, el } from "./dom.js";
import { openPalette } from "./palette.js";
import { go, setting } from "./shell.js";

const KEYS = [
  ["/", "filter the list, search in a profile"], ["j  k", "next row, row before"], ["Enter", "open, or open the row's branch"],
  ["Esc", "leave a box, then go back to the list"], ["1 … 9", "views of a profile"], ["n  N", "next match of the search, match before"],
  ["x", "choose a row of the list to compare or delete"], ["c", "compare the two that are chosen"], ["s", "show or hide the panel at the side"],
  ["g r", "requests"], ["g o", "routes"], ["g l", "live"], ["Ctrl K", "go to any route, request, function or view"], ["?", "this"],
];
export const EDITORS = {
  "": "none", "vscode://file/{file}:{line}": "VS Code", "cursor://file/{file}:{line}": "Cursor", "zed://file/{file}:{line}": "Zed",
  "pycharm://open?file={file}&line={line}": "PyCharm", "idea://open?file={file}&line={line}": "IntelliJ IDEA", "subl://open?url=file://{file}&line={line}": "Sublime Text",
};
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** The link that opens a line in the reader's editor; "" without one. `paths`: "/in/the/container=/here". Pure. */
export function editorLink(template, paths, file, line) {
  if (!template || !file || !file.startsWith("/") || !SCHEME.test(template) || /^(javascript|data|vbscript|blob|file):/i.test(template)) return "";
  const [from, to] = (paths || "").split("=");
  const here = from && to && file.startsWith(from) ? to + file.slice(from.length) : file;
  return template.replaceAll("{file}", here.split("/").map(encodeURIComponent).join("/")).replaceAll("{line}", String(line || 1));
}

export function showHelp() {
  document.querySelector("dialog.help")?.remove();
  const field = (label, name, hint) => el("label", { class: "choice" }, `${label} `,
    el("input", { type: "text", value: setting(name), placeholder: hint, size: 30, change: (event) => setting(name, event.target.value) }));
  const box = el("dialog", { class: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys and settings"),
    el("dl", { class: "keys" }, KEYS.map(([key, text]) => el("div", {}, el("dt", {}, key.split("  ").map((one) => [el("kbd", {}, one), " "])), el("dd", {}, text)))),
    el("p", {}, choice("Theme", [["", "as the system"], ["light", "light"], ["dark", "dark"]], setting("theme"), (value) => {
      setting("theme", value);
      document.documentElement.dataset.theme = value;
      dispatchEvent(new Event("slowlens-theme"));
    }), choice("Single keys", [["", "on"], ["off", "off"]], setting("keys"), (value) => setting("keys", value))),
    el("p", {}, choice("Editor", Object.entries(EDITORS), setting("editor") in EDITORS ? setting("editor") : "", (value) => setting("editor", value)),
      field("or a link of your own", "editor", "myeditor://open?{file}:{line}")),
    el("p", {}, field("Where paths differ (containers)", "paths", "/app=/home/me/project")),
    el("form", { method: "dialog" }, el("button", {}, "Close")));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

const writes = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

/** The rows of the page that can be walked. */
function walk(by, page) {
  if (page?.step) return page.step(by);
  const rows = Array.from(document.querySelectorAll("main [data-row]"));
  const at = rows.findIndex((one) => one === document.activeElement || one.closest("tr")?.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return undefined;
}

/** Listens on the whole page. `page()`: the page that is shown: step(by), search(), leave(), match(by), view(i), pick(), compare(), side(). */
export function listen(page) {
  let before = ""; // "g" was pressed
  const single = {
    "/": () => page()?.search?.(), "?": showHelp, j: () => walk(1, page()), k: () => walk(-1, page()),
    n: () => page()?.match?.(1), N: () => page()?.match?.(-1), x: () => page()?.pick?.(), c: () => page()?.compare?.(), s: () => page()?.side?.(),
    g: () => {
      before = "g";
      setTimeout(() => {
        before = "";
      }, 1500);
    },
  };
  const places = { r: "requests", o: "routes", l: "live", c: "changes" };
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette(page());
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (writes(event.target)) {
        event.preventDefault(); // a search field would be emptied
        event.target.blur();
      } else {
        page()?.leave?.();
      }
      return;
    }
    if (writes(event.target) || setting("keys") === "off") return;
    if (before === "g" && places[event.key]) {
      before = "";
      event.preventDefault();
      go({ page: places[event.key] });
      return;
    }
    if (/^[1-9]$/.test(event.key) && page()?.view) {
      event.preventDefault();
      page().view(Number(event.key) - 1);
      return;
    }
    if (!single[event.key]) return;
    event.preventDefault();
    single[event.key]();
  });
  document.getElementById("palette").addEventListener("click", () => openPalette(page()));
  document.getElementById("help").addEventListener("click", showHelp);
}
