/**
 * The owner's view of a running study: asks for `monitor/data` every few seconds and draws it. In English alone: it is
 * read by the study's owner, like the command line.
 *
 * The login is the token printed at the server's start, exchanged once for a cookie. It comes with the address, after the
 * `#`, which browsers send to nobody, and is taken out of it at once.
 */

import { h } from "./dom.js";
import { drawData } from "./monitor_view.js";

const EVERY_MS = 5000;

const main = h("main", { class: "main", id: "main" });
const state = h("p", { class: "bar-step", role: "status" });
const leave = h("button", { type: "button", class: "button quiet", hidden: true, onclick: () => void logout() }, "Log out");
document.body.append(
  h("header", { class: "bar" }, h("div", { class: "bar-row monitor-bar" }, h("p", { class: "bar-title" }, "Monitor"), state, leave)),
  main,
);

/** @type {ReturnType<typeof setTimeout>|undefined} */
let timer;

/**
 * @param {string} path
 * @param {object|null} body  null: GET
 */
function ask(path, body = null) {
  return fetch(new URL(path, document.baseURI), {
    method: body === null ? "GET" : "POST",
    credentials: "same-origin",
    cache: "no-store",
    headers: { "Content-Type": "application/json" },
    body: body === null ? null : JSON.stringify(body),
  });
}

/** @param {string} wrong  what was wrong with the last try */
function showLogin(wrong = "") {
  clearTimeout(timer);
  leave.hidden = true;
  state.textContent = "";
  const token = h("input", { type: "password", id: "token", name: "token", autocomplete: "off", required: true });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void login(token.value.trim());
  };
  main.replaceChildren(
    h(
      "form",
      { class: "login", onsubmit: submit },
      h("h1", null, "Log in"),
      h("p", { class: "muted" }, "Open the monitor by the address that the server printed when it was started, or paste the part after its #."),
      h("label", { for: "token" }, "Token"),
      token,
      h("p", { class: "login-wrong", role: "alert" }, wrong),
      h("button", { type: "submit", class: "button primary" }, "Log in"),
    ),
  );
  token.focus();
}

/** @param {string} token */
async function login(token) {
  const reply = await ask("monitor/login", { token }).catch(() => null);
  if (reply === null) return showLogin("The server cannot be reached.");
  if (reply.ok) return refresh();
  showLogin(reply.status === 429 ? "Too many tries. Wait a little." : "This token is wrong or was used. A restart of the server prints a new one.");
}

async function logout() {
  await ask("monitor/logout", {}).catch(() => null);
  showLogin();
}

async function refresh() {
  clearTimeout(timer);
  const reply = await ask("monitor/data").catch(() => null);
  if (reply?.status === 401) return showLogin();
  if (reply?.ok) {
    const data = await reply.json();
    leave.hidden = false;
    drawData(main, data);
    document.title = `Monitor – ${data.study.title}`;
    state.textContent = `As of ${new Date().toLocaleTimeString("en-GB")}`;
    state.classList.remove("late");
  } else {
    state.textContent = "The server cannot be reached; the figures are old";
    state.classList.add("late");
  }
  timer = setTimeout(() => void refresh(), EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") clearTimeout(timer);
  else if (!leave.hidden) void refresh();
});

const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname + location.search);
if (token) await login(token);
else await refresh();
