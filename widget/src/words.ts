/** What the widget itself says: one file a language in `strings/`, same keys. The clinic's words come from the service. */

import en from "../strings/en.json";
import ms from "../strings/ms.json";

export type Key = keyof typeof en;

const LANGUAGES: Record<string, Record<Key, string>> = { en, ms };
const LOCALES: Record<string, string> = { en: "en-GB" };

/** The language in its own words, "Bahasa Melayu". */
export const nameOf = (language: string) => LANGUAGES[language]?.language_name ?? language.toUpperCase();

export class Words {
  /** One that there is a file for, English otherwise. */
  readonly language: string;
  readonly #texts: Record<Key, string>;

  constructor(wanted: string) {
    this.language = wanted in LANGUAGES ? wanted : "en";
    this.#texts = LANGUAGES[this.language] ?? en;
  }

  say(key: Key, values: Record<string, string | number> = {}): string {
    return this.#texts[key].replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  }

  number(value: number): string {
    return new Intl.NumberFormat(this.#locale).format(value);
  }

  /** A day as people write it, "12 March 2026". It has no time zone, so none may shift it. */
  day(iso: string): string {
    const options = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" } as const;
    return new Intl.DateTimeFormat(this.#locale, options).format(new Date(`${iso.slice(0, 10)}T00:00:00Z`));
  }

  /** The time of day, with the day where it is not today. */
  moment(at: Date): string {
    const today = new Date().toDateString() === at.toDateString();
    return new Intl.DateTimeFormat(this.#locale, {
      ...(!today && { day: "numeric", month: "short" }),
      hour: "2-digit",
      minute: "2-digit",
    }).format(at);
  }

  get #locale(): string {
    return LOCALES[this.language] ?? this.language;
  }
}
