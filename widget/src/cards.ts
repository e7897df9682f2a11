/**
 * What the conversation is made of, as elements: a person's message, a reply, the greeting, the consent card, notices.
 * They are only built here; what a press does is handed in.
 */

import { Refused } from "./api.js";
import { type AskToCall, callBackForm } from "./callback.js";
import { button, element, isDisabled, setDisabled } from "./dom.js";
import { dialling, isSafeLink, link, type Phones, rendered, withPhones } from "./markdown.js";
import { type Answer, type Arrived, type Choice, type Clinic, type Feedback, isUrgent, type Reply, type Speaker } from "./reply.js";
import { type Key, type Words } from "./words.js";

const REASONS = ["not_my_question", "hard_to_understand", "not_enough", "seems_wrong"] as const;
const LONGEST_COMMENT = 1000;

/** Sends what the person thinks of a reply; rejects where it did not get through. */
type Rate = (feedback: Feedback) => Promise<void>;

export class Cards {
  constructor(
    private readonly words: Words,
    private readonly clinic: Clinic | null,
  ) {}

  /** Which numbers to make callable: the clinic's own, and where it is urgent whatever looks like a phone number. */
  #phones(urgent = false): Phones {
    const { clinic } = this;
    if (!clinic) return { known: [], any: true };
    const ours = [clinic.phone, ...clinic.branches.map(({ phone }) => phone)];
    return { known: urgent ? [...ours, clinic.emergency_number] : ours, any: urgent };
  }

  /** The clinic's words on what to do in an emergency, with its numbers as links. */
  emergencyLine(text = this.clinic?.emergency_line ?? this.words.say("emergency_unknown")): (Node | string)[] {
    return withPhones(text, this.#phones(true));
  }

  /** A list item of the log with who speaks and when. */
  #entry(from: Speaker, at: string | undefined, ...content: Node[]): HTMLLIElement {
    const date = new Date(at ?? "");
    const time = Number.isNaN(date.getTime())
      ? null
      : element("time", { datetime: date.toISOString() }, this.words.moment(date));
    return element(
      "li",
      { class: `entry ${from}`, tabindex: "-1" },
      element("p", { class: "byline" }, element("span", { class: "speaker" }, this.words.say(from)), time && " ", time),
      ...content,
    );
  }

  /** What a person wrote, exactly as they wrote it, with room below for whether it has arrived. */
  personMessage(text: string, at: string): { item: HTMLLIElement; status: HTMLElement } {
    const status = element("div", { class: "status" });
    const bubble = element("div", { class: "bubble", dir: "auto" }, text);
    return { item: this.#entry("person", at, bubble, status), status };
  }

  urgentHeading(reply: Reply): string {
    return this.words.say(reply.urgency === "emergency_now" ? "emergency_now" : "same_day");
  }

  /** The buttons that dial, the one that matters most first. */
  calls(urgency: string | undefined): HTMLElement {
    const { clinic, words } = this;
    const call = (key: Key, number: string) => {
      const anchor = link(dialling(number), ...words.say(key, { number: "\0" }).split("\0").flatMap((part, index) => [
        ...(index ? [element("span", {}, number)] : []),
        part,
      ]));
      anchor.className = "call";
      return anchor;
    };
    const emergency = clinic && call("call", clinic.emergency_number);
    const ours = clinic && call("call_clinic", clinic.phone);
    const order = urgency === "contact_clinic" ? [ours] : urgency === "emergency_now" ? [emergency, ours] : [ours, emergency];
    return element("p", { class: "calls" }, ...order);
  }

  #alarm(heading: string, tag: "h3" | "p" = "h3"): HTMLElement {
    return element(
      tag,
      { class: "alarm" },
      element("span", { class: "sign", "aria-hidden": "true" }, "!"),
      element("span", {}, heading),
    );
  }

  /** What stays in view while an urgent card is open. */
  urgentBar(reply: Reply): Node[] {
    return [this.#alarm(this.urgentHeading(reply), "p"), this.calls(reply.urgency)];
  }

  /** One reply: the answer card, the urgent card, or plain text. `rate` where an opinion about it can be told. */
  reply(
    { reply, from = "assistant", at, feedback }: Arrived & { reply: Reply },
    onChoose: (choice: Choice) => void,
    rate: Rate | null,
    callBack: AskToCall | null,
    announce: (words: string) => void,
  ): { item: HTMLLIElement; markChosen: (title: string) => boolean } {
    const urgent = isUrgent(reply);
    const phones = this.#phones(urgent);
    const card = element("div", { class: urgent ? "card urgent" : "card", dir: "auto" });
    if (urgent) card.append(this.#alarm(this.urgentHeading(reply)), this.calls(reply.urgency));
    card.append(rendered(reply.text ?? "", phones));
    if (!urgent && reply.urgency === "contact_clinic") {
      const heading = element("h3", {}, this.words.say("contact_clinic"));
      card.append(element("div", { class: "contact" }, heading, this.calls("contact_clinic")));
    }
    for (const answer of reply.answers ?? []) card.append(this.#answer(answer, phones));
    if (reply.then) card.append(element("div", { class: "then" }, rendered(reply.then, phones)));
    const choices = reply.choices ?? [];
    const { group, mark } = this.#choices(choices, (index) => choices[index] && onChoose(choices[index]), true);
    if (choices.length) card.append(group);
    if (rate && (reply.kind === "answer" || reply.kind === "decline")) card.append(this.#rating(rate, feedback ?? null, announce));
    if (callBack && reply.kind === "handover" && from === "assistant") {
      card.append(callBackForm(this.words, this.clinic as Clinic, callBack, announce));
    }
    return {
      item: this.#entry(from, at, card),
      /** Shows which choice was taken earlier; returns whether it was one of this card's that were still open. */
      markChosen(title) {
        const index = choices.findIndex((choice) => choice.title === title);
        if (index < 0 || group.querySelector(".chosen")) return false;
        mark(index);
        return true;
      },
    };
  }

  #answer(answer: Answer, phones: Phones): HTMLElement {
    const { language } = this.words;
    return element(
      "section",
      { class: "answer", lang: answer.language },
      element("h3", {}, answer.question),
      answer.in_your_case ? element("div", { class: "in-your-case" }, rendered(answer.in_your_case, phones)) : null,
      rendered(answer.text, phones),
      answer.when_to_contact
        ? element(
            "div",
            { class: "contact" },
            element("h4", { lang: language }, this.words.say("when_to_contact")),
            rendered(answer.when_to_contact, phones),
          )
        : null,
      this.#provenance(answer),
    );
  }

  /** Where an answer comes from and who has looked at it. */
  #provenance({ reviewed_on, starting_text_of, sources = [] }: Answer): HTMLElement | null {
    const { words } = this;
    const day = reviewed_on ?? starting_text_of;
    const looked = day ? words.say(reviewed_on ? "reviewed" : "starting_text", { date: words.day(day) }) : null;
    const footer = (content: Node) => element("footer", { lang: words.language }, content);
    if (sources.length === 0) return looked ? footer(element("p", {}, looked)) : null;
    const list = sources.map(({ name, url, grade }) =>
      element("li", {}, isSafeLink(url) ? link(url, name) : name, ` (${words.say(`grade_${grade}` as Key)})`),
    );
    const more = element("span", { class: "more" }, words.say("sources"));
    const summary = element("summary", {}, looked, looked && " · ", more);
    return footer(element("details", {}, summary, element("ul", {}, ...list)));
  }

  /** Buttons that stay where they are after one is pressed, and say which it was. `once`: one press closes the others too. */
  #choices(choices: { title: string }[], onChoose: (index: number) => void, once: boolean) {
    const mark = (chosen: number) => {
      buttons.forEach((one, index) => {
        if (index === chosen) {
          one.classList.add("chosen");
          one.append(element("span", { class: "mark" }, ` (${this.words.say("chosen")})`));
        }
        if (once || index === chosen) setDisabled(one, true);
      });
    };
    const buttons = choices.map(({ title }, index) =>
      button(
        "choice",
        ({ currentTarget }) => {
          if (isDisabled(currentTarget as Element)) return;
          mark(index);
          onChoose(index);
        },
        title,
      ),
    );
    const group = element("div", { class: "choices", role: "group", "aria-label": this.words.say("choices") }, ...buttons);
    return { group, mark };
  }

  /** Thumbs up and down; a thumb down opens a form for the reason. Either can be changed. */
  #rating(rate: Rate, given: Feedback | null, announce: (words: string) => void): HTMLElement {
    const { words } = this;
    const said = element("p", { class: "small", hidden: true });
    const tell = (key: Key) => {
      said.textContent = words.say(key);
      said.hidden = false;
      announce(words.say(key));
    };
    let helpful = given ? given.helpful : null;
    const show = () => {
      yes.setAttribute("aria-pressed", String(helpful === true));
      no.setAttribute("aria-pressed", String(helpful === false));
    };
    const send = async (feedback: Feedback, thanks: boolean) => {
      const before = helpful;
      helpful = feedback.helpful;
      said.hidden = true;
      show();
      try {
        await rate(feedback);
        if (thanks) tell("feedback_thanks");
        return true;
      } catch {
        helpful = before;
        show();
        tell("feedback_failed");
        return false;
      }
    };
    const yes = button(
      "thumb",
      () => {
        form.hidden = true;
        no.setAttribute("aria-expanded", "false");
        void send({ helpful: true, reason: null, comment: null }, true);
      },
      thumb(),
      words.say("helpful"),
    );
    const no = button(
      "thumb down",
      () => {
        const open = form.hidden;
        form.hidden = !open;
        if (open) {
          form.scrollIntoView({ block: "nearest" });
          void send({ helpful: false, reason: reason(), comment: comment() }, false);
        }
        no.setAttribute("aria-expanded", String(open));
      },
      thumb(),
      words.say("not_helpful"),
    );
    no.setAttribute("aria-expanded", "false");
    const radios = REASONS.map((value) =>
      element("input", { type: "radio", name: "reason", value, checked: given?.reason === value }),
    );
    const text = element("textarea", { rows: "2", maxlength: String(LONGEST_COMMENT) });
    text.value = given?.comment ?? "";
    const reason = () => radios.find(({ checked }) => checked)?.value ?? null;
    const comment = () => text.value.trim() || null;
    const form: HTMLFormElement = element(
      "form",
      {
        class: "why",
        hidden: true,
        onsubmit: async (event) => {
          event.preventDefault();
          if (!(await send({ helpful: false, reason: reason(), comment: comment() }, true))) return;
          form.hidden = true;
          no.setAttribute("aria-expanded", "false");
          no.focus();
        },
      },
      element(
        "fieldset",
        {},
        element("legend", {}, words.say("feedback_why")),
        ...radios.map((radio) => element("label", {}, radio, words.say(`reason_${radio.value}` as Key))),
      ),
      element("label", { class: "comment" }, words.say("feedback_comment"), text),
      element("p", { class: "small" }, words.say("feedback_hint")),
      element("button", { type: "submit" }, words.say("feedback_send")),
    );
    show();
    return element(
      "div",
      { class: "feedback", lang: words.language },
      element("div", { class: "thumbs", role: "group", "aria-label": words.say("feedback") }, element("span", {}, words.say("feedback")), yes, no),
      form,
      said,
    );
  }

  /** The first thing a person reads. `own` is the greeting of the page's own choice. */
  greeting(own: string | undefined, onChoose: (text: string) => void): HTMLLIElement {
    const clinic = this.clinic as Clinic;
    const phones = this.#phones();
    const { group } = this.#choices(
      clinic.first_choices,
      (index) => onChoose(clinic.first_choices[index]?.text ?? ""),
      false,
    );
    return this.#entry(
      "assistant",
      undefined,
      element(
        "div",
        { class: "card", lang: clinic.language, dir: "auto" },
        rendered(own || clinic.greeting, phones),
        element(
          "div",
          { class: "small" },
          rendered(clinic.disclaimer, phones),
          rendered(clinic.reads_live, phones),
          element("p", { lang: this.words.language }, ...withPhones(this.#contact(clinic), phones)),
        ),
        group,
      ),
    );
  }

  #contact(clinic: Clinic): string {
    const contact = [clinic.phone, clinic.hours].filter(Boolean).join(", ");
    const closed = clinic.out_of_hours ? ` ${this.words.say("closed_line", { advice: clinic.out_of_hours })}` : "";
    return this.words.say("contact_line", { contact }) + closed;
  }

  #privacyNotice(): HTMLElement {
    const clinic = this.clinic as Clinic;
    return element(
      "details",
      { class: "privacy" },
      element("summary", {}, element("span", { class: "more" }, this.words.say("privacy_notice"))),
      element("div", { lang: clinic.language }, rendered(clinic.privacy.text, this.#phones())),
    );
  }

  /** Asks for consent. It can say that a message is waiting for it. */
  consent(onAgree: () => void) {
    const clinic = this.clinic as Clinic;
    const { words } = this;
    const waiting = element("p", { hidden: true }, element("strong", {}, words.say("consent_waiting")));
    const failure = element("div", { class: "notice failure", role: "alert", hidden: true });
    const agree = button("primary", () => isDisabled(agree) || onAgree(), words.say("consent_agree"));
    const heading = element("h3", { tabindex: "-1", id: "consent-heading" }, words.say("consent_heading"));
    const item = element(
      "li",
      { class: "entry consent", tabindex: "-1" },
      element(
        "div",
        { class: "card", role: "group", "aria-labelledby": "consent-heading" },
        heading,
        waiting,
        element("div", { lang: clinic.language }, rendered(clinic.privacy.line, this.#phones())),
        this.#privacyNotice(),
        failure,
        agree,
      ),
    );
    return {
      item,
      heading,
      /** Says that a message waits for this. */
      showWaiting() {
        waiting.hidden = false;
      },
      setBusy(busy: boolean) {
        setDisabled(agree, busy);
      },
      showFailure(...content: (Node | string)[]) {
        failure.replaceChildren(...content);
        failure.hidden = content.length === 0;
      },
    };
  }

  /** What stays of the consent card once it has been agreed to. */
  consentNote(): HTMLLIElement {
    return this.note(element("p", {}, this.words.say("consent_given")), this.#privacyNotice());
  }

  /** A plain line in the log that nobody said. */
  note(...content: Node[]): HTMLLIElement {
    return element("li", { class: "entry note", tabindex: "-1" }, ...content);
  }

  plainNote(key: Key): HTMLLIElement {
    return this.note(element("p", {}, this.words.say(key)));
  }

  /** What an error says to a person. */
  wordsOf(error: unknown): string {
    if (error instanceof Refused) return error.message || this.words.say("failed");
    return this.words.say("unreachable");
  }

  /** What went wrong, with the way to help that needs no computer, and one thing to do about it. */
  failure(text: string, error: unknown, ...actions: Node[]): HTMLElement {
    const emergency = error instanceof Refused && error.emergency ? error.emergency : undefined;
    return element(
      "div",
      { class: "notice failure" },
      element("p", {}, ...withPhones(text, this.#phones())),
      element("p", { class: "small" }, ...this.emergencyLine(emergency)),
      ...actions,
    );
  }

  /** A reply as a listener hears it, once: no markup, no sources, with the choices that follow. */
  spoken(reply: Reply, from: Speaker): string {
    const lead = isUrgent(reply) ? this.urgentHeading(reply) : this.words.say(from);
    const choices = (reply.choices ?? []).map(({ title }) => title).join("; ");
    return [lead, ...this.parts(reply), choices && `${this.words.say("choices")}: ${choices}`]
      .filter(Boolean)
      .map((part) => part.replace(/\n+/g, " "))
      .join(". ")
      .replace(/([.?!:])\./g, "$1");
  }

  /** The words of a reply from top to bottom, without markup. */
  parts(reply: Reply): string[] {
    const parts = [reply.text ?? ""];
    for (const answer of reply.answers ?? []) {
      parts.push(answer.question, answer.in_your_case ?? "", answer.text);
      if (answer.when_to_contact) parts.push(`${this.words.say("when_to_contact")}: ${answer.when_to_contact}`);
    }
    parts.push(reply.then ?? "");
    return parts.filter((part) => part.trim()).map(plain);
  }
}

const plain = (text: string) =>
  [...rendered(text).querySelectorAll("p, li")]
    .map((part) => (part.tagName === "LI" ? "- " : "") + (part.textContent ?? "").trim())
    .join("\n");

const SVG = "http://www.w3.org/2000/svg";

/** An icon from path data, drawn in the colour of the text beside it. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

const thumb = () => icon("M2 10h4v11H2zM8 21V10l4-8c2 0 3 1.5 2.5 3.5L13.8 9H20a2 2 0 0 1 2 2.4l-1.5 8A2 2 0 0 1 18.5 21z");
