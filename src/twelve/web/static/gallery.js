// The images that a caption is matched with.

import * as api from "./api.js";
import { dropped, fileInput, sampleButtons } from "./choosing.js";
import { el, percent } from "./dom.js";

export class Gallery {
  constructor(samples, most) {
    this.most = most;
    this.items = [];
    this.used = false;
    this.samples = new Set(); // samples that were added, or are being added
    this.list = el("ul", { class: "gallery", "aria-label": "Images" });
    this.status = el("p", { role: "status", class: "status" });
    const files = (chosen) => this.addAll(chosen.map((file) => ({ file, alt: `The image ${file.name}` })));
    const all = samples.length
      ? el("button", { type: "button", class: "plain", click: () => this.addSamples(samples) }, "Add all samples")
      : null;
    this.element = el(
      "div",
      { class: "image wide", role: "group", "aria-label": "Images to match" },
      el("h2", {}, "Images to match"),
      this.list,
      this.status,
      el("p", { class: "row" }, el("label", { class: "file" }, fileInput(files, { multiple: true }), "Add images"), el("span", { class: "hint" }, "or drop some here"), all),
      sampleButtons(samples, (sample) => this.addSamples([sample]), "or add one of these"),
    );
    dropped(this.element, files);
    this.say(this.count);
  }

  /** Whether no image was ever added. */
  get untouched() {
    return !this.used;
  }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.classList.toggle("wrong", wrong);
  }

  /** Clear the errors of images that could not be added. */
  settle() {
    if (this.status.classList.contains("wrong")) this.say(this.count);
  }

  get count() {
    return ["No images", "1 image"][this.items.length] ?? `${this.items.length} images`;
  }

  /** Add samples that are not there yet. */
  async addSamples(samples) {
    const fresh = samples.filter((sample) => !this.samples.has(sample));
    if (!fresh.length) return this.say(`${this.count}; ${samples.length > 1 ? "all samples have" : "this sample has"} already been added.`);
    fresh.forEach((sample) => this.samples.add(sample));
    await this.addAll(fresh.map((sample) => ({ file: () => api.sample(sample.name), alt: sample.alt, sample })));
  }

  /** Add images one after the other; errors are shown at the end. */
  async addAll(wanted) {
    this.used = true;
    const failed = [];
    for (const one of wanted) {
      this.say("Opening …");
      try {
        await this.add(one);
      } catch (error) {
        this.samples.delete(one.sample);
        failed.push(`${one.alt}: ${error.message}`);
      }
    }
    this.say([this.count, ...failed].join(". "), failed.length > 0);
  }

  async add({ file, alt, sample = null }) {
    if (this.items.length >= this.most) throw new Error(`at most ${this.most} images.`);
    const blob = typeof file === "function" ? await file() : file;
    const item = { blob, scene: await api.upload(blob, (text) => this.say(text)), share: el("figcaption", {}), sample };
    item.again = async (say) => { item.scene = await api.upload(blob, say); };
    const drop = el("button", { type: "button", class: "remove", "aria-label": `Remove: ${alt}`, click: () => this.remove(item) }, "×");
    item.element = el("li", {}, el("figure", {}, el("img", { src: URL.createObjectURL(blob), alt }), item.share, drop));
    this.items.push(item);
    this.list.append(item.element);
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    this.samples.delete(item.sample);
    URL.revokeObjectURL(item.element.querySelector("img").src);
    item.element.remove();
    api.forget(item.scene);
    this.say(this.count);
  }

  /** Sort the images, best first. `asked` are those that were sent; some may have been added or removed since. */
  rank(asked, ranked) {
    const order = ranked.map(({ index, share }) => [asked[index], share]);
    const there = order.map(([item]) => item).filter((item) => this.items.includes(item));
    this.items = [...there, ...this.items.filter((item) => !there.includes(item))];
    order.forEach(([item, share], place) => {
      item.share.textContent = `${place + 1}. ${percent(share)}`;
      item.element.classList.toggle("first", place === 0);
    });
    this.list.replaceChildren(...this.items.map((item) => item.element));
    this.say(this.count); // clears earlier errors
  }
}
