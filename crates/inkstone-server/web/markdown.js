// Markdown to elements. Text of a model only ever becomes text nodes: there is no way for it to become markup or script.

import { word } from "./words.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^\s*](?:.*?[^\s*])?)\*|~~(.+?)~~|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/;

function inline(text) {
  const parts = [];
  let rest = text;
  for (let steps = 0; rest && steps < 2000; steps += 1) {
    const match = INLINE.exec(rest);
    if (!match) break;
    if (match.index) parts.push(rest.slice(0, match.index));
    const [whole, , code, bold, bold2, italic, struck, label, address] = match;
    if (code !== undefined) parts.push(element("code", {}, code));
    else if (bold ?? bold2) parts.push(element("strong", {}, ...inline(bold ?? bold2)));
    else if (italic) parts.push(element("em", {}, ...inline(italic)));
    else if (struck) parts.push(element("s", {}, ...inline(struck)));
    else parts.push(element("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label));
    rest = rest.slice(match.index + whole.length);
  }
  if (rest) parts.push(rest);
  return parts;
}

function lines(texts) {
  return texts.flatMap((text, n) => (n ? [element("br"), ...inline(text)] : inline(text)));
}

function codeBlock(language, text) {
  const copy = element("button", { class: "plain", type: "button" }, word("copy"));
  copy.addEventListener("click", async () => {
    await copyText(text);
    copy.textContent = word("copied");
    setTimeout(() => { copy.textContent = word("copy"); }, 1500);
  });
  return element("div", { class: "code" }, element("header", {}, element("span", {}, language), copy), element("pre", { tabindex: "0" }, element("code", {}, text)));
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure connection there is the old way.
    const area = element("textarea", { class: "visually-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const row = (text) => text.replace(/^\s*\||\|\s*$/g, "").split("|").map((cell) => cell.trim());
const ITEM = /^\s*([-*+]|\d+[.)])\s+(.*)$/;
const BEGINS = /^\s*(```|#{1,6}\s|>|[-*+]\s|\d+[.)]\s|---+\s*$)/;

/** The elements of a text. */
export function markdown(text) {
  const all = text.split("\n");
  const out = [];
  for (let n = 0; n < all.length;) {
    const line = all[n];
    const fence = /^\s*```(\S*)/.exec(line);
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (fence) {
      const code = [];
      for (n += 1; n < all.length && !/^\s*```\s*$/.test(all[n]); n += 1) code.push(all[n]);
      n += 1;
      out.push(codeBlock(fence[1], code.join("\n")));
    } else if (heading) {
      out.push(element(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2])));
      n += 1;
    } else if (/^\s*>/.test(line)) {
      const quoted = [];
      for (; n < all.length && /^\s*>/.test(all[n]); n += 1) quoted.push(all[n].replace(/^\s*>\s?/, ""));
      out.push(element("blockquote", {}, ...lines(quoted)));
    } else if (ITEM.test(line)) {
      const ordered = /^\s*\d/.test(line);
      const items = [];
      for (; n < all.length && ITEM.test(all[n]); n += 1) items.push(element("li", {}, ...inline(ITEM.exec(all[n])[2])));
      out.push(element(ordered ? "ol" : "ul", ordered ? { start: parseInt(line, 10) } : {}, ...items));
    } else if (/^\s*---+\s*$/.test(line)) {
      out.push(element("hr"));
      n += 1;
    } else if (line.includes("|") && /^[\s|:-]+$/.test(all[n + 1] ?? "") && all[n + 1].includes("-")) {
      const cells = (name, source) => element("tr", {}, ...row(source).map((cell) => element(name, {}, ...inline(cell))));
      const table = element("table", {}, cells("th", line));
      for (n += 2; n < all.length && all[n].includes("|"); n += 1) table.append(cells("td", all[n]));
      out.push(table);
    } else if (!line.trim()) {
      n += 1;
    } else {
      const paragraph = [line];
      for (n += 1; n < all.length && all[n].trim() && !BEGINS.test(all[n]); n += 1) paragraph.push(all[n]);
      out.push(element("p", {}, ...lines(paragraph)));
    }
  }
  return out;
}
