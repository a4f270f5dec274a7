// The attention view: a word highlights the boxes that it attends to, a box highlights its words.

import { el, percent } from "./dom.js";
import { sameBox } from "./image.js";

const NAMED = 3;
const FULL = 3; // multiple of a uniform share that gets the full highlight

/**
 * The highlight of a share, from 0 to 1. It is relative to a uniform share, which gets none. Relative to the largest
 * share, it would exaggerate shares that hardly differ.
 */
const glow = (share, even) => Math.min(1, Math.max(0, Math.log(share / even) / Math.log(FULL)));

/** Boxes with the indices of their regions. A box that is both detected and a candidate has two. */
function placed(boxes) {
  const found = [];
  boxes.forEach((box, region) => {
    const known = found.find((one) => sameBox(one.box, box));
    if (known) known.regions.push(region);
    else found.push({ box, regions: [region] });
  });
  return found;
}

/** The largest shares, largest first. */
const most = (shares) => [...shares.entries()].sort((one, other) => other[1] - one[1]).slice(0, NAMED);

/** Of some words, the one whose attention is the most concentrated: of the lowest entropy. Undefined if there is none. */
function mostConcentrated(places, toRegions) {
  const entropy = (k) => -toRegions[k].reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0);
  return places.map((k) => [entropy(k), k]).sort((one, other) => one[0] - other[0])[0]?.[1];
}

/**
 * An element with the words; boxes become buttons in the image.
 * @param called box => {number, name} for users
 * @param note which of two images the attention is about
 * @param isMark (words, k) => whether word k was added by the program, not typed
 */
export function attentionView({ image, called, note = null, isMark = () => false }, found, restore) {
  const { words, words_to_regions: toRegions, regions_to_words: toWords } = found;
  const [whole, ...boxes] = placed(found.boxes);
  for (const one of boxes) Object.assign(one, called(one.box));
  const evenOf = ({ regions }) => regions.length / found.boxes.length;
  const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
  const told = el("p", { role: "status", class: "told" });
  const shown = [...words.keys()].filter((k) => !isMark(words, k));
  const buttons = new Map(shown.map((k) => [k, wordButton(k)]));

  function wordButton(k) {
    const special = words[k].startsWith("[") ? " special" : "";
    const joined = words[k].startsWith("##") ? " joined" : "";
    const attributes = { type: "button", class: `word${special}${joined}`, "aria-pressed": "false", click: () => showWord(k) };
    return el("button", attributes, words[k].replace(/^##/, ""));
  }

  /** @param heats highlight of each box; named: boxes that always show their numbers; chosen: the pressed box */
  function draw({ heats = [], named = [...boxes.keys()], chosen = null }) {
    const frames = boxes.map(({ box, number, name }, k) => ({
      box,
      kind: named.includes(k) || heats[k] > 0.2 ? "region" : "region quiet",
      text: number,
      heat: heats[k] ?? 0,
      label: `Box ${name}`,
      on: chosen === k,
      press: () => showBox(k),
    }));
    // Small boxes are on top, so that a pointer can reach them.
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    image.show(frames.sort((one, other) => area(one.box) - area(other.box)));
    if (chosen !== null) image.overlay.querySelector(".on")?.focus({ preventScroll: true });
  }

  function showWord(word) {
    for (const [k, button] of buttons) {
      button.setAttribute("aria-pressed", String(k === word));
      button.style.removeProperty("--heat");
    }
    const share = ({ regions }) => sum(regions.map((region) => toRegions[word][region]));
    const shares = boxes.map(share);
    const best = most(shares);
    draw({ heats: boxes.map((one, k) => glow(shares[k], evenOf(one))), named: best.map(([k]) => k) });
    const even = evenOf(best.length ? boxes[best[0][0]] : whole);
    const parts = [...best.map(([k, value]) => `box ${boxes[k].name} (${percent(value)})`), `the whole image (${percent(share(whole))})`];
    told.textContent = `“${buttons.get(word).textContent}” attends to ${parts.join(", ")}. A uniform share would be ${percent(even)}.`;
  }

  function showBox(place) {
    const { regions, name } = boxes[place];
    const shares = words.map((_, k) => sum(regions.map((region) => toWords[region][k])) / regions.length);
    for (const [k, button] of buttons) {
      button.setAttribute("aria-pressed", "false");
      button.style.setProperty("--heat", glow(shares[k], 1 / words.length));
    }
    draw({ chosen: place });
    const best = most(shares.map((share, k) => (buttons.has(k) ? share : -1)));
    const parts = best.map(([k, value]) => `“${buttons.get(k).textContent}” (${percent(value)})`);
    told.textContent = `Box ${name} attends to ${parts.join(", ")}. A uniform share would be ${percent(1 / words.length)}.`;
  }

  // Chosen by how concentrated its attention is, not by what it is on.
  const first = mostConcentrated(shown.filter((k) => !words[k].startsWith("[")), toRegions);
  if (first === undefined) draw({});
  else showWord(first);
  return el(
    "section",
    { class: "attention", "aria-label": "Attention" },
    el("h3", {}, "Attention"),
    note && el("p", {}, note),
    el("p", {}, "Select a word to see the boxes that it attends to, or a box in the image to see its words."),
    el("div", { class: "words", role: "group", "aria-label": "Words" }, ...buttons.values()),
    told,
    el("p", { class: "tip" }, "Attention shows where the model looked, not why it answered so. A word may attend to other things than the one it names. Highlighted ones get more than a uniform share. The view opens with the word whose attention is the most concentrated."),
    el("button", { type: "button", class: "plain", click: restore }, "Back to the answer"),
  );
}
