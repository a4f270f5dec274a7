// The attention view: a word highlights the boxes that attend to it, a box highlights the words that it attends to.

import { el, percent } from "./dom.js";
import { sameBox } from "./image.js";

const NAMED = 3;

/** The highlight of a share, from 0 to 1: none below one half. */
const glow = (share) => Math.max(0, 2 * share - 1);
const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
const mean = (numbers) => sum(numbers) / numbers.length;

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

/** The words of word pieces, each with the indices of its pieces: a piece that continues a word begins with ##. */
function whole(pieces) {
  const found = [];
  pieces.forEach((piece, k) => {
    if (piece.startsWith("##") && found.length) {
      found.at(-1).text += piece.slice(2);
      found.at(-1).pieces.push(k);
    } else found.push({ text: piece, pieces: [k] });
  });
  return found;
}

/** The word that one box attends to much more than the others do; undefined if there is none. */
function mostDistinct(places, shares) {
  const distinct = (k) => Math.max(...shares.map((row) => row[k])) - mean(shares.map((row) => row[k]));
  return shares.length ? places.map((k) => [distinct(k), k]).sort((one, other) => other[0] - one[0])[0]?.[1] : undefined;
}

/**
 * An element with the words; boxes become buttons in the image.
 * @param called box => {number, name} for users
 * @param note which of two images the attention is about
 * @param isMark (words, k) => whether word k was added by the program, not typed
 */
export function attentionView({ image, called, note = null, isMark = () => false }, found, restore) {
  const words = whole(found.words).filter(({ pieces: [first] }) => !isMark(found.words, first));
  const [, ...boxes] = placed(found.boxes);
  for (const one of boxes) Object.assign(one, called(one.box));
  // Of a word in several pieces, and of a box that is two regions, the mean.
  const shares = boxes.map(({ regions }) => words.map(({ pieces }) => mean(regions.flatMap((region) => pieces.map((k) => found.strongest[region][k])))));
  const special = ({ text }) => text.startsWith("[");
  const told = el("p", { role: "status", class: "told" });
  const buttons = words.map((word, k) =>
    el("button", { type: "button", class: special(word) ? "word special" : "word", "aria-pressed": "false", click: () => showWord(k) }, word.text),
  );

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
    buttons.forEach((button, k) => {
      button.setAttribute("aria-pressed", String(k === word));
      button.style.removeProperty("--heat");
    });
    const own = shares.map((row) => row[word]);
    const best = most(own);
    draw({ heats: own.map(glow), named: best.map(([k]) => k) });
    const [first, ...others] = best.map(([k, share]) => `box ${boxes[k].name} (${percent(share)})`);
    const then = others.length ? `; then ${others.join(", ")}` : "";
    told.textContent = first ? `“${words[word].text}”: most attended to by ${first}${then}.` : "There are no boxes.";
  }

  function showBox(place) {
    buttons.forEach((button, k) => {
      button.setAttribute("aria-pressed", "false");
      button.style.setProperty("--heat", glow(shares[place][k]));
    });
    draw({ chosen: place });
    const parts = most(shares[place]).map(([k, share]) => `“${words[k].text}” (${percent(share)})`);
    told.textContent = `Box ${boxes[place].name} attends most to ${parts.join(", ")}.`;
  }

  const first = mostDistinct([...words.keys()].filter((k) => !special(words[k])), shares);
  if (first === undefined) draw({});
  else showWord(first);
  return el(
    "section",
    { class: "attention", "aria-label": "Attention" },
    el("h3", {}, "Attention"),
    note && el("p", {}, note),
    el("p", { class: "tip caution" }, "A box may attend to other words than the one that names it; attention does not explain the answer."),
    el("p", {}, "Select a word to see which boxes attend to it, or a box to see its words."),
    el("div", { class: "words", role: "group", "aria-label": "Words" }, ...buttons),
    told,
    el("p", { class: "tip" }, "The attention of boxes to words in the model's first connection. Each percentage is the largest among the attention heads, so the percentages of a box may add up to more than 100%."),
    el("button", { type: "button", class: "plain", click: restore }, "Back to the answer"),
  );
}
