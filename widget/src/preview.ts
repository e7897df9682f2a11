/** How the staff's pages show a reply: by the cards and the styles of the chat itself, without a conversation. */

import { Cards } from "./cards.js";
import { element } from "./dom.js";
import type { Clinic, Reply } from "./reply.js";
import { styleSheet } from "./sheet.js";
import { Words } from "./words.js";

/** The frame is as high as what is in it, not as high as a chat. */
const alone = new CSSStyleSheet();
alone.replaceSync(":host{block-size:auto}.frame{block-size:auto;container:chat/inline-size}.byline{display:none}");

/** Shows the reply in `host`, in place of what is there, as a person reads it in this language. */
export function show(host: Element, reply: Reply, clinic: Clinic | null, language: string): void {
  const words = new Words(language);
  const arrived = { event_id: null, message_id: null, reply, at: "" };
  const { item } = new Cards(words, clinic).reply(arrived, () => {}, null, null, () => {});
  item.removeAttribute("tabindex");
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [styleSheet(), alone];
  const log = element("ol", { class: "log", role: "list" }, item);
  root.replaceChildren(element("div", { class: "home", lang: words.language }, element("div", { class: "frame" }, log)));
}
