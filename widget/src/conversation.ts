/**
 * One conversation, from the greeting to its deletion; what is shown of it is the view's matter.
 *
 * A message is posted under an id of its own; while it has not arrived it is kept and posted again under that same id,
 * so that it is neither lost nor doubled. A reply may come twice (as the answer to the post and as an event) and is shown
 * once. Before consent a message is posted all the same: the clinic answers an emergency at once, stores nothing, and
 * asks for consent otherwise.
 */

import { Refused, type Service, type Session, Unreachable, newId } from "./api.js";
import type { Kept } from "./kept.js";
import type { Arrived, CallBack, Choice, Clinic, Feedback, Line } from "./reply.js";

export const LONGEST_MESSAGE = 4096;
const RETRY_AFTER_MS = [1000, 2000, 4000, 8000, 30_000];

export interface Sending {
  id: string;
  /** What the person sees. */
  text: string;
  /** Token of a pressed button. */
  choice?: string;
  state: "open" | "unsent" | "consent" | "refused" | "done";
  /** Whether it has already been carried into a new conversation. */
  renewed: boolean;
  abort: AbortController;
}

/** What became of a message that has no reply. `again` tries once more, `edit` gives the text back. */
export type Status =
  | { is: "consent" | "overtaken" | "unsent" }
  | { is: "passing"; error: Refused }
  | { is: "refused"; error: unknown; edit: boolean };

/** What the view is told. */
export interface View {
  /** The page's origin may not embed the chat. */
  refused(): void;
  clinicKnown(clinic: Clinic): void;
  clinicUnknown(error: unknown, again: () => void): void;
  /** Where the agreement stands; `waits`: a message waits for it. */
  consent(asked: { waits: boolean } | { changed: true } | { failed: unknown } | "busy" | "given"): void;
  said(message: { id: string; text: string }, at: string, sending: boolean): void;
  status(id: string, status: Status | null): void;
  /** A reply; `old` ones come from the history, `awaited` ones answer what was said in this tab. */
  heard(arrived: Arrived & { reply: NonNullable<Arrived["reply"]> }, old: boolean, awaited: boolean): void;
  waiting(on: boolean): void;
  historyFailed(again: () => void): void;
  historyShown(): void;
  /** The earlier chat ended, the next message begins another. */
  ended(): void;
  erased(): void;
}

export class Conversation {
  clinic: Clinic | null = null;
  #session: Session | null = null;
  #creating: Promise<Session> | null = null;
  /** The agreement that is on its way to the clinic. */
  #agreeing: Promise<void> | null = null;
  #stream: ReturnType<Service["follow"]> | null = null;
  readonly #messages = new Map<string, Sending>();
  /** Ids of what the person said, as far as it is shown. */
  readonly #said = new Set<string>();
  readonly #shownEvents = new Set<number>();
  /** Messages whose reply is shown, with its event number where it had one. */
  readonly #replied = new Map<string, number | null>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #retryStep = 0;
  /** Raised by deletion: whatever was under way before it belongs to a chat that no longer exists. */
  #generation = 0;
  /** Where the event stream was joined. Joining there again repeats nothing, because what is shown is known. */
  #lastEvent = 0;

  constructor(
    private readonly service: Service,
    private readonly kept: Kept,
    private readonly view: View,
    private readonly language: string,
  ) {
    kept.onSession = (session) => this.#joinOtherTab(session);
    kept.onErased = () => this.#forget();
  }

  /** Loads the clinic's words and what this browser knows; tries again until it works. */
  async start(attempt = 0): Promise<void> {
    const mine = this.#generation;
    try {
      this.clinic = await this.service.clinic(this.language);
    } catch (error) {
      if (mine !== this.#generation) return;
      if (error instanceof Unreachable && (await this.service.refusesThisOrigin())) return this.view.refused();
      const again = () => {
        clearTimeout(timer);
        void this.start(attempt + 1);
      };
      const timer = setTimeout(again, retryPause(attempt));
      this.view.clinicUnknown(error, again);
      return;
    }
    if (mine !== this.#generation) return;
    this.view.clinicKnown(this.clinic);
    const known = this.kept.get("session") ?? (await this.kept.ofOtherTabs());
    if (mine !== this.#generation) return;
    if (known && Date.parse(known.expires_at) > Date.now()) this.#setSession(known);
    else this.#setSession(null);
    const unsent = this.kept.get("unsent") ?? [];
    if (this.#session?.consent) {
      this.view.consent("given");
      await this.#loadHistory();
    } else {
      this.view.consent({ waits: false });
    }
    for (const { id, text, choice } of unsent) if (!this.#said.has(id)) this.#add(id, text, choice).state = "unsent";
    this.flush();
  }

  /** Ends everything that goes on by itself. */
  stop(): void {
    this.#generation += 1;
    this.#stream?.stop();
    this.#stream = null;
    clearTimeout(this.#retryTimer);
  }

  #setSession(session: Session | null): void {
    this.#session = session;
    this.kept.set("session", session);
  }

  /** Another tab opened the conversation, or agreed in it: there is only one. */
  #joinOtherTab(session: Session): void {
    if (!this.clinic || this.#session?.token === session.token) return;
    const other = this.#session !== null && this.#session.conversation !== session.conversation;
    if (other || (this.#session?.consent && !session.consent)) return;
    const agreed = !this.#session?.consent && session.consent !== null;
    this.#setSession(session);
    if (agreed) this.#agreed();
  }

  // ------------------------------------------------------------------------------------------------- history

  /** Shows what was said before, and then follows what comes. Tries again until it works. */
  async #loadHistory(attempt = 0): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const mine = this.#generation;
    try {
      this.#merge(await this.service.history(session), true);
    } catch (error) {
      if (mine !== this.#generation) return;
      if (error instanceof Refused && error.ended) {
        this.#end();
        this.view.consent({ waits: false });
        return;
      }
      const again = () => {
        clearTimeout(timer);
        void this.#loadHistory(attempt + 1);
      };
      const timer = setTimeout(again, retryPause(attempt));
      this.view.historyFailed(again);
      return;
    }
    this.view.historyShown();
    this.#follow();
  }

  /** Shows what is not shown yet, for example what was said in another tab. */
  async #catchUp(): Promise<void> {
    const session = this.#session;
    const mine = this.#generation;
    if (!session?.consent) return;
    const lines = await this.service.history(session);
    if (mine === this.#generation) this.#merge(lines, false);
  }

  #merge(lines: Line[], old: boolean): void {
    for (const { id, from, text, reply, at, event_id, feedback } of lines) {
      if (from !== "person") {
        const said = reply ?? { kind: "answer", text };
        this.#receive({ event_id, message_id: id, from, reply: said, at, feedback: feedback ?? null }, old);
      } else if (id && !this.#said.has(id)) {
        this.#said.add(id);
        this.view.said({ id, text }, at, false);
      }
    }
  }

  /** Listens for replies that come later: from staff, from another tab, or to a message whose connection broke. */
  #follow(): void {
    this.#stream?.stop();
    if (!this.#session?.consent) return;
    this.#stream = this.service.follow(this.#session, {
      after: this.#lastEvent,
      onReply: (arrived) => this.#receive(arrived, false),
      onPoll: () => this.#catchUp(),
      onEnded: () => {
        this.#stream = null;
      },
    });
  }

  // ------------------------------------------------------------------------------------------------- sending

  send(text: string): void {
    this.flush();
    void this.#post(this.#add(newId(), text));
  }

  choose({ title, token }: Choice): void {
    this.flush();
    void this.#post(this.#add(newId(), title, token));
  }

  #add(id: string, text: string, choice?: string): Sending {
    const message: Sending = { id, text, state: "open", renewed: false, abort: new AbortController() };
    if (choice) message.choice = choice;
    this.#messages.set(id, message);
    this.#said.add(id);
    this.#keepUnsent();
    this.view.said(message, new Date().toISOString(), true);
    return message;
  }

  #keepUnsent(): void {
    const unsent = [...this.#messages.values()].filter(({ state }) => state !== "done" && state !== "refused");
    const kept = unsent.map(({ id, text, choice }) => (choice ? { id, text, choice } : { id, text }));
    this.kept.set("unsent", kept.length ? kept : null);
  }

  /** Posts whatever has not arrived, oldest first. */
  flush(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    for (const message of this.#messages.values()) if (message.state === "unsent") void this.#post(message);
  }

  /** The line is back, or the person wants it now. */
  retry(id?: string): void {
    this.#retryStep = 0;
    const refused = id && this.#messages.get(id);
    if (refused && refused.state === "refused") {
      this.view.status(refused.id, null);
      void this.#post(refused);
    }
    this.flush();
    this.#stream?.wake();
  }

  /** Takes back a message that was refused; returns its text. */
  takeBack(id: string): string {
    const message = this.#messages.get(id);
    this.#messages.delete(id);
    return message?.text ?? "";
  }

  /** The conversation, made when there is none yet, and only one however many tabs begin at once. */
  async #conversation(): Promise<Session> {
    // Whoever types right after agreeing must not get a second conversation that knows nothing of it.
    await this.#agreeing;
    if (this.#session) return this.#session;
    this.#creating ??= this.#open(null).finally(() => {
      this.#creating = null;
    });
    return this.#creating;
  }

  async #open(consent: string | null): Promise<Session> {
    const mine = this.#generation;
    return oneTabAtATime(`needlepoint ${this.service.base}`, async () => {
      const theirs = await this.kept.ofOtherTabs();
      if (mine !== this.#generation) throw new Unreachable();
      let session = theirs ?? (await this.service.open(consent, this.language));
      if (consent && session.consent !== consent) session = await this.service.agree(session, consent);
      if (mine === this.#generation) {
        this.#setSession(session);
        this.kept.tellSession(session);
      }
      return session;
    });
  }

  async #post(message: Sending): Promise<void> {
    const mine = this.#generation;
    message.state = "open";
    this.#showWaiting();
    let used: Session | null = null;
    try {
      if (!this.clinic) throw new Unreachable();
      used = await this.#conversation();
      const { id, text, choice } = message;
      const body = choice ? { message_id: id, choice } : { message_id: id, text };
      const outcome = await this.service.post(used, body, message.abort.signal);
      if (mine !== this.#generation) return;
      this.#retryStep = 0;
      this.#receive(outcome, false);
    } catch (error) {
      // An event can bring the reply while the post itself is still failing.
      if (mine !== this.#generation || isDone(message)) return;
      await this.#explain(message, error, used);
    } finally {
      if (mine === this.#generation) {
        this.#keepUnsent();
        this.#showWaiting();
      }
    }
  }

  /** What to do with a message that was not answered; `used` is the conversation it was posted to. */
  async #explain(message: Sending, error: unknown, used: Session | null): Promise<void> {
    if (error instanceof Refused && error.code === "consent_needed") {
      if (this.#session?.consent && this.#session.token !== used?.token) return this.#post(message);
      message.state = "consent";
      this.view.status(message.id, { is: "consent" });
      this.view.consent({ waits: true });
      return;
    }
    if (error instanceof Refused && error.ended) {
      if (this.#session && this.#session.token !== used?.token) return this.#post(message);
      if (!message.renewed) {
        message.renewed = true;
        if (this.#session) {
          this.#end();
          this.view.said(message, new Date().toISOString(), true);
        }
        return this.#post(message);
      }
    }
    const passing = error instanceof Refused && error.passing;
    if (passing || error instanceof Unreachable) {
      message.state = "unsent";
      this.view.status(message.id, passing ? { is: "passing", error } : { is: "unsent" });
      this.#retryTimer ??= setTimeout(() => this.flush(), retryPause(this.#retryStep++));
      return;
    }
    message.state = "refused";
    const repeat = message.choice !== undefined || (error instanceof Refused && error.status >= 500);
    this.view.status(message.id, { is: "refused", error, edit: !repeat });
  }

  #showWaiting(): void {
    this.view.waiting([...this.#messages.values()].some(({ state }) => state === "open"));
  }

  // ------------------------------------------------------------------------------------------------- receiving

  #receive(arrived: Arrived, old: boolean): void {
    const { event_id, message_id, state, reply } = arrived;
    const message = message_id ? this.#messages.get(message_id) : undefined;
    if (message && message.state !== "done") {
      message.state = "done";
      this.view.status(message.id, null);
      this.#keepUnsent();
      this.#showWaiting();
    }
    if (!reply) {
      if (message && state === "overtaken") this.view.status(message.id, { is: "overtaken" });
      return;
    }
    if (this.#isShown(event_id, message_id)) return;
    if (message_id && !this.#said.has(message_id)) {
      // It was asked in another tab: the history has the question too.
      void this.#catchUp().catch(() => {});
      return;
    }
    if (event_id !== null) {
      this.#shownEvents.add(event_id);
      this.#lastEvent = Math.max(this.#lastEvent, event_id);
    }
    if (message_id) this.#replied.set(message_id, event_id);
    this.view.heard({ ...arrived, reply }, old, message !== undefined);
  }

  #isShown(event: number | null, message: string | null): boolean {
    if (event !== null && this.#shownEvents.has(event)) return true;
    if (!message || !this.#replied.has(message)) return false;
    return event === null || this.#replied.get(message) === null;
  }

  /** Number of the last event that is shown. */
  get lastEvent(): number {
    return this.#lastEvent;
  }

  // ------------------------------------------------------------------------------------------------- consent

  async agree(): Promise<void> {
    if (!this.clinic) return;
    const mine = this.#generation;
    const version = this.clinic.privacy.version;
    this.view.consent("busy");
    try {
      await this.#creating?.catch(() => null);
      const session = this.#session;
      const asked = session
        ? this.service.agree(session, version).catch((error: unknown) => {
            if (error instanceof Refused && error.ended) return this.#open(version);
            throw error;
          })
        : this.#open(version);
      const settled = asked.then((agreed) => {
        if (mine !== this.#generation) return;
        this.#setSession(agreed);
        this.kept.tellSession(agreed);
      });
      this.#agreeing = settled.catch(() => {});
      await settled;
    } catch (error) {
      if (mine !== this.#generation) return;
      if (error instanceof Refused && error.code === "other_notice") {
        // The notice changed while this page was open: nobody can agree to what they have not seen.
        this.clinic = await this.service.clinic(this.language).catch(() => this.clinic);
        this.view.consent({ changed: true });
        return;
      }
      this.view.consent({ failed: error });
      return;
    } finally {
      this.#agreeing = null;
    }
    if (mine === this.#generation) this.#agreed();
  }

  #agreed(): void {
    this.view.consent("given");
    void this.#catchUp().catch(() => {});
    this.#follow();
    for (const message of this.#messages.values()) {
      if (message.state !== "consent") continue;
      this.view.status(message.id, null);
      void this.#post(message);
    }
  }

  /** This conversation is over (expired or erased elsewhere). */
  #end(): void {
    this.#setSession(null);
    this.#stream?.stop();
    this.#stream = null;
    this.view.ended();
  }

  // ------------------------------------------------------------------------------------------------- feedback, deletion

  /** Tells the clinic what the person thinks of a reply. Rejects where that did not get through. */
  async rate(event: number, feedback: Feedback): Promise<void> {
    if (!this.#session) throw new Unreachable();
    const urgent = await this.service.rate(this.#session, event, feedback);
    if (urgent?.reply) this.#catchUpWith(urgent);
  }

  /** Leaves a number to be called back. Rejects where that did not get through. */
  async callBack(wanted: CallBack): Promise<void> {
    if (!this.#session) throw new Unreachable();
    const urgent = await this.service.callBack(this.#session, wanted);
    if (urgent?.reply) this.#catchUpWith(urgent);
  }

  /** The comment told of something urgent, and was taken as a message. */
  #catchUpWith(urgent: Arrived): void {
    if (urgent.message_id) this.#said.add(urgent.message_id);
    this.#receive(urgent, false);
  }

  /** Erases the conversation on the server. Rejects where that did not work. */
  async erase(): Promise<void> {
    await this.#creating?.catch(() => null);
    try {
      if (this.#session) await this.service.erase(this.#session);
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 404 && error.status !== 410)) throw error;
    }
    this.kept.tellErased();
    this.#forget();
  }

  #forget(): void {
    for (const message of this.#messages.values()) message.abort.abort();
    this.stop();
    this.#retryStep = 0;
    this.#lastEvent = 0;
    this.#messages.clear();
    this.#said.clear();
    this.#shownEvents.clear();
    this.#replied.clear();
    this.#creating = null;
    this.#setSession(null);
    this.kept.set("seen", null);
    this.#keepUnsent();
    this.#showWaiting();
    this.view.erased();
    if (this.clinic) this.view.consent({ waits: false });
  }
}

const isDone = (message: Sending) => message.state === "done";

/** How long to wait before another attempt, counted from 0, in milliseconds. */
const retryPause = (attempt: number) => RETRY_AFTER_MS[Math.min(attempt, RETRY_AFTER_MS.length - 1)];

/** Where the browser can (on secure pages) no two tabs of a site do this at the same time. */
function oneTabAtATime<T>(name: string, work: () => Promise<T>): Promise<T> {
  return navigator.locks ? (navigator.locks.request(name, work) as Promise<T>) : work();
}
