/**
 * The listening test in a browser: session, page, answer, next page.
 *
 *   boot -> connecting -> page <-> saving -> ... -> finished
 *                          |  another tab has the session: elsewhere -> take over -> page
 *                          |  the server refuses for good: expired, refused, broken
 *
 * An answer is stored in this browser before it is sent and forgotten when the server has acknowledged it (outbox.js,
 * delivery.js); the last screen says thank you only to a state that the server calls finished, with nothing left waiting.
 */

import { ApiError, createApi } from "./api.js";
import { backOff, createPatience, deliver } from "./delivery.js";
import { chooseLanguage, createTranslator, loadCatalogue, NAMES } from "./i18n.js";
import { openOutbox } from "./outbox.js";
import { createSheet } from "./sheet.js";
import { showFinish } from "./pages/finish.js";
import { clientOf, isFramed, parametersOf } from "./surroundings.js";
import { download, showOptions, showScreen } from "./screens.js";
import { createSound } from "./sound.js";
import { recall, remember } from "./storage.js";
import { joinTabs } from "./tabs.js";
import { createView } from "./view.js";

/** @import {Entry} from "./outbox.js" */
/** @import {Screen} from "./screens.js" */
/** @import {Sheet} from "./sheet.js" */
/** @import {State} from "./types.js" */

/** Refusals of an answer that say the server is past that page: it holds one, or wants none any more. */
const SETTLED = new Set(["locked", "finished"]);
/** Refusals that only say where the session stands. */
const ASTRAY = new Set([...SETTLED, "not_current"]);

/** Refusals of a session. @type {ReadonlyMap<string, Screen>} */
const SCREENS = new Map([
  ["preview", "preview"],
  ["repeat_participation", "repeat"],
  ["panel_id", "panel"],
  ["full", "full"],
]);

/** Whose session this browser had last. */
const OWNER = "clipsonic.owner";

const asked = parametersOf(location.search);
const tabs = await joinTabs();
const api = createApi(tabs.name);
const outbox = await openOutbox();
const patience = createPatience();
const view = createView({ onNext: () => void next(), onLanguage: (code) => void changeLanguage(code), onOptions: openOptions });
const sound = createSound();

/** @type {import("./view.js").Translate} */
let t = (key) => key;
let language = "";
/** @type {State|null} */
let state = null;
/** @type {Sheet|null} */
let sheet = null;
let busy = false;
/** Answers that wait for the server; those of a browser without storage are only here. @type {Map<string, Entry>} */
const waiting = new Map();

/** @param {string} code */
async function speak(code) {
  if (code === language) return;
  const load = () =>
    loadCatalogue(code).catch((error) => {
      throw new ApiError(0, "network", String(error));
    });
  const catalogue = await persist(load, () => {}); // without it there are no words to say so
  t = createTranslator(catalogue);
  language = code;
  view.setLanguage(t, code, catalogue.direction);
}

/**
 * Do it until it succeeds or fails for good, with a screen or notice meanwhile.
 * @template T
 * @param {() => Promise<T>} action
 * @param {() => void} onFirstFailure
 * @returns {Promise<T>}
 */
async function persist(action, onFirstFailure) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ApiError) || !error.passing) throw error;
      if (tries === 1) onFirstFailure();
      await patience.wait(backOff(tries, error.retryAfter));
    }
  }
}

/** @param {string} code  language wanted */
async function open(code) {
  const reply = await api.start({ parameters: asked.parameters, language: code, client: clientOf(sound.engine) });
  state = reply.state;
  return reply.state;
}

async function connect() {
  const opened = await persist(
    () => open(language),
    () => showScreen(view, t, "connecting", [{ label: t("shell.try"), run: patience.wake, primary: true }]),
  );
  if (!opened.owned && opened.finished === null && (await tabs.alone()) && recall(OWNER) === opened.participant)
    return persist(api.takeOver, () => {}); // the tab that had it is gone
  return opened;
}

/** Bring home what an earlier visit left behind. @param {State} opened */
async function flush(opened) {
  let latest = opened;
  const left = (await outbox.all()).filter((entry) => entry.participant === opened.participant);
  for (const entry of left) {
    try {
      latest = await send(entry);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.kind === "open_elsewhere") throw error;
      if (SETTLED.has(error.kind)) await settle(entry);
      else if (ASTRAY.has(error.kind)) waiting.delete(entry.id); // its turn may come
    }
  }
  return latest;
}

/**
 * @param {Entry} entry
 * @returns {Promise<State>}
 */
async function send(entry) {
  waiting.set(entry.id, entry);
  const renew = async () => {
    const { participant } = await open(language);
    // Another session would not take it, and must not: it stays here, to be downloaded.
    if (participant !== entry.participant) throw new ApiError(409, "session_lost", "the session's cookie is gone");
  };
  const reply = await deliver(entry, { api, patience, renew, onWait: showWaiting });
  await settle(entry);
  return reply;
}

/** @param {Entry} entry */
async function settle(entry) {
  waiting.delete(entry.id);
  await outbox.remove(entry.id).catch(() => {});
  if (waiting.size === 0) view.setNotice("waiting", null);
}

function showWaiting() {
  if (!view.main.hasChildNodes()) showScreen(view, t, "connecting");
  view.setNotice("waiting", {
    tone: "warn",
    text: t("shell.waiting", { n: waiting.size }),
    actions: [
      { label: t("shell.try"), run: patience.wake },
      { label: t("shell.download"), run: () => void saveFile() },
    ],
  });
}

/** The last resort: `clipsonic-listen import-answers` takes this file. */
async function saveFile() {
  const participant = [...waiting.values()][0]?.participant ?? state?.participant ?? null;
  const kept = await outbox.all().catch(() => []);
  const entries = new Map([...kept, ...waiting.values()].map((entry) => [entry.id, entry]));
  const answers = [...entries.values()].filter((entry) => entry.participant === participant).map((entry) => entry.answer);
  download({ schema: 1, kind: "answers", study: state?.study.id ?? null, participant, answers }, `answers-${participant}.json`);
}

/** Show what the server says is next. @param {State} now */
async function show(now) {
  state = now;
  sheet?.close(sheet.page.key !== now.page?.key || sheet.page.attempt !== now.page.attempt);
  sheet = null;
  busy = false;
  await speak(now.study.language);
  view.setBusy(false);
  view.setStudy(now.study.title, now.study.languages, language);
  view.setOptions(now.owned && now.finished === null);
  const fill = now.page?.type === "finish" || now.finish ? null : now.progress;
  view.setProgress(t, now.owned ? fill : null);
  if (now.finish ?? now.finished) {
    view.setNext(null);
    showFinish(view, t, now, waiting.size === 0 ? null : () => void saveFile());
  } else if (!now.owned) {
    showScreen(view, t, "elsewhere", [{ label: t("screen.elsewhere.take"), run: () => void takeOver(), primary: true }]);
  } else if (now.page) {
    remember(OWNER, now.participant);
    sheet = createSheet({ view, t, language, state: now, page: now.page, api, sound, onDraftError, report });
    if (now.page.type === "finish") await next();
    else if (now.next) sound.engine.preload(now.next.urls);
  } else {
    showScreen(view, t, "broken", [{ label: t("shell.reload"), run: () => location.reload(), primary: true }]);
  }
}

/** Next was pressed. */
async function next() {
  const on = sheet;
  if (busy || on === null || state === null) return;
  const lines = on.missing();
  view.setMissing(lines);
  if (lines.length) return;
  busy = true;
  view.setBusy(true);
  const answer = on.answer();
  /** @type {Entry} */
  let entry;
  try {
    entry = await outbox.put(state.participant, answer);
    view.setNotice("storage", null);
  } catch {
    entry = { id: answer.key, participant: state.participant, answer, savedAt: new Date().toISOString() };
    view.setNotice("storage", { tone: "warn", text: t("shell.nostorage"), actions: [] });
  }
  on.silence();
  try {
    await show(await send(entry));
  } catch (error) {
    await refuse(error);
  }
}

/** What to do when the server will not have it. @param {unknown} error */
async function refuse(error) {
  busy = false;
  view.setBusy(false);
  if (!(error instanceof ApiError)) {
    report("script", null, error instanceof Error ? `${error.message}\n${error.stack}` : String(error));
    console.error(error);
    return showBroken(String(error));
  }
  if (error.kind === "open_elsewhere") return show({ .../** @type {State} */ (state), owned: false, page: null });
  if (ASTRAY.has(error.kind)) {
    for (const entry of waiting.values()) {
      if (SETTLED.has(error.kind)) await settle(entry);
      else waiting.delete(entry.id);
    }
    view.setNotice("waiting", null);
    return location.reload(); // to where the server says the session stands
  }
  sheet?.close(false);
  sheet = null;
  view.setOptions(false);
  view.setProgress(t, null);
  const screen = SCREENS.get(error.kind);
  if (screen) return showScreen(view, t, screen);
  const save = waiting.size ? [{ label: t("shell.download"), run: () => void saveFile() }] : [];
  if (error.status === 410) return showScreen(view, t, "expired", save);
  report("refused", null, `${error.status} ${error.kind}: ${error.message}`);
  if (state === null) return showScreen(view, t, "refused", [], error.message);
  showBroken(error.message);
}

/** @param {string} detail */
function showBroken(detail) {
  const save = waiting.size ? [{ label: t("shell.download"), run: () => void saveFile() }] : [];
  showScreen(view, t, "broken", [{ label: t("shell.reload"), run: () => location.reload(), primary: true }, ...save], detail);
}

/** @param {unknown} error */
function onDraftError(error) {
  if (error instanceof ApiError && error.kind === "open_elsewhere" && !busy) void refuse(error);
}

async function takeOver() {
  try {
    await show(await flush(await persist(api.takeOver, showWaiting)));
  } catch (error) {
    await refuse(error);
  }
}

/** @param {string} code */
async function changeLanguage(code) {
  if (busy || state === null) return;
  sheet?.keep();
  try {
    await show(await open(code));
  } catch (error) {
    if (error instanceof ApiError && error.passing && state) view.setStudy(state.study.title, state.study.languages, language);
    else await refuse(error);
  }
}

function openOptions() {
  showOptions(t, { onReport: (detail) => report("participant", null, detail), onWithdraw: (reason) => void withdraw(reason) });
}

/** @param {"technical"|"withdraw"} reason */
async function withdraw(reason) {
  if (busy) return;
  busy = true;
  view.setBusy(true);
  sheet?.silence();
  try {
    await show(await persist(() => api.withdraw(reason), () => view.setNotice("waiting", { tone: "warn", text: t("shell.offline"), actions: [{ label: t("shell.try"), run: patience.wake }] })));
    view.setNotice("waiting", null);
  } catch (error) {
    await refuse(error);
  }
}

/**
 * Tell the study's owner; that it cannot be told must not stop the study.
 * @param {string} kind
 * @param {string|null} token
 * @param {string} detail
 */
function report(kind, token, detail) {
  void api.problem(kind, token, detail).catch(() => {});
}

function hide() {
  sheet?.hide();
  for (const entry of waiting.values()) void api.answer(entry.answer, true).catch(() => {});
}

async function boot() {
  view.setOptions(false);
  await speak(chooseLanguage(asked.language, navigator.languages, Object.keys(NAMES)));
  if (isFramed()) return showScreen(view, t, "framed", [{ label: t("screen.framed.open"), href: location.href, primary: true }]);
  addEventListener("pagehide", hide);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && hide());
  addEventListener("beforeunload", (event) => waiting.size > 0 && event.preventDefault());
  try {
    await show(await flush(await connect()));
  } catch (error) {
    await refuse(error);
  }
}

await boot();
