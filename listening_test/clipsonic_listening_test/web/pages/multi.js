/**
 * Stimuli side by side without a mentioned reference (cf. ITU-R BS.2132), judged by themselves or against a prompt.
 */

import { mountSliders } from "./sliders.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, context) {
  return mountSliders(root, page, context, { onlyHeard: false });
}
