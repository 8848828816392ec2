/**
 * Every type of page and the module that shows it. Imported at the start: a page must not fail to come because the
 * network went meanwhile.
 */

import { mount as abx } from "./pages/abx.js";
import { mount as consent } from "./pages/consent.js";
import { mount as finish } from "./pages/finish.js";
import { mount as headphones } from "./pages/headphones.js";
import { mount as instructions } from "./pages/instructions.js";
import { mount as multi } from "./pages/multi.js";
import { mount as mushra } from "./pages/mushra.js";
import { mount as pair } from "./pages/pair.js";
import { mount as pause } from "./pages/pause.js";
import { mount as questionnaire } from "./pages/questionnaire.js";
import { mount as single } from "./pages/single.js";
import { mount as volume } from "./pages/volume.js";

/** @import {Mount, PageType} from "./types.js" */

/** @type {Readonly<Record<PageType, Mount>>} */
export const MODULES = Object.freeze({
  abx,
  consent,
  finish,
  headphones,
  instructions,
  multi,
  mushra,
  pair,
  pause,
  questionnaire,
  single,
  volume,
});
