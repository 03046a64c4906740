// The status page. Text from files only ever becomes text nodes; every request goes to this origin.
"use strict";

const PAGE = 50;
const EVERY_MS = 4000;
const KEY = "nightschool-session";
const byId = (id) => document.getElementById(id);
let offset = 0;
let timer = 0;
let tables = 0;

class Denied extends Error {}

async function call(method, path, body, bearer) {
  const headers = { Authorization: `Bearer ${bearer || sessionStorage.getItem(KEY) || ""}` };
  const options = { method, headers, cache: "no-store", credentials: "omit" };
  if (method === "POST") {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body || {});
  }
  const answer = await fetch(path, options);
  const found = await answer.json();
  if (answer.ok) return found;
  const text = found.error ? found.error.message : `HTTP ${answer.status}`;
  throw answer.status === 401 || answer.status === 429 ? new Denied(text) : new Error(text);
}

// -- drawing -------------------------------------------------------------------------------------

function node(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// `words` between backticks are commands: shown as such, never as markup.
function prose(text) {
  const parts = String(text || "").split("`");
  return parts.map((part, at) => (at % 2 && at < parts.length - 1 ? node("code", part) : part));
}

const tag = (text, tone) => node("span", text, `tag ${tone || ""}`);

function fill(id, rows, columns, empty) {
  const drawn = rows.map((cells) => {
    const row = node("tr");
    for (const cell of cells) {
      const [content, className] = Array.isArray(cell) ? cell : [cell, ""];
      const place = node("td", null, className);
      if (content instanceof Node) place.append(content);
      else place.textContent = content === null || content === undefined ? "" : String(content);
      row.append(place);
    }
    return row;
  });
  if (!drawn.length) {
    const row = node("tr");
    const place = node("td", empty, "empty");
    place.colSpan = columns;
    row.append(place);
    drawn.push(row);
  }
  byId(id).replaceChildren(...drawn);
}

const FORM = { dateStyle: "medium", timeStyle: "short" };
const when = (text) => (text ? new Date(text).toLocaleString(undefined, FORM) : "");
const words = (text) => String(text || "").replaceAll("_", " ");
const bytes = (n) => (n ? `${(n / 1048576).toFixed(0)} MB` : "");
const TONES = {
  promoted: "good", promote: "good", indexed: "good", watched: "good", ready: "good", busy: "good",
  running: "good", held: "warn", hold: "warn", waiting: "warn", polled: "warn", skipped: "warn",
  interrupted: "warn", starting: "warn", rejected: "bad", reject: "bad", failed: "bad",
  missing: "bad", problem: "bad", nan: "bad", out_of_memory: "bad", parity_failed: "bad",
  blocked: "bad", stopping: "bad", "backing off": "bad",
};
const marked = (text) => tag(words(text), TONES[text]);
const named = (number) => (number ? `version ${number}` : "the base model");

function showStatus(found) {
  const state = byId("state");
  state.textContent = found.state;
  state.className = `pill ${TONES[found.state] || ""}`;
  byId("served").textContent = `answers with ${named(found.serving.version)}`;
  const problem = byId("problem");
  problem.replaceChildren(...prose(found.problems.join(" ")));
  problem.hidden = !found.problems.length;
  const night = found.night;
  byId("reason").replaceChildren(...prose(night.reason));
  byId("running").hidden = !night.progress;
  byId("learn").disabled = night.state === "running";
  byId("allow").hidden = false;
  byId("allow").textContent = night.allowed ? "No nights by themselves" : "Let nights start by themselves";
  byId("allow").dataset.allowed = night.allowed ? "" : "yes";
  if (night.progress) {
    const { stage, done, total } = night.progress;
    byId("stage").textContent = total ? `${stage}: ${done} of ${total}` : stage;
    if (total) byId("progress").value = done / total;
    else byId("progress").removeAttribute("value");
  }
  byId("more").hidden = night.blockers.length < 2;
  byId("blockers").replaceChildren(...night.blockers.map((text) => {
    const item = node("li");
    item.append(...prose(text));
    return item;
  }));
  const last = night.last;
  byId("last").textContent = last
    ? `Last night: ${words(last.outcome)}, ${when(last.ended_at)}. ${last.message || ""}` : "";
  const files = found.files;
  const figures = [
    ["Files indexed", files.indexed], ["Files skipped", files.skipped],
    ["Passages", files.passages], ["Waiting for a vector", files.without_vector],
    ["Changes being read", found.watching.changing],
  ];
  byId("figures").replaceChildren(...figures.map(([name, value]) => {
    const box = node("div");
    box.append(node("dt", name), node("dd", value.toLocaleString()));
    return box;
  }));
  fill("folders", found.watching.roots.map((root) => [
    [root.path, "wide"],
    [root.owned ? "remembered notes" : root.learn ? "search and learn" : "search only", "short"],
    [both(marked(root.state), root.reason), "wide"],
  ]), 3, "No folder yet: nightschool watch add FOLDER");
  fill("children", Object.entries(found.children).map(([name, child]) => [
    name, marked(child.state), [bytes(child.memory_bytes), "number"], [child.restarts, "number"],
    [child.last_error, "wide"],
  ]), 5, "");
  byId("foot").textContent = `Nightschool ${found.version}, process ${found.pid}, ` +
    `${bytes(found.memory_bytes)}, since ${when(found.started_at)}. ` +
    "Everything on this page comes from this machine.";
}

function both(first, text) {
  const box = node("span");
  box.append(first, text ? ` ${text}` : "");
  return box;
}

function showRuns(found) {
  fill("runs", found.runs.map((run) => [
    run.id, [when(run.started_at), "date"], marked(run.outcome), run.version ? named(run.version) : "",
    [run.reasons.length ? run.reasons.join(" ") : run.message, "wide"],
  ]), 5, "No night yet.");
}

function showVersions(found) {
  fill("versions", found.versions.map((version) => {
    let action = tag("served", "good");
    if (!version.current) {
      action = ["promoted", "retired", "base"].includes(version.status) ? node("button", "Serve", "plain") : "";
      if (action) {
        action.setAttribute("aria-label", `Serve ${named(version.number)}`);
        action.addEventListener("click", () => act("/ns/use", { version: version.number }));
      }
    }
    return [named(version.number), marked(version.status), [when(version.created_at), "date"],
      [version.note, "wide"], action];
  }), 5, "");
}

function place(file) {
  const shown = node("span", file.path);
  shown.title = `${file.root}/${file.path}`;
  return shown;
}

function showFiles(found) {
  const settling = offset ? [] : found.settling;
  fill("files", [...settling, ...found.files].map((file) => [
    [place(file), "wide"], marked(file.status), [file.chunks, "number"], [file.pairs, "number"],
    (file.learned_in || []).map((n) => `v${n}`).join(", "), [file.reason, "wide"],
  ]), 6, "No file here.");
  const last = Math.min(offset + PAGE, found.total);
  byId("where").textContent = found.total ? `${offset + 1} to ${last} of ${found.total}` : "";
  byId("earlier").disabled = !offset;
  byId("later").disabled = last >= found.total;
}

// -- acting --------------------------------------------------------------------------------------

async function act(path, body) {
  try {
    await call("POST", path, body);
  } catch (error) {
    return complain(error);
  }
  await refresh(true);
}

function complain(error) {
  if (error instanceof Denied) return ask(sessionStorage.getItem(KEY) ? error.message : "");
  const state = byId("state");
  if (error instanceof TypeError) {
    state.textContent = "not running";
    state.className = "pill bad";
    return undefined;
  }
  byId("problem").textContent = error.message;
  byId("problem").hidden = false;
  return undefined;
}

async function loadFiles() {
  const status = byId("filter").value;
  const query = new URLSearchParams({ limit: PAGE, offset });
  if (status) query.set("status", status);
  showFiles(await call("GET", `/ns/files?${query}`));
}

async function refresh(everything) {
  clearTimeout(timer);
  try {
    showStatus(await call("GET", "/ns/status"));
    if (everything || tables++ % 5 === 0) {
      const [runs, versions] = await Promise.all([
        call("GET", "/ns/runs?limit=20"), call("GET", "/ns/versions"), loadFiles(),
      ]);
      showRuns(runs);
      showVersions(versions);
    }
    byId("door").hidden = true;
    byId("inside").hidden = false;
    byId("leave").hidden = false;
  } catch (error) {
    complain(error);
    if (error instanceof Denied) return;
  }
  if (!document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

function ask(message) {
  clearTimeout(timer);
  sessionStorage.removeItem(KEY);
  byId("inside").hidden = true;
  byId("leave").hidden = true;
  byId("door").hidden = false;
  byId("door-problem").textContent = message || "";
  byId("state").textContent = "locked";
  byId("state").className = "pill";
  byId("served").textContent = "";
  byId("secret").focus();
}

async function enter() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (location.hash || location.search) history.replaceState(null, "", "/");
  if (code) {
    try {
      sessionStorage.setItem(KEY, (await call("POST", "/ns/session", {}, code)).session);
    } catch (error) {
      return ask("This link was used already or is too old. Run nightschool open again.");
    }
  }
  if (!sessionStorage.getItem(KEY)) return ask("");
  return refresh(true);
}

byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("secret").value.trim());
  byId("secret").value = "";
  refresh(true);
});
byId("leave").addEventListener("click", () => ask(""));
byId("learn").addEventListener("click", () => act("/ns/learn"));
byId("allow").addEventListener("click", (event) =>
  act("/ns/nights", { allowed: Boolean(event.currentTarget.dataset.allowed) }));
byId("rollback").addEventListener("click", () => act("/ns/rollback"));
byId("filter").addEventListener("change", () => { offset = 0; loadFiles().catch(complain); });
byId("earlier").addEventListener("click", () => { offset = Math.max(0, offset - PAGE); loadFiles().catch(complain); });
byId("later").addEventListener("click", () => { offset += PAGE; loadFiles().catch(complain); });
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && sessionStorage.getItem(KEY)) refresh(true);
});
enter();
