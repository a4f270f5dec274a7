// The candidate boxes: those that the extractor found, and boxes that the user draws or types.

import { cornerFields } from "./corners.js";
import { el } from "./dom.js";
import { drawBoxes } from "./drawing.js";
import { sameBox } from "./image.js";

const OFFERED = 12;

/** Fires `changed` when the selection of boxes changes. */
export class Candidates extends EventTarget {
  constructor(image) {
    super();
    this.image = image;
    this.items = [];
    this.active = false;
    this.list = el("ul", { class: "candidates" });
    this.status = el("p", { role: "status", class: "tip" });
    const add = (box) => this.add(box);
    this.element = el(
      "fieldset",
      {},
      el("legend", {}, "Candidate boxes"),
      this.list,
      this.status,
      el("p", { class: "tip" }, "Draw more boxes on the image with a mouse or finger."),
      cornerFields(image, add),
    );
    drawBoxes(image, () => this.active, add);
    image.addEventListener("opened", () => this.reset());
    this.reset();
  }

  /** Offer the first boxes that the extractor found. */
  reset() {
    const boxes = this.image.scene?.boxes.slice(0, OFFERED) ?? [];
    this.items = boxes.map((box) => ({ box, ...this.image.called(box), on: true, own: false }));
    this.status.textContent = "";
    this.change();
  }

  add(box) {
    this.items.push({ box, on: true, own: true });
    this.change();
    this.status.textContent = `Box ${this.items.at(-1).name} added.`;
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    this.change();
    this.status.textContent = `Box ${item.name} removed.`;
    const after = this.list.querySelector(".remove") ?? this.list.querySelector("li:last-child input");
    after?.focus(); // its button was removed
  }

  /** The ticked boxes. */
  get chosen() {
    return this.items.filter((item) => item.on);
  }

  get boxes() {
    return this.chosen.map((item) => item.box);
  }

  /** The number and name of a box, whether a candidate or not. */
  called(box) {
    return this.items.find((item) => sameBox(item.box, box)) ?? this.image.called(box);
  }

  change() {
    // The user's boxes are numbered after all others, offered or not, so that a number means one box.
    const seen = this.image.scene?.boxes.length ?? 0;
    this.items.filter((item) => item.own).forEach((item, k) => {
      item.number = `${seen + k + 1}`;
      item.name = `${item.number} (yours)`;
    });
    const rows = this.items.map((item) => this.row(item));
    this.list.replaceChildren(...(rows.length ? rows : [el("li", {}, "Select an image first.")]));
    this.changed();
  }

  changed() {
    this.show();
    this.dispatchEvent(new Event("changed"));
  }

  row(item) {
    const tick = el("input", { type: "checkbox", checked: item.on, change: () => { item.on = tick.checked; this.changed(); } });
    const remove = { type: "button", class: "remove", "aria-label": `Remove box ${item.name}`, click: () => this.remove(item) };
    return el("li", {}, el("label", {}, tick, ` ${item.name}`), item.own ? el("button", remove, "×") : null);
  }

  /** Draw the ticked boxes; `best` is the index of the answer among those that were sent. */
  show(best = null) {
    if (!this.active || !this.image.scene) return;
    const frames = this.chosen.map(({ box, number }, place) => ({ box, kind: place === best ? "best" : "other", text: number }));
    this.image.show(frames.sort((one, other) => (other.kind === "best") - (one.kind === "best")));
  }
}
