/** The chat's styles. */

import css from "./style.css";

let sheet: CSSStyleSheet | null = null;

/** Style that a strict content policy allows: no style element, no style attribute. */
export function styleSheet(): CSSStyleSheet {
  if (sheet) return sheet;
  try {
    // Pages set the size of a rem as they like; in here it is the reader's own text size.
    CSS.registerProperty({ name: "--needlepoint-rem", syntax: "<length>", inherits: true, initialValue: "16px" });
  } catch {
    // An older browser, or somebody has the name already.
  }
  sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  return sheet;
}
