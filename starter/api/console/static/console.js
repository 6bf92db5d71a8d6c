// Pages are whole without this: it only keeps what they show fresh, until somebody says not to.
"use strict";

const SECONDS = 15;
const KEY = "taskflow.refresh";
const button = document.getElementById("refresh");
const main = document.querySelector("main[data-refresh]");
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

function wanted() {
  const said = sessionStorage.getItem(KEY);
  return said === null ? !still.matches : said === "on";
}

function show() {
  button.setAttribute("aria-pressed", String(wanted()));
}

function busy() {
  const focus = document.activeElement;
  const typing = focus && focus.matches("input, select, textarea, summary, button:not(#refresh)");
  const reading = !window.getSelection().isCollapsed || document.querySelector("main details[open]");
  return typing || reading || document.hidden;
}

async function refresh() {
  if (!wanted() || busy()) return;
  const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
  if (answer.status === 401) location.reload();
  if (!answer.ok || busy()) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const link = document.activeElement && document.activeElement.getAttribute("href");
  for (const part of ["main", "footer time"]) {
    const fresh = page.querySelector(part);
    const old = document.querySelector(part);
    if (fresh && old) old.replaceChildren(...fresh.childNodes);
  }
  document.title = page.title;
  if (link && document.activeElement === document.body) {
    const same = [...main.querySelectorAll("a[href]")].find((a) => a.getAttribute("href") === link);
    if (same) same.focus({ preventScroll: true });
  }
}

if (main && button) {
  button.parentElement.hidden = false;
  show();
  button.addEventListener("click", () => {
    sessionStorage.setItem(KEY, wanted() ? "off" : "on");
    show();
  });
  setInterval(() => refresh().catch(() => undefined), SECONDS * 1000);
}
