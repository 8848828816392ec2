/**
 * MUSHRA (ITU-R BS.1534-3): a mentioned reference, and the stimuli with the hidden reference and the anchors among
 * them. Only the slider of what is heard can be moved.
 */

import { mountSliders } from "./sliders.js";

/** @import {Mount} from "../types.js" */

/** @type {Mount} */
export function mount(root, page, context) {
  return mountSliders(root, page, context, { onlyHeard: true });
}
