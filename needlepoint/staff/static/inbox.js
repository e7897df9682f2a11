/**
 * Keys, and pages that keep themselves fresh. Everything here can be done without it too.
 */

const NEWS_MS = 5000;
const LIVE_MS = 3000;
const RENEW_MS = 60_000;

const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);

/** Where j and k count from: the row that has the focus, or holds it. */
function currentRow() {
  const active = document.activeElement;
  const all = rows();
  const at = all.indexOf(/** @type {HTMLElement} */ (active));
  if (at >= 0) return at;
  const holder = active?.closest(".row, .turn, tr");
  return holder ? all.findIndex((row) => holder.contains(row)) : -1;
}

function move(by) {
  const all = rows();
  const to = all[Math.min(Math.max(currentRow() + by, 0), all.length - 1)];
  to?.focus();
  to?.scrollIntoView({ block: "nearest" });
}

function submit(form) {
  form?.querySelector("button[type=submit]")?.click();
}

function shows(id) {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById(id));
  dialog?.showModal();
}

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && target.matches("[data-writes]")) {
    submit(target.closest("form"));
    return;
  }
  const types = target.matches("input:not([type=checkbox]), textarea, select") || target.isContentEditable;
  if (types && event.key === "Escape") target.blur();
  if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const holder = target.closest(".row") ?? document.querySelectorAll(".row:is(li)")[0];
  const inRow = holder?.querySelector(`[data-row-key="${CSS.escape(event.key)}"]`);
  const onPage = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  const link = /** @type {HTMLAnchorElement | null} */ (document.querySelector(`[data-key-link="${CSS.escape(event.key)}"]`));
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") shows("keys");
  else if (event.key === "/") {
    const field = document.getElementById("q");
    if (field) field.focus();
    else location.assign("/staff#q");
  } else if (event.key === "r" && document.querySelector("[data-writes]")) {
    /** @type {HTMLElement} */ (document.querySelector("[data-writes]")).focus();
  } else if (target.closest(".row:is(li)") && inRow) submit(inRow);
  else if (onPage) submit(onPage);
  else if (link) link.click();
  else return;
  event.preventDefault();
});

if (location.hash === "#q") document.getElementById("q")?.focus();

for (const button of document.querySelectorAll("[data-shows]")) {
  button.removeAttribute("hidden");
  button.addEventListener("click", () => shows(button.getAttribute("data-shows") ?? ""));
}

async function fresh(address) {
  const response = await fetch(address, { redirect: "error" });
  if (!response.ok) throw new Error(String(response.status));
  return response;
}

/** Does `work` again and again while somebody looks; an app that is away is asked again. */
function every(milliseconds, work) {
  setInterval(() => {
    if (!document.hidden) work().catch(() => {});
  }, milliseconds);
}

// -- the inbox: new items appear, the focus stays where it was

const lists = document.getElementById("lists");
if (lists) {
  every(NEWS_MS, async () => {
    const page = new DOMParser().parseFromString(await (await fresh(lists.dataset.news)).text(), "text/html");
    const now = page.body.firstElementChild;
    const was = lists.firstElementChild;
    if (!now || !was || now.textContent === was.textContent) return;
    const known = new Set([...was.querySelectorAll("li.row")].map((row) => row.id));
    const focused = document.activeElement?.closest("li.row")?.id;
    const came = [...now.querySelectorAll("li.row")].filter((row) => !known.has(row.id));
    for (const row of came) row.classList.add("fresh");
    was.replaceWith(document.adoptNode(now));
    asks(now);
    if (focused) document.getElementById(focused)?.querySelector("[data-row]")?.focus();
    const urgent = came.filter((row) => row.classList.contains("pressing")).length;
    const told = document.getElementById("told");
    if (told && came.length) told.textContent = urgent ? "A new urgent message came in." : "Something new is in this queue.";
  });
}

/** Buttons that came later are asked after like those that were there (staff.js). */
function asks(within) {
  for (const button of within.querySelectorAll("button[data-asks]")) {
    button.addEventListener("click", (event) => {
      if (!confirm(button.getAttribute("data-asks") ?? "")) event.preventDefault();
    });
  }
}

// -- an item that is open with somebody stays theirs while they look

const bar = /** @type {HTMLElement | null} */ (document.querySelector("[data-renew]"));
if (bar) {
  const token = /** @type {HTMLInputElement} */ (bar.querySelector("input[name=_csrf_token]")).value;
  every(RENEW_MS, async () => {
    const response = await fetch(bar.dataset.renew ?? "", {
      method: "POST",
      headers: { "x-csrftoken": token },
      redirect: "error",
    });
    const lease = document.getElementById("lease");
    if (response.ok && lease && !(await response.json()).yours) {
      lease.textContent = "No longer open with you: the time was over, or somebody finished it.";
    }
  });
}

// -- a conversation that goes on while it is read

const transcript = document.getElementById("transcript");
if (transcript) {
  const typed = () =>
    [...document.querySelectorAll("#transcript [data-keeps] :is(input[type=text], textarea)")].some((field) => field.value);
  every("live" in transcript.dataset ? LIVE_MS : 2 * NEWS_MS, async () => {
    const { stamp } = await (await fresh(transcript.dataset.news)).json();
    if (stamp === transcript.dataset.stamp) return;
    if (!("live" in transcript.dataset) || typed()) {
      document.getElementById("newer")?.removeAttribute("hidden");
      return;
    }
    const page = new DOMParser().parseFromString(await (await fresh(location.pathname)).text(), "text/html");
    const now = page.getElementById("transcript");
    if (!now) return;
    transcript.dataset.stamp = now.dataset.stamp;
    const below = window.innerHeight + window.scrollY >= document.body.scrollHeight - 200;
    const { rendered } = await import("/markdown.js");
    for (const block of now.querySelectorAll("[data-markdown]")) {
      block.replaceChildren(rendered(block.textContent ?? ""));
      block.classList.add("rendered");
    }
    transcript.replaceChildren(...[...now.childNodes].map((node) => document.adoptNode(node)));
    for (const id of ["waits", "urgent-here"]) {
      const part = page.getElementById(id);
      const shown = document.getElementById(id);
      if (part && shown) shown.replaceChildren(...[...part.childNodes].map((node) => document.adoptNode(node)));
      else if (shown) document.getElementById("newer")?.removeAttribute("hidden"); // it went back to the assistant
    }
    if (below) window.scrollTo(0, document.body.scrollHeight);
  });
}
