// What the page says, in each of its languages.

const WORDS = {
  en: {
    skip: "To the message box", conversations: "Conversations", close: "Close", newChat: "New conversation", search: "Search conversations",
    exportAll: "Export all", load: "Load", model: "Model", sure: "How sure?", settings: "Settings", messages: "Messages",
    message: "Message", send: "Send", stop: "Stop", system: "System prompt: how the model is to behave", temperature: "Temperature",
    repetition: "Repetition penalty", maxTokens: "Tokens at most", seed: "Seed", emptyIsDefault: "An empty field is the model's default.",
    language: "Language", theme: "Theme", themeAuto: "As the system", themeLight: "Light", themeDark: "Dark", key: "API key", keyboard: "Keyboard",
    done: "Done", rename: "Rename", export: "Export", delete: "Delete", reallyDelete: "Delete this conversation?", newName: "New name",
    none: "Nothing found", empty: "No conversations yet", untitled: "New conversation", welcome: "Ask something.", copy: "Copy", copied: "Copied", edit: "Edit",
    again: "Answer again", cancel: "Cancel", resend: "Send", earlier: "Earlier version", later: "Later version", you: "You", answer: "Answer",
    stopped: "stopped", cutShort: "as many tokens as allowed", tokens: "tokens", perSecond: "tokens/s",
    noModel: "The server has no model.", loading: "The model is being loaded…", overload: "The server is busy. It can be tried again in",
    seconds: "s", lost: "The connection to the server is lost.", needKey: "The server wants an API key.", retry: "Try again", full: "The browser's storage is full: the conversation is not kept.",
    noChat: "This model has no chat template and answers no conversation.", probability: "probability", instead: "in its place",
    requests: "Requests", running: "Being answered", waiting: "Waiting", blocks: "Cache blocks held", idle: "Cache blocks kept for later",
    made: "Tokens written", read: "Tokens read", found: "Tokens found in the cache", speed: "Tokens a second",
    k1: "Enter: send. Shift+Enter: new line", k2: "Esc: stop the answer", k3: "Ctrl+K: search", k4: "Alt+N: new conversation", k5: "Alt+S: settings",
  },
  zh: {
    skip: "跳到输入框", conversations: "对话", close: "关闭", newChat: "新对话", search: "搜索对话",
    exportAll: "导出全部", load: "负载", model: "模型", sure: "有多确定？", settings: "设置", messages: "消息",
    message: "输入消息", send: "发送", stop: "停止", system: "系统提示：模型应如何表现", temperature: "温度",
    repetition: "重复惩罚", maxTokens: "最多词元数", seed: "随机种子", emptyIsDefault: "留空即用模型的默认值。",
    language: "语言", theme: "外观", themeAuto: "跟随系统", themeLight: "浅色", themeDark: "深色", key: "API 密钥", keyboard: "键盘",
    done: "完成", rename: "重命名", export: "导出", delete: "删除", reallyDelete: "删除这个对话？", newName: "新名称",
    none: "没有找到", empty: "还没有对话", untitled: "新对话", welcome: "问点什么吧。", copy: "复制", copied: "已复制", edit: "编辑",
    again: "重新回答", cancel: "取消", resend: "发送", earlier: "上一版本", later: "下一版本", you: "你", answer: "回答",
    stopped: "已停止", cutShort: "达到词元上限", tokens: "词元", perSecond: "词元/秒",
    noModel: "服务器上没有模型。", loading: "模型正在加载……", overload: "服务器繁忙，可重试，还需",
    seconds: "秒", lost: "与服务器的连接已断开。", needKey: "服务器需要 API 密钥。", retry: "重试", full: "浏览器存储已满：对话无法保存。",
    noChat: "该模型没有对话模板，不能进行对话。", probability: "概率", instead: "其他可能",
    requests: "请求", running: "正在回答", waiting: "等待中", blocks: "占用的缓存块", idle: "留待复用的缓存块",
    made: "已写词元", read: "已读词元", found: "缓存命中的词元", speed: "每秒词元",
    k1: "Enter：发送；Shift+Enter：换行", k2: "Esc：停止回答", k3: "Ctrl+K：搜索", k4: "Alt+N：新对话", k5: "Alt+S：设置",
  },
};

let language = "en";

export function word(name) {
  return WORDS[language][name] ?? name;
}

/** Writes all words of the page in a language. */
export function speak(wanted) {
  language = wanted in WORDS ? wanted : "en";
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
    if (element.tagName === "BUTTON") element.title = word(element.dataset.label);
  }
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = word(element.dataset.placeholder);
}

export function usualLanguage() {
  return navigator.language.startsWith("zh") ? "zh" : "en";
}
