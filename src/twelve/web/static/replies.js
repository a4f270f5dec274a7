// How replies are shown: a headline and a ranking.

import { el, percent, ranking } from "./dom.js";

const RANKED = 5;
const LITTLE = 0.0095; // less is not shown as 1%
const CLOSE = 0.05; // percentages that differ by less are almost equal ...
const LARGE = 0.8; // ... unless they are so small that one is much less than the other
const NOT_CALIBRATED = "Not calibrated: compare these percentages with each other, do not read them as probabilities.";
const UNRELIABLE = "These percentages are not reliable here: see the warning above.";
const FOLLOWS = { entailment: "Yes, it follows", neutral: "The image does not tell", contradiction: "No, it contradicts" };

/** A label in plain words, followed by the label itself in small print. */
const judged = (label) => (label in FOLLOWS ? [`${FOLLOWS[label]} `, el("small", {}, label)] : [label]);

/** A headline, followed by the confidence of what it says in small print. */
const withConfidence = (text, confidence) => [`${text} `, el("small", {}, percent(confidence))];

/** An answer or a label in plain words. */
export const inWords = (value) => FOLLOWS[value] ?? value;

/** The best value and its alternatives, without those of less than 1%; at least the best alternative. */
const worthShowing = (rows) => rows.filter(([, share], place) => place < 2 || share >= LITTLE);

/**
 * A ranking below a line that says that its two best rows are almost equal, if they are.
 * @param rows [name, share], best first
 * @param below what stands below the ranking
 */
export function ranked(list, rows, below = null) {
  const [[, first] = [], [second, share] = []] = rows;
  const tie = first - share < CLOSE && share >= LARGE * first;
  const said = tie ? el("p", { class: "tip tie" }, `Almost a tie with ${second}.`) : null;
  return said || below ? el("div", {}, said, list, below) : list;
}

export function answered(told) {
  const rows = told.alternatives.map(({ answer, confidence }) => [answer, confidence]);
  const list = ranking(worthShowing(rows), "Answers, best first");
  return [withConfidence(told.answer, told.confidence), ranked(list, rows.map(([answer, confidence]) => [`“${answer}”`, confidence]))];
}

export function entailed({ label, confidence, alternatives }) {
  const rows = alternatives.map(({ label, confidence }) => [label, confidence]);
  return [
    withConfidence(inWords(label), confidence),
    ranked(
      ranking(worthShowing(rows).map(([label, confidence]) => [judged(label), confidence]), "Ranked"),
      rows.map(([label, confidence]) => [`“${inWords(label)}”`, confidence]),
    ),
  ];
}

export function verified({ verdict: so, confidence }) {
  const rows = [[so ? "true" : "false", confidence], [so ? "false" : "true", 1 - confidence]];
  return [withConfidence(so ? "True" : "False", confidence), ranked(ranking(rows, "Ranked"), rows.map(([name, share]) => [`“${name}”`, share]))];
}

/** A box of image.called or of the candidates in words. */
function placed({ number, name }) {
  if (!number) return name;
  const label = name.slice(number.length).trim();
  return !label || label.startsWith("(") ? `box ${number} ${label}`.trim() : `${label} (box ${number})`;
}

/** Below a ranking of boxes: that the best one is the only one of at least 1%. */
const noOther = (alone) => (alone ? el("p", { class: "tip none" }, "No other box has 1% or more.") : null);

/** The best box, and others of at least 1%. */
const worthDrawing = ({ confidence }, place) => !place || confidence >= LITTLE;

/** Also draws the boxes, with the same numbers as the rows: the best one, and others of at least 1%. */
export function located(told, image) {
  const best = told.alternatives.slice(0, RANKED).filter(worthDrawing).map((each) => ({ ...each, ...image.called(each.box) }));
  image.show(best.map(({ box, number }, k) => ({ box, kind: told.box && k === 0 ? "best" : "other", text: number })));
  const list = ranking(best.map((one) => [placed(one), one.confidence, one.box]), "Boxes, best first", (box) => image.point(box));
  return [
    told.box
      ? withConfidence(`${told.unlikely ? "Probably not in the image. Closest" : "Found"}: ${placed(best[0])}`, told.confidence)
      : `Not in the image (at most ${percent(told.confidence)})`,
    ranked(list, told.box ? best.map((one) => [placed(one), one.confidence]) : [], noOther(best.length === 1 && told.alternatives.length > 1)),
  ];
}

/**
 * Each box has its own confidence, as in the other tabs: a share of the choice would be a second number for the same box.
 * @param sent the candidates of the request; the reply contains their indices
 */
export function chosen(told, sent, image) {
  const rows = told.alternatives.slice(0, 8).filter(worthDrawing).map(({ index, box, confidence }) => [placed(sent[index]), confidence, box]);
  const list = ranking(rows, "Boxes, best first", (box) => image.point(box));
  return [
    withConfidence(`Found: ${placed(sent[told.index])}`, told.confidence),
    ranked(
      list,
      told.alternatives.map(({ index, confidence }) => [placed(sent[index]), confidence]),
      noOther(rows.length === 1 && told.alternatives.length > 1),
    ),
  ];
}

/** Method -> what is correct or not. */
const JUDGED = { answer: "answer", entails: "verdict", verify: "verdict", locate: "box", choose: "box", guess: "box" };
/** Methods whose percentages are independent of each other. */
const APART = ["answer", "locate", "choose", "guess"];
/** Share of the best answer's confidence from which the model is undecided between two answers (CLOSE in result.py). */
const UNDECIDED = 0.75;

/**
 * A sentence that says what the percentages of a reply are, so that nobody takes them for one another.
 * @param meaningless whether the reply may be
 */
export function meaning(method, { calibrated, alternatives = [] }, meaningless = false) {
  if (!calibrated) return NOT_CALIBRATED;
  if (meaningless) return UNRELIABLE;
  if (method === "match" || method === "search") return "Each percentage estimates the probability that the caption describes this image, if it describes exactly one of the images.";
  const apart = APART.includes(method) && alternatives.reduce((sum, { confidence }) => sum + confidence, 0) > 1.005;
  const undecided = apart && method === "answer" && alternatives[1].confidence >= UNDECIDED * alternatives[0].confidence;
  return `Each percentage estimates the probability that this ${JUDGED[method]} is correct${apart ? "; their sum may exceed 100%" : ""}.${undecided ? " The model is undecided." : ""}`;
}
