/**
 * Answers that the server has not acknowledged yet, kept in the browser: in IndexedDB, or in localStorage where there is
 * none (private windows of some browsers). An answer is put here *before* it is sent and taken out *after* the server
 * said that it holds it, so neither a reload nor a crash in between loses it.
 */

/** @import {Answer} from "./types.js" */

/**
 * @typedef {{id: string, participant: string, answer: Answer, savedAt: string}} Entry
 * @typedef {object} Outbox
 * @property {(participant: string, answer: Answer) => Promise<Entry>} put
 * @property {() => Promise<Entry[]>} all  oldest first
 * @property {(id: string) => Promise<void>} remove
 * @property {"indexeddb"|"localstorage"|"none"} kind
 */

const DATABASE = "clipsonic-listening-test";
const STORE = "outbox";
const PREFIX = "clipsonic.outbox.";

/**
 * @param {string} participant
 * @param {Answer} answer
 * @returns {Entry}
 */
function entryOf(participant, answer) {
  const id = `${participant}/${answer.key}/${answer.attempt}`;
  return { id, participant, answer, savedAt: new Date().toISOString() };
}

/** @param {Entry[]} entries */
const byAge = (entries) => entries.sort((a, b) => a.savedAt.localeCompare(b.savedAt));

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @returns {Promise<Outbox>} */
async function openDatabase() {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
  const database = await finished(opening);
  /** @param {IDBTransactionMode} mode */
  const transaction = (mode) => database.transaction(STORE, mode, { durability: "strict" });
  /** @param {IDBTransaction} open */
  const committed = (open) =>
    new Promise((resolve, reject) => {
      open.oncomplete = () => resolve(undefined);
      open.onabort = open.onerror = () => reject(open.error);
    });
  return {
    kind: "indexeddb",
    async put(participant, answer) {
      const entry = entryOf(participant, answer);
      const open = transaction("readwrite");
      open.objectStore(STORE).put(entry);
      await committed(open);
      return entry;
    },
    async all() {
      return byAge(await finished(transaction("readonly").objectStore(STORE).getAll()));
    },
    async remove(id) {
      const open = transaction("readwrite");
      open.objectStore(STORE).delete(id);
      await committed(open);
    },
  };
}

/** @returns {Outbox} */
function openStorage() {
  return {
    kind: "localstorage",
    async put(participant, answer) {
      const entry = entryOf(participant, answer);
      localStorage.setItem(PREFIX + entry.id, JSON.stringify(entry));
      return entry;
    },
    async all() {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
      return byAge(keys.map((key) => JSON.parse(localStorage.getItem(key) ?? "null")));
    },
    async remove(id) {
      localStorage.removeItem(PREFIX + id);
    },
  };
}

/** A browser that keeps nothing: `put` fails, so that the participant is told. @returns {Outbox} */
function openNothing() {
  return {
    kind: "none",
    put: () => Promise.reject(new Error("this browser keeps nothing")),
    all: () => Promise.resolve([]),
    remove: () => Promise.resolve(),
  };
}

/** @returns {Promise<Outbox>} */
export async function openOutbox() {
  try {
    return await openDatabase();
  } catch {
    try {
      const storage = openStorage();
      await storage.all();
      return storage;
    } catch {
      return openNothing();
    }
  }
}
