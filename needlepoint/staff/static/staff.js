/**
 * Small things the desk's pages do without: they work without this file too.
 */

import { rendered } from "/page/markdown.js";

// Answers are shown by the very code that shows them to patients; without it they stay as they were written.
for (const block of document.querySelectorAll("[data-markdown]")) {
  block.replaceChildren(rendered(block.textContent ?? ""));
  block.classList.add("rendered");
}

for (const button of document.querySelectorAll("button[data-reveals]")) {
  const field = /** @type {HTMLInputElement} */ (document.getElementById(button.getAttribute("data-reveals") ?? ""));
  button.removeAttribute("hidden");
  button.addEventListener("click", () => {
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  });
}
