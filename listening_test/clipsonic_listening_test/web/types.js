/**
 * Types of what server and browser say to each other. Nothing runs here: the other modules import the names for
 * `tsc --checkJs`.
 *
 * @typedef {"consent"|"headphones"|"volume"|"instructions"|"mushra"|"multi"|"single"|"pair"|"abx"|"questionnaire"|"pause"|"finish"} PageType
 * @typedef {"complete"|"no_consent"|"screened_out"|"failed_checks"|"technical"|"withdraw"} Outcome
 *
 * @typedef {{low: number, high: number, step: number, words: string}} Scale  Words of the scale are the catalogue's `scale.<words>.<n>`, n = 0 lowest.
 * @typedef {{id: string, scale: Scale, question: string}} Attribute
 * @typedef {{token: string, url: string}} Sound
 * @typedef {{token: string, label: string, url: string, peaks?: number[]|null}} Stimulus
 * @typedef {{url: string}} Medium
 * @typedef {{text: string|null, lang: string|null, image: Medium|null, video: Medium|null}} Prompt
 * @typedef {{heard_s: number, coverage: number, rate_all: boolean, one_at_top: boolean}} Require
 * @typedef {{label: string, below: number}} Instructed
 * @typedef {{questions: string[], tie: boolean}} Pair
 * @typedef {{stimuli: Sound[]}} HeadphoneTrial
 * @typedef {{value: string, label: string}} Option
 * @typedef {{field: string, equals: string|number|boolean}} ShowIf
 * @typedef {{id: string, type: "text"|"long_text"|"number"|"choice"|"multiple"|"likert", label: string, optional: boolean,
 *   options: Option[]|null, min: number|null, max: number|null, show_if: ShowIf|null}} Field
 * @typedef {string|number|boolean|string[]|null} FieldValue
 *
 * @typedef {object} PageView
 * @property {string} key  random, of this session's page
 * @property {PageType} type
 * @property {"fidelity"|"relevance"|null} pass
 * @property {boolean} training
 * @property {number} index
 * @property {string|null} title
 * @property {string|null} text  Markdown subset in the session's language
 * @property {Prompt|null} prompt
 * @property {Attribute[]} attributes
 * @property {Sound|null} reference
 * @property {Stimulus[]} stimuli
 * @property {"sync"|"restart"|"resume"|null} switching
 * @property {boolean|null} loop
 * @property {number[]|null} waveform
 * @property {Require|null} require
 * @property {Instructed|null} instructed
 * @property {Field[]|null} fields
 * @property {HeadphoneTrial[]|null} headphones
 * @property {number} attempt
 * @property {Pair|null} pair
 * @property {any} draft  what the page module's `draft()` gave
 *
 * @typedef {{url: string, fields: Record<string, string>}} PostBack
 * @typedef {{outcome: Outcome, code: string|null, return_url: string|null, mturk: PostBack|null}} Finish
 * @typedef {{id: string, title: string, name: string, languages: string[], language: string, rate_hz?: number, preset?: string}} StudyView
 *
 * @typedef {object} State
 * @property {string} participant  short public code
 * @property {number} version
 * @property {Outcome|null} finished
 * @property {{done: number, total: number}} progress
 * @property {PageView|null} page
 * @property {{urls: string[]}|null} next
 * @property {boolean} owned  whether this tab may save
 * @property {StudyView} study
 * @property {Finish|null} finish
 * @property {number|null} [volume]  gain of the last stored volume page
 *
 * @typedef {{token: string, attribute: string, score: number|null, missing: "cannot_play"|"prefer_not"|null}} Rating
 * @typedef {{question: string, choice: string|null, missing: "cannot_play"|"prefer_not"|null}} Choice
 * @typedef {{token: string, plays: number, seconds_heard: number, coverage: number, first_play_ms: number|null, last_move_ms: number|null}} Listening
 * @typedef {[number, string, string|null, number|null]} Event
 *
 * @typedef {object} AnswerPart  what a page module knows of the answer
 * @property {boolean|null} [consent]
 * @property {number|null} [volume]
 * @property {Rating[]} [ratings]
 * @property {Choice[]} [choices]
 * @property {string[]|null} [headphones]
 * @property {Record<string, FieldValue>|null} [fields]
 * @property {Listening[]} [listening]
 * @property {Event[]} [events]
 * @property {{drift_ms?: number, rate_hz?: number, gain?: number}} [client]
 *
 * @typedef {object} Answer
 * @property {1} schema
 * @property {string} key
 * @property {number} attempt
 * @property {number} page_ms
 * @property {boolean|null} consent
 * @property {number|null} volume
 * @property {Rating[]} ratings
 * @property {Choice[]} choices
 * @property {string[]|null} headphones
 * @property {Record<string, FieldValue>|null} fields
 * @property {Listening[]} listening
 * @property {Event[]} events
 * @property {{hidden_ms: number, drift_ms: number|null, rate_hz: number|null, gain: number|null, output_latency_s: number|null, max_channels: number|null}} client
 *
 * @typedef {{seq: number, page_ms: number, page: any}} Draft
 *
 * @typedef {{plays: number, seconds_heard: number, coverage: number, first_play_ms: number|null}} Heard
 *
 * @typedef {import("./engine/engine.js").Engine} Engine
 * @typedef {import("./engine/trial.js").Trial} Trial
 *
 * @typedef {object} Context  what a page module is given
 * @property {(key: string, values?: Record<string, string|number>) => string} t
 * @property {string} language
 * @property {"ltr"|"rtl"} direction
 * @property {string|null} preset  of the study
 * @property {Engine} engine
 * @property {() => void} onChange
 * @property {(kind: string, token: string|null, detail: string) => void} problem
 * @property {() => number} now  milliseconds on this page, reloads included
 *
 * @typedef {object} Mounted  what a page module's `mount` returns
 * @property {() => AnswerPart} answer
 * @property {() => string[]} missing  what Next still needs, one line each
 * @property {() => any} draft
 * @property {() => void} destroy
 *
 * @typedef {(root: HTMLElement, page: PageView, context: Context) => Mounted} Mount
 */

export {};
