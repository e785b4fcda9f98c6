// filterbox.js - the list's one box: chips for what is filtered, words to add, completion, errors in place.
import { el } from "./dom.js";
import { NAMES, chips, complete, read, write } from "./filter.js";
import { tame } from "./format.js";

/**
 * `state`: the page's; `known()`: values for completion; `change(parts)`: the new parts of the state, all of them
 * (undefined: that one is gone). Returns {form, focus(), say(error), show(state)}.
 */
export function filterBox(state, known, change) {
  let now = state;
  let offers = [];
  let at = -1;
  const shown = el("ul", { class: "chips", "aria-label": "Filters" });
  const list = el("ul", { class: "offers", role: "listbox", id: "offers", "aria-label": "Completions", hidden: true });
  const problem = el("p", { class: "problem", id: "filter-problem", role: "alert" });
  const input = el("input", {
    name: "q", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-label": "Filter requests", "aria-expanded": "false",
    "aria-controls": "offers", "aria-autocomplete": "list", "aria-describedby": "filter-problem", placeholder: "path, function, tag:user=anna, >200ms, 5xx, det…",
  });
  const clear = el("button", { type: "button", class: "clear", "aria-label": "Clear the filter", click: () => {
    input.value = "";
    change(Object.fromEntries(["q", ...NAMES].map((name) => [name, undefined])));
    input.focus();
  } }, "✕");
  const form = el("form", { class: "filter", role: "search", submit: (event) => {
    event.preventDefault();
    submit();
  } }, el("div", { class: "box" }, shown, input, clear), list, problem);

  const say = (text) => {
    problem.textContent = text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  const close = () => {
    offers = [];
    at = -1;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const submit = () => {
    close();
    try {
      const parts = read(input.value);
      say("");
      input.value = parts.q || "";
      change({ ...Object.fromEntries(chips(now).map((chip) => [chip.name, chip.value])), q: undefined, ...parts });
    } catch (error) {
      say(error.message);
    }
  };
  const word = () => input.value.slice(0, input.selectionStart).match(/(?:[^\s"]|"[^"]*"?)*$/)[0];
  const offer = () => {
    const current = word();
    offers = document.activeElement === input ? complete(current, known()) : [];
    if (!current && !input.value) offers = offers.filter((one) => !one.whole);
    at = -1;
    list.replaceChildren(...offers.map((one, i) => el("li", {
      role: "option", id: `offer-${i}`, "aria-selected": "false",
      pointerdown: (event) => {
        event.preventDefault();
        take(i);
      },
    }, el("span", {}, tame(one.text, 80)), one.hint ? el("span", { class: "where" }, one.hint) : null)));
    list.hidden = offers.length === 0;
    input.setAttribute("aria-expanded", String(offers.length > 0));
  };
  const choose = (i) => {
    at = (i + offers.length) % offers.length;
    [...list.children].forEach((one, j) => one.setAttribute("aria-selected", String(j === at)));
    input.setAttribute("aria-activedescendant", `offer-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  };
  const take = (i) => {
    const current = word();
    const end = input.selectionStart;
    const begin = end - current.length;
    const text = offers[i].text;
    input.value = input.value.slice(0, begin) + text + input.value.slice(end);
    input.setSelectionRange(begin + text.length, begin + text.length);
    if (offers[i].whole) submit();
    else offer();
  };
  input.addEventListener("input", () => {
    say("");
    offer();
  });
  input.addEventListener("focus", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && offers.length) choose(at + 1);
    else if (event.key === "ArrowUp" && offers.length) choose(at - 1);
    else if (event.key === "Tab" && !event.shiftKey && word() && offers.length && (at >= 0 || offers[0].text.toLowerCase().startsWith(word().toLowerCase()))) take(Math.max(0, at));
    else if (event.key === "Enter" && at >= 0) take(at);
    else if (event.key === "Escape" && !list.hidden) close();
    else if (event.key === "Backspace" && !input.value && chips(now).length) {
      // The last chip becomes text again, to be mended.
      const last = chips(now).at(-1);
      change({ [last.name]: undefined });
      input.value = last.text;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const show = (state) => {
    now = state;
    const all = chips(state);
    shown.replaceChildren(...all.map((chip) => el("li", {}, el("button", {
      type: "button", class: "chip", "aria-label": `Remove the filter ${tame(chip.text, 80)}`,
      click: () => change({ [chip.name]: undefined }),
    }, tame(write(chip.name, chip.value), 60), el("span", { "aria-hidden": "true" }, " ✕")))));
    if (document.activeElement !== input) input.value = state.q || "";
    clear.hidden = !all.length && !state.q;
  };
  show(state);
  return { form, say, show, focus: () => {
    input.focus();
    input.select();
  } };
}
