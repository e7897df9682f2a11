/**
 * The clinic's chat service over HTTP: requests with a time limit, and replies that come later as server-sent events.
 */

const TIME_LIMIT_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;

/** The service's short messages as sentences of a page. @param {string} words */
const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1).replace(/([^.?!])$/, "$1.");

/** The service could not be reached, or what came back was not from it. The same message may be sent again. */
export class Unreachable extends Error {}

/** The service answered, and said no. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {{code?: string, message?: string, emergency?: string}} error
   */
  constructor(status, error) {
    super(sentence(error.message || "something went wrong on our side; please try again or call the clinic"));
    this.status = status;
    this.code = error.code ?? "";
    this.emergency = error.emergency ?? "";
  }

  /** Whether this conversation or its token is no longer good for anything. */
  get ended() {
    return [401, 403, 404, 410].includes(this.status);
  }

  /** Whether the same request may well succeed a little later. */
  get passing() {
    return [429, 502, 503, 504].includes(this.status);
  }
}

/**
 * @typedef {object} Session
 * @property {string} conversation
 * @property {string} token
 * @property {string} expires_at
 * @property {string | null} consent version of the privacy notice that was agreed to
 */

/**
 * @param {string} method
 * @param {string} path
 * @param {{token?: string, body?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the JSON that came back, or null where there is none
 */
async function call(method, path, { token, body, signal } = {}) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  const timer = setTimeout(stop, TIME_LIMIT_MS);
  signal?.addEventListener("abort", stop);
  try {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: limit.signal,
    });
    const text = await response.text();
    if (!response.ok) throw new Refused(response.status, errorIn(text));
    return text ? JSON.parse(text) : null;
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Unreachable("The clinic's chat cannot be reached right now.", { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/**
 * What a refusal says, or nothing where it is not in our shape (a proxy's own page).
 * @param {string} text
 */
function errorIn(text) {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

const at = (/** @type {Session} */ session, rest = "") =>
  `/api/conversations/${encodeURIComponent(session.conversation)}${rest}`;

export const fetchClinic = () => call("GET", "/api/clinic");

/**
 * @param {string | null} consent
 * @param {string} language
 * @param {AbortSignal} [signal]
 * @returns {Promise<Session>}
 */
export const createConversation = (consent, language, signal) =>
  call("POST", "/api/conversations", { body: { consent, language }, signal });

/**
 * @param {Session} session
 * @param {string} consent
 * @returns {Promise<Session>}
 */
export const giveConsent = (session, consent) =>
  call("POST", at(session, "/consent"), { token: session.token, body: { consent } });

/**
 * @param {Session} session
 * @param {{message_id: string, text?: string, choice?: string}} body
 * @param {AbortSignal} signal
 */
export const postMessage = (session, body, signal) =>
  call("POST", at(session, "/messages"), { token: session.token, body, signal });

/** @param {Session} session */
export const fetchHistory = (session) => call("GET", at(session, "/messages"), { token: session.token });

/** @param {Session} session */
export const eraseConversation = (session) => call("DELETE", at(session), { token: session.token });

/**
 * Splits a server-sent event stream into events. A line, and even its end, may be cut between two chunks.
 * @param {(event: {id: string, type: string, data: string}) => void} onEvent
 * @returns {(chunk: string) => void}
 */
export function eventReader(onEvent) {
  let rest = "";
  let id = "";
  let type = "";
  /** @type {string[]} */
  let data = [];
  return (chunk) => {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length) onEvent({ id, type: type || "message", data: data.join("\n") });
        type = "";
        data = [];
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (field === "id") id = value;
      else if (field === "event") type = value;
      else if (field === "data") data.push(value);
    }
  };
}

/**
 * Follows the replies of a conversation until told to stop. After every break it asks for what came since the last
 * event it saw.
 *
 * @param {Session} session
 * @param {object} options
 * @param {number} options.after number of the last event that is already known, 0 for none
 * @param {(reply: any) => void} options.onReply
 * @param {() => void} options.onEnded the conversation is gone or its token has expired
 * @returns {{stop: () => void, wake: () => void}}
 */
export function followReplies(session, { after, onReply, onEnded }) {
  let lastId = String(after);
  let stopped = false;
  let pause = 1000;
  let request = new AbortController();
  let wakeUp = () => {};

  async function connect() {
    // A new reader each time: what a broken connection left half-said is sent again, whole.
    const read = eventReader((event) => {
      if (event.id) lastId = event.id;
      if (event.type === "reply") onReply(JSON.parse(event.data));
    });
    const headers = {
      Accept: "text/event-stream",
      Authorization: `Bearer ${session.token}`,
      "Last-Event-ID": lastId,
    };
    request = new AbortController();
    const response = await fetch(at(session, "/events"), { headers, cache: "no-store", signal: request.signal });
    if ([401, 403, 404, 410].includes(response.status)) {
      stopped = true;
      onEnded();
      return;
    }
    if (!response.ok || !response.body) return;
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      pause = 1000;
      read(decoder.decode(value, { stream: true }));
    }
  }

  async function run() {
    while (!stopped) {
      try {
        await connect();
      } catch {
        // A broken connection is no news: the next round asks for what was missed.
      }
      if (stopped) return;
      await new Promise((resolve) => {
        wakeUp = () => resolve(undefined);
        setTimeout(wakeUp, pause);
      });
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  run();
  return {
    stop() {
      stopped = true;
      request.abort();
      wakeUp();
    },
    /** Connect again now, for example because the network is back. */
    wake() {
      pause = 1000;
      request.abort();
      wakeUp();
    },
  };
}
