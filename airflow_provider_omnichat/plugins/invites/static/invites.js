// What a page does beside being read: it follows Airflow's colours and time zone, renews itself, goes to other pages of
// Airflow, keeps in their address what is chosen, and settles doubts. Without it, all is there to read.

// Airflow shows these pages in a frame of its own origin.
let host = window.parent !== window ? window.parent : null;
try { host?.document; } catch { host = null; } // a frame on another origin is left alone
const find = (id) => document.getElementById(id);
const page = document.querySelector("main"), darkness = matchMedia("(prefers-color-scheme: dark)");

function followColours() {
  const dark = host ? host.document.documentElement.classList.contains("dark") : darkness.matches;
  document.documentElement.classList.toggle("dark", dark);
}
followColours();
darkness.addEventListener("change", followColours);
if (host) new MutationObserver(followColours).observe(host.document.documentElement, { attributeFilter: ["class"] });

// Airflow's address names the task; the rest of ours goes into its fragment, and comes back when it is opened again.
function keepChoice() {
  const choice = (text) => {
    const chosen = new URLSearchParams(text);
    for (const name of ["dag_id", "run_id", "task_id", "map_index"]) chosen.delete(name);
    return chosen.toString();
  };
  const own = location.search, now = choice(own), kept = choice(host.location.hash.slice(1));
  if (kept && !now && !location.hash) return location.replace(`?${own.slice(1)}&${kept}#rows`);
  const { pathname, search } = host.location; // whole: Airflow's page has another base address
  host.history.replaceState(host.history.state, "", `${pathname}${search}${now && `#${now}`}`);
}
if (host) keepChoice();

// Times are written in UTC; Airflow keeps the zone that was chosen there.
function followZone() {
  try {
    const kept = localStorage.getItem("timezone") ?? "UTC";
    const timeZone = kept.startsWith('"') ? JSON.parse(kept) : kept;
    if (timeZone.toUpperCase() === "UTC") return;
    const options = { timeZone, hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" };
    const day = { year: "numeric", month: "2-digit", day: "2-digit", timeZoneName: "short" };
    for (const time of document.querySelectorAll("time:not([data-zoned])")) {
      const parts = time.textContent.includes("-") ? { ...options, ...day } : options;
      time.textContent = new Date(time.dateTime).toLocaleString("sv-SE", parts);
      time.dataset.zoned = "";
    }
  } catch { /* no such zone: UTC is as true */ }
}
followZone();

// The frame may neither send its parent elsewhere nor open a window. Airflow's own router goes where its history says,
// and a link of its page opens what is not Airflow's.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow], a[target]");
  if (!link || !host || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.target) return host.document.importNode(link).click();
  host.history.pushState({}, "", link.href);
  host.dispatchEvent(new host.PopStateEvent("popstate", { state: {} }));
});

const tell = (text) => Object.assign(find("told"), { textContent: text, hidden: !text });
async function get(part) {
  const address = new URL(location.href);
  if (part) address.searchParams.set("part", part);
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (answer.status === 401) tell("Your session has ended: reload Airflow to log in.");
  return answer.ok ? answer : null;
}

async function content(answer, where) {
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(where).childNodes;
}

// Everything again, but for what was typed or chosen, and where the keyboard is.
async function renewAll() {
  const answer = await get("");
  if (!answer) return;
  const nodes = await content(answer, "main");
  const typed = [...page.querySelectorAll("input[id]")].map((each) => [each.id, each.value, each.checked]);
  const at = document.activeElement?.id;
  page.replaceChildren(...nodes);
  for (const [id, value, checked] of typed) if (find(id)) Object.assign(find(id), { value, checked });
  find(at)?.focus({ preventScroll: true });
  followZone();
  page.dataset.state = answer.headers.get("X-State");
  page.toggleAttribute("data-working", answer.headers.get("X-At-Work") === "yes");
}

const EVERY_MS = 3000, WHOLE_EVERY = 5, IDLE_EVERY = 7;
let turn = 0;
async function renew() {
  turn += 1;
  const working = page.hasAttribute("data-working"), live = find("live");
  if (document.hidden || (!working && turn % IDLE_EVERY)) return;
  try {
    if (working && turn % WHOLE_EVERY === 0) return await renewAll();
    const answer = await get(working && live ? "live" : "state");
    if (!answer) return;
    if (answer.headers.get("X-State") !== page.dataset.state) return await renewAll();
    if (working && live) live.replaceChildren(...await content(answer, "body"));
    followZone();
  } catch { /* the next time */ }
}

function renewNow() {
  turn = WHOLE_EVERY * IDLE_EVERY - 1;
  renew();
}
setInterval(renew, EVERY_MS);
document.addEventListener("visibilitychange", renewNow);
window.addEventListener("focus", renewNow);

page.addEventListener("change", (event) => {
  if (event.target.id !== "choose-all") return;
  for (const each of page.querySelectorAll("[data-choose]")) each.checked = event.target.checked;
});

function post(address, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": find("settling").dataset.token };
  return fetch(address, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null); // cannot be reached
}

async function saidBy(answer) {
  const body = await answer?.json().catch(() => null);
  return typeof body?.detail === "string" ? body.detail : `That did not work (${answer?.status ?? "no answer"}).`;
}

const enable = (is_on) => page.querySelectorAll("button").forEach((each) => { each.disabled = !is_on; });
async function reveal(button) {
  button.disabled = true;
  const answer = await post(find("settling").dataset.reveals, { recipient: button.dataset.reveal });
  if (answer?.ok) button.closest("td").textContent = (await answer.json()).number;
  else button.replaceWith(await saidBy(answer));
}

page.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-reveal], button[data-as]"), why = find("why-settled");
  if (!button) return;
  if (button.dataset.reveal) return reveal(button);
  const chosen = [...page.querySelectorAll("[data-choose]:checked")].map((each) => each.dataset.choose);
  const recipients = "chosen" in button.dataset ? chosen : [button.dataset.recipient];
  if (!recipients.length) return tell("Choose rows first.");
  const undoes = button.dataset.as === "in_doubt";
  if (!undoes && !why.reportValidity()) return;
  enable(false);
  const body = { recipients, settled_as: button.dataset.as, why: undoes ? "undone" : why.value };
  tell(await saidBy(await post(find("settling").dataset.settle, body)));
  await renewAll().catch(() => null);
  enable(true);
  (find(button.id) ?? page.querySelector(`button[data-recipient][data-as="${button.dataset.as}"]`) ?? find("told")).focus();
});
