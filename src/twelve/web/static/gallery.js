// Several pictures, and the one that a caption means.

import * as api from "./api.js";
import { dropped, fileInput, sampleButtons } from "./picture.js";
import { el, percent } from "./dom.js";

export class Gallery {
  constructor(samples, most) {
    this.most = most;
    this.items = [];
    this.list = el("ul", { class: "gallery", "aria-label": "Pictures" });
    this.status = el("p", { role: "status", class: "status" });
    const input = fileInput({ multiple: true, change: () => this.addAll([...input.files]) });
    const all = samples.length
      ? el("button", { type: "button", class: "plain", click: () => this.samples(samples) }, "Add all samples")
      : null;
    this.element = el(
      "div",
      { class: "picture wide", role: "group", "aria-label": "Pictures to search" },
      el("h2", {}, "Pictures to search"),
      this.list,
      this.status,
      el("p", { class: "row" }, el("label", { class: "file" }, input, "Add pictures"), all),
      sampleButtons(samples, (sample) => this.samples([sample]), "or add one of these"),
    );
    dropped(this.element, (files) => this.addAll(files));
    this.say("No pictures yet: add some, or drop them here.");
  }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.classList.toggle("wrong", wrong);
  }

  async samples(samples) {
    for (const sample of samples) await this.add(await api.sample(sample.name), sample.alt, sample);
  }

  async addAll(files) {
    for (const file of files) await this.add(file, `The picture ${file.name}`);
  }

  async add(blob, alt, sample = null) {
    if (this.items.length >= this.most) return this.say(`At most ${this.most} pictures.`, true);
    this.say("Looking …");
    try {
      const item = { blob, scene: await api.look(blob), share: el("figcaption", {}), sample };
      item.again = async () => { item.scene = await api.look(blob); };
      const drop = el("button", { type: "button", class: "remove", "aria-label": `Remove: ${alt}`, click: () => this.remove(item) }, "×");
      item.element = el("li", {}, el("figure", {}, el("img", { src: URL.createObjectURL(blob), alt }), item.share, drop));
      this.items.push(item);
      this.list.append(item.element);
      this.say(`${this.items.length} pictures`);
    } catch (error) {
      this.say(`${alt}: ${error.message}`, true);
    }
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    URL.revokeObjectURL(item.element.querySelector("img").src);
    item.element.remove();
    api.forget(item.scene);
    this.say(`${this.items.length} pictures`);
  }

  /** Best first; `asked` are the pictures that were sent, which may have become more or fewer since. */
  rank(asked, ranked) {
    const order = ranked.map(({ picture, share }) => [asked[picture], share]);
    const there = order.map(([item]) => item).filter((item) => this.items.includes(item));
    this.items = [...there, ...this.items.filter((item) => !there.includes(item))];
    order.forEach(([item, share], place) => {
      item.share.textContent = `${place + 1}. ${percent(share)}`;
      item.element.classList.toggle("first", place === 0);
    });
    this.list.replaceChildren(...this.items.map((item) => item.element));
  }
}
