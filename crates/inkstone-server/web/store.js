// Conversations, kept in this browser alone. Each is a tree: an edited question or a second answer is a branch.

const KEY = "inkstone.conversations";
const SETTINGS = "inkstone.settings";

export function newId() {
  return crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
}

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export const conversations = read(KEY, []);
export const settings = { language: null, theme: "auto", sure: false, ...read(SETTINGS, {}) };

/** False when there is no more room. */
export function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(conversations));
    return true;
  } catch {
    return false;
  }
}

export function saveSettings() {
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(settings));
  } catch {
    // They hold until the page is closed.
  }
}

export function create() {
  const conversation = { id: newId(), title: "", changed: Date.now(), system: "", leaf: null, nodes: {} };
  conversations.unshift(conversation);
  return conversation;
}

export function remove(id) {
  conversations.splice(conversations.findIndex((one) => one.id === id), 1);
}

/** Adds a message below `parent` and goes there. */
export function add(conversation, parent, role, text) {
  const node = { id: newId(), parent, role, text };
  conversation.nodes[node.id] = node;
  conversation.leaf = node.id;
  conversation.changed = Date.now();
  if (!conversation.title && role === "user") conversation.title = text.trim().slice(0, 60);
  return node;
}

/** The messages from the first one to the leaf. */
export function path(conversation) {
  const nodes = [];
  for (let id = conversation.leaf; id && conversation.nodes[id]; id = conversation.nodes[id].parent) nodes.unshift(conversation.nodes[id]);
  return nodes;
}

/** The messages that stand in the same place. */
export function versions(conversation, node) {
  return Object.values(conversation.nodes).filter((other) => other.parent === node.parent && other.role === node.role);
}

/** Goes to a message, and down to the newest one below it. */
export function goTo(conversation, node) {
  let id = node.id;
  for (;;) {
    const below = Object.values(conversation.nodes).filter((other) => other.parent === id);
    if (!below.length) break;
    id = below[below.length - 1].id;
  }
  conversation.leaf = id;
}

export function found(query) {
  const wanted = query.trim().toLowerCase();
  const has = (one) => one.title.toLowerCase().includes(wanted) || Object.values(one.nodes).some((node) => node.text.toLowerCase().includes(wanted));
  return conversations.filter((one) => !wanted || has(one)).sort((a, b) => b.changed - a.changed);
}
