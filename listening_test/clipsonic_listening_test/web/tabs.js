/**
 * Names of tabs. The server decides which tab may save; here is only politeness: a reloaded tab keeps its name, a
 * duplicated one (browsers copy sessionStorage with it) takes another, and after a crash the participant is not asked to
 * take over from a tab that is no longer there.
 */

const NAME = "clipsonic.tab";
const CHANNEL = "clipsonic-tabs";
const ANSWER_MS = 150;

/** A random name. `crypto.randomUUID` is absent on plain http, where laboratories run. */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string|null} name  to be kept; null: what was kept */
function kept(name) {
  try {
    if (name !== null) sessionStorage.setItem(NAME, name);
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // no storage: every load is a tab of its own
  }
}

/**
 * @returns {Promise<{name: string, alone: () => Promise<boolean>}>}  `alone`: no other tab of this browser answers
 */
export async function joinTabs() {
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(CHANNEL) : null;
  const nonce = randomName();
  /** @type {Set<string>} */
  const heard = new Set();
  let name = kept(null);

  channel?.addEventListener("message", ({ data }) => {
    if (data.nonce === nonce) return;
    if (data.type === "who" && name) channel.postMessage({ type: "here", nonce, name });
    if (data.type === "here") heard.add(data.name);
  });
  const ask = async () => {
    heard.clear();
    channel?.postMessage({ type: "who", nonce });
    await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
  };

  if (name) {
    const mine = name;
    name = ""; // says nothing while it is not known to be its own
    await ask();
    name = heard.has(mine) ? "" : mine;
  }
  name ||= randomName();
  kept(name);
  return {
    name,
    async alone() {
      if (!channel) return false;
      await ask();
      return heard.size === 0;
    },
  };
}
