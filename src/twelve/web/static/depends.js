// What an answer depends on: each box is left out in turn, and its frame shows how much the confidence of the answer falls without it.

import * as api from "./api.js";
import { el, percent } from "./dom.js";
import { inWords } from "./replies.js";

const LEAST = 0.05; // a smaller fall is not worth a mention

/**
 * An element that measures it: at once, or behind a button where the model is large.
 * @param quick whether the model is so small that nobody waits
 * @param images the image, or the left and the right one
 * @param told the reply of `method`
 * @param stale () => whether another question was asked meanwhile
 */
export function dependsView({ method, quick, images }, told, stale) {
  const said = el("p", { class: "told" });
  const tip = el("p", { class: "tip" });
  const view = el("section", { class: "depends", "aria-label": "What the answer depends on" });

  async function measure() {
    view.replaceChildren(said);
    said.textContent = "Leaving out each box …";
    try {
      const [image, right] = images;
      const both = () => (right ? { image: image.reference, right: right.reference } : { image: image.reference });
      const found = await api.ask("depends", images, () => ({ ...both(), method, text: told.text, task: told.task }), (text) => { said.textContent = text; });
      if (!stale()) show(found);
    } catch (error) {
      if (!stale()) said.textContent = `What the answer depends on could not be measured: ${error.message}`;
    }
  }

  function show({ value, confidence, boxes, confidence_without: without, sides }) {
    if (!boxes.length) return view.replaceChildren();
    const falls = without.map((left) => confidence - left);
    const best = falls.indexOf(Math.max(...falls));
    const frames = falls[best] > LEAST ? "; the more the confidence of the answer falls without it, the thicker its frame" : "";
    tip.textContent = boxes.length === 1
      ? "The only box was left out. The confidence that remains comes from the whole image and the words."
      : `Each box was left out in turn${frames}. The confidence that remains comes from the other boxes, the whole image and the words. Select a box to see its numbers.`;
    const imageOf = (k) => images[sides[k] === "right" ? 1 : 0];
    const names = boxes.map((box, k) => imageOf(k).called(box));
    const answer = `“${inWords(value)}”`;
    const labelled = (k) => {
      const { number, name } = names[k];
      const label = number ? name.slice(number.length).trim() : "";
      const where = sides.length ? ` of the ${sides[k]} image` : "";
      return `${number ? `box ${number}${label && ` (${label})`}` : name}${where}`;
    };

    function draw(chosen = null) {
      const frames = boxes.map((box, k) => {
        const heat = falls[best] > LEAST ? Math.max(0, falls[k]) / falls[best] : 0;
        const kind = heat > 0.2 || k === chosen ? "region" : "region quiet";
        const label = `Box ${names[k].name}${sides.length ? `, ${sides[k]} image` : ""}`;
        return { image: imageOf(k), box, kind, text: names[k].number, heat, label, on: k === chosen, press: () => pick(k) };
      });
      const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
      frames.sort((one, other) => area(one.box) - area(other.box));
      for (const image of images) image.show(frames.filter((frame) => frame.image === image));
      if (chosen !== null) imageOf(chosen).overlay.querySelector(".on")?.focus({ preventScroll: true });
    }

    const sentence = (k) => {
      const [from, to] = [percent(confidence), percent(without[k])];
      const change = from === to ? `stays at ${from}` : `${without[k] < confidence ? "falls" : "rises"} from ${from} to ${to}`;
      return `Without ${labelled(k)}, ${answer} ${change}.`;
    };

    function pick(k) {
      said.textContent = sentence(k);
      said.classList.remove("nothing");
      draw(k);
    }

    said.textContent = falls[best] > LEAST ? sentence(best) : "The answer depends little on any single box: its confidence falls by at most 5 points.";
    said.classList.toggle("nothing", falls[best] <= LEAST);
    view.replaceChildren(said, tip);
    draw();
  }

  if (quick) measure();
  else view.append(el("button", { type: "button", class: "plain", click: measure }, "What the answer depends on"));
  return view;
}
