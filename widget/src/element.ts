/** `<needlepoint-chat>`: the launcher, the panel and what is in it. docs/widget-accessibility.md says how it behaves. */

import { Refused, Service } from "./api.js";
import { Cards, icon } from "./cards.js";
import { shades } from "./colours.js";
import { Conversation, LONGEST_MESSAGE, type Status, type View } from "./conversation.js";
import { button, element, isDisabled, setDisabled } from "./dom.js";
import { Kept } from "./kept.js";
import { type Arrived, type Clinic, isUrgent, type Reply } from "./reply.js";
import { styleSheet } from "./sheet.js";
import { asText, copied, mailto, print, type Said } from "./transcript.js";
import { type Key, nameOf, Words } from "./words.js";

const COUNTER_FROM = 3800;
/** Close enough to the end to be reading the newest message. */
const NEAR_END_PX = 120;
/** Room kept between a message and the edge it is scrolled to. */
const MARGIN_PX = 12;
/** Long enough to be picked up by a screen reader, then gone so that nobody reads it twice. */
const ANNOUNCED_FOR_MS = 5000;
/** Attributes that change what is said, so that everything is drawn again. */
const REDRAWN_FOR = ["data-language", "data-branch", "data-greeting", "data-label"];

const CHAT = "M4 4h16a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1h-8l-5 4v-4H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z";
const CROSS = "M6 4.6 12 10.6l6-6L19.4 6l-6 6 6 6-1.4 1.4-6-6-6 6L4.6 18l6-6-6-6z";

/** What is always there, made by `draw`. */
type Parts = ReturnType<NeedlepointChat["draw"]>;

export class NeedlepointChat extends HTMLElement implements View {
  static readonly observedAttributes = [...REDRAWN_FOR, "data-color"];
  /** Where the script came from, and with it the service; set by the script. */
  static base = "";

  readonly #root: ShadowRoot;
  #words = new Words("en");
  #cards = new Cards(this.#words, null);
  #kept: Kept | null = null;
  #conversation: Conversation | null = null;
  #parts: Parts | null = null;
  readonly #statuses = new Map<string, { item: HTMLLIElement; status: HTMLElement; text: string }>();
  /** The replies that may hold a pressed choice, the latest first. */
  #replies: ReturnType<Cards["reply"]>[] = [];
  #said: Said[] = [];
  #consent: ReturnType<Cards["consent"]> | null = null;
  #failure: HTMLElement | null = null;
  #unread = 0;
  #opener: HTMLElement | null = null;
  #toldLimit = "";
  #stopListening = new AbortController();

  constructor() {
    super();
    this.#root = this.attachShadow({ mode: "open" });
    this.#root.adoptedStyleSheets = [styleSheet()];
  }

  connectedCallback(): void {
    this.#start();
  }

  disconnectedCallback(): void {
    this.#stop();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.#parts || before === after) return;
    if (name === "data-color") return this.#paint();
    const open = this.isOpen;
    this.#stop();
    this.#start();
    if (open && this.#floats) this.open();
  }

  // ------------------------------------------------------------------------------------------------- for the page

  /** Opens the chat and moves the focus into it. */
  open(): void {
    const parts = this.#parts;
    if (!parts || !this.#floats || this.isOpen) return;
    this.#opener = deepFocus();
    parts.launcher.hidden = true;
    parts.panel.hidden = false;
    this.#fit();
    this.#read();
    // On a phone the message box would bring up the keyboard and hide the first choices.
    (matchMedia("(pointer: fine)").matches ? parts.box : parts.title).focus({ preventScroll: true });
    if (!parts.log.querySelector(":scope > .person")) parts.middle.scrollTop = 0;
    else this.#toEnd();
    this.#emit("open");
  }

  /** Closes it; the focus goes back to what had it before. */
  close(): void {
    const parts = this.#parts;
    if (!parts || !this.#floats || !this.isOpen) return;
    const focused = this.#root.activeElement !== null;
    parts.panel.hidden = true;
    parts.launcher.hidden = false;
    const back = this.#opener?.isConnected && !this.contains(this.#opener) ? this.#opener : null;
    if (focused) (back && back !== document.body && back !== this ? back : parts.launcher).focus();
    this.#emit("close");
  }

  /** Says something as if the person had typed it, for example from a button of the page; opens the chat for it. */
  send(text: string): void {
    this.open();
    if (text.trim() && [...text].length <= LONGEST_MESSAGE) this.#conversation?.send(text.trim());
  }

  get isOpen(): boolean {
    return this.#parts?.panel.hidden === false;
  }

  /** Replies that came while the chat was closed. */
  get unread(): number {
    return this.#unread;
  }

  /** Pages often hand their events to analytics: these say that something happened, never what was said. */
  #emit(name: "open" | "close" | "reply" | "ready"): void {
    const detail = { unread: this.#unread };
    this.dispatchEvent(new CustomEvent(`needlepoint-${name}`, { bubbles: true, composed: true, detail }));
  }

  // ------------------------------------------------------------------------------------------------- life

  /** Whether it floats over the page behind a launcher; else it stands where the page put it. */
  get #floats(): boolean {
    return this.hasAttribute("launcher");
  }

  #start(): void {
    const wanted = this.dataset.language || document.documentElement.lang || navigator.language;
    const language = (wanted.split("-")[0] ?? "en").toLowerCase();
    this.#words = new Words(language);
    this.#cards = new Cards(this.#words, null);
    this.#parts = this.draw();
    this.#paint();
    this.#kept = new Kept(NeedlepointChat.base);
    this.#parts.remember.checked = this.#kept.remembers;
    this.#conversation = new Conversation(new Service(NeedlepointChat.base), this.#kept, this, language);
    this.#listen();
    void this.#conversation.start();
  }

  #stop(): void {
    this.#stopListening.abort();
    this.#conversation?.stop();
    this.#kept?.close();
    this.#root.replaceChildren();
    this.#parts = null;
    this.#statuses.clear();
    this.#replies = [];
    this.#said = [];
    this.#consent = null;
    this.#setUnread(0);
  }

  #listen(): void {
    this.#stopListening = new AbortController();
    const { signal } = this.#stopListening;
    addEventListener(
      "online",
      () => {
        this.#showLine();
        this.#announce(this.#words.say("online"));
        this.#conversation?.retry();
      },
      { signal },
    );
    addEventListener("offline", () => this.#showLine(true), { signal });
    document.addEventListener("visibilitychange", () => this.#read(), { signal });
    visualViewport?.addEventListener("resize", () => this.#fit(), { signal });
    visualViewport?.addEventListener("scroll", () => this.#fit(), { signal });
    // An open connection would keep the page out of the browser's back-forward cache.
    addEventListener("pagehide", () => this.#conversation?.stop(), { signal });
    addEventListener(
      "pageshow",
      (event) => {
        if (!event.persisted) return;
        this.#stop();
        this.#start();
      },
      { signal },
    );
    this.#showLine();
  }

  /** The parts of the widget that are always there. */
  private draw() {
    const say = (key: Key) => this.#words.say(key);
    const floats = this.#floats;
    const badge = element("span", { class: "badge", hidden: true });
    const launcherText = element("span", { class: "label" }, this.dataset.label || say("launcher"));
    const launcher = button("launcher", () => this.open(), icon(CHAT), launcherText, badge);
    launcher.setAttribute("aria-haspopup", "dialog");
    launcher.hidden = !floats;

    const title = element("h2", { id: "title", tabindex: "-1" }, say("title_unknown"));
    const subtitle = element("p", { id: "subtitle" }, say("subtitle"));
    const closing = button("close", () => this.close(), icon(CROSS));
    closing.setAttribute("aria-label", say("close"));
    closing.hidden = !floats;
    const emergencyText = element("span", {}, ...this.#cards.emergencyLine());
    const emergency = element("p", { class: "emergency" }, element("span", { class: "sign", "aria-hidden": "true" }, "!"), emergencyText);
    const urgentBar = element("div", { class: "urgent-bar", hidden: true });
    const clinicBar = element("div", { class: "clinic" }, element("div", {}, title, subtitle), closing);
    const top = element("div", { class: "top" }, clinicBar, emergency, urgentBar);

    const log = element("ol", { class: "log", role: "list", "aria-label": say("conversation"), tabindex: "-1" });
    const dots = element("span", { class: "dots", "aria-hidden": "true" }, ...[1, 2, 3].map(() => element("span")));
    const waiting = element("p", { class: "waiting", hidden: true }, dots, say("waiting"));
    const middle = element("div", { class: "middle" }, log, waiting);

    const newer = button("newer", () => this.#goToNewer(), `${say("newer")} `, element("span", { "aria-hidden": "true" }, "↓"));
    newer.hidden = true;
    const line = element("p", { class: "line", hidden: true }, say("offline"));
    const box = element("textarea", {
      id: "message",
      rows: "1",
      dir: "auto",
      placeholder: say("placeholder"),
      autocomplete: "off",
      enterkeyhint: "send",
      "aria-describedby": "counter",
    });
    const counter = element("p", { class: "counter", id: "counter", hidden: true });
    const composer = element(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      element("label", { class: "unseen", for: "message" }, say("message")),
      box,
      element("button", { type: "submit", class: "primary" }, say("send")),
      counter,
    );
    const deleteDialog = this.#drawDeletion();
    const { more, extras, remember, languages } = this.#drawExtras();
    const tools = element(
      "div",
      { class: "tools" },
      button("quiet", () => this.#conversation?.send(say("ask_for_a_person")), say("talk_to_a_person")),
      button("quiet", () => deleteDialog.showModal(), say("delete")),
      more,
    );
    const bottom = element("div", { class: "bottom" }, newer, line, composer, tools, extras);

    const panel = element(
      "section",
      {
        class: "panel",
        role: floats ? "dialog" : "region",
        "aria-labelledby": "title",
        "aria-describedby": "subtitle",
        onkeydown: (event) => this.#onKey(event as KeyboardEvent),
      },
      top,
      middle,
      bottom,
      deleteDialog,
    );
    panel.hidden = floats;
    // The conversation itself is no live region: each new reply is put here once, as text, and then taken away.
    const polite = element("div", { class: "unseen", role: "status", "aria-live": "polite" });
    const assertive = element("div", { class: "unseen", role: "alert", "aria-live": "assertive" });
    const frame = element("div", { class: floats ? "frame floating" : "frame" }, panel);
    // Inline the panel itself is the landmark.
    const outer = floats ? element("aside", { "aria-label": say("title_unknown") }, launcher, frame) : frame;
    this.#root.replaceChildren(element("div", { class: "home" }, outer, polite, assertive));

    box.addEventListener("input", () => this.#measure());
    log.addEventListener("focusin", (event) => this.#visit(event.target as Element));
    middle.addEventListener("scroll", () => this.#isNearEnd() && this.#hideNewer(), { passive: true });
    return {
      launcher, launcherText, badge, panel, frame, title, subtitle, top, emergencyText, emergency, urgentBar, middle, log,
      waiting, newer, line, box, counter, composer, bottom, remember, languages, polite, assertive, outer,
    };
  }

  /** The dialog that asks before everything is erased. */
  #drawDeletion(): HTMLDialogElement {
    const say = (key: Key) => this.#words.say(key);
    const failed = element("div", { role: "alert" });
    const confirm = button(
      "danger",
      async () => {
        if (isDisabled(confirm)) return;
        setDisabled(confirm, true);
        failed.replaceChildren();
        try {
          await this.#conversation?.erase();
        } catch (error) {
          failed.append(this.#cards.failure(`${say("delete_failed")} ${this.#cards.wordsOf(error)}`, error));
        }
        setDisabled(confirm, false);
      },
      say("delete_confirm"),
    );
    const dialog: HTMLDialogElement = element(
      "dialog",
      { class: "deletion", "aria-labelledby": "delete-heading", "aria-describedby": "delete-text", onclose: () => failed.replaceChildren() },
      element("h2", { id: "delete-heading" }, say("delete_heading")),
      element("p", { id: "delete-text" }, say("delete_text")),
      failed,
      element("div", { class: "dialog-buttons" }, button("", () => dialog.close(), say("delete_keep")), confirm),
    );
    return dialog;
  }

  /** What is not needed in every chat: a copy of it, being remembered, the language. */
  #drawExtras() {
    const say = (key: Key) => this.#words.say(key);
    const extras = element("div", { class: "extras", id: "extras", hidden: true });
    const more = button("quiet", () => {
      extras.hidden = !extras.hidden;
      more.setAttribute("aria-expanded", String(!extras.hidden));
    }, say("more"));
    more.setAttribute("aria-expanded", "false");
    more.setAttribute("aria-controls", "extras");
    const remember = element("input", {
      type: "checkbox",
      "aria-describedby": "remember-hint",
      onchange: () => {
        if (this.#kept) this.#kept.remembers = remember.checked;
        remember.checked = this.#kept?.remembers ?? false;
      },
    });
    const copy = button("", async () => {
      const done = await copied(asText(this.#lead(), this.#said), extras);
      copy.focus();
      outcome.textContent = say(done ? "copied" : "copy_failed");
      this.#announce(outcome.textContent);
    }, say("copy"));
    const outcome = element("span", { class: "small" });
    const email = button("", () => {
      const subject = this.#words.say("email_subject", { clinic: this.#clinicName() });
      element("a", { href: mailto(subject, this.#lead(), this.#said, say("email_cut")) }).click();
    }, say("email"));
    const printing = button("", () => {
      print(this.#titleText(), this.#words.language, this.#lead(), this.#said, this.#root);
    }, say("print"));
    const languages = element("div", { class: "choices", role: "group", "aria-label": say("language"), hidden: true });
    extras.append(
      element("div", { class: "choices" }, copy, printing, email),
      outcome,
      element("label", { class: "remember" }, remember, say("remember")),
      element("p", { class: "small", id: "remember-hint" }, say("remember_hint")),
      languages,
    );
    return { more, extras, remember, languages };
  }

  /** The clinic's colour, in shades that can be read. */
  #paint(): void {
    const named = this.dataset.color || getComputedStyle(this).getPropertyValue("--needlepoint-brand").trim();
    const painted = named ? shades(named) : null;
    if (named && !painted) console.warn(`Needlepoint: "${named}" is no colour that can be used; write it like #0b5a5a.`);
    for (const [name, value] of Object.entries(painted ?? {})) this.#parts?.outer.style.setProperty(`--${name}`, value);
  }

  /** What a phone's keyboard leaves of the screen. */
  #fit(): void {
    const view = visualViewport;
    const frame = this.#parts?.frame;
    if (!view || !frame || !this.#floats) return;
    frame.style.setProperty("--seen-height", `${view.height}px`);
    frame.style.setProperty("--seen-top", `${view.offsetTop}px`);
    this.#parts?.panel.setAttribute("aria-modal", String(this.#fillsTheScreen()));
  }

  #fillsTheScreen(): boolean {
    return this.#floats && !!this.#parts && this.#parts.panel.offsetWidth >= innerWidth - 1;
  }

  // ------------------------------------------------------------------------------------------------- keys and focus

  #onKey(event: KeyboardEvent): void {
    const parts = this.#parts;
    if (!parts || event.isComposing || event.defaultPrevented) return;
    const target = event.composedPath()[0] as HTMLElement;
    if (target.closest("dialog")) return;
    const handled = () => event.preventDefault();
    const entry = target.closest<HTMLElement>(".entry");
    if (event.key === "Escape") {
      if (entry) {
        handled();
        parts.box.focus();
      } else if (this.#floats) {
        handled();
        this.close();
      }
    } else if (target === parts.box) {
      this.#onKeyInBox(event, handled);
    } else if (entry === target) {
      const entries = [...parts.log.children] as HTMLElement[];
      const at = entries.indexOf(entry);
      const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: entries.length - 1 }[event.key];
      if (next !== undefined) {
        handled();
        this.#focusEntry(entries[Math.min(Math.max(next, 0), entries.length - 1)]);
      } else if (event.key === "Enter") {
        const inside = entry.querySelector<HTMLElement>("a, button, summary, input, textarea");
        if (inside) {
          handled();
          inside.focus();
        }
      }
    }
    if (event.key === "Tab" && this.#fillsTheScreen()) this.#stayInside(event, target);
  }

  #onKeyInBox(event: KeyboardEvent, handled: () => void): void {
    const { box, composer, log } = this.#parts as Parts;
    if (event.key === "Enter" && !event.shiftKey) {
      handled();
      composer.requestSubmit();
    } else if (!box.value && event.key === "ArrowUp") {
      handled();
      this.#focusEntry(log.lastElementChild as HTMLElement | null);
    } else if (!box.value && (event.key === "PageUp" || event.key === "PageDown")) {
      handled();
      const scroller = this.#scroller();
      scroller.scrollBy({ top: (event.key === "PageUp" ? -0.8 : 0.8) * scroller.clientHeight });
    }
  }

  /** Where the page behind cannot be seen, Tab must not go there. */
  #stayInside(event: KeyboardEvent, target: HTMLElement): void {
    const stops = [...(this.#parts?.panel.querySelectorAll<HTMLElement>("a, button, summary, input, textarea, [tabindex='0']") ?? [])].filter(
      (one) => one.tabIndex >= 0 && one.checkVisibility() && !one.closest("dialog"),
    );
    const from = event.shiftKey ? stops[0] : stops.at(-1);
    const to = event.shiftKey ? stops.at(-1) : stops[0];
    if (target !== from && target !== this.#parts?.title) return;
    if (target === this.#parts?.title && !event.shiftKey) return;
    event.preventDefault();
    to?.focus();
  }

  /** The list is one tab stop: the message last visited. */
  #visit(target: Element): void {
    const entry = target.closest(".entry");
    if (!entry) return;
    for (const one of this.#parts?.log.children ?? []) one.setAttribute("tabindex", one === entry ? "0" : "-1");
  }

  #focusEntry(entry: HTMLElement | null | undefined): void {
    if (!entry) return;
    this.#visit(entry);
    entry.focus({ preventScroll: true });
    this.#show(entry);
  }

  // ------------------------------------------------------------------------------------------------- scrolling

  /** What scrolls: the conversation; in a low window the whole panel. */
  #scroller(): HTMLElement {
    const { middle, panel } = this.#parts as Parts;
    return getComputedStyle(middle).overflowY === "visible" ? panel : middle;
  }

  #isNearEnd(): boolean {
    const { scrollHeight, clientHeight, scrollTop } = this.#scroller();
    return scrollHeight - clientHeight - scrollTop < NEAR_END_PX;
  }

  #toEnd(): void {
    if (!this.isOpen) return;
    const scroller = this.#scroller();
    scroller.scrollTop = scroller.scrollHeight;
  }

  /** Scrolls the chat alone, never the page: a long message from its first line, a short one to its last. */
  #show(item: HTMLElement): void {
    const parts = this.#parts;
    if (!parts || !this.isOpen) return;
    const scroller = this.#scroller();
    // In a low window the emergency line stays at the top of what scrolls.
    const covered = scroller === parts.panel ? parts.top.getBoundingClientRect().bottom - scroller.getBoundingClientRect().top : 0;
    const room = scroller.clientHeight - covered - 2 * MARGIN_PX;
    const from = item.getBoundingClientRect().top - scroller.getBoundingClientRect().top + scroller.scrollTop;
    scroller.scrollTop =
      item.offsetHeight > room ? from - covered - MARGIN_PX : from + item.offsetHeight + MARGIN_PX - scroller.clientHeight;
  }

  #append(item: HTMLElement, sending = true): void {
    const { log } = this.#parts as Parts;
    // What is on its way stays below what was said before.
    const pending = sending ? null : log.querySelector(".entry.sending");
    log.insertBefore(item, pending);
    if (!log.querySelector("[tabindex='0']:focus")) this.#visit(log.lastElementChild as Element);
  }

  // ------------------------------------------------------------------------------------------------- writing

  #submit(event: Event): void {
    event.preventDefault();
    const { box, counter } = this.#parts as Parts;
    const text = box.value.trim();
    if (!text) return box.focus();
    if ([...box.value].length > LONGEST_MESSAGE) {
      this.#announce(counter.textContent ?? "");
      return box.focus();
    }
    box.value = "";
    this.#measure();
    this.#conversation?.send(text);
  }

  /** Fits the message box to its text and counts near the limit. */
  #measure(): void {
    const { box, counter } = this.#parts as Parts;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
    const length = [...box.value].length;
    const over = length - LONGEST_MESSAGE;
    const most = this.#words.number(LONGEST_MESSAGE);
    counter.hidden = length < COUNTER_FROM;
    counter.textContent =
      over > 0
        ? this.#words.say("too_long", { over: this.#words.number(over), most })
        : this.#words.say("counter", { count: this.#words.number(length), most });
    counter.classList.toggle("over", over > 0);
    if (over > 0) box.setAttribute("aria-invalid", "true");
    else box.removeAttribute("aria-invalid");
    const level = over > 0 ? "over" : counter.hidden ? "" : "near";
    if (level !== this.#toldLimit && level) this.#announce(counter.textContent);
    this.#toldLimit = level;
  }

  // ------------------------------------------------------------------------------------------------- telling

  /** Says something to a screen reader, once. */
  #announce(words: string, alarm = false): void {
    const line = element("p", {}, words);
    this.#parts?.[alarm ? "assertive" : "polite"].append(line);
    setTimeout(() => line.remove(), ANNOUNCED_FOR_MS);
  }

  #setUnread(count: number): void {
    this.#unread = count;
    document.title = (count ? `(${count}) ` : "") + document.title.replace(/^\(\d+\) /, "");
    const { launcher, badge } = this.#parts ?? {};
    if (!launcher || !badge) return;
    badge.textContent = String(count);
    badge.hidden = count === 0;
    const told = count === 1 ? this.#words.say("unread_one") : this.#words.say("unread", { count });
    // The name begins with what can be seen, so that it can be spoken to.
    const named = `${this.#parts?.launcherText.textContent}. ${this.#words.say("open", { clinic: this.#clinicName() })}`;
    launcher.setAttribute("aria-label", count ? `${named}, ${told}` : named);
  }

  /** What is open and looked at has been read. */
  #read(): void {
    if (!this.isOpen || document.hidden) return;
    this.#setUnread(0);
    if (this.#conversation) this.#kept?.set("seen", this.#conversation.lastEvent);
  }

  #showLine(tell = false): void {
    if (!this.#parts) return;
    this.#parts.line.hidden = navigator.onLine;
    if (tell) this.#announce(this.#words.say("offline"));
  }

  #clinicName(): string {
    return this.#conversation?.clinic?.name ?? "";
  }

  #titleText(): string {
    const clinic = this.#clinicName();
    return clinic ? this.#words.say("title", { clinic }) : this.#words.say("title_unknown");
  }

  /** What a copy of the conversation begins with. */
  #lead(): string[] {
    const today = this.#words.day(new Date().toLocaleDateString("sv"));
    const emergency = this.#parts?.emergencyText.textContent ?? "";
    return [this.#words.say("transcript_made", { clinic: this.#clinicName(), date: today }), emergency];
  }

  #hideNewer(): void {
    const { newer } = this.#parts as Parts;
    if (!newer.matches(":focus")) newer.hidden = true;
  }

  #goToNewer(): void {
    const { log, newer } = this.#parts as Parts;
    const first = log.querySelector<HTMLElement>(".entry.unread") ?? (log.lastElementChild as HTMLElement | null);
    for (const one of log.querySelectorAll(".unread")) one.classList.remove("unread");
    this.#focusEntry(first);
    newer.hidden = true;
  }

  // ------------------------------------------------------------------------------------------------- view

  refused(): void {
    console.error(
      `Needlepoint: ${location.origin} may not embed this chat. Whoever runs it has to add this origin to ` +
        "NEEDLEPOINT_EMBED_ORIGINS and start it again; see docs/widget.md.",
    );
    this.hidden = true;
  }

  clinicKnown(clinic: Clinic): void {
    const parts = this.#parts as Parts;
    this.#failure?.remove();
    const branch = this.#branchOf(clinic);
    const local = branch ? { ...clinic, phone: branch.phone, hours: branch.hours } : clinic;
    this.#cards = new Cards(this.#words, local);
    parts.title.textContent = this.#titleText();
    parts.subtitle.textContent = branch ? `${branch.name} · ${this.#words.say("subtitle")}` : this.#words.say("subtitle");
    parts.emergencyText.replaceChildren(...this.#cards.emergencyLine());
    this.#setUnread(this.#unread);
    if (this.#floats) parts.outer.setAttribute("aria-label", this.#titleText());
    parts.log.prepend(this.#cards.greeting(this.dataset.greeting, (text) => this.#conversation?.send(text)));
    this.#visit(parts.log.lastElementChild as Element);
    const others = clinic.languages.filter((language) => language !== this.#words.language);
    parts.languages.hidden = others.length === 0;
    parts.languages.replaceChildren(
      ...others.map((language) => {
        const one = button("choice", () => (this.dataset.language = language), nameOf(language));
        one.lang = language;
        return one;
      }),
    );
    this.#emit("ready");
  }

  /** The branch that the page is about. */
  #branchOf({ branches }: Clinic) {
    const wanted = this.dataset.branch?.trim().toLowerCase();
    if (!wanted) return null;
    const found = branches.find(({ name }) => name.toLowerCase().startsWith(wanted));
    if (!found) {
      const names = branches.map(({ name }) => name).join(", ");
      console.warn(`Needlepoint: there is no branch "${this.dataset.branch}"; there are: ${names}.`);
    }
    return found ?? null;
  }

  clinicUnknown(error: unknown, again: () => void): void {
    this.#failure?.remove();
    this.#failure = this.#failureItem(this.#cards.wordsOf(error), error, "try_again", again);
    this.#parts?.log.prepend(this.#failure);
  }

  #failureItem(text: string, error: unknown, key: Key, again: () => void): HTMLElement {
    const act = button("", again, this.#words.say(key));
    return element("li", { class: "entry", tabindex: "-1" }, this.#cards.failure(text, error, act));
  }

  consent(state: Parameters<View["consent"]>[0]): void {
    const cards = this.#cards;
    const fresh = () => cards.consent(() => void this.#conversation?.agree());
    if (state === "busy") {
      this.#consent?.setBusy(true);
      this.#consent?.showFailure();
    } else if (state === "given") {
      const note = cards.consentNote();
      const focused = this.#consent?.item.contains(this.#root.activeElement);
      if (this.#consent) this.#consent.item.replaceWith(note);
      else this.#append(note, false);
      this.#consent = null;
      if (focused) (matchMedia("(pointer: fine)").matches ? this.#parts?.box : note)?.focus({ preventScroll: true });
    } else if ("failed" in state) {
      this.#consent?.setBusy(false);
      this.#consent?.showFailure(cards.failure(cards.wordsOf(state.failed), state.failed));
    } else if ("changed" in state) {
      const before = this.#consent;
      this.#consent = fresh();
      before?.item.replaceWith(this.#consent.item);
      this.#consent.showFailure(this.#words.say("consent_changed"));
    } else {
      this.#consent ??= fresh();
      this.#append(this.#consent.item);
      if (!state.waits) return;
      this.#consent.showWaiting();
      this.#show(this.#consent.item);
      if (this.#root.activeElement) this.#consent.heading.focus({ preventScroll: true });
    }
  }

  said({ id, text }: { id: string; text: string }, at: string, sending: boolean): void {
    const known = this.#statuses.get(id);
    if (!sending) this.#replies.some((card) => card.markChosen(text));
    const { item, status } = known ?? this.#cards.personMessage(text, at);
    item.classList.toggle("sending", sending);
    this.#statuses.set(id, { item, status, text });
    this.#append(item, sending);
    if (!known) this.#said.push({ who: this.#words.say("person"), when: this.#words.moment(new Date(at)), text });
    if (sending) this.#toEnd();
  }

  status(id: string, state: Status | null): void {
    const { item, status, text } = this.#statuses.get(id) ?? {};
    if (!item || !status) return;
    if (state === null) {
      status.replaceChildren();
      item.classList.remove("sending");
      return;
    }
    if (state.is === "consent" || state.is === "overtaken") {
      status.replaceChildren(this.#words.say(state.is === "consent" ? "status_consent" : "status_overtaken"));
      return;
    }
    // What is said already is not said again at each attempt.
    if (state.is !== "refused" && status.querySelector(".failure")) return;
    const error = "error" in state ? state.error : null;
    const words = [
      state.is === "refused" && this.#words.say("status_refused"),
      error instanceof Refused && this.#cards.wordsOf(error),
      state.is !== "refused" && this.#words.say(navigator.onLine ? "status_unsent" : "status_offline"),
    ].filter(Boolean).join(" ");
    const edits = state.is === "refused" && state.edit;
    const key: Key = edits ? "edit" : state.is === "refused" ? "try_again" : "retry_now";
    const act = button("", () => {
      if (edits) this.#edit(id, text ?? "");
      else this.#conversation?.retry(id);
      this.#parts?.box.focus();
    }, this.#words.say(key));
    status.replaceChildren(this.#cards.failure(words, error, act));
    this.#show(item);
    this.#announce(words);
  }

  #edit(id: string, text: string): void {
    const { box } = this.#parts as Parts;
    this.#conversation?.takeBack(id);
    this.#statuses.get(id)?.item.remove();
    this.#statuses.delete(id);
    this.#said = this.#said.filter((one) => one.text !== text);
    box.value = [text, box.value].filter(Boolean).join("\n");
    this.#measure();
  }

  heard(arrived: Arrived & { reply: Reply }, old: boolean, awaited: boolean): void {
    const parts = this.#parts as Parts;
    const { reply, event_id, from = "assistant", at } = arrived;
    const conversation = this.#conversation;
    const rate = event_id !== null && conversation
      ? (feedback: Parameters<Conversation["rate"]>[1]) => conversation.rate(event_id, feedback)
      : null;
    const wasNearEnd = this.#isNearEnd();
    const card = this.#cards.reply(
      arrived,
      (choice) => conversation?.choose(choice),
      rate,
      conversation ? (wanted) => conversation.callBack(wanted) : null,
      (words) => this.#announce(words),
    );
    this.#replies.unshift(card);
    this.#append(card.item, false);
    this.#said.push({
      who: this.#words.say(from),
      when: this.#words.moment(new Date(at)),
      text: this.#cards.parts(reply).join("\n"),
    });
    this.#showUrgentBar(reply);
    if (old) return;
    const urgent = isUrgent(reply);
    const seen = this.isOpen && !document.hidden;
    // Whoever asked waits for it; a reply that comes later must not move the view of someone who reads.
    if (awaited || urgent || wasNearEnd) {
      this.#show(card.item);
    } else {
      card.item.classList.add("unread");
      parts.newer.hidden = false;
    }
    if (seen) this.#read();
    else this.#setUnread(this.#unread + 1);
    const spoken = this.isOpen ? this.#cards.spoken(reply, from) : this.#words.say("new_reply_closed");
    this.#announce(urgent ? this.#cards.spoken(reply, from) : spoken, urgent);
    this.#emit("reply");
  }

  /** From an urgent card until the person says that it is over. */
  #showUrgentBar(reply: Reply): void {
    const { urgentBar, emergency } = this.#parts as Parts;
    const over = reply.topic === "urgent" && reply.kind === "smalltalk";
    if (!isUrgent(reply) && !over) return;
    if (!over) urgentBar.replaceChildren(...this.#cards.urgentBar(reply));
    urgentBar.hidden = over;
    emergency.hidden = !over;
  }

  waiting(on: boolean): void {
    if (!this.#parts) return;
    this.#parts.waiting.hidden = !on;
    if (on) this.#toEnd();
  }

  historyFailed(again: () => void): void {
    this.#failure?.remove();
    this.#failure = this.#failureItem(this.#words.say("history_failed"), null, "history_load", again);
    this.#append(this.#failure, false);
  }

  historyShown(): void {
    this.#failure?.remove();
    this.#toEnd();
    const seen = this.#kept?.get("seen") ?? 0;
    const { lastEvent } = this.#conversation as Conversation;
    if (!this.isOpen && lastEvent > seen && this.#kept?.get("seen") !== null) this.#setUnread(lastEvent - seen);
    this.#read();
  }

  ended(): void {
    this.#append(this.#cards.plainNote("ended"));
  }

  erased(): void {
    const parts = this.#parts;
    if (!parts) return;
    this.#statuses.clear();
    this.#replies = [];
    this.#said = [];
    this.#consent = null;
    this.#setUnread(0);
    parts.urgentBar.hidden = true;
    parts.emergency.hidden = false;
    parts.newer.hidden = true;
    const focused = this.#root.activeElement !== null;
    const dialog = parts.panel.querySelector("dialog");
    dialog?.close();
    const deleted = this.#cards.plainNote("deleted");
    parts.log.replaceChildren(deleted);
    if (this.#conversation?.clinic) {
      parts.log.append(this.#cards.greeting(this.dataset.greeting, (text) => this.#conversation?.send(text)));
    }
    this.#scroller().scrollTop = 0;
    if (focused) this.#focusEntry(deleted);
    this.#announce(this.#words.say("deleted"));
  }
}

/** What has the focus, also inside of other components of the page. */
function deepFocus(): HTMLElement | null {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  return focused instanceof HTMLElement ? focused : null;
}
