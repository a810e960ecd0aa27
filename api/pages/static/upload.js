// Files and folders from the drop area to the server, in bites, with progress; then one job for all of them.

const BITE_FILES = 100, BITE_BYTES = 64e6, TRIES = 4;
const form = document.getElementById("upload");
const token = document.querySelector("meta[name=form-token]").content;
const sending = document.getElementById("sending");
const bar = document.getElementById("sending-bar");
const refused = document.getElementById("refused");
const say = (words) => document.dispatchEvent(new CustomEvent("say", { detail: words }));
let current = null, stopped = false, busy = false;

form.addEventListener("submit", (event) => event.preventDefault());
for (const input of form.querySelectorAll("input[type=file]")) input.addEventListener("change", () => send([...input.files]).finally(() => { input.value = ""; }));
document.getElementById("stop").addEventListener("click", () => { stopped = true; current?.abort(); });

let inside = 0; // entering a child leaves its parent
for (const [name, change] of [["dragenter", 1], ["dragleave", -1]]) {
  addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    inside += change;
    form.classList.toggle("over", inside > 0);
  });
}
addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
addEventListener("drop", async (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  inside = 0;
  form.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length ? (await Promise.all(entries.map(unfold))).flat() : [...event.dataTransfer.files];
  await send(files);
});

// a folder gives its entries a hundred at a time
async function unfold(entry) {
  if (entry.isFile) return [await new Promise((give, fail) => entry.file(give, fail))];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((give, fail) => reader.readEntries(give, fail));
    if (!some.length) return (await Promise.all(found.filter((one) => !one.name.startsWith(".")).map(unfold))).flat();
    found.push(...some);
  }
}

async function send(files) {
  if (!files.length || busy) return;
  busy = true;
  stopped = false;
  refused.replaceChildren();
  sending.hidden = false;
  const labels = readLabels(), total = files.reduce((sum, file) => sum + file.size, 0) || 1;
  const ids = [];
  let sent = 0;
  try {
    for (const bite of bites(files)) {
      const answer = await patiently(bite, labels, (bytes) => show(sent + bytes, total, ids.length, files.length));
      sent += bite.reduce((sum, file) => sum + file.size, 0);
      for (const part of answer.parts) part.id ? ids.push(part.id) : refuse(part.name, part.error.message, part.error.remedy);
      show(sent, total, ids.length, files.length);
    }
    if (!ids.length) return tell("No file was taken.");
    const asked = { parts: ids, labels, priority: document.getElementById("priority").value, feature_version: document.getElementById("version").value };
    const job = await post("/upload/job", JSON.stringify(asked), "application/json");
    if (refused.children.length) return offer(job.job, ids.length, files.length);
    location.href = job.job;
  } catch (problem) {
    tell(stopped ? "Stopped. What was sent is kept as parts." : "The upload ended.");
    if (!stopped) refuse("", problem.message, problem.remedy ?? "");
  } finally {
    busy = false;
  }
}

function* bites(files) {
  let bite = [], bytes = 0;
  const most = Math.min(BITE_FILES, Number(form.dataset.maxFiles)), room = Math.min(BITE_BYTES, Number(form.dataset.maxBody) * 0.9);
  for (const file of files) {
    if (file.size > Number(form.dataset.maxFile)) {
      refuse(file.name, "The file is larger than this server accepts.", "Split it, or have the limit raised.");
      continue;
    }
    if (bite.length && (bite.length >= most || bytes + file.size > room)) {
      yield bite;
      bite = [];
      bytes = 0;
    }
    bite.push(file);
    bytes += file.size;
  }
  if (bite.length) yield bite;
}

// a bite that got lost on the way is sent again; a part that was written twice is the same file under one name twice, and harmless
async function patiently(bite, labels, progress) {
  for (let attempt = 1; ; attempt++) {
    const body = new FormData();
    if (Object.keys(labels).length) body.append("labels", JSON.stringify(labels));
    for (const file of bite) body.append("files", file, file.name);
    try {
      return await post("/upload/parts", body, "", progress);
    } catch (problem) {
      if (stopped || !problem.passing || attempt === TRIES) throw problem;
      await new Promise((wake) => setTimeout(wake, 500 * 2 ** attempt));
    }
  }
}

// XMLHttpRequest, because fetch tells no progress of what it sends
function post(address, body, type, progress = () => {}) {
  return new Promise((give, fail) => {
    const request = (current = new XMLHttpRequest());
    request.open("POST", address);
    request.setRequestHeader("X-Form-Token", token);
    request.setRequestHeader("Accept", "application/json");
    if (type) request.setRequestHeader("Content-Type", type);
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onabort = () => fail(Object.assign(new Error("Stopped."), { passing: false }));
    request.onerror = () => fail(Object.assign(new Error("The server cannot be reached."), { passing: true, remedy: "Check the connection and send the files again." }));
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* a proxy said something else */ }
      if (request.status < 300 || Array.isArray(answer.parts)) return give(answer);
      const passing = request.status >= 502 || request.status === 429;
      fail(Object.assign(new Error(answer.message ?? `The server answered ${request.status}.`), { passing, remedy: answer.remedy }));
    };
    request.send(body);
  });
}

function readLabels() {
  const pairs = document.getElementById("labels").value.split(",").map((pair) => pair.trim()).filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => { const [name, ...rest] = pair.split("="); return [name.trim(), rest.join("=").trim() || "yes"]; }));
}

function show(sent, total, taken, files) {
  bar.value = Math.min(1, sent / total);
  const percent = Math.floor(100 * bar.value);
  document.getElementById("sending-text").textContent = `Sending ${files} file${files === 1 ? "" : "s"}: ${percent} %${taken ? `, ${taken} there` : ""}`;
  say(`${Math.floor(percent / 10) * 10} % sent`);
}

function tell(words) {
  document.getElementById("sending-text").textContent = words;
  say(words);
}

function offer(link, taken, files) {
  tell(`${taken} of ${files} files were taken. `);
  const follow = Object.assign(document.createElement("a"), { href: link, textContent: "Follow the job" });
  document.getElementById("sending-text").append(follow);
  follow.focus();
}

function refuse(name, message, remedy) {
  const line = document.createElement("li"), what = document.createElement("strong");
  what.textContent = message;
  what.className = "bad";
  line.append(`${name} `, what, ` ${remedy}`);
  refused.append(line);
}
