/**
 * Small things the desk's pages do without: they work without this file too.
 */

import { rendered } from "/markdown.js";

/** Shows answers by the very code that shows them to patients; without it they stay as they were written. */
async function showAnswers(/** @type {ParentNode} */ within) {
  for (const block of within.querySelectorAll("[data-markdown]")) {
    block.replaceChildren(rendered(block.textContent ?? ""));
    block.classList.add("rendered");
  }
  const replies = within.querySelectorAll("[data-reply]");
  if (replies.length === 0) {
    return;
  }
  const { show } = await import("/preview.js");
  for (const one of replies) {
    const language = one.getAttribute("data-language") ?? "en";
    clinics[language] ??= fetch(`/api/clinic?language=${language}`).then(
      (response) => (response.ok ? response.json() : null),
      () => null,
    );
    show(one, JSON.parse(one.getAttribute("data-reply") ?? "{}"), await clinics[language], language);
  }
}

/** What the website knows of the clinic, by language; asked for once. */
const clinics = {};

showAnswers(document);

// How words look while they are written.
for (const button of document.querySelectorAll("button[data-previews]")) {
  const form = /** @type {HTMLFormElement} */ (button.closest("form"));
  let due = 0;
  let latest = 0;
  const show = async () => {
    latest += 1;
    const mine = latest;
    const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    try {
      const response = await fetch(button.getAttribute("formaction") ?? "", { method: "POST", body, redirect: "error" });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const name = button.getAttribute("data-previews") ?? "";
      const [fresh, shown] = [page.getElementById(name), document.getElementById(name)];
      if (response.ok && fresh && shown && mine === latest) {
        shown.replaceChildren(...fresh.childNodes);
        await showAnswers(shown);
      }
    } catch {
      // The app is away or the session is over: keeping the draft says so.
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(show, 600);
  });
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    await show();
    document.getElementById(`${button.getAttribute("data-previews")}`)?.scrollIntoView();
  });
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

// What takes a while says so, and is not begun twice.
for (const button of document.querySelectorAll("button[data-busy]")) {
  const idle = button.textContent;
  button.closest("form")?.addEventListener("submit", () => {
    button.textContent = button.getAttribute("data-busy");
    button.setAttribute("aria-disabled", "true");
    // Disabled only behind the submit, which would not happen otherwise.
    setTimeout(() => button.setAttribute("disabled", ""));
  });
  // A page that comes back from the browser's memory is ready again.
  addEventListener("pageshow", () => {
    button.textContent = idle;
    button.removeAttribute("disabled");
    button.removeAttribute("aria-disabled");
  });
}
