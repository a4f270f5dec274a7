// The fields of a dialogue.

import { el, field } from "./dom.js";

const ANSWERS = ["yes", "no", "n/a"];

export class Dialogue {
  constructor() {
    this.rows = el("ol", { class: "dialogue" });
    this.element = el(
      "fieldset",
      {},
      el("legend", {}, "Dialogue"),
      this.rows,
      el("button", { type: "button", class: "plain", click: () => this.add().focus() }, "Add a question"),
    );
    this.add();
  }

  add() {
    const text = el("input", { type: "text", maxlength: 500, autocomplete: "off" });
    const answer = el("select", {}, ...ANSWERS.map((word) => el("option", {}, word)));
    const remove = el("button", { type: "button", class: "remove", click: () => this.remove(row) }, "×");
    const row = el("li", {}, field("Question", text), field("Answer", answer), remove);
    this.rows.append(row);
    this.number();
    return text;
  }

  /** Remove a row. The last one has no button: a dialogue needs a question. */
  remove(row) {
    const near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.number();
    near.querySelector("input").focus(); // its button was removed
  }

  number() {
    [...this.rows.children].forEach((row, k) => {
      row.querySelector("label").textContent = `Question ${k + 1}`;
      const remove = row.querySelector(".remove");
      remove.setAttribute("aria-label", `Remove question ${k + 1}`);
      remove.hidden = this.rows.children.length === 1;
    });
  }

  get first() {
    return this.rows.querySelector("input");
  }

  get turns() {
    const rows = [...this.rows.children].map((row) => ({
      question: row.querySelector("input").value.trim(),
      answer: row.querySelector("select").value,
    }));
    return rows.filter((turn) => turn.question);
  }
}

/**
 * Whether word k is a mark that the program added to a dialogue: "start … ? answer yes stop".
 * A question may contain the same words, so the neighbours decide.
 */
export function isMark(words, k) {
  const outside = (word) => word === undefined || word.startsWith("[");
  const ends = (place) => words[place] === "stop" && (words[place + 1] === "start" || outside(words[place + 1]));
  if (words[k] === "start") return outside(words[k - 1]) || words[k - 1] === "stop";
  if (words[k] === "answer") return ends(k + 2) || ends(k + 4); // "yes" and "no" are one word, "n/a" is three
  return ends(k);
}
