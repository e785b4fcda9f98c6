// search.js - what is looked for, in names and files. Pure.
import { label } from "./format.js";

/**
 * A test of functions from a text ("deepcopy") or a regular expression
 * ("/^copy\./"); null: nothing is looked for. Throws an Error with one sentence.
 */
export function matcher(text) {
  if (!text) return null;
  const expression = /^\/(.+)\/$/.exec(text);
  if (expression) {
    let regular;
    try {
      regular = new RegExp(expression[1], "iu");
    } catch {
      throw new Error("that regular expression cannot be read");
    }
    return (callee) => regular.test(label(callee)) || regular.test(callee.file);
  }
  const low = text.toLowerCase();
  return (callee) => label(callee).toLowerCase().includes(low) || callee.file.toLowerCase().includes(low);
}
