// How replies are shown: a headline and a ranking.

import { el, percent, ranking } from "./dom.js";

const RANKED = 5;
const LITTLE = 0.0095; // less is not shown as 1%
const FOLLOWS = { entailment: "Yes, it follows", neutral: "The image does not tell", contradiction: "No, it contradicts" };

/** A label in plain words, followed by the label itself in small print. */
const judged = (label) => (label in FOLLOWS ? [`${FOLLOWS[label]} `, el("small", {}, label)] : [label]);

/** The best value and its alternatives, without those of less than 1%; at least the best alternative. */
const worthShowing = (rows) => rows.filter(([, share], place) => place < 2 || share >= LITTLE);

export function answered(told) {
  const list = ranking(worthShowing(told.alternatives), "Answers, best first");
  const sum = told.alternatives.reduce((sum, [, score]) => sum + score, 0);
  const apart = "Independent scores: they may add to more than 100%.";
  return [told.answer, sum > 1.005 ? el("div", {}, list, el("p", { class: "tip" }, apart)) : list];
}

export const entailed = (told) => [
  judged(told.label),
  ranking(worthShowing(told.alternatives).map(([label, share]) => [judged(label), share]), "Ranked"),
];

export function verified({ true: so, score }) {
  const rows = [[so ? "true" : "false", score], [so ? "false" : "true", 1 - score]];
  return [so ? "True" : "False", ranking(rows, "Ranked")];
}

/** A box of image.called or of the candidates in words. */
function placed({ number, name }) {
  if (!number) return name;
  const label = name.slice(number.length).trim();
  return !label || label.startsWith("(") ? `box ${number} ${label}`.trim() : `${label} (box ${number})`;
}

/** A ranking of boxes; `alone`: the best one is the only one of at least 1%. */
const bestBoxes = (list, alone) =>
  alone ? el("div", {}, list, el("p", { class: "tip none" }, "No other box has 1% or more.")) : list;

/** The best box, and others of at least 1%. */
const worthDrawing = ([, share], place) => !place || share >= LITTLE;

/** Also draws the boxes, with the same numbers as the rows: the best one, and others of at least 1%. */
export function located(told, image) {
  const best = told.alternatives.slice(0, RANKED).filter(worthDrawing).map(([box, share]) => ({ box, share, ...image.called(box) }));
  image.show(best.map(({ box, number }, k) => ({ box, kind: told.box && k === 0 ? "best" : "other", text: number })));
  const score = percent(told.score);
  const list = ranking(best.map(({ name, share, box }) => [name, share, box]), "Boxes, best first", (box) => image.point(box));
  return [
    told.box
      ? [`${told.unlikely ? "Probably not in the image. Closest" : "Found"}: ${placed(best[0])} `, el("small", {}, score)]
      : `Not in the image (at most ${score})`,
    bestBoxes(list, best.length === 1 && told.alternatives.length > 1),
  ];
}

/** @param sent the candidates of the request; the reply contains their indices */
export function chosen(told, sent, image) {
  const rows = told.shares.slice(0, 8).filter(worthDrawing).map(([place, share]) => [sent[place].name, share, sent[place].box]);
  const list = ranking(rows, "Shares of the choice", (box) => image.point(box));
  return [
    [`Found: ${placed(sent[told.index])} `, el("small", { class: "below" }, `${percent(told.shares[0][1])} among these boxes; ${percent(told.score)} sure that it is right`)],
    bestBoxes(list, rows.length === 1 && told.shares.length > 1),
  ];
}
