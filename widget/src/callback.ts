/** The form by which a person leaves a number to be called back. It is no message: the number is kept apart. */

import { Refused } from "./api.js";
import { element } from "./dom.js";
import type { CallBack, Clinic } from "./reply.js";
import type { Words } from "./words.js";

export type AskToCall = (wanted: CallBack) => Promise<void>;

export function callBackForm(words: Words, clinic: Clinic, ask: AskToCall, announce: (words: string) => void): HTMLElement {
  const number = element("input", { type: "tel", autocomplete: "tel", required: true, maxlength: "40" });
  const time = element("input", { type: "text", autocomplete: "off", maxlength: "200" });
  const agrees = element("input", { type: "checkbox", required: true });
  const said = element("p", { class: "small", hidden: true });
  const tell = (text: string) => {
    said.textContent = text;
    said.hidden = false;
    announce(text);
  };
  const form: HTMLFormElement = element(
    "form",
    {
      class: "why",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await ask({ number: number.value.trim(), best_time: time.value.trim() || null, consent: clinic.call_back.version });
          form.reset();
          details.open = false;
          tell(words.say("call_back_thanks"));
        } catch (error) {
          const wrong = error instanceof Refused && error.status === 400 && error.code === "wrong_number";
          tell(wrong ? error.message : words.say("feedback_failed"));
          if (wrong) number.focus();
        }
      },
    },
    element("label", { class: "comment" }, words.say("call_back_number"), number),
    element("label", { class: "comment" }, words.say("call_back_time"), time),
    element("label", {}, agrees, element("span", { lang: clinic.language }, clinic.call_back.line)),
    element("button", { type: "submit" }, words.say("call_back_send")),
  );
  const details = element("details", { class: "call-back" }, element("summary", {}, element("span", { class: "more" }, words.say("call_back"))), form);
  return element("div", {}, details, said);
}
