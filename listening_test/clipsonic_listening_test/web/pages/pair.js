/**
 * Two stimuli and for each question one of them, or neither where a tie is allowed.
 */

import { mountChoosing } from "./choosing.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, context) {
  const { t } = context;
  const { questions: asked, tie } = page.pair ?? { questions: [], tie: false };
  const options = page.stimuli.map(({ token, label }) => ({ value: token, text: label }));
  if (tie) options.splice(1, 0, { value: "tie", text: t("pair.tie") });
  const questions = asked.map((question) => ({ id: question, question, options }));
  return mountChoosing(root, page, context, {
    questions,
    kind: "choices-pair",
    whole: "problems.this_pair",
    part: ({ value, missing }) => ({
      choices: questions.map((question) => ({ question: question.id, choice: missing === null ? value(question) : null, missing })),
    }),
  });
}
