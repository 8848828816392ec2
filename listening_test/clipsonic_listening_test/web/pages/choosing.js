/**
 * Questions with radio buttons below large players: what `single` (on a scale of few steps), `pair` and `abx` have in
 * common.
 */

import { h } from "../dom.js";
import { createChoices } from "../widgets/choices.js";
import { createFrame } from "../widgets/frame.js";
import { eitherOf } from "../widgets/list.js";
import { createPlayer } from "../widgets/player.js";
import { createProblems } from "../widgets/problems.js";
import { questionOf } from "../widgets/question.js";

/** @import {AnswerPart, Context, Mounted, PageView} from "../types.js" */
/** @import {Missing} from "../widgets/desk.js" */

/**
 * @typedef {object} Question
 * @property {string} id
 * @property {string} question  key of the catalogue: `question.<question>`
 * @property {{value: string, text: string, note?: string}[]} options
 *
 * @typedef {object} Chosen  of all questions
 * @property {(question: Question) => string|null} value
 * @property {Missing|null} missing  why there is no answer to any of them
 */

/**
 * @param {HTMLElement} root
 * @param {PageView} page
 * @param {Context} context
 * @param {object} rules
 * @param {Question[]} rules.questions
 * @param {string} rules.kind  class of the questions
 * @param {string} rules.whole  key of the catalogue for what may be impossible to judge
 * @param {(chosen: Chosen) => AnswerPart} rules.part
 * @returns {Mounted}
 */
export function mountChoosing(root, page, context, { questions, kind, whole, part }) {
  const { t } = context;
  const frame = createFrame(root, page, context, { show, score: step });
  const { desk, body } = frame;
  const players = page.stimuli.map(({ token }) => createPlayer(desk, token, context, "stimulus-play big"));
  const groups = questions.map(({ question, options }) =>
    createChoices({
      ...questionOf(page, question, t),
      options,
      kind,
      onChoose(value) {
        // What is rated is the one stimulus; a choice may name it.
        const token = page.stimuli.length === 1 ? page.stimuli[0].token : null;
        if (token !== null) desk.move(token, Number(value));
        else desk.chose(value);
      },
    }),
  );
  questions.forEach(({ id }, index) => groups[index].set(page.draft?.choices?.[id] ?? null));
  // The judgement of a page is one: its sounds are missing together.
  const first = page.stimuli[0].token;
  const problems = createProblems(desk, [{ token: first, text: t(whole) }], context, (token, reason) => desk.setMissing(token, reason));
  const { instructed } = page;
  const wanted = questions[0]?.options.filter(({ value }) => instructed && Number(value) < instructed.below) ?? [];
  const answer = eitherOf(wanted.map(({ text }) => text), context.language);
  const check = instructed && h("p", { class: "instructed" }, t("rating.instructed_choice", { answer }));
  const all = h("div", { class: "players" }, ...players.map((player) => player.element));
  body.append(all, frame.transport, ...(check ? [check] : []), ...groups.map((group) => group.element), problems.element);
  show();

  /** @returns {Missing|null} */
  function missing() {
    return page.stimuli.some(({ token }) => desk.failed.has(token)) ? "cannot_play" : desk.missing.get(first) ?? null;
  }

  function show() {
    const reason = missing();
    for (const player of players) player.show();
    for (const group of groups) group.setEnabled(reason === null);
    problems.show();
  }

  /** @param {number} by  one answer up or down, of the first question */
  function step(by) {
    const { options } = questions[0];
    const group = groups[0];
    const at = options.findIndex(({ value }) => value === group.value());
    const to = options[Math.min(options.length - 1, Math.max(0, at < 0 ? Math.floor(options.length / 2) : at - Math.sign(by)))];
    if (missing() === null) group.choose(to.value);
  }

  return {
    answer: () => ({ ...part({ value: (question) => groups[questions.indexOf(question)].value(), missing: missing() }), ...desk.answer() }),
    missing() {
      if (missing() !== null) return [];
      const lines = desk.unheard();
      const open = groups.some((group) => group.value() === null);
      if (open) lines.push(t(questions.length > 1 ? "missing.choices" : "missing.choice"));
      return lines;
    },
    draft: () => ({ desk: desk.draft(), choices: Object.fromEntries(questions.map(({ id }, index) => [id, groups[index].value()])) }),
    destroy: () => frame.destroy(),
  };
}
