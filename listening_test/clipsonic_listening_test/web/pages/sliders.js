/**
 * Stimuli rated side by side: what `mushra` and `multi` have in common. More than one attribute (both passes on one
 * page) gives a panel for each.
 */

import { createFrame } from "../widgets/frame.js";
import { listOf } from "../widgets/list.js";
import { createPanel } from "../widgets/panel.js";
import { createProblems } from "../widgets/problems.js";
import { questionOf } from "../widgets/question.js";

/** @import {Context, Mounted, PageView} from "../types.js" */

/**
 * @param {HTMLElement} root
 * @param {PageView} page
 * @param {Context} context
 * @param {{onlyHeard: boolean}} rules  onlyHeard: only the slider of what is heard can be moved
 * @returns {Mounted}
 */
export function mountSliders(root, page, context, { onlyHeard }) {
  const { t, language } = context;
  const frame = createFrame(root, page, context, {
    show,
    chosen: (token) => at().focus(token),
    score(by) {
      const token = frame.desk.trial?.selected;
      if (token) at().step(token, by);
    },
  });
  const { desk, body } = frame;
  const panels = page.attributes.map((attribute) => createPanel(desk, page, attribute, context, onlyHeard));
  const subjects = page.stimuli.map(({ token, label }) => ({ token, text: t("problems.sound", { which: label }) }));
  const problems = createProblems(desk, subjects, context, (token, reason) => desk.setMissing(token, reason));
  body.append(...panels.map((panel) => panel.element), frame.transport, problems.element);
  show();

  /** The panel that has the focus, else the first. */
  function at() {
    return panels.find((panel) => panel.element.contains(document.activeElement)) ?? panels[0];
  }

  function show() {
    for (const panel of panels) panel.show();
    problems.show();
  }

  return {
    answer: () => ({ ratings: panels.flatMap((panel) => panel.ratings()), ...desk.answer() }),
    missing() {
      const lines = desk.unheard();
      panels.forEach((panel, index) => {
        const { scale, question } = page.attributes[index];
        const unrated = panel.unrated();
        // Which of several panels is meant, is told by its question.
        const of = panels.length > 1 ? `${questionOf(page, question, t).question} ` : "";
        if (page.require?.rate_all !== false && unrated.length) lines.push(of + t("missing.rated", { which: listOf(unrated, language) }));
        else if (page.require?.one_at_top && !unrated.length && !panel.atTop()) lines.push(of + t("missing.one_at_top", { n: scale.high }));
      });
      return lines;
    },
    draft: () => ({ desk: desk.draft(), scores: Object.fromEntries(panels.map((panel, index) => [page.attributes[index].id, panel.draft()])) }),
    destroy() {
      frame.destroy();
      for (const panel of panels) panel.destroy();
    },
  };
}
