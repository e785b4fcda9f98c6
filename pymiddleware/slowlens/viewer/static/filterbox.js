// The list's one box.
import { el } from "./dom.js";
import { tame } from "./format.js";
import { complete, join, lastWord } from "./state.js";

/**
 * `known()`: {fields: what can be written, tag, route...: values of it}; `change(text)`: the filter's new text. Returns
 * {form, focus(), show(terms), refuse(text, why)}: a text that the server did not understand stays, to be mended.
 */
export function filterBox(known, change) {
  let now = []; // terms, with what was sent and is not answered yet
  let sent = "";
  let offers = [];
  let at = -1;
  const shown = el("ul", { class: "chips", "aria-label": "Filters" });
  const list = el("ul", { class: "offers", role: "listbox", id: "offers", "aria-label": "Completions", hidden: true });
  const problem = el("p", { class: "problem", id: "filter-problem", role: "alert" });
  const input = el("input", {
    name: "q", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-label": "Filter requests", "aria-expanded": "false",
    "aria-controls": "offers", "aria-autocomplete": "list", "aria-describedby": "filter-problem", placeholder: "path, function, tag:user=anna, >200ms, 5xx, exact…",
  });
  const clear = el("button", { type: "button", class: "clear", "aria-label": "Clear the filter", click: () => {
    input.value = "";
    send([]);
    input.focus();
  } }, "✕");
  const form = el("form", { class: "filter", role: "search", submit: (event) => {
    event.preventDefault();
    submit();
  } }, el("div", { class: "box" }, shown, input, clear), list, problem);

  const send = (terms) => {
    now = terms;
    change(join(terms));
  };
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
    sent = input.value;
    send([...now, { name: "text", text: sent.trim() }]);
  };
  const word = () => lastWord(input.value.slice(0, input.selectionStart));
  const offer = () => {
    const current = word();
    offers = document.activeElement === input ? complete(current, known().fields, known()) : [];
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
    else if (event.key === "Backspace" && !input.value && now.length) {
      // The last chip becomes text again, to be mended.
      const last = now.at(-1);
      send(now.slice(0, -1));
      input.value = last.text;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const show = (terms) => {
    now = terms;
    say("");
    if (input.value === sent) input.value = "";
    sent = "";
    shown.replaceChildren(...terms.map((term) => el("li", {}, el("button", {
      type: "button", class: "chip", "aria-label": `Remove the filter ${tame(term.text, 80)}`,
      click: () => send(now.filter((one) => one !== term)),
    }, tame(term.text, 60), el("span", { "aria-hidden": "true" }, " ✕")))));
    clear.hidden = !terms.length;
  };
  show([]);
  const refuse = (text, why) => {
    show([]);
    input.value = text;
    clear.hidden = false;
    say(why);
  };
  return { form, show, refuse, focus: () => {
    input.focus();
    input.select();
  } };
}
