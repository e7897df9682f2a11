/** A copy of the conversation for the person: on the clipboard, on paper, in an e-mail of their own. Nothing is uploaded. */

import { element } from "./dom.js";

/** Longer addresses are cut off or refused by mail programs. */
const LONGEST_MAILTO = 1900;

export interface Said {
  who: string;
  when: string;
  text: string;
}

const block = ({ who, when, text }: Said) => `${who}, ${when}\n${text}`;

export const asText = (lead: string[], said: Said[]) => [...lead, ...said.map(block)].join("\n\n");

/** Opens the person's own mail program; where not all fits, the latest part goes, and `cut` says so. */
export function mailto(subject: string, lead: string[], said: Said[], cut: string): string {
  const address = (text: string) => `mailto:?subject=${encodeURIComponent(subject)}&body=${encodeURIComponent(text.replace(/\n/g, "\r\n"))}`;
  for (let from = 0; from < said.length; from++) {
    const whole = address(asText(from ? [...lead, cut] : lead, said.slice(from)));
    if (whole.length <= LONGEST_MAILTO) return whole;
  }
  return address(asText([...lead, cut], []));
}

/** Whether it is on the clipboard. Pages without TLS have no clipboard but the old command. */
export async function copied(text: string, within: Node): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = element("textarea", { class: "unseen", readonly: true });
    box.value = text;
    within.appendChild(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

const PRINTED = `
  body { font: 12pt/1.45 system-ui, sans-serif; margin: 0; }
  h1 { font-size: 16pt; } h2 { font-size: 12pt; margin-block: 1.2em 0.2em; break-after: avoid; }
  p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }`;

/** Prints the conversation alone, from a page of its own that goes away again. */
export function print(title: string, language: string, lead: string[], said: Said[], within: Node): void {
  const frame = element("iframe", { class: "unseen", tabindex: "-1", "aria-hidden": "true", title });
  within.appendChild(frame);
  const page = frame.contentWindow as (Window & typeof globalThis) | null;
  if (!page) return;
  const style = new page.CSSStyleSheet();
  style.replaceSync(PRINTED);
  page.document.adoptedStyleSheets = [style];
  page.document.title = title;
  page.document.documentElement.lang = language;
  page.document.body.append(
    element("h1", {}, title),
    ...lead.map((text) => element("p", {}, text)),
    ...said.flatMap(({ who, when, text }) => [element("h2", {}, `${who}, ${when}`), element("p", { dir: "auto" }, text)]),
  );
  page.addEventListener("afterprint", () => frame.remove());
  page.print();
}
