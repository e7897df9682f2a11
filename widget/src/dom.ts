/** Elements without markup in strings. */

type Content = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | null | undefined | ((event: Event) => void)>;

/** Makes an element; attributes named `on...` take a listener, `true` stands for an empty value. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...content: Content[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (typeof value === "string") made.setAttribute(name, value);
  }
  made.append(...content.filter((part): part is Node | string => part !== null && part !== undefined && part !== false));
  return made;
}

/** A button that takes no part in a form. */
export const button = (className: string, onclick: (event: Event) => void, ...content: Content[]) =>
  element("button", { type: "button", class: className || null, onclick }, ...content);

/** Not `disabled`: that would throw the keyboard focus away from the button that was just pressed. */
export const setDisabled = (one: Element, disabled: boolean) => one.setAttribute("aria-disabled", String(disabled));
export const isDisabled = (one: Element) => one.getAttribute("aria-disabled") === "true";
