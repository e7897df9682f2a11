/**
 * What a browser keeps of a conversation: its token, and the messages that have not arrived yet.
 *
 * In this tab's sessionStorage, across pages of the site; handed to other tabs of it when they ask; in localStorage only
 * where the person asked to be remembered. Where the browser forbids storage it is kept in memory.
 */

import type { Session } from "./api.js";

export interface Unsent {
  id: string;
  text: string;
  choice?: string;
}

interface Values {
  session: Session;
  unsent: Unsent[];
  /** Number of the last event that the person had before them. */
  seen: number;
}

/** How long other tabs get to say that they have a conversation, in milliseconds. */
const OTHERS_ANSWER_WITHIN = 150;

type Note = { says: "who has a conversation?" } | { says: "this is it"; session: Session } | { says: "it is erased" };

/** Calls on a blocked storage throw, even to look at it. */
function attempt<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

export class Kept {
  readonly #memory = new Map<string, string>();
  readonly #prefix: string;
  readonly #channel: BroadcastChannel | null;
  #answer: (session: Session | null) => void = () => {};

  /** Another tab opened a conversation, or agreed in it. */
  onSession: (session: Session) => void = () => {};
  /** Another tab erased the conversation. */
  onErased: () => void = () => {};

  constructor(base: string) {
    this.#prefix = `needlepoint ${base} `;
    this.#channel = attempt(() => new BroadcastChannel(this.#prefix));
    this.#channel?.addEventListener("message", ({ data }: MessageEvent<Note>) => {
      if (data.says === "it is erased") this.onErased();
      if (data.says === "this is it") {
        this.#answer(data.session);
        this.onSession(data.session);
      }
      const session = data.says === "who has a conversation?" && this.get("session");
      if (session) this.#tell({ says: "this is it", session });
    });
  }

  get<Name extends keyof Values>(name: Name): Values[Name] | null {
    const text =
      attempt(() => sessionStorage.getItem(this.#prefix + name)) ??
      this.#memory.get(name) ??
      (name === "session" ? attempt(() => localStorage.getItem(this.#prefix + name)) : null);
    return text ? attempt(() => JSON.parse(text)) : null;
  }

  set<Name extends keyof Values>(name: Name, value: Values[Name] | null): void {
    const text = value === null ? null : JSON.stringify(value);
    if (text === null) this.#memory.delete(name);
    else this.#memory.set(name, text);
    attempt(() => put(sessionStorage, this.#prefix + name, text));
    if (name === "session" && this.remembers) attempt(() => put(localStorage, this.#prefix + name, text));
  }

  /** The conversation that other tabs of this site have, or null. */
  async ofOtherTabs(): Promise<Session | null> {
    if (!this.#channel) return null;
    const answered = new Promise<Session | null>((resolve) => {
      this.#answer = resolve;
      setTimeout(() => resolve(null), OTHERS_ANSWER_WITHIN);
    });
    this.#tell({ says: "who has a conversation?" });
    return answered;
  }

  tellSession(session: Session): void {
    this.#tell({ says: "this is it", session });
  }

  tellErased(): void {
    this.#tell({ says: "it is erased" });
  }

  #tell(note: Note): void {
    this.#channel?.postMessage(note);
  }

  /** Whether the conversation may be found again after the browser was closed. */
  get remembers(): boolean {
    return attempt(() => localStorage.getItem(`${this.#prefix}remember`)) === "yes";
  }

  set remembers(yes: boolean) {
    const session = this.get("session");
    attempt(() => put(localStorage, `${this.#prefix}remember`, yes ? "yes" : null));
    attempt(() => put(localStorage, `${this.#prefix}session`, yes && session ? JSON.stringify(session) : null));
  }

  close(): void {
    this.#channel?.close();
  }
}

function put(storage: Storage, name: string, text: string | null): void {
  if (text === null) storage.removeItem(name);
  else storage.setItem(name, text);
}
