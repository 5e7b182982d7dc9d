// The page: what is shown, and what happens when somebody does something.

import * as api from "./api.js";
import { copyText, element, markdown } from "./markdown.js";
import * as store from "./store.js";
import { speak, usualLanguage, word } from "./words.js";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed"];

let current = null;
/** The answer that is being written: its message and how to stop it. */
let busy = null;
let models = [];

// --- What the server is like ---

function tell(name, retry, detail = "") {
  const text = [word(name), detail].filter(Boolean).join(" ");
  $("status").hidden = false;
  $("status").dataset.state = name;
  $("status").replaceChildren(element("span", {}, text), ...(retry ? [element("button", { type: "button", onclick: retry }, word("retry"))] : []));
}

function quiet() {
  $("status").hidden = true;
  delete $("status").dataset.state;
}

async function connect() {
  try {
    models = await api.models();
    quiet();
    if (!models.length) tell("noModel", connect);
    const wanted = store.settings.model;
    $("model").replaceChildren(...models.map((model) => element("option", { value: model.id, selected: model.id === wanted }, model.id)));
    if (models.length && !chosen()?.chat) tell("noChat");
  } catch (error) {
    explain(error, connect);
    if (error instanceof TypeError || error.status === 503) setTimeout(connect, 2000);
  }
  $("send").disabled = !models.length;
}

function chosen() {
  return models.find((model) => model.id === $("model").value);
}

function explain(error, retry) {
  if (error.status === 401) {
    tell("needKey", () => { $("settings").showModal(); $("key").focus(); });
  } else if (error.status === 503 && !models.length) {
    tell("loading");
  } else if (error.status === 503 || error.status === 429) {
    tell("overload", retry, `${error.retryAfter || 2} ${word("seconds")}`);
  } else if (error instanceof TypeError) {
    tell("lost", retry);
  } else {
    tell(error.message, retry);
  }
}

// --- Conversations ---

function open(conversation) {
  current = conversation;
  store.settings.current = conversation?.id;
  store.saveSettings();
  $("side").classList.remove("open");
  $("system").value = conversation?.system ?? "";
  show();
  $("input").focus();
}

function keep() {
  if (!store.save()) tell("full");
}

function showList() {
  const items = store.found($("search").value).map((one) => {
    const title = one.title || word("untitled");
    const button = (name, sign, action) => element("button", { class: "plain", type: "button", title: word(name), "aria-label": `${word(name)}: ${title}`, onclick: action }, sign);
    const tools = element("span", { class: "tools" },
      button("rename", "✎", () => rename(one)),
      button("export", "⤓", () => download(`${title}.json`, [one])),
      button("delete", "✕", () => removeOne(one)));
    return element("li", { class: one === current ? "current" : "" },
      element("button", { class: "plain", type: "button", "aria-current": one === current ? "true" : null, onclick: () => open(one) }, title), tools);
  });
  const nothing = word(store.conversations.length ? "none" : "empty");
  $("list").replaceChildren(...(items.length ? items : [element("li", { class: "empty" }, nothing)]));
}

function rename(one) {
  const title = prompt(word("newName"), one.title);
  if (title?.trim()) {
    one.title = title.trim();
    keep();
    showList();
  }
}

function removeOne(one) {
  if (!confirm(word("reallyDelete"))) return;
  if (one === current) busy?.abort.abort();
  store.remove(one.id);
  keep();
  if (one === current) open(null);
  showList();
}

function download(name, data) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// --- Messages ---

function show() {
  showList();
  $("tip").hidden = true;
  const nodes = current ? store.path(current) : [];
  const welcome = element("div", { class: "welcome" }, element("span", { "aria-hidden": "true" }, "砚"), word("welcome"));
  $("log").replaceChildren(...(nodes.length ? nodes.map(messageOf) : [welcome]));
  $("log").scrollTop = $("log").scrollHeight;
}

function messageOf(node) {
  const message = element("article", { class: `message ${node.role}`, "data-id": node.id, "aria-label": word(node.role === "user" ? "you" : "answer") });
  message.append(element("div", { class: "body" }), element("div", { class: "actions" }));
  fill(message, node);
  return message;
}

function fill(message, node) {
  const [body, actions] = message.children;
  const writing = busy?.node === node;
  message.classList.toggle("busy", writing);
  message.classList.toggle("failed", Boolean(node.failed) && !node.text);
  if (node.role === "user") body.replaceChildren(node.text);
  else if (store.settings.sure && node.tokens?.length) body.replaceChildren(tokensOf(node));
  else body.replaceChildren(...markdown(node.text || node.failed || ""));
  actions.replaceChildren(...(writing ? [] : actionsOf(node, message)));
}

function actionsOf(node, message) {
  const button = (name, sign, action, disabled) => element("button", { class: "plain", type: "button", title: word(name), "aria-label": word(name), onclick: action, disabled }, sign);
  const all = store.versions(current, node);
  const at = all.indexOf(node);
  const go = (other) => () => { store.goTo(current, other); keep(); show(); };
  const out = [];
  if (all.length > 1) {
    out.push(button("earlier", "‹", go(all[at - 1]), at === 0), element("span", { class: "info" }, `${at + 1}/${all.length}`), button("later", "›", go(all[at + 1]), at === all.length - 1));
  }
  out.push(button("copy", word("copy"), async (event) => { await copyText(node.text); event.target.textContent = word("copied"); }));
  if (node.role === "user") out.push(button("edit", "✎", () => edit(node, message)));
  else out.push(button("again", "↻", () => answer(node.parent)));
  const notes = [node.ended === "stopped" && word("stopped"), node.ended === "length" && word("cutShort"), node.usage && `${node.usage} ${word("tokens")}`, node.speed && `${node.speed} ${word("perSecond")}`];
  const note = notes.filter(Boolean).join(" · ");
  if (note) out.push(element("span", { class: "info" }, note));
  return out;
}

function edit(node, message) {
  const area = element("textarea", { rows: "3", "aria-label": word("edit") });
  area.value = node.text;
  const done = () => {
    store.add(current, node.parent, "user", area.value);
    answer(current.leaf);
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); fill(message, node); message.querySelector("button").focus(); }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); done(); }
  });
  message.children[0].replaceChildren(element("div", { class: "editor" }, area, element("div", {},
    element("button", { type: "button", onclick: () => fill(message, node) }, word("cancel")),
    element("button", { type: "button", onclick: done }, word("resend")))));
  message.children[1].replaceChildren();
  area.focus();
}

// --- How sure it was ---

function tokensOf(node) {
  const percent = (logprob) => `${(100 * Math.exp(logprob)).toFixed(1)} %`;
  const spans = whole(node.tokens).map(([text, logprob, top]) => {
    const p = Math.exp(logprob);
    const doubt = p > 0.9 ? 0 : p > 0.6 ? 1 : p > 0.3 ? 2 : p > 0.1 ? 3 : 4;
    const others = top.map(([other, value]) => `${percent(value).padStart(8)}  ${JSON.stringify(other)}`).join("\n");
    const about = `${word("probability")} ${percent(logprob)}\n${word("instead")}:\n${others}`;
    const span = element("span", { class: `d${doubt}`, tabindex: "0", "aria-label": `${text}, ${word("probability")} ${percent(logprob)}` }, text);
    for (const name of ["mouseenter", "focus"]) span.addEventListener(name, () => tip(span, about));
    for (const name of ["mouseleave", "blur"]) span.addEventListener(name, () => { $("tip").hidden = true; });
    return span;
  });
  return element("div", { class: "tokens" }, ...spans);
}

/** Tokens that are parts of one character, put together. */
function whole(tokens) {
  const out = [];
  let bytes = [];
  let sum = 0;
  for (const [text, logprob, top, own] of tokens) {
    if (!own && !bytes.length) {
      out.push([text, logprob, top]);
      continue;
    }
    bytes.push(...(own ?? new TextEncoder().encode(text)));
    sum += logprob;
    try {
      out.push([new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes)), sum, top]);
    } catch {
      continue;
    }
    bytes = [];
    sum = 0;
  }
  return out;
}

function tip(span, text) {
  const box = span.getBoundingClientRect();
  $("tip").textContent = text;
  $("tip").hidden = false;
  const own = $("tip").getBoundingClientRect();
  $("tip").style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
  $("tip").style.top = `${box.bottom + own.height + 8 < innerHeight ? box.bottom + 4 : box.top - own.height - 4}px`;
}

// --- Asking and being answered ---

function requestOf(nodes) {
  const messages = nodes.map(({ role, text }) => ({ role, content: text }));
  if (current.system) messages.unshift({ role: "system", content: current.system });
  const request = { model: $("model").value, messages, logprobs: true, top_logprobs: 4 };
  for (const name of NUMBERS) {
    const value = store.settings[name];
    if (value !== undefined && value !== null && value !== "") request[name] = Number(value);
  }
  return request;
}

async function answer(parent) {
  if (busy) return;
  const conversation = current;
  const node = store.add(conversation, parent, "assistant", "");
  const nodes = store.path(conversation).slice(0, -1);
  node.tokens = [];
  busy = { node, conversation, abort: new AbortController() };
  $("stop").hidden = false;
  $("send").hidden = true;
  show();
  const began = performance.now();
  let first = 0;
  try {
    await api.chat(requestOf(nodes), busy.abort.signal, (chunk) => {
      first ||= performance.now();
      hear(node, conversation, chunk);
    });
    quiet();
  } catch (error) {
    if (error.name === "AbortError") {
      node.ended = "stopped";
    } else {
      node.failed = error.message;
      explain(error, () => { quiet(); retry(conversation, node); });
    }
  }
  if (node.usage > 1) node.speed = ((node.usage - 1) / ((performance.now() - (first || began)) / 1000)).toFixed(1);
  finish(conversation, node);
}

function hear(node, conversation, chunk) {
  if (chunk.usage) node.usage = chunk.usage.completion_tokens;
  const [choice] = chunk.choices;
  if (!choice) return;
  node.text += choice.delta.content ?? "";
  if (choice.finish_reason) node.ended = choice.finish_reason;
  for (const token of choice.logprobs?.content ?? []) {
    const broken = token.token.includes("\ufffd") ? token.bytes : undefined;
    node.tokens.push([token.token, token.logprob, token.top_logprobs.map((other) => [other.token, other.logprob]), broken]);
  }
  busy.paint ??= requestAnimationFrame(() => {
    if (busy) busy.paint = null;
    if (conversation === current) paint(node);
  });
}

/** Shows what is new, and stays at the end if that is where the reader was. */
function paint(node) {
  const message = $("log").querySelector(`[data-id="${node.id}"]`);
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  if (message) fill(message, node);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function finish(conversation, node) {
  busy = null;
  $("stop").hidden = true;
  $("send").hidden = false;
  keep();
  showList();
  if (conversation === current) paint(node);
}

/** Asks again, in the place of an answer that failed. */
function retry(conversation, node) {
  if (busy || conversation !== current) return;
  delete conversation.nodes[node.id];
  conversation.leaf = node.parent;
  answer(node.parent);
}

function send() {
  const text = $("input").value;
  if (!text.trim() || busy || !models.length) return;
  current ??= store.create();
  current.system = $("system").value;
  store.settings.current = current.id;
  store.saveSettings();
  $("input").value = "";
  grow();
  store.add(current, current.leaf, "user", text);
  keep();
  answer(current.leaf);
}

function grow() {
  $("input").style.height = "auto";
  $("input").style.height = `${$("input").scrollHeight + 2}px`;
}

// --- Live load ---

const history = [];

async function showLoad() {
  if (!$("load-dialog").open) return;
  try {
    const load = await api.load();
    const sum = (name) => load.models.reduce((total, model) => total + model[name], 0);
    const now = { at: performance.now(), made: sum("new_tokens") };
    history.push(now);
    if (history.length > 61) history.shift();
    const speeds = history.slice(1).map((one, n) => Math.max(0, (one.made - history[n].made) / ((one.at - history[n].at) / 1000)));
    const rows = [["requests", load.requests], ["running", sum("running")], ["waiting", sum("waiting")],
      ["blocks", `${sum("blocks_held")} / ${sum("blocks")}`], ["idle", sum("blocks_idle")], ["read", sum("prompt_tokens")],
      ["found", sum("cached_tokens")], ["made", sum("new_tokens")], ["speed", (speeds.at(-1) ?? 0).toFixed(0)]];
    const table = element("table", {}, ...rows.map(([name, value]) => element("tr", {}, element("td", {}, word(name)), element("td", {}, String(value)))));
    $("load-body").replaceChildren(curve(speeds), table);
  } catch (error) {
    $("load-body").replaceChildren(element("p", {}, error instanceof TypeError ? word("lost") : error.message));
  }
  setTimeout(showLoad, 1000);
}

function curve(values) {
  const svg = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const most = Math.max(1, ...values);
  const points = values.map((value, n) => `${n * 10},${100 - (90 * value) / most}`).join(" ");
  const picture = svg("svg", { viewBox: "0 0 600 100", preserveAspectRatio: "none", role: "img", "aria-label": word("speed") });
  picture.append(svg("polyline", { points }));
  return picture;
}

// --- Settings ---

function applySettings() {
  speak(store.settings.language ?? usualLanguage());
  const theme = store.settings.theme;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("sure").setAttribute("aria-pressed", String(store.settings.sure));
  $("keys").replaceChildren(...["k1", "k2", "k3", "k4", "k5"].map((name) => element("li", {}, word(name))));
  show();
}

function prepareSettings() {
  $("language").value = store.settings.language ?? usualLanguage();
  $("theme").value = store.settings.theme;
  $("key").value = sessionStorage.getItem("inkstone.key") ?? "";
  api.setKey($("key").value);
  for (const name of NUMBERS) $(name).value = store.settings[name] ?? "";
  for (const name of [...NUMBERS, "language", "theme"]) {
    $(name).addEventListener("change", () => {
      if ($(name).validity.valid) store.settings[name] = $(name).value;
      store.saveSettings();
      if (!NUMBERS.includes(name)) applySettings();
    });
  }
  $("key").addEventListener("change", () => {
    // A key is forgotten with the tab.
    sessionStorage.setItem("inkstone.key", $("key").value);
    api.setKey($("key").value);
    connect();
  });
  $("system").addEventListener("change", () => {
    if (current) current.system = $("system").value;
    keep();
  });
}

// --- The beginning ---

function listen() {
  $("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("input").addEventListener("input", grow);
  $("input").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
  });
  $("stop").addEventListener("click", () => busy?.abort.abort());
  $("new").addEventListener("click", () => open(null));
  $("search").addEventListener("input", showList);
  $("export").addEventListener("click", () => download("inkstone-conversations.json", store.conversations));
  $("open-side").addEventListener("click", () => { $("side").classList.add("open"); $("close-side").focus(); });
  $("close-side").addEventListener("click", () => { $("side").classList.remove("open"); $("open-side").focus(); });
  $("settings-button").addEventListener("click", () => $("settings").showModal());
  $("load").addEventListener("click", () => { history.length = 0; $("load-dialog").showModal(); showLoad(); });
  $("sure").addEventListener("click", () => { store.settings.sure = !store.settings.sure; store.saveSettings(); applySettings(); });
  $("model").addEventListener("change", () => { store.settings.model = $("model").value; store.saveSettings(); connect(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && busy && !document.querySelector("dialog[open]")) busy.abort.abort();
    if (event.key === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("side").classList.add("open"); $("search").focus(); }
    if (event.altKey && event.code === "KeyN") { event.preventDefault(); open(null); }
    if (event.altKey && event.code === "KeyS") { event.preventDefault(); $("settings").showModal(); }
  });
}

prepareSettings();
listen();
current = store.conversations.find((one) => one.id === store.settings.current) ?? null;
$("system").value = current?.system ?? "";
applySettings();
connect();
