/**
 * The markdown subset of a Reply: paragraphs, "- " lists, **bold** and [text](url). Everything else is shown as it
 * is written, character for character: an answer that says "5 * 3" or "fever > 38" must never lose a sign.
 *
 * Nothing here parses HTML. Words become text nodes, so that no text can become markup.
 */

const BOLD_OR_LINK = /\*\*(?![\s*])(.*?[^\s*])\*\*(?!\*)|\[([^[\]]+)\]\(((?:[^\s()]|\([^\s()]*\))+)\)/gs;
const LINK_SCHEMES = /^(https?:\/\/[^/]|tel:|mailto:)/i;
const PHONE_NUMBER = /\+?\d[\d ()-]{3,}\d/g;
const DATE = /^\d{4}-\d{2}-\d{2}/;

/** Whether an address may become a link. Only whole addresses do, with a scheme that cannot run anything. */
export function isSafeLink(url: string): boolean {
  if (!LINK_SCHEMES.test(url)) return false;
  try {
    new URL(url);
    return true;
  } catch {
    return false;
  }
}

/** A link that tells the other site nothing about this page, to a `url` that `isSafeLink` accepts. */
export function link(url: string, ...content: (Node | string)[]): HTMLAnchorElement {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.rel = "noopener noreferrer nofollow";
  if (/^http/i.test(url)) anchor.target = "_blank";
  anchor.append(...content);
  return anchor;
}

/** The address that dials a number as people write it, for example "+60 3-1234 5678". */
export function dialling(number: string): string {
  return `tel:${number.replace(/[^\d+]/g, "")}`;
}

export interface Phones {
  /** Numbers to link wherever they stand alone, as they are written. */
  known: string[];
  /** Whether whatever looks like a phone number is linked too (for urgent cards). */
  any: boolean;
}

/** Text with the given phone numbers as links; everything else stays as it is. */
export function withPhones(text: string, { known, any }: Phones): (Node | string)[] {
  const found: { start: number; end: number }[] = [];
  const add = (start: number, end: number) => {
    if (!found.some((other) => start < other.end && other.start < end)) found.push({ start, end });
  };
  for (const number of known) {
    for (let at = text.indexOf(number); at >= 0; at = text.indexOf(number, at + number.length)) {
      const around = (text[at - 1] ?? " ") + (text[at + number.length] ?? " ");
      if (!/[\p{L}\d]/u.test(around)) add(at, at + number.length);
    }
  }
  if (any) {
    for (const match of text.matchAll(PHONE_NUMBER)) {
      const digits = match[0].replace(/\D/g, "").length;
      if (digits >= 5 && digits <= 15 && !DATE.test(match[0])) add(match.index, match.index + match[0].length);
    }
  }
  found.sort((one, other) => one.start - other.start);

  const parts: (Node | string)[] = [];
  let at = 0;
  for (const { start, end } of found) {
    const number = text.slice(start, end);
    parts.push(text.slice(at, start), link(dialling(number), number));
    at = end;
  }
  parts.push(text.slice(at));
  return parts.filter((part) => part !== "");
}

/** One line or paragraph: bold, links and plain words. */
function inline(text: string, phones: Phones): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let at = 0;
  for (const match of text.matchAll(BOLD_OR_LINK)) {
    const [whole, bold, label = "", url = ""] = match;
    if (bold === undefined && !isSafeLink(url)) continue;
    parts.push(...withPhones(text.slice(at, match.index), phones));
    if (bold !== undefined) {
      const strong = document.createElement("strong");
      strong.append(...inline(bold, phones));
      parts.push(strong);
    } else {
      parts.push(link(url, label));
    }
    at = match.index + whole.length;
  }
  parts.push(...withPhones(text.slice(at), phones));
  return parts;
}

/** A text of the markdown subset as elements. */
export function rendered(text: string, phones: Phones = { known: [], any: false }): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const block of text.replace(/\r\n?/g, "\n").split(/\n[ \t]*\n/)) {
    let list: HTMLElement | null = null;
    let lines: string[] = [];
    const flush = () => {
      if (lines.length === 0) return;
      const element = document.createElement(list ? "li" : "p");
      element.append(...inline(lines.join("\n"), phones));
      (list ?? fragment).append(element);
      lines = [];
    };
    for (const line of block.split("\n")) {
      const item = /^\s*- +(\S.*)$/.exec(line);
      if (item) {
        flush();
        if (!list) {
          list = document.createElement("ul");
          fragment.append(list);
        }
        lines.push(item[1] ?? "");
      } else if (line.trim()) {
        lines.push(line.trim());
      }
    }
    flush();
  }
  return fragment;
}
