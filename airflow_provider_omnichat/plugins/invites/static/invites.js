// What a page does beside being read: it follows Airflow's colours, renews itself while a task is at work, goes to other
// pages of Airflow, and settles doubts. Without it, all is there to read.

// Airflow shows these pages in a frame of its own origin.
const host = window.parent !== window ? window.parent : null;

function followColours() {
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  try {
    if (host) dark = host.document.documentElement.classList.contains("dark");
  } catch { /* a frame on another origin: the system's colours do */ }
  document.documentElement.classList.toggle("dark", dark);
}

followColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followColours);
try {
  if (host) new MutationObserver(followColours).observe(host.document.documentElement, { attributeFilter: ["class"] });
} catch { /* see above */ }

// A frame may not send its parent elsewhere, but Airflow's own router goes where its history says.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || !host || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  host.history.pushState({}, "", link.href);
  host.dispatchEvent(new host.PopStateEvent("popstate", { state: {} }));
});

const EVERY_MS = 3000;

async function renew() {
  const live = document.getElementById("live");
  if (!live || document.hidden) return;
  const address = new URL(location.href);
  address.searchParams.set("part", "live");
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    live.replaceChildren(...page.body.childNodes);
    // What was at work has ended, so that rows and doubts are complete; or has begun to send.
    const has_changed = answer.headers.get("X-Page") !== document.body.dataset.page;
    if (has_changed || answer.headers.get("X-At-Work") === "no") location.reload();
  } catch { /* the next time */ }
}

if (document.querySelector("#live[data-working]")) setInterval(renew, EVERY_MS);

function post(table, address, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": table.dataset.token };
  return fetch(address, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null); // cannot be reached
}

document.querySelector("table[data-reveals]")?.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-reveal]");
  if (!button) return;
  button.disabled = true;
  const answer = await post(event.currentTarget, event.currentTarget.dataset.reveals, { recipient: button.dataset.reveal });
  const body = await answer?.json().catch(() => null);
  if (answer?.ok) button.closest("td").textContent = body.number;
  else button.replaceWith(typeof body?.detail === "string" ? body.detail : `That did not work (${answer?.status ?? "no answer"}).`);
});

document.querySelector("table[data-settle]")?.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-recipient]");
  if (!button) return;
  const table = event.currentTarget, why = document.getElementById("why-settled"), said = document.getElementById("settle-said");
  if (!why.reportValidity()) return;
  const buttons = button.closest("tr").querySelectorAll("button");
  buttons.forEach((each) => { each.disabled = true; });
  const body = { recipient: button.dataset.recipient, settled_as: button.dataset.as, why: why.value };
  const answer = await post(table, table.dataset.settle, body);
  if (answer?.ok) {
    button.closest("td").textContent = `settled: ${button.textContent}`;
    return;
  }
  buttons.forEach((each) => { each.disabled = false; });
  const detail = await answer?.json().then((body) => body.detail, () => null);
  said.textContent = typeof detail === "string" ? detail : `That did not work (${answer?.status ?? "no answer"}).`;
  said.hidden = false;
});
