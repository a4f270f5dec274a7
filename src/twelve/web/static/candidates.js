// Boxes to choose among: those that the model sees, and those that a person draws.

import { el, field } from "./dom.js";

const OFFERED = 12;
const LEAST = 3; // pixels of the picture's own: less is a click, not a box

export class Candidates {
  constructor(picture) {
    this.picture = picture;
    this.items = [];
    this.active = false;
    this.list = el("ul", { class: "candidates" });
    const numbers = ["x1", "y1", "x2", "y2"].map((name) =>
      el("input", { type: "number", min: 0, step: "any", "aria-label": name, placeholder: name }),
    );
    const add = () => {
      const box = numbers.map((input) => Number(input.value));
      if (box[2] > box[0] && box[3] > box[1]) this.add(box);
    };
    this.element = el(
      "fieldset",
      { class: "among" },
      el("legend", {}, "Choose among these boxes"),
      this.list,
      el("p", { class: "tip" }, "Draw further boxes on the picture with a mouse or finger."),
      el(
        "details",
        {},
        el("summary", {}, "Add a box by its corners (pixels)"),
        el("p", { class: "corners" }, ...numbers, el("button", { type: "button", class: "plain", click: add }, "Add")),
      ),
    );
    picture.addEventListener("looked", () => this.reset());
    this.draws();
    this.reset();
  }

  reset() {
    const boxes = this.picture.scene?.boxes.slice(0, OFFERED) ?? [];
    this.items = boxes.map((box, k) => ({ box, name: this.picture.scene.labels?.[k] ?? "region", on: true }));
    this.listed();
  }

  add(box) {
    this.items.push({ box, name: "yours", on: true });
    this.listed();
  }

  get boxes() {
    return this.items.filter((item) => item.on).map((item) => item.box);
  }

  /** The number that is shown beside candidate `index` of those that were sent. */
  name(index) {
    const item = this.items.filter((one) => one.on)[index];
    return `${this.items.indexOf(item) + 1} ${item.name}`;
  }

  listed() {
    const rows = this.items.map((item, k) => {
      const box = el("input", { type: "checkbox", checked: item.on, change: () => { item.on = box.checked; this.show(); } });
      return el("li", {}, el("label", {}, box, ` ${k + 1} ${item.name}`));
    });
    this.list.replaceChildren(...(rows.length ? rows : [el("li", {}, "Choose a picture first.")]));
    this.show();
  }

  /** Draw them; `chosen` is the place of the answer among those that were sent. */
  show(chosen = null) {
    if (!this.active || !this.picture.scene) return;
    let place = -1;
    const frames = this.items.map((item, k) => {
      if (item.on) place += 1;
      const best = item.on && place === chosen;
      return item.on && { box: item.box, kind: best ? "best" : "other", text: `${k + 1}` };
    });
    this.picture.show(frames.filter(Boolean).sort((one, other) => (other.kind === "best") - (one.kind === "best")));
  }

  /** Boxes are drawn with a pointer on the picture while its tab is open. */
  draws() {
    const { overlay } = this.picture;
    let from = null;
    const at = (event) => {
      const { left, top, width, height } = overlay.getBoundingClientRect();
      const { scene } = this.picture;
      const clip = (value, most) => Math.min(Math.max(value, 0), most);
      const x = ((event.clientX - left) / width) * scene.width;
      const y = ((event.clientY - top) / height) * scene.height;
      return [clip(x, scene.width), clip(y, scene.height)];
    };
    const box = (to) => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
    overlay.addEventListener("pointerdown", (event) => {
      if (!this.active || !this.picture.scene || event.button) return;
      from = at(event);
      overlay.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    overlay.addEventListener("pointermove", (event) => {
      if (!from) return;
      overlay.querySelector(".drawn")?.remove();
      overlay.append(this.picture.frame({ box: box(at(event)), kind: "drawn" }));
    });
    overlay.addEventListener("pointerup", (event) => {
      if (!from) return;
      const found = box(at(event));
      from = null;
      overlay.querySelector(".drawn")?.remove();
      if (found[2] - found[0] >= LEAST && found[3] - found[1] >= LEAST) this.add(found);
    });
    overlay.addEventListener("pointercancel", () => { from = null; overlay.querySelector(".drawn")?.remove(); });
  }
}

/** Questions and answers that were exchanged. */
export class Dialogue {
  constructor() {
    this.rows = el("ol", { class: "dialogue" });
    this.element = el(
      "fieldset",
      {},
      el("legend", {}, "What was asked and answered"),
      this.rows,
      el("button", { type: "button", class: "plain", click: () => this.add().focus() }, "Add a question"),
    );
    this.add();
  }

  add() {
    const number = this.rows.children.length + 1;
    const text = el("input", { type: "text", maxlength: 500, autocomplete: "off" });
    const answer = el("select", {}, ...["yes", "no", "n/a"].map((word) => el("option", {}, word)));
    this.rows.append(el("li", {}, field(`Question ${number}`, text), field("Answer", answer)));
    return text;
  }

  get turns() {
    const rows = [...this.rows.children].map((row) => ({
      question: row.querySelector("input").value.trim(),
      answer: row.querySelector("select").value,
    }));
    return rows.filter((turn) => turn.question);
  }

  suggest(text) {
    const first = this.rows.querySelector("input");
    first.value = text;
  }
}
