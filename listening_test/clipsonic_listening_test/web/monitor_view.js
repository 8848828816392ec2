/**
 * Draws what `monitor/data` says: figures, alerts, pages by how often each was rated, participants.
 */

import { h } from "./dom.js";

/**
 * @typedef {{page: string, type: string, pass: string|null, block: string, answered: number, held: number, dropped: number, target: number|null, mean_s: number|null}} PageRow
 * @typedef {{participant: string, group: string|null, done: number, total: number, state: string, begun_s_ago: number, seen_s_ago: number}} Participant
 * @typedef {{at_ms: number, kind: string, detail: string, participant: string|null}} Alert
 * @typedef {object} Data
 * @property {{id: string, title: string, name: string, digest: string, departures: string[]}} study
 * @property {number} now_ms
 * @property {{waiting: number, failure: string|null}} database
 * @property {{begun: number, present: number, away: number, dropped: number, of_other_versions: number}} sessions
 * @property {Record<string, number>} outcomes
 * @property {Record<string, number>} groups
 * @property {PageRow[]} pages
 * @property {Participant[]} participants
 * @property {Alert[]} alerts
 */

const NUMBERS = new Set(["Held", "Left here", "Mean time", "Begun, ago", "Seen, ago"]);
const TRIALS = new Set(["mushra", "multi", "single", "pair", "abx"]);
/** @type {Record<string, string>} */
const OUTCOMES = {
  complete: "Complete",
  no_consent: "No consent",
  screened_out: "Screened out",
  failed_checks: "Failed checks",
  technical: "Technical",
  withdraw: "Withdrew",
};

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** @param {string} label @param {number} value @param {string} note */
const tile = (label, value, note = "") =>
  h("div", { class: "tile" }, h("dt", null, label), h("dd", null, String(value), note && h("small", null, note)));

/**
 * @param {string} caption
 * @param {string[]} heads
 * @param {HTMLTableRowElement[]} rows
 */
const table = (caption, heads, rows) =>
  h(
    "div",
    { class: "table-box", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      null,
      h("caption", null, caption),
      h("thead", null, h("tr", null, ...heads.map((head) => h("th", { scope: "col", class: NUMBERS.has(head) && "number" }, head)))),
      h("tbody", null, ...rows),
    ),
  );

/**
 * The count as a heat: its share of the target, or of the most-rated trial where there is none.
 * @param {PageRow} row
 * @param {number} most
 */
function heat(row, most) {
  const cell = h("td", { class: "heat" }, String(row.answered), row.target !== null && h("small", null, ` of ${row.target}`));
  const whole = row.target ?? most;
  cell.style.setProperty("--share", String(whole ? Math.min(1, row.answered / whole) : 0));
  return cell;
}

/** @param {PageRow[]} pages */
function pageTable(pages) {
  const most = Math.max(0, ...pages.filter(({ type }) => TRIALS.has(type)).map(({ answered }) => answered));
  const rows = pages.map((row) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, row.page),
      h("td", null, row.block),
      h("td", null, row.type),
      h("td", null, row.pass ?? "–"),
      TRIALS.has(row.type) ? heat(row, most) : h("td", { class: "heat plain" }, String(row.answered)),
      h("td", { class: "number" }, String(row.held)),
      h("td", { class: row.dropped ? "number attention" : "number" }, String(row.dropped)),
      h("td", { class: "number" }, row.mean_s === null ? "–" : duration(row.mean_s)),
    ),
  );
  return table("Pages", ["Page", "Block", "Type", "Pass", "Answered", "Held", "Left here", "Mean time"], rows);
}

/** @param {Participant[]} participants */
function participantTable(participants) {
  const rows = participants.map((row) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, row.participant),
      h("td", null, row.group ?? "–"),
      h("td", null, h("progress", { class: "bar-progress", max: row.total || 1, value: row.done, "aria-label": `${row.done} of ${row.total} pages` }), ` ${row.done}/${row.total}`),
      h("td", null, h("span", { class: `state state-${row.state}` }, OUTCOMES[row.state] ?? row.state)),
      h("td", { class: "number" }, duration(row.begun_s_ago)),
      h("td", { class: "number" }, duration(row.seen_s_ago)),
    ),
  );
  return table("Participants", ["Participant", "Group", "Progress", "State", "Begun, ago", "Seen, ago"], rows);
}

/** @param {Alert[]} alerts @param {number} now */
function alertList(alerts, now) {
  return h(
    "section",
    { class: "alerts" },
    h("h2", null, "Alerts"),
    h(
      "ul",
      null,
      ...alerts.slice(0, 20).map(({ at_ms, kind, detail, participant }) =>
        h("li", null, h("strong", null, kind), " ", h("span", { dir: "auto" }, detail), h("small", null, ` ${participant ?? ""} ${duration((now - at_ms) / 1000)} ago`)),
      ),
    ),
  );
}

/** @param {Data} data */
function figures({ sessions, outcomes, groups }) {
  return h(
    "dl",
    { class: "tiles" },
    tile("Begun", sessions.begun, sessions.of_other_versions ? `${sessions.of_other_versions} more of other versions` : ""),
    tile("Present now", sessions.present),
    tile("Away", sessions.away),
    tile("Dropped out", sessions.dropped),
    ...Object.entries({ complete: 0, ...outcomes }).map(([outcome, count]) => tile(OUTCOMES[outcome] ?? outcome, count)),
    ...(Object.keys(groups).length > 1 ? Object.entries(groups).map(([group, count]) => tile(`Group ${group}`, count)) : []),
  );
}

/**
 * Draw anew, keeping where one was reading.
 * @param {HTMLElement} main
 * @param {Data} data
 */
export function drawData(main, data) {
  const { study, database } = data;
  const at = scrollY;
  const across = [...main.querySelectorAll(".table-box")].map((box) => box.scrollLeft);
  main.replaceChildren(
    h("div", { class: "monitor-head" }, h("h1", null, study.title), h("p", { class: "muted" }, `${study.name} · ${study.id} · ${study.digest.slice(0, 12)}`)),
    database.failure === null
      ? ""
      : h("p", { class: "notice bad", role: "alert" }, `The database takes no answers: ${database.failure}. Browsers keep theirs and try again.`),
    figures(data),
    data.alerts.length ? alertList(data.alerts, data.now_ms) : "",
    pageTable(data.pages),
    data.participants.length ? participantTable(data.participants) : h("p", { class: "muted" }, "Nobody has begun yet."),
    study.departures.length
      ? h("details", { class: "departures" }, h("summary", null, `Departures from ITU-R BS.1534-3 (${study.departures.length})`), h("ul", null, ...study.departures.map((line) => h("li", null, line))))
      : "",
  );
  main.querySelectorAll(".table-box").forEach((box, index) => (box.scrollLeft = across[index] ?? 0));
  scrollTo(0, at);
}
