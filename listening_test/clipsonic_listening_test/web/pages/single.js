/**
 * One stimulus (absolute category rating). A scale of few steps is radio buttons, best on top; a fine one is a slider.
 */

import { stepsOf, wordOf } from "../widgets/scale.js";
import { mountChoosing } from "./choosing.js";
import { mountSliders } from "./sliders.js";

/** @import {Mount} from "../types.js" */

/** More steps than these are a slider. */
const MOST_RADIOS = 11;

/** @type {Mount} */
export function mount(root, page, context) {
  const { t } = context;
  if (page.attributes.some(({ scale }) => stepsOf(scale).length > MOST_RADIOS)) return mountSliders(root, page, context, { onlyHeard: false });
  const [{ token }] = page.stimuli;
  const questions = page.attributes.map(({ id, scale, question }) => ({
    id,
    question,
    options: stepsOf(scale)
      .reverse()
      .map((score) => ({ value: String(score), text: wordOf(scale, score, t) ?? t("rating.number", { n: score }), note: t("rating.number", { n: score }) })),
  }));
  return mountChoosing(root, page, context, {
    questions,
    kind: "choices-scale",
    whole: "problems.this_sound",
    part: ({ value, missing }) => ({
      ratings: questions.map((question) => {
        const score = value(question);
        return { token, attribute: question.id, score: missing === null && score !== null ? Number(score) : null, missing };
      }),
    }),
  });
}
