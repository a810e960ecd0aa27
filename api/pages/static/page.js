// What a page does by keys and clicks. Everything else is links and forms, and works without.
document.documentElement.classList.add("scripts");

const $ = (selector, root = document) => root.querySelector(selector);

// -- light and dark: the server reads the same cookie, so that no page flashes
$(".theme")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `cadmill_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
});

// -- what cannot be taken back is asked twice
document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.ask;
  if (question && !confirm(question)) event.preventDefault();
});

// -- copy an id
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
    say("Copied");
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling); // no clipboard over plain http: the text is at least marked
  }
});

// -- progress, read aloud when its words change
function say(words) {
  const said = $("#said");
  if (said && said.textContent !== words) said.textContent = words;
}
document.addEventListener("say", (event) => say(event.detail));
document.addEventListener("htmx:after:swap", () => {
  const words = $("[data-said]")?.dataset.said;
  if (words) say(words);
});

// -- a job while it runs: asked for when its events say that it changed, and each second while none can be heard
const running = () => $("#job[hx-get]");
if (running()) {
  const source = new EventSource(`${location.pathname}/events`);
  let due = 0;
  const changed = () => {
    due ||= setTimeout(() => {
      due = 0;
      if (running()) htmx.trigger("#job", "changed");
    }, 400); // many events are one look, and the last is never missed
  };
  for (const type of ["snapshot", "job.state", "job.progress", "items.failed", "gap"]) source.addEventListener(type, changed);
  const looking = setInterval(() => {
    if (!running()) {
      source.close();
      clearInterval(looking);
    } else if (source.readyState !== EventSource.OPEN) changed();
  }, 1000);
}

// -- keys
const help = $("#help");
$("[data-help]")?.addEventListener("click", () => help.showModal());
const PAGES = { h: "/", p: "/parts", d: "/duplicates", j: "/jobs", q: "/queues", e: "/errors" };
let going = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  if (event.target.matches?.("input, select, textarea")) return;
  if (going && event.key in PAGES) {
    location.href = PAGES[event.key];
    return;
  }
  going = event.key === "g";
  if (event.key === "/") {
    const find = $("[role=search] input");
    if (find) {
      event.preventDefault();
      find.focus();
      find.select();
    }
  } else if (event.key === "?") help?.showModal();
  else if (event.key.startsWith("Arrow")) step(event);
});

// from picture to picture: left and right in order, up and down to the nearest of the next row
function step(event) {
  const from = event.target.closest?.(".gallery .card");
  if (!from) {
    const first = event.target === document.body ? $("[data-gallery] .card") : null;
    if (first && event.key === "ArrowRight") first.focus();
    return;
  }
  event.preventDefault();
  const all = [...from.closest(".gallery").querySelectorAll(".card")];
  const at = all.indexOf(from);
  const columns = all.findIndex((card) => card.offsetTop > all[0].offsetTop);
  const row = columns > 0 ? columns : all.length;
  const to = at + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
  all[to]?.focus();
}
