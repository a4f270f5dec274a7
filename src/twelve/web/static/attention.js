// What looked at what: a word shows the regions it looks at, a region shows the words it reads.

import { el, percent } from "./dom.js";

const SHOWN = 3;

/** An element with the words; regions become buttons in the picture. */
export function attentionView(picture, found, restore) {
  const { words, boxes, words_to_regions: toRegions, regions_to_words: toWords } = found;
  const told = el("p", { role: "status", class: "told" });
  const buttons = words.map((word, place) => {
    const special = word.startsWith("[") ? " special" : "";
    const joined = word.startsWith("##") ? " joined" : "";
    const attributes = { type: "button", class: `word${special}${joined}`, "aria-pressed": "false", click: () => showWord(place) };
    return el("button", attributes, word.replace(/^##/, ""));
  });

  function best(shares, name, from) {
    const order = shares.map((share, k) => [k, share]).slice(from);
    order.sort((one, other) => other[1] - one[1]);
    return order.slice(0, SHOWN).map(([k, share]) => `${name(k)} (${percent(share)})`).join(", ");
  }

  /** Region 0 is the whole picture, which has no box worth drawing. */
  function regions(heats, chosen) {
    const most = Math.max(...heats.slice(1), 1e-9);
    const least = Math.min(...heats.slice(1), most - 1e-9);
    const frames = boxes.slice(1).map((box, k) => ({
      box,
      kind: "region",
      heat: heats.length ? (0.65 * (heats[k + 1] - least)) / (most - least) : 0,
      label: `Region ${picture.name(k)}`,
      on: chosen === k + 1,
      press: () => showRegion(k + 1),
    }));
    // Small boxes lie on top, where a pointer can reach them.
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    picture.show(frames.sort((one, other) => area(one.box) - area(other.box)));
    if (chosen) picture.overlay.querySelector(".on")?.focus({ preventScroll: true });
  }

  function showWord(place) {
    buttons.forEach((button, k) => {
      button.setAttribute("aria-pressed", String(k === place));
      button.style.removeProperty("--heat");
    });
    const shares = toRegions[place];
    regions(shares, null);
    const whole = `the whole picture (${percent(shares[0])})`;
    told.textContent = `“${words[place]}” looks at region ${best(shares, (k) => picture.name(k - 1), 1)}; at ${whole}.`;
  }

  function showRegion(region) {
    const shares = toWords[region];
    const most = Math.max(...shares, 1e-9);
    buttons.forEach((button, k) => {
      button.setAttribute("aria-pressed", "false");
      button.style.setProperty("--heat", shares[k] / most);
    });
    regions([], region);
    told.textContent = `Region ${picture.name(region - 1)} reads ${best(shares, (k) => `“${words[k]}”`, 0)}.`;
  }

  regions([], null);
  return el(
    "section",
    { class: "attention", "aria-label": "What it looked at" },
    el("h3", {}, "What it looked at"),
    el("p", {}, "Choose a word to see the regions it looks at, or a region in the picture to see the words it reads."),
    el("div", { class: "words", role: "group", "aria-label": "Words" }, ...buttons),
    told,
    el("button", { type: "button", class: "plain", click: restore }, "Back to the answer"),
  );
}
