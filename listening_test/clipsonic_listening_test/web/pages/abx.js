/**
 * A, B and X, which is the same as one of them: which?
 */

import { mountChoosing } from "./choosing.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, context) {
  const { t } = context;
  const question = page.pair?.questions[0] ?? "x";
  const options = page.stimuli.filter(({ label }) => label !== "X").map(({ token, label }) => ({ value: token, text: t("abx.is", { which: label }) }));
  const questions = [{ id: question, question, options }];
  return mountChoosing(root, page, context, {
    questions,
    kind: "choices-pair",
    whole: "problems.these_sounds",
    part: ({ value, missing }) => ({ choices: [{ question, choice: missing === null ? value(questions[0]) : null, missing }] }),
  });
}
