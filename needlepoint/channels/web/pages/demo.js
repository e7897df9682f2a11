/** How a page talks to the chat: methods of the element, and events that say that something happened. */

for (const button of document.querySelectorAll("button[data-ask]")) {
  button.addEventListener("click", () => {
    const chat = document.querySelector("needlepoint-chat");
    if (button.dataset.ask) chat.send(button.dataset.ask);
    else chat.open();
  });
}

const events = document.getElementById("events");
for (const name of ["ready", "open", "close", "reply"]) {
  document.addEventListener(`needlepoint-${name}`, ({ detail }) => {
    events.textContent = `${name}, unread ${detail.unread}`;
  });
}
