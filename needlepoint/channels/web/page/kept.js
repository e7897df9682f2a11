/**
 * What this tab keeps across a reload: the conversation's token and the messages that have not arrived yet. Where the
 * browser forbids storage it is kept in memory, and a reload starts a new conversation.
 */

const PREFIX = "needlepoint.";

/** @type {Map<string, string>} */
const memory = new Map();

/**
 * @param {"session" | "unsent"} name
 * @returns {any} what was kept, or null
 */
export function recall(name) {
  try {
    const kept = sessionStorage.getItem(PREFIX + name) ?? memory.get(name);
    return kept ? JSON.parse(kept) : null;
  } catch {
    const kept = memory.get(name);
    return kept ? JSON.parse(kept) : null;
  }
}

/**
 * @param {"session" | "unsent"} name
 * @param {object | null} value null forgets it
 */
export function keep(name, value) {
  const text = value === null ? null : JSON.stringify(value);
  if (text === null) memory.delete(name);
  else memory.set(name, text);
  try {
    if (text === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, text);
  } catch {
    // Storage is blocked or full; the copy in memory has to do.
  }
}
