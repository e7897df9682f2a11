"""How heavy and how fast the website widget is, beside deep-chat: part of `make bench`.

Both are carried by the same page of the same origin, in the same Chromium, one after the other, over a connection that
is throttled to what Lighthouse calls slow 4G (150 ms, 1.6 Mbit/s down, 0.75 Mbit/s up; processor at a quarter).
deep-chat gets its answer from the very same conversation API. Medians of RUNS fresh browser contexts.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from needlepoint.channels.web.widget import BUILT
from needlepoint.settings import ROOT
from tests.browser.conftest import FLAGS
from tests.running import Instance, Laboratory

RUNS = 5
PEER = "deep-chat@2.4.2"
PEER_INTEGRITY = "sha512-wQNd6Z6HDoH7OMeoQKpmxDm9XdWrRjMkBJ2yl5tsYND9Dz2UCv/BdGVM8vK2V0mhO1u+OniHYPWDGvjlNxjCeQ=="
QUESTION = "Does microneedling hurt?"

#: Lighthouse's "slow 4G" as DevTools applies it (GoogleChrome/lighthouse, docs/throttling.md).
SLOW_4G = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
SLOWER_PROCESSOR = 4

PAGE = "<!doctype html><html lang=en><meta charset=utf-8><title>A clinic</title><body><h1>A clinic</h1>{}</body>"

#: The least that makes deep-chat a chat behind a button: it has no launcher of its own.
PEER_BODY = """<button id="launcher" hidden>Chat</button>
<script type="module">
await import("/deep-chat.js");
const launcher = document.getElementById("launcher");
let session = null;
const call = async (path, body) => {
  const headers = { "Content-Type": "application/json", ...(session && { Authorization: `Bearer ${session.token}` }) };
  return (await fetch(APP + path, { method: "POST", headers, body: JSON.stringify(body) })).json();
};
launcher.onclick = () => {
  const chat = document.createElement("deep-chat");
  chat.connect = { handler: async (body, signals) => {
    session ??= await call("/api/conversations", { consent: CONSENT, language: "en" });
    const { text } = body.messages.at(-1);
    const path = `/api/conversations/${session.conversation}/messages`;
    const { reply } = await call(path, { message_id: crypto.randomUUID(), text });
    signals.onResponse({ text: reply.answers.map((one) => one.text).join("\\n") || reply.text });
  } };
  document.body.append(chat);
};
launcher.hidden = false;
</script>"""


def main() -> None:
    """Print the comparison."""
    peer = peer_bundle()
    ours = (BUILT / "widget.js").read_bytes()
    with (
        serving(peer) as (origin, pages),
        Laboratory(Path(tempfile.mkdtemp()), ROOT / "var" / "models" / "needlepoint.tar.gz") as laboratory,
        sync_playwright() as playwright,
    ):
        instance = laboratory.instance([laboratory.engine()], embed_origins=origin)
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        pages["/needlepoint"] = PAGE.format(f'<script src="{instance.url}/widget.js" async></script>')
        body = PEER_BODY.replace("APP", json.dumps(instance.url)).replace("CONSENT", json.dumps(consent(instance)))
        pages["/deep-chat"] = PAGE.format(body)
        figures = {
            "needlepoint": [measured(browser, f"{origin}/needlepoint", our_answer) for _ in range(RUNS)],
            "deep-chat 2.4.2": [measured(browser, f"{origin}/deep-chat", peer_answer) for _ in range(RUNS)],
        }
        browser.close()
    print(f"website widget, slow 4G, processor at 1/{SLOWER_PROCESSOR}, medians of {RUNS}:")
    print("| | gzipped | page to usable launcher | click to usable box | sending to answer shown |")
    print("| --- | --- | --- | --- | --- |")
    for (name, runs), bundle in zip(figures.items(), (ours, peer), strict=True):
        size = len(gzip.compress(bundle, 9, mtime=0)) / 1000
        times = " | ".join(f"{statistics.median(run[step] for run in runs):.0f} ms" for step in range(3))
        print(f"| {name} | {size:.1f} kB | {times} |")


def consent(instance: Instance) -> str:
    """The version of the notice that both agree to."""
    with instance.http() as http:
        return str(http.get("/api/clinic").json()["privacy"]["version"])


def measured(browser: Browser, url: str, answer: Any) -> tuple[float, float, float]:
    """Milliseconds from asking for the page to a launcher, from the click to a box for text, and to the answer."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", SLOW_4G)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER_PROCESSOR})
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    launcher = page.locator("#launcher, button.launcher")
    launcher.wait_for(timeout=60_000)
    usable = time.perf_counter()
    launcher.click()
    box = page.locator("#text-input, textarea#message").first
    box.wait_for()
    opened = time.perf_counter()
    took = answer(page, box)
    context.close()
    return (usable - began) * 1000, (opened - usable) * 1000, took * 1000


def our_answer(page: Page, box: Any) -> float:
    """Seconds from Enter to the answer; the agreement is given before, as with the other."""
    page.get_by_role("button", name="I agree, start").click()
    page.get_by_text("You agreed to the privacy notice").wait_for()
    box.fill(QUESTION)
    began = time.perf_counter()
    box.press("Enter")
    page.locator(".entry.assistant .answer").wait_for()
    return time.perf_counter() - began


def peer_answer(page: Page, box: Any) -> float:
    """The same; its conversation is opened by a first message."""
    for count in (1, 2):
        box.fill(QUESTION)
        began = time.perf_counter()
        box.press("Enter")
        # It has a bubble with dots while it waits.
        page.locator(".ai-message-text", has_text=re.compile(r"\w{4}")).nth(count - 1).wait_for(timeout=60_000)
    return time.perf_counter() - began


def peer_bundle() -> bytes:
    """deep-chat's own browser bundle, as published, of a version and hash that are fixed here."""
    with tempfile.TemporaryDirectory() as folder:
        command = [shutil.which("npm") or "npm", "pack", PEER, "--silent"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)  # noqa: S603 - all of it is here
        (file,) = Path(folder).glob("*.tgz")
        packed = file.read_bytes()
    algorithm, _, wanted = PEER_INTEGRITY.partition("-")
    if base64.b64encode(hashlib.new(algorithm, packed).digest()).decode() != wanted:
        raise RuntimeError(f"{PEER} is not what it was when this was written; look at it before measuring")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        bundle = archive.extractfile("package/dist/deepChat.bundle.js")
        assert bundle is not None
        return bundle.read()


@contextmanager
def serving(peer: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """A site with the pages that are put into the second value, and deep-chat, gzipped as ours is."""
    pages: dict[str, str] = {}
    files = {"/deep-chat.js": gzip.compress(peer, 9)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.path in files
            content = files.get(self.path) or pages.get(self.path, "").encode()
            self.send_response(200 if content else 404)
            self.send_header("content-type", "text/javascript" if script else "text/html; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            if script:
                self.send_header("content-encoding", "gzip")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", pages
        server.shutdown()


if __name__ == "__main__":
    main()
