/**
 * What all rating pages have in common: the pinned prompt, the state of the sound, the transport, the keys; the page
 * itself adds what is asked.
 */

import { h } from "../dom.js";
import { Desk } from "./desk.js";
import { createKeys } from "./keys.js";
import { createPrompt } from "./prompt.js";
import { createTransport } from "./transport.js";

/** @import {Context, PageView} from "../types.js" */

/**
 * @typedef {object} Frame
 * @property {Desk} desk
 * @property {HTMLElement} body  where the page puts its questions, and the transport between them
 * @property {HTMLElement} transport
 * @property {() => void} destroy
 *
 * @typedef {object} Asked  what keys do on the page, beyond the sound
 * @property {() => void} show  something has changed
 * @property {(token: string) => void} [chosen]  a stimulus was chosen by key
 * @property {(by: number) => void} [score]
 */

/**
 * @param {HTMLElement} root
 * @param {PageView} page
 * @param {Context} context
 * @param {Asked} asked
 * @returns {Frame}
 */
export function createFrame(root, page, context, asked) {
  const { text, image, video } = page.prompt ?? { text: null, image: null, video: null };
  const pinned = page.prompt && (text || image || video) ? createPrompt(page.prompt, context) : null;
  const desk = new Desk(page, context, { onChange: changed, onTick: show });
  const keys = createKeys(page, context, act);
  const transport = createTransport(desk, page, context, keys.open);
  const body = h("div", { class: "rating-body" }, desk.notice.element);
  // With a picture the prompt has a column of its own where there is room.
  const look = !pinned ? "no" : image || video ? "picture" : "text";
  const whole = h("div", { class: `rating-page rating-${page.type}`, "data-prompt": look }, pinned?.element, body);
  root.append(whole);
  // How much of the screen the prompt takes from what is scrolled below it; beside it, it takes nothing.
  const fitted = new ResizeObserver(() => {
    const above = pinned && pinned.element.offsetWidth > whole.clientWidth / 2;
    whole.style.setProperty("--pinned", `${above ? pinned.element.offsetHeight : 0}px`);
  });
  if (pinned) fitted.observe(pinned.element);

  function show() {
    const { trial } = desk;
    transport.show();
    pinned?.follow(trial?.playing ? trial.position(trial.playing) : null);
    asked.show();
  }

  function changed() {
    show();
    context.onChange();
  }

  /** @param {import("./keymap.js").Action} action */
  function act(action) {
    const { trial } = desk;
    if (!trial) return;
    const order = page.stimuli.map(({ token }) => token);
    const at = order.indexOf(trial.selected ?? "");
    const [from, to] = trial.region(trial.chosen());
    const here = trial.position(trial.chosen());
    switch (action.kind) {
      case "reference":
        if (page.reference) desk.play(page.reference.token);
        break;
      case "stimulus":
        choose(order[action.index]);
        break;
      case "move": {
        // Left and right are the screen's.
        const by = context.direction === "rtl" ? -action.by : action.by;
        choose(order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length]);
        break;
      }
      case "score":
        asked.score?.(action.by);
        break;
      case "toggle":
        desk.toggle();
        break;
      case "stop":
        trial.stop();
        break;
      case "loop_start":
        if (page.loop) trial.setLoop(here, Math.max(to, here));
        break;
      case "loop_end":
        if (page.loop) trial.setLoop(from, here);
        break;
      case "reset_start":
        if (page.loop) trial.setLoop(0, to);
        break;
      case "reset_end":
        if (page.loop) trial.setLoop(from, trial.duration(trial.chosen()));
        break;
    }
  }

  /** @param {string|undefined} token */
  function choose(token) {
    if (token === undefined) return;
    desk.play(token);
    asked.chosen?.(token);
  }

  return {
    desk,
    body,
    transport: transport.element,
    destroy() {
      fitted.disconnect();
      keys.destroy();
      desk.destroy();
    },
  };
}
