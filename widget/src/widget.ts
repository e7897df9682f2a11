/**
 * The script that a page loads: `<script src=".../widget.js" async></script>` puts a launcher on it, unless the page has
 * a `<needlepoint-chat>` of its own. Options are `data-` attributes of either.
 */

import { NeedlepointChat } from "./element.js";

const NAME = "needlepoint-chat";

const script = document.currentScript instanceof HTMLScriptElement ? document.currentScript : null;

function launch(): void {
  if (document.querySelector(NAME)) return;
  const chat = document.createElement(NAME);
  chat.setAttribute("launcher", "");
  Object.assign(chat.dataset, script?.dataset);
  document.body.append(chat);
}

if (!customElements.get(NAME)) {
  NeedlepointChat.base = new URL(".", script?.src || location.href).href;
  const begin = () => {
    customElements.define(NAME, NeedlepointChat);
    launch();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin, { once: true });
  else begin();
}
