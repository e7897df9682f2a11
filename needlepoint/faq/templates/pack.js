"use strict";
// Ticks in a printed page that is looked at on a screen: kept in this browser, given back as a list to approve.
(() => {
  const { pack, date, clinic } = document.body.dataset;
  const key = `needlepoint-pack-${pack}`;
  const boxes = [...document.querySelectorAll("input[type=checkbox]")];
  const bar = document.querySelector(".bar");
  const ticked = bar.querySelector("[data-ticked]");
  const download = bar.querySelector("[data-download]");
  const forget = bar.querySelector("[data-forget]");
  const approved = () => boxes.filter((box) => box.checked).map((box) => box.value);

  const show = () => {
    const count = approved().length;
    ticked.textContent = `${count} of ${boxes.length} approved`;
    download.disabled = forget.disabled = count === 0;
  };
  const keep = () => {
    try {
      localStorage.setItem(key, JSON.stringify(approved()));
    } catch {
      bar.querySelector("[data-kept]").textContent = "This browser keeps no ticks: download the list before you close it.";
    }
    show();
  };

  let kept = [];
  try {
    kept = JSON.parse(localStorage.getItem(key) ?? "[]");
  } catch {
    // Nothing kept, or nothing to keep it in; the first tick says so.
  }
  for (const box of boxes) {
    box.checked = Array.isArray(kept) && kept.includes(box.value);
    box.addEventListener("change", keep);
  }

  download.addEventListener("click", () => {
    const lines = [
      `# Answers approved for ${clinic.replace(/\s+/g, " ")}`,
      `# From the pack ${pack} of ${date} with ${boxes.length} texts; ${approved().length} approved, list made ${new Date().toISOString()}`,
      '# Approve them with: needlepoint faq approve --signed signed.txt --as "YOUR NAME"',
      ...approved(),
    ];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/plain" }));
    link.download = "signed.txt";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  forget.addEventListener("click", () => {
    if (!confirm(`Forget all ${approved().length} ticks?`)) return;
    for (const box of boxes) box.checked = false;
    keep();
  });
  bar.hidden = false;
  show();
})();
