/**
 * What the conversation is made of, as elements: a person's message, a reply, the greeting, the consent card, notices.
 * These functions only build; what a press does is handed in.
 */

import { dialling, isSafeLink, link, rendered, withPhones } from "./markdown.js";

/**
 * @typedef {object} Clinic as GET /api/clinic gives it
 * @property {string} name
 * @property {string | null} phone
 * @property {string | null} hours
 * @property {string} emergency_number
 * @property {string} emergency_line
 * @property {string | null} out_of_hours
 * @property {string} reads_live a sentence that says whether anybody reads the chat as it happens
 * @property {string} greeting
 * @property {string} disclaimer
 * @property {{version: string, line: string, text: string}} privacy
 * @property {{title: string, text: string}[]} first_choices
 * @property {string} language
 *
 * @typedef {{title: string, token: string}} Choice
 * @typedef {{name: string, url: string, grade: string}} Source
 *
 * @typedef {object} Answer
 * @property {string} language
 * @property {string} question
 * @property {string} text
 * @property {string | null} [in_your_case] what the answer means for the day of treatment that the person told
 * @property {string | null} [when_to_contact]
 * @property {string | null} [reviewed_on]
 * @property {string | null} [starting_text_of]
 * @property {Source[]} [sources]
 *
 * @typedef {object} Reply
 * @property {string} kind
 * @property {string} [text]
 * @property {Answer[]} [answers]
 * @property {string} [then] what is said below the answers: the open question of a form
 * @property {Choice[]} [choices]
 * @property {string} [urgency]
 */

const GRADES = /** @type {Record<string, string>} */ ({
  regulator: "health regulator",
  society: "professional society",
  hospital: "hospital or public health service",
  textbook: "reference work",
  review: "published review or trial",
  clinic: "clinic or health media",
  seed: "article this chat started from",
});

/** Who is speaking, in words. */
const SPEAKERS = { person: "You", assistant: "Assistant", staff: "Clinic team" };

/**
 * @param {string} tag
 * @param {Record<string, string | boolean | ((event: Event) => void)>} attributes `on...` names take a listener
 * @param {...(Node | string | null | undefined | false)} content
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...content.filter((part) => part !== null && part !== undefined && part !== false));
  return made;
}

/**
 * A day as people write it, "12 March 2026". The day has no time zone, so none may shift it.
 * @param {string} day ISO date
 */
function dayInWords(day) {
  const date = new Date(`${day.slice(0, 10)}T00:00:00Z`);
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" }).format(date);
}

/**
 * @param {string | undefined} at ISO time
 * @returns {HTMLElement | null}
 */
function clock(at) {
  const date = new Date(at ?? "");
  if (Number.isNaN(date.getTime())) return null;
  const today = new Date().toDateString() === date.toDateString();
  const words = new Intl.DateTimeFormat("en-GB", {
    ...(today ? {} : { day: "numeric", month: "short" }),
    hour: "2-digit",
    minute: "2-digit",
  }).format(date);
  return element("time", { datetime: date.toISOString() }, words);
}

/**
 * Which numbers to make callable: the clinic's own, and where it is urgent whatever looks like a phone number.
 * @param {Clinic} clinic
 * @returns {import("./markdown.js").Phones}
 */
function knownPhones(clinic, urgent = false) {
  const known = urgent ? [clinic.phone, clinic.emergency_number] : [clinic.phone];
  return { known: known.flatMap((number) => number || []), any: urgent };
}

/**
 * A line of the clinic's with its phone numbers as links.
 * @param {string} text
 * @param {Clinic | null} clinic
 */
export function emergencyLine(text, clinic) {
  return withPhones(text, clinic ? knownPhones(clinic, true) : { known: [], any: true });
}

/**
 * A list item of the log with who speaks and when.
 * @param {"person" | "assistant" | "staff"} from
 * @param {string | undefined} at
 * @param {...(Node | null)} content
 */
function entry(from, at, ...content) {
  const time = clock(at);
  return element(
    "li",
    { class: `entry ${from}`, tabindex: "-1" },
    element("p", { class: "byline" }, element("span", { class: "speaker" }, SPEAKERS[from]), time && " ", time),
    ...content,
  );
}

/**
 * What a person wrote, exactly as they wrote it, with room below for whether it has arrived.
 * @param {string} text
 * @param {string} [at]
 */
export function personMessage(text, at) {
  const status = element("div", { class: "status" });
  return { item: entry("person", at, element("div", { class: "bubble" }, text), status), status };
}

/**
 * The buttons that dial, the one that matters most first.
 * @param {Clinic} clinic
 * @param {string} urgency
 */
function callButtons(clinic, urgency) {
  const emergency = clinic.emergency_number && callButton("Call ", clinic.emergency_number);
  const ours = clinic.phone && callButton("Call the clinic: ", clinic.phone);
  const order = urgency === "emergency_now" ? [emergency, ours] : urgency === "same_day" ? [ours, emergency] : [ours];
  return element("p", { class: "calls" }, ...order.map((button) => button || null));
}

/**
 * @param {string} words
 * @param {string} number
 */
function callButton(words, number) {
  const anchor = link(dialling(number), words, element("span", {}, number));
  anchor.className = "call";
  return anchor;
}

/** @param {Reply} reply */
export const isUrgent = (reply) =>
  reply.kind === "urgent" || reply.urgency === "emergency_now" || reply.urgency === "same_day";

/** @param {Reply} reply */
const urgentHeading = (reply) =>
  reply.urgency === "emergency_now" ? "Emergency: get help now" : "Urgent: contact the clinic today";

/**
 * @param {Answer} answer
 * @param {import("./markdown.js").Phones} phones
 */
function answerBlock(answer, phones) {
  return element(
    "section",
    { class: "answer", lang: answer.language || false },
    answer.question && element("h3", {}, answer.question),
    answer.in_your_case ? element("div", { class: "in-your-case" }, rendered(answer.in_your_case, phones)) : null,
    rendered(answer.text, phones),
    answer.when_to_contact
      ? element(
          "div",
          { class: "contact" },
          element("h4", { lang: "en" }, "When to contact the clinic"),
          rendered(answer.when_to_contact, phones),
        )
      : null,
    provenance(answer),
  );
}

/**
 * Where an answer comes from and who has looked at it.
 * @param {Answer} answer
 */
function provenance(answer) {
  const words = answer.reviewed_on
    ? ["Reviewed on ", element("time", { datetime: answer.reviewed_on }, dayInWords(answer.reviewed_on))]
    : answer.starting_text_of
      ? [
          "Starting text of ",
          element("time", { datetime: answer.starting_text_of }, dayInWords(answer.starting_text_of)),
          ", not yet reviewed by the clinic",
        ]
      : [];
  const sources = answer.sources ?? [];
  if (sources.length === 0) return words.length ? element("footer", { lang: "en" }, element("p", {}, ...words)) : null;
  const list = sources.map((source) =>
    element(
      "li",
      {},
      isSafeLink(source.url) ? link(source.url, source.name) : source.name,
      GRADES[source.grade] ? ` (${GRADES[source.grade]})` : null,
    ),
  );
  const summary = element("summary", {}, ...words, words.length ? " · " : null, element("span", { class: "more" }, "Sources"));
  return element("footer", { lang: "en" }, element("details", {}, summary, element("ul", {}, ...list)));
}

/**
 * Buttons that stay where they are after one is pressed, and say which it was.
 * @param {{title: string}[]} choices
 * @param {(index: number) => void} onChoose
 * @param {{once: boolean}} options `once`: one press answers the question and closes the others too
 */
function choiceButtons(choices, onChoose, { once }) {
  const buttons = choices.map(({ title }, index) =>
    element("button", { type: "button", class: "choice", onclick: () => press(index) }, title),
  );
  const mark = (/** @type {number} */ chosen) => {
    buttons.forEach((button, index) => {
      if (index === chosen) {
        button.classList.add("chosen");
        button.append(element("span", { class: "mark" }, " (chosen)"));
      }
      // Not `disabled`: that would throw the keyboard focus away from the button that was just pressed.
      if (once || index === chosen) button.setAttribute("aria-disabled", "true");
    });
  };
  const press = (/** @type {number} */ index) => {
    if (buttons[index].getAttribute("aria-disabled") === "true") return;
    mark(index);
    onChoose(index);
  };
  return { group: element("div", { class: "choices", role: "group", "aria-label": "Choices" }, ...buttons), mark };
}

/**
 * One reply: the answer card, the urgent card, or a plain bubble where there is only text.
 * @param {Reply} reply
 * @param {Clinic} clinic
 * @param {object} options
 * @param {"assistant" | "staff"} [options.from]
 * @param {string} [options.at] ISO time
 * @param {(choice: Choice) => void} options.onChoose
 */
export function replyCard(reply, clinic, { from = "assistant", at, onChoose }) {
  const urgent = isUrgent(reply);
  const phones = knownPhones(clinic, urgent);
  const card = element("div", { class: urgent ? "card urgent" : "card" });
  if (urgent) {
    card.append(
      element(
        "h3",
        { class: "alarm" },
        element("span", { class: "sign", "aria-hidden": "true" }, "!"),
        element("span", {}, urgentHeading(reply)),
      ),
    );
  }
  if (urgent) card.append(callButtons(clinic, reply.urgency === "emergency_now" ? "emergency_now" : "same_day"));
  card.append(rendered(reply.text ?? "", phones));
  if (!urgent && reply.urgency === "contact_clinic") {
    card.append(
      element(
        "div",
        { class: "contact" },
        element("h3", {}, "Please contact the clinic about this"),
        callButtons(clinic, "contact_clinic"),
      ),
    );
  }
  for (const answer of reply.answers ?? []) card.append(answerBlock(answer, phones));
  if (reply.then) card.append(element("div", { class: "then" }, rendered(reply.then, phones)));

  const choices = reply.choices ?? [];
  const { group, mark } = choiceButtons(choices, (index) => onChoose(choices[index]), { once: true });
  if (choices.length) card.append(group);
  return {
    item: entry(from, at, card),
    /**
     * Shows which choice was taken before this page was loaded.
     * @param {string} title
     * @returns {boolean} whether it was one of this card's that were still open
     */
    markChosen(title) {
      const index = choices.findIndex((choice) => choice.title === title);
      if (index < 0 || group.querySelector(".chosen")) return false;
      mark(index);
      return true;
    },
  };
}

/**
 * A reply as a listener hears it, once: no markup, no sources, with the choices that follow.
 * @param {Reply} reply
 * @param {"assistant" | "staff"} from
 * @returns {string}
 */
export function spoken(reply, from) {
  const words = [isUrgent(reply) ? urgentHeading(reply) : SPEAKERS[from], reply.text ?? ""];
  for (const answer of reply.answers ?? []) {
    words.push(answer.question, answer.in_your_case ?? "", answer.text);
    if (answer.when_to_contact) words.push("When to contact the clinic", answer.when_to_contact);
  }
  words.push(reply.then ?? "");
  const choices = (reply.choices ?? []).map((choice) => choice.title);
  if (choices.length) words.push(`Choices: ${choices.join("; ")}`);
  return words
    .filter((part) => part?.trim())
    .map((part) => plain(part))
    .join(". ")
    .replace(/([.?!:])\./g, "$1");
}

/** @param {string} text */
function plain(text) {
  return [...rendered(text).querySelectorAll("p, li")].map((part) => part.textContent?.trim()).join(" ");
}

/**
 * The first thing a person reads.
 * @param {Clinic} clinic
 * @param {(text: string) => void} onChoose
 */
export function greetingCard(clinic, onChoose) {
  const phones = knownPhones(clinic);
  const { group } = choiceButtons(clinic.first_choices, (index) => onChoose(clinic.first_choices[index].text), {
    once: false,
  });
  return entry(
    "assistant",
    undefined,
    element(
      "div",
      { class: "card", lang: clinic.language || false },
      rendered(clinic.greeting, phones),
      element(
        "div",
        { class: "small" },
        rendered(clinic.disclaimer, phones),
        rendered(clinic.reads_live, phones),
        clinic.phone || clinic.hours ? element("p", { lang: "en" }, ...clinicContact(clinic)) : null,
      ),
      clinic.first_choices.length > 0 && group,
    ),
  );
}

/** @param {Clinic} clinic */
function clinicContact(clinic) {
  const line = ["Clinic: ", [clinic.phone, clinic.hours].filter(Boolean).join(", "), clinic.out_of_hours && `. Closed? ${clinic.out_of_hours}`];
  return withPhones(line.filter(Boolean).join(""), knownPhones(clinic));
}

/** @param {Clinic} clinic */
const privacyNotice = (clinic) =>
  element(
    "details",
    { class: "privacy" },
    element("summary", {}, element("span", { class: "more" }, "Read the privacy notice")),
    element("div", { lang: clinic.language || false }, rendered(clinic.privacy.text, knownPhones(clinic))),
  );

/**
 * Asks for consent. It can say that a message is waiting for it.
 * @param {Clinic} clinic
 * @param {() => void} onAgree
 */
export function consentCard(clinic, onAgree) {
  const waiting = element("p", { hidden: true }, element("strong", {}, "Your message is kept here and is sent when you agree."));
  const failure = element("div", { class: "notice failure", role: "alert", hidden: true });
  const press = () => {
    if (button.getAttribute("aria-disabled") !== "true") onAgree();
  };
  const button = element("button", { type: "button", class: "primary", onclick: press }, "I agree, start");
  const heading = element("h3", { tabindex: "-1", id: "consent-heading" }, "Before we start");
  const item = element(
    "li",
    { class: "entry consent" },
    element(
      "section",
      { class: "card", "aria-labelledby": "consent-heading" },
      heading,
      waiting,
      element("div", { lang: clinic.language || false }, rendered(clinic.privacy.line, knownPhones(clinic))),
      privacyNotice(clinic),
      failure,
      button,
    ),
  );
  return {
    item,
    heading,
    /** Says that a message waits for this. */
    showWaiting() {
      waiting.hidden = false;
    },
    /** @param {boolean} busy */
    setBusy(busy) {
      button.setAttribute("aria-disabled", String(busy));
    },
    /** @param {(Node | string)[]} content */
    showFailure(content) {
      failure.replaceChildren(...content);
      failure.hidden = content.length === 0;
    },
  };
}

/**
 * What stays of the consent card once it has been agreed to.
 * @param {Clinic} clinic
 */
export function consentNote(clinic) {
  return element(
    "li",
    { class: "entry note", tabindex: "-1" },
    element("p", {}, "You agreed to the privacy notice. You can delete this chat whenever you like."),
    privacyNotice(clinic),
  );
}

/**
 * A plain line in the log that nobody said.
 * @param {...(Node | string)} content
 */
export function note(...content) {
  return element("li", { class: "entry note", tabindex: "-1" }, element("p", {}, ...content));
}

/**
 * What went wrong, with the way to help that needs no computer.
 * @param {string} message
 * @param {string} emergency
 * @param {Clinic | null} clinic
 * @returns {(Node | string)[]}
 */
export function failureLines(message, emergency, clinic) {
  return [
    element("p", {}, ...withPhones(message, clinic ? knownPhones(clinic) : { known: [], any: true })),
    ...(emergency ? [element("p", { class: "small" }, ...emergencyLine(emergency, clinic))] : []),
  ];
}

/**
 * A failure that belongs to no message, with one thing to do about it.
 * @param {(Node | string)[]} lines
 * @param {string} action
 * @param {() => void} onAction
 */
export function failureItem(lines, action, onAction) {
  return element(
    "li",
    { class: "entry" },
    element(
      "div",
      { class: "notice failure" },
      ...lines,
      element("button", { type: "button", onclick: onAction }, action),
    ),
  );
}
