/**
 * Small things the desk's pages do without: they work without this file too.
 */

import { rendered } from "/markdown.js";

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

// The notice about urgent messages is kept fresh while somebody looks at the page.
const notice = document.getElementById("urgent-notice");
setInterval(async () => {
  if (notice === null || document.hidden) {
    return;
  }
  try {
    const response = await fetch("/staff/alerts/notice", { redirect: "error" });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").body;
    // A live region is read out when it changes, so that it changes only when there is something new.
    if (response.ok && fresh.textContent?.trim() !== notice.textContent?.trim()) {
      notice.replaceChildren(...fresh.childNodes);
    }
  } catch {
    // The app is away or the session is over: the next page says so.
  }
}, 30_000);

// A list that is kept fresh without loading the page, so that nobody loses the place where they are.
const fresh = document.getElementById("fresh");
if (fresh !== null) {
  setInterval(async () => {
    if (document.hidden) {
      return;
    }
    try {
      const response = await fetch(location.href, { redirect: "error" });
      const now = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("fresh");
      if (!response.ok || now === null || now.textContent === fresh.textContent) {
        return;
      }
      const at = document.activeElement?.closest("article")?.id;
      fresh.replaceChildren(...now.childNodes);
      if (at) {
        /** @type {HTMLElement | null} */ (document.getElementById(at)?.querySelector("a, button"))?.focus();
      }
    } catch {
      // As above.
    }
  }, Number(fresh.dataset.seconds) * 1000);
}

// What cannot be taken back is asked after once more.
for (const button of document.querySelectorAll("button[data-asks]")) {
  button.addEventListener("click", (event) => {
    if (!confirm(button.getAttribute("data-asks") ?? "")) {
      event.preventDefault();
    }
  });
}
