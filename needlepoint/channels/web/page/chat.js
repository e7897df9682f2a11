/**
 * The chat page: one conversation, from the greeting to its deletion.
 *
 * A message is shown at once and posted under an id of its own; while it has not arrived it is kept and posted again
 * under that same id, so that it is neither lost nor doubled. A reply may come twice (as the answer to the post and as
 * an event) and is shown once. Before consent a message is posted all the same: the clinic answers an emergency at
 * once, stores nothing, and asks for consent otherwise.
 */

import * as api from "./api.js";
import * as cards from "./cards.js";
import { keep, recall } from "./kept.js";

const LONGEST_MESSAGE = 4096;
const COUNTER_FROM = 3800;
const RETRY_AFTER_MS = [1000, 2000, 4000, 8000, 30_000];
/** Close enough to the end of the page to be reading the newest message. */
const NEAR_END_PX = 160;
/** Long enough to be picked up by a screen reader, then gone so that nobody reads it twice. */
const ANNOUNCED_FOR_MS = 5000;
const ASK_FOR_PERSON = "I would like to talk to a person";

/**
 * @typedef {object} Sending a message on its way
 * @property {string} id
 * @property {string} text what the person sees
 * @property {string} [choice] token of a pressed button
 * @property {"open" | "unsent" | "consent" | "refused" | "done"} state
 * @property {HTMLElement} item
 * @property {HTMLElement} status
 * @property {boolean} renewed whether it has already been carried into a new conversation
 * @property {AbortController} abort
 */

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const log = byId("log");
const box = /** @type {HTMLTextAreaElement} */ (byId("message"));
const dialog = /** @type {HTMLDialogElement} */ (byId("delete-dialog"));

/** @type {cards.Clinic | null} */
let clinic = null;
/** @type {api.Session | null} */
let session = null;
/** @type {Promise<api.Session> | null} */
let creating = null;
/** @type {ReturnType<typeof api.followReplies> | null} */
let stream = null;
/** @type {ReturnType<typeof cards.consentCard> | null} */
let consent = null;
/** The agreement that is on its way to the clinic. @type {Promise<void> | null} */
let agreeing = null;
/** @type {Map<string, Sending>} */
const messages = new Map();
/** @type {Set<number>} */
const shownEvents = new Set();
/** Messages whose reply is on the page, with its event number where it had one. @type {Map<string, number | null>} */
const replied = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let retryTimer;
let retryStep = 0;
/** Raised by deletion: whatever was under way before it belongs to a chat that no longer exists. */
let generation = 0;
/** Where the event stream was joined. Joining there again repeats nothing, because what is shown is known. */
let followedFrom = 0;

// ---------------------------------------------------------------------------------------------------- start

/** Loads the clinic's words and what this tab remembers; tries again until it works. */
async function start(attempt = 0) {
  try {
    clinic = /** @type {cards.Clinic} */ (await api.fetchClinic());
  } catch (error) {
    const again = (/** @type {number} */ next) => {
      clearTimeout(timer);
      failure.remove();
      start(next);
    };
    const timer = setTimeout(() => again(attempt + 1), retryPause(attempt));
    const failure = cards.failureItem(failureOf(error), "Try again", () => again(0));
    log.prepend(failure);
    return;
  }
  document.title = `Ask ${clinic.name}`;
  byId("clinic-name").textContent = clinic.name;
  byId("emergency-line").replaceChildren(...cards.emergencyLine(clinic.emergency_line, clinic));

  session = recall("session");
  if (session && Date.parse(session.expires_at) <= Date.now()) setSession(null);

  const greeting = cards.greetingCard(clinic, send);
  log.prepend(greeting);
  if (session?.consent) {
    const agreed = cards.consentNote(clinic);
    greeting.after(agreed);
    await loadHistory(agreed);
  } else {
    consent = cards.consentCard(clinic, agree);
    greeting.after(consent.item);
  }
  flush();
}

/** @param {api.Session | null} value */
function setSession(value) {
  session = value;
  keep("session", value);
}

/**
 * Shows what was said before this page was loaded, and then follows what comes. Tries again until it works.
 * @param {HTMLElement} after the item below which the earlier messages belong
 */
async function loadHistory(after, attempt = 0) {
  if (!session || !clinic) return;
  const mine = generation;
  let history;
  try {
    history = (await api.fetchHistory(session)).messages;
  } catch (error) {
    if (mine !== generation) return;
    if (error instanceof api.Refused && error.ended) {
      after.remove();
      endSession();
      askForConsent(false);
      return;
    }
    const again = (/** @type {number} */ next) => {
      clearTimeout(timer);
      failure.remove();
      if (mine === generation) loadHistory(after, next);
    };
    const timer = setTimeout(() => again(attempt + 1), retryPause(attempt));
    const failure = cards.failureItem(
      cards.failureLines("Your earlier messages could not be loaded yet.", clinic.emergency_line, clinic),
      "Load them now",
      () => again(0),
    );
    after.after(failure);
    return;
  }
  if (mine !== generation) return;
  const items = [];
  let last = 0;
  /** The latest first: a press most likely belongs to that one. @type {ReturnType<typeof cards.replyCard>[]} */
  const replies = [];
  for (const { id, from, text, reply, at, event_id } of history) {
    if (typeof event_id === "number") {
      last = Math.max(last, event_id);
      if (shownEvents.has(event_id)) continue;
      shownEvents.add(event_id);
    }
    if (from === "person") {
      replies.some((card) => card.markChosen(text));
      items.push(messages.get(id)?.item ?? cards.personMessage(text, at).item);
    } else {
      if (id) replied.set(id, event_id);
      const card = cards.replyCard(reply ?? { kind: "answer", text }, clinic, { from, at, onChoose: choose });
      replies.unshift(card);
      items.push(card.item);
    }
  }
  after.after(...items);
  follow(last);
  log.lastElementChild?.scrollIntoView({ block: "end" });
}

/**
 * Listens for replies that come later: from staff, or to a message whose connection broke.
 * @param {number} after number of the last event that is shown
 */
function follow(after) {
  stream?.stop();
  if (!session?.consent) return;
  followedFrom = after;
  stream = api.followReplies(session, { after, onReply: receive, onEnded: () => (stream = null) });
}

/** How long to wait before another attempt, in milliseconds. @param {number} attempt counted from 0 */
const retryPause = (attempt) => RETRY_AFTER_MS[Math.min(attempt, RETRY_AFTER_MS.length - 1)];

// ---------------------------------------------------------------------------------------------------- sending

/** @param {string} text */
function send(text) {
  flush();
  post(addMessage(newId(), text));
  byId("waiting").scrollIntoView({ block: "end" });
}

/** @param {cards.Choice} choice */
function choose({ title, token }) {
  flush();
  post(addMessage(newId(), title, token));
  byId("waiting").scrollIntoView({ block: "end" });
}

/** An id for a message. `randomUUID` exists only on secure pages, and a clinic may try this on its own network. */
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * @param {string} id
 * @param {string} text
 * @param {string} [choice]
 * @returns {Sending}
 */
function addMessage(id, text, choice) {
  const { item, status } = cards.personMessage(text, new Date().toISOString());
  /** @type {Sending} */
  const message = { id, text, choice, state: "open", item, status, renewed: false, abort: new AbortController() };
  messages.set(id, message);
  keepUnsent();
  log.append(item);
  item.scrollIntoView({ block: "end" });
  return message;
}

function keepUnsent() {
  const unsent = [...messages.values()].filter(({ state }) => state !== "done" && state !== "refused");
  keep("unsent", unsent.length ? unsent.map(({ id, text, choice }) => ({ id, text, choice })) : null);
}

/** Posts whatever has not arrived, oldest first. */
function flush() {
  clearTimeout(retryTimer);
  retryTimer = undefined;
  for (const message of messages.values()) if (message.state === "unsent") post(message);
}

/** @returns {Promise<api.Session>} the conversation, made when there is none yet */
async function conversation() {
  // Whoever types right after agreeing must not get a second conversation that knows nothing of it.
  await agreeing;
  if (session) return session;
  const mine = generation;
  creating ??= api
    .createConversation(null, clinic?.language ?? "en")
    .then((made) => {
      if (mine === generation) setSession(made);
      return made;
    })
    .finally(() => {
      creating = null;
    });
  return creating;
}

/** @param {Sending} message */
async function post(message) {
  const mine = generation;
  message.state = "open";
  showWaiting();
  /** @type {api.Session | null} */
  let used = null;
  try {
    if (!clinic) throw new api.Unreachable("The clinic's chat cannot be reached right now.");
    used = await conversation();
    const { id, text, choice } = message;
    const body = choice ? { message_id: id, choice } : { message_id: id, text };
    const outcome = await api.postMessage(used, body, message.abort.signal);
    if (mine !== generation) return;
    retryStep = 0;
    receive(outcome);
  } catch (error) {
    if (mine !== generation) return;
    if (isSent(message)) return;
    await explain(message, error, used);
  } finally {
    if (mine === generation) {
      keepUnsent();
      showWaiting();
    }
  }
}

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** The way to help that needs no computer, in the server's words where it gave any. @param {unknown} error */
const emergencyOf = (error) => (error instanceof api.Refused && error.emergency) || clinic?.emergency_line || "";

/** @param {unknown} error */
const failureOf = (error, lead = "") => cards.failureLines(lead + messageOf(error), emergencyOf(error), clinic);

/** An event can bring the reply while the post itself is still failing. @param {Sending} message */
const isSent = (message) => message.state === "done";

/**
 * What to do with a message that was not answered.
 * @param {Sending} message
 * @param {unknown} error
 * @param {api.Session | null} used the conversation it was posted to
 */
async function explain(message, error, used) {
  if (error instanceof api.Refused && error.code === "consent_needed") {
    if (session?.consent && session.token !== used?.token) return post(message);
    message.state = "consent";
    message.status.replaceChildren("Kept here until you agree.");
    askForConsent(true);
    return;
  }
  if (error instanceof api.Refused && error.ended) {
    if (session && session.token !== used?.token) return post(message);
    if (!message.renewed) {
      message.renewed = true;
      if (session) {
        endSession();
        log.append(message.item);
      }
      return post(message);
    }
  }
  const emergency = emergencyOf(error);
  if (error instanceof api.Unreachable || (error instanceof api.Refused && error.passing)) {
    message.state = "unsent";
    if (!message.status.querySelector(".failure")) {
      const words = error instanceof api.Refused ? `${error.message} ` : "";
      showStatus(message, `${words}Not sent yet. Your text is kept here and is sent again by itself.`, emergency, "Retry now", () => {
        retryStep = 0;
        flush();
        box.focus();
      });
    }
    retryTimer ??= setTimeout(flush, retryPause(retryStep++));
    return;
  }
  message.state = "refused";
  const words = messageOf(error);
  const repeat = error instanceof api.Refused && error.status >= 500;
  showStatus(message, `Not sent. ${words}`, emergency, repeat || message.choice ? "Try again" : "Edit the message", () => {
    message.status.replaceChildren();
    if (repeat || message.choice) {
      post(message);
    } else {
      messages.delete(message.id);
      message.item.remove();
      box.value = [message.text, box.value].filter(Boolean).join("\n");
      measure();
    }
    box.focus();
  });
}

/**
 * @param {Sending} message
 * @param {string} words
 * @param {string} emergency
 * @param {string} action
 * @param {() => void} onAction
 */
function showStatus(message, words, emergency, action, onAction) {
  message.status.replaceChildren(
    cards.element(
      "div",
      { class: "notice failure" },
      ...cards.failureLines(words, emergency, clinic),
      cards.element("button", { type: "button", onclick: onAction }, action),
    ),
  );
  message.item.scrollIntoView({ block: "end" });
  announce("polite", words);
}

// ---------------------------------------------------------------------------------------------------- receiving

/**
 * A reply, from wherever it came.
 * @param {object} arrived
 * @param {number | null} arrived.event_id
 * @param {string | null} arrived.message_id the message it answers; nothing where staff speak unasked
 * @param {"assistant" | "staff"} [arrived.from]
 * @param {string} [arrived.state]
 * @param {cards.Reply | null} arrived.reply
 * @param {string} arrived.at ISO time
 */
function receive({ event_id, message_id, from = "assistant", state, reply, at }) {
  if (!clinic) return;
  const message = message_id ? messages.get(message_id) : undefined;
  if (message && message.state !== "done") {
    message.state = "done";
    message.status.replaceChildren();
    keepUnsent();
    showWaiting();
  }
  if (!reply) {
    if (message && state === "overtaken") {
      message.status.replaceChildren("Not answered by itself: the urgent message comes first.");
    } else if (message && state === "apologised") {
      const phone = clinic.phone ? ` Please phone the clinic: ${clinic.phone}.` : " Please phone the clinic.";
      receive({ event_id, message_id, at, reply: { kind: "decline", text: `Sorry, this could not be answered right now.${phone}` } });
    }
    return;
  }
  if (isShown(event_id, message_id)) return;
  if (event_id !== null) shownEvents.add(event_id);
  if (message_id) replied.set(message_id, event_id);

  // Whoever asked waits for it; a reply that comes later must not move the page under someone who reads.
  const expected = message !== undefined || isNearEnd();
  const urgent = cards.isUrgent(reply);
  const { item } = cards.replyCard(reply, clinic, { from, at, onChoose: choose });
  log.append(item);
  if (expected || urgent) show(item);
  else byId("newer").hidden = false;
  announce(urgent ? "assertive" : "polite", cards.spoken(reply, from));
}

/**
 * @param {number | null} event_id
 * @param {string | null} message_id
 */
function isShown(event_id, message_id) {
  if (event_id !== null && shownEvents.has(event_id)) return true;
  if (!message_id || !replied.has(message_id)) return false;
  return event_id === null || replied.get(message_id) === null;
}

/**
 * Says something to a screen reader, once.
 * @param {"polite" | "assertive"} region
 * @param {string} words
 */
function announce(region, words) {
  const line = cards.element("p", {}, words);
  byId(region).append(line);
  setTimeout(() => line.remove(), ANNOUNCED_FOR_MS);
}

function showWaiting() {
  byId("waiting").hidden = ![...messages.values()].some(({ state }) => state === "open");
}

function isNearEnd() {
  const page = document.documentElement;
  return page.scrollHeight - window.innerHeight - window.scrollY < NEAR_END_PX;
}

/** A long reply is read from its first line. @param {HTMLElement} item */
function show(item) {
  const room = window.innerHeight - byId("top").offsetHeight - byId("bottom").offsetHeight;
  item.scrollIntoView({ block: item.offsetHeight > room ? "start" : "end" });
}

// ---------------------------------------------------------------------------------------------------- consent

/** @param {boolean} waiting whether a message waits for it */
function askForConsent(waiting) {
  if (!clinic) return;
  consent ??= cards.consentCard(clinic, agree);
  if (waiting) consent.showWaiting();
  log.append(consent.item);
  show(consent.item);
  if (waiting) consent.heading.focus({ preventScroll: true });
}

async function agree() {
  if (!consent || !clinic) return;
  const card = consent;
  const mine = generation;
  card.setBusy(true);
  card.showFailure([]);
  try {
    await creating?.catch(() => null);
    const version = clinic.privacy.version;
    const fresh = () => api.createConversation(version, clinic?.language ?? "en");
    const asked = session
      ? api.giveConsent(session, version).catch((error) => {
          if (error instanceof api.Refused && error.ended) return fresh();
          throw error;
        })
      : fresh();
    const settled = asked.then((agreed) => {
      if (mine === generation) setSession(agreed);
    });
    agreeing = settled.catch(() => {});
    await settled;
    if (mine !== generation) return;
  } catch (error) {
    if (error instanceof api.Refused && error.code === "other_notice") {
      // The notice changed while this page was open: nobody can agree to what they have not seen.
      clinic = await api.fetchClinic().catch(() => clinic);
      consent = cards.consentCard(/** @type {cards.Clinic} */ (clinic), agree);
      card.item.replaceWith(consent.item);
      consent.showFailure(["The privacy notice has changed. Please look at it again."]);
      return;
    }
    card.setBusy(false);
    card.showFailure(failureOf(error));
    return;
  } finally {
    agreeing = null;
  }
  const agreed = cards.consentNote(clinic);
  card.item.replaceWith(agreed);
  consent = null;
  // On a phone the message box would bring up the keyboard and hide the first choices.
  if (matchMedia("(pointer: fine)").matches) box.focus({ preventScroll: true });
  else agreed.focus({ preventScroll: true });
  follow(0);
  for (const message of messages.values()) {
    if (message.state !== "consent") continue;
    message.status.replaceChildren();
    log.append(message.item);
    post(message);
  }
}

/** This conversation is over (expired or erased elsewhere); the next message begins another. */
function endSession() {
  setSession(null);
  stream?.stop();
  stream = null;
  log.append(cards.note("The earlier chat has ended. This is a new one."));
}

// ---------------------------------------------------------------------------------------------------- deletion

async function deleteChat() {
  const failure = byId("delete-failure");
  const button = byId("delete-confirm");
  button.setAttribute("aria-disabled", "true");
  failure.hidden = true;
  try {
    await creating?.catch(() => null);
    if (session) await api.eraseConversation(session);
  } catch (error) {
    const gone = error instanceof api.Refused && (error.status === 404 || error.status === 410);
    if (!gone) {
      failure.replaceChildren(...failureOf(error, "This chat could not be deleted. "));
      failure.hidden = false;
      return;
    }
  } finally {
    button.removeAttribute("aria-disabled");
  }
  generation += 1;
  for (const message of messages.values()) message.abort.abort();
  stream?.stop();
  stream = null;
  clearTimeout(retryTimer);
  retryTimer = undefined;
  retryStep = 0;
  messages.clear();
  shownEvents.clear();
  replied.clear();
  creating = null;
  setSession(null);
  keepUnsent();
  showWaiting();
  dialog.close();

  const deleted = cards.note("Your chat has been deleted.");
  log.replaceChildren(deleted);
  if (clinic) {
    consent = cards.consentCard(clinic, agree);
    log.append(cards.greetingCard(clinic, send), consent.item);
  }
  window.scrollTo({ top: 0 });
  deleted.focus({ preventScroll: true });
}

// ---------------------------------------------------------------------------------------------------- the page

const lengthOf = (/** @type {string} */ text) => [...text].length;
const thousands = new Intl.NumberFormat("en");
let toldLimit = "";

/** Fits the message box to its text and counts near the limit. */
function measure() {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + box.offsetHeight - box.clientHeight}px`;
  const length = lengthOf(box.value);
  const over = length - LONGEST_MESSAGE;
  const counter = byId("counter");
  counter.hidden = length < COUNTER_FROM;
  counter.textContent =
    over > 0
      ? `Too long by ${thousands.format(over)}: at most ${thousands.format(LONGEST_MESSAGE)} characters can be sent.`
      : `${thousands.format(length)} of ${thousands.format(LONGEST_MESSAGE)} characters`;
  counter.classList.toggle("over", over > 0);
  if (over > 0) box.setAttribute("aria-invalid", "true");
  else box.removeAttribute("aria-invalid");
  const level = over > 0 ? "over" : counter.hidden ? "" : "near";
  if (level !== toldLimit && level) announce("polite", counter.textContent);
  toldLimit = level;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text) return box.focus();
  if (lengthOf(box.value) > LONGEST_MESSAGE) {
    announce("polite", byId("counter").textContent ?? "");
    return box.focus();
  }
  box.value = "";
  measure();
  send(text);
});

box.addEventListener("input", measure);
box.addEventListener("keydown", (event) => {
  // While an input method is composing, Enter picks a word and sends nothing.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  /** @type {HTMLFormElement} */ (byId("composer")).requestSubmit();
});

byId("person").addEventListener("click", () => send(ASK_FOR_PERSON));
byId("delete").addEventListener("click", () => {
  byId("delete-failure").hidden = true;
  dialog.showModal();
});
byId("delete-form").addEventListener("submit", (event) => {
  if (/** @type {SubmitEvent} */ (event).submitter?.getAttribute("value") !== "delete") return;
  event.preventDefault();
  if (byId("delete-confirm").getAttribute("aria-disabled") !== "true") deleteChat();
});

byId("newer").addEventListener("click", () => {
  byId("newer").hidden = true;
  const item = /** @type {HTMLElement | null} */ (log.lastElementChild);
  if (!item) return;
  show(item);
  item.focus({ preventScroll: true });
});
window.addEventListener(
  "scroll",
  () => {
    if (isNearEnd()) byId("newer").hidden = true;
  },
  { passive: true },
);

window.addEventListener("online", () => {
  retryStep = 0;
  flush();
  stream?.wake();
});
// An open connection would keep the page out of the browser's back-forward cache.
window.addEventListener("pagehide", () => stream?.stop());
window.addEventListener("pageshow", (event) => {
  if (event.persisted && session?.consent) follow(followedFrom);
});

// Nothing that gets the focus may end up behind the bars at the top and at the bottom.
const bars = new ResizeObserver(() => {
  const page = document.documentElement.style;
  page.setProperty("--top-height", `${byId("top").offsetHeight}px`);
  page.setProperty("--clinic-height", `${byId("clinic").offsetHeight}px`);
  page.setProperty("--bottom-height", `${byId("bottom").offsetHeight}px`);
});
bars.observe(byId("top"));
bars.observe(byId("bottom"));

history.scrollRestoration = "manual";
for (const { id, text, choice } of recall("unsent") ?? []) addMessage(id, text, choice).state = "unsent";
start();
