/** The clinic's chat service over HTTP: requests with a time limit, and replies that come later as server-sent events. */

import type { Arrived, CallBack, Clinic, Feedback, Line } from "./reply.js";

const TIME_LIMIT_MS = 30_000;
const SHORTEST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
/** The service says at least every 15 s that it is there; a stream that stays mute for longer does not get through. */
const MUTE_FOR_MS = 25_000;
/** How often replies are asked for where no stream gets through, and in a tab that nobody looks at. */
const POLL_EVERY_MS = 5000;
const POLL_UNSEEN_EVERY_MS = 30_000;
/** After so long without a stream another one is tried. */
const STREAM_AGAIN_AFTER_MS = 120_000;

/** The service could not be reached, or what came back was not from it. The same request may be sent again. */
export class Unreachable extends Error {}

/** The service answered, and said no. */
export class Refused extends Error {
  readonly code: string;
  readonly emergency: string;

  constructor(
    readonly status: number,
    error: { code?: string; message?: string; emergency?: string },
  ) {
    super(sentence(error.message ?? ""));
    this.code = error.code ?? "";
    this.emergency = error.emergency ?? "";
  }

  /** Whether this conversation or its token is no longer good for anything. */
  get ended(): boolean {
    return hasEnded(this.status);
  }

  /** Whether the same request may well succeed a little later. */
  get passing(): boolean {
    return [429, 502, 503, 504].includes(this.status);
  }
}

const hasEnded = (status: number) => [401, 403, 404, 410].includes(status);

/** The service's short messages as sentences of a page. */
const sentence = (words: string) => words.charAt(0).toUpperCase() + words.slice(1).replace(/([^.?!])$/, "$1.");

export interface Session {
  conversation: string;
  token: string;
  expires_at: string;
  /** Version of the privacy notice that was agreed to. */
  consent: string | null;
}

export interface Following {
  /** Number of the last event that is already known, 0 for none. */
  after: number;
  onReply: (arrived: Arrived) => void;
  /** Time to ask for the history: no stream gets through. */
  onPoll: () => Promise<void>;
  /** The conversation is gone or its token has expired. */
  onEnded: () => void;
}

/** The service of one clinic. `base` is the address its script came from, with a slash at the end. */
export class Service {
  constructor(readonly base: string) {}

  clinic(language: string): Promise<Clinic> {
    return this.#call("GET", `api/clinic?language=${encodeURIComponent(language)}`);
  }

  open(consent: string | null, language: string): Promise<Session> {
    return this.#call("POST", "api/conversations", { body: { consent, language } });
  }

  agree(session: Session, consent: string): Promise<Session> {
    return this.#call("POST", at(session, "/consent"), { session, body: { consent } });
  }

  post(session: Session, body: { message_id: string; text?: string; choice?: string }, signal: AbortSignal): Promise<Arrived> {
    return this.#call("POST", at(session, "/messages"), { session, body, signal });
  }

  async history(session: Session): Promise<Line[]> {
    return (await this.#call<{ messages: Line[] }>("GET", at(session, "/messages"), { session })).messages;
  }

  /** Returns the urgent card where the comment told of something urgent. */
  async rate(session: Session, event: number, feedback: Feedback): Promise<Arrived | null> {
    const path = at(session, `/events/${event}/feedback`);
    return (await this.#call<{ urgent: Arrived | null }>("PUT", path, { session, body: feedback })).urgent;
  }

  /** Returns the urgent card where the words told of something urgent. */
  async callBack(session: Session, wanted: CallBack): Promise<Arrived | null> {
    const path = at(session, "/call-back");
    return (await this.#call<{ urgent: Arrived | null }>("PUT", path, { session, body: wanted })).urgent;
  }

  erase(session: Session): Promise<null> {
    return this.#call("DELETE", at(session), { session });
  }

  /**
   * Whether the service is there although the browser let nothing of its answer through: then it was asked from a page
   * of an origin that may not embed it.
   */
  async refusesThisOrigin(): Promise<boolean> {
    if (new URL(this.base).origin === location.origin) return false;
    try {
      await fetch(`${this.base}health/live`, { mode: "no-cors", cache: "no-store" });
      return true;
    } catch {
      return false;
    }
  }

  async #call<T>(
    method: string,
    path: string,
    { session, body, signal }: { session?: Session; body?: object; signal?: AbortSignal } = {},
  ): Promise<T> {
    const limit = AbortSignal.timeout(TIME_LIMIT_MS);
    try {
      const response = await fetch(this.base + path, {
        method,
        headers: {
          Accept: "application/json",
          ...(session && { Authorization: `Bearer ${session.token}` }),
          ...(body && { "Content-Type": "application/json", "X-Request-ID": newId() }),
        },
        body: body ? JSON.stringify(body) : null,
        cache: "no-store",
        credentials: "omit",
        signal: signal ? either(signal, limit) : limit,
      });
      const text = await response.text();
      if (!response.ok) throw new Refused(response.status, errorIn(text));
      return (text ? JSON.parse(text) : null) as T;
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Unreachable("", { cause: error });
    }
  }

  /**
   * Follows the replies of a conversation until told to stop. After every break it asks for what came since the last
   * event it saw; where no stream gets through, and in a tab that nobody looks at, it asks for the history now and then.
   */
  follow(session: Session, { after, onReply, onPoll, onEnded }: Following): { stop: () => void; wake: () => void } {
    let lastId = String(after);
    let stopped = false;
    let pause = SHORTEST_PAUSE_MS;
    let streamFrom = 0;
    let request = new AbortController();
    let wakeUp = () => {};

    const connect = async () => {
      // A new reader each time: what a broken connection left half-said is sent again, whole.
      const read = eventReader((event) => {
        if (event.id) lastId = event.id;
        if (event.type === "reply") onReply(JSON.parse(event.data));
      });
      request = new AbortController();
      let mute = setTimeout(() => giveUp(), MUTE_FOR_MS);
      const giveUp = () => {
        streamFrom = Date.now() + STREAM_AGAIN_AFTER_MS;
        request.abort();
      };
      try {
        const response = await fetch(this.base + at(session, "/events"), {
          headers: { Accept: "text/event-stream", Authorization: `Bearer ${session.token}`, "Last-Event-ID": lastId },
          cache: "no-store",
          credentials: "omit",
          signal: request.signal,
        });
        if (hasEnded(response.status)) {
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
          clearTimeout(mute);
          mute = setTimeout(giveUp, MUTE_FOR_MS);
          pause = SHORTEST_PAUSE_MS;
          read(decoder.decode(value, { stream: true }));
        }
      } finally {
        clearTimeout(mute);
      }
    };

    const run = async () => {
      let first = true;
      while (!stopped) {
        const polling = document.hidden || Date.now() < streamFrom;
        // A broken connection is no news: the next round asks for what was missed.
        if (!first) await onPoll().catch(() => {});
        first = false;
        if (stopped) return;
        if (!polling) await connect().catch(() => {});
        if (stopped) return;
        await new Promise<void>((resolve) => {
          wakeUp = resolve;
          setTimeout(resolve, document.hidden ? POLL_UNSEEN_EVERY_MS : polling ? POLL_EVERY_MS : pause);
        });
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    };

    const wake = () => {
      pause = SHORTEST_PAUSE_MS;
      request.abort();
      wakeUp();
    };
    // A browser opens few connections to one server: a tab that nobody looks at must not hold one.
    document.addEventListener("visibilitychange", wake);
    void run();
    return {
      stop() {
        stopped = true;
        document.removeEventListener("visibilitychange", wake);
        request.abort();
        wakeUp();
      },
      /** Connect again now, for example because the network is back. */
      wake,
    };
  }
}

const at = (session: Session, rest = "") => `api/conversations/${encodeURIComponent(session.conversation)}${rest}`;

/** What `AbortSignal.any` does, which browsers of 2023 lack. */
function either(one: AbortSignal, other: AbortSignal): AbortSignal {
  const both = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) both.abort();
    signal.addEventListener("abort", () => both.abort(), { once: true });
  }
  return both.signal;
}

/** What a refusal says, or nothing where it is not in our shape (a proxy's own page). */
function errorIn(text: string): { code?: string; message?: string; emergency?: string } {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}

/** Splits a server-sent event stream into events. A line, and even its end, may be cut between two chunks. */
function eventReader(onEvent: (event: { id: string; type: string; data: string }) => void): (chunk: string) => void {
  let rest = "";
  let id = "";
  let type = "";
  let data: string[] = [];
  return (chunk) => {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length) onEvent({ id, type, data: data.join("\n") });
        type = "";
        data = [];
        continue;
      }
      const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (field === "id") id = value;
      else if (field === "event") type = value;
      else if (field === "data") data.push(value);
    }
  };
}

/**
 * An id for a message or a request. `randomUUID` exists only on secure pages, and a clinic may try this on its own
 * network.
 */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
