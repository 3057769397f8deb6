"use strict";
const MAX_ROWS = 8;
const COLOURS = 7, LINES = 4;
const MAX_COMMAND_BYTES = 120000;  // Linux limits an argument to 131,072 bytes
const byId = (id) => document.getElementById(id);
let tasks = {};
const shown = new Map();  // labels of the spans of each task, in the order of their colours

/* Inputs, labels and predictions are inserted as text, never as HTML. */
function make(tag, text = "", ...inside) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...inside);
  return element;
}

function styled(name, element) {
  element.className = name;
  return element;
}

const quiet = (text) => styled("quiet", make("div", text));
const percent = (score) => `${(100 * score).toFixed(1)}%`;
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/* ---- Spans ---- */

/* The labels of spans, in the order of the task: those of BIO tags are their types. */
function spanLabels(task) {
  const labels = tasks[task]?.labels ?? [];
  const tags = labels.filter((label) => label !== "O");
  return tags.every((tag) => /^[BI]-/.test(tag)) ? [...new Set(tags.map((tag) => tag.slice(2)))] : [...labels];
}

/* A colour and a line per label; they repeat after 28 labels, so the label is always written as well. */
function labelClass(task, label) {
  if (!shown.has(task)) shown.set(task, spanLabels(task));
  const labels = shown.get(task);
  const index = labels.includes(label) ? labels.indexOf(label) : labels.push(label) - 1;
  return `colour${index % COLOURS} line${Math.floor(index / COLOURS) % LINES}`;
}

const labelOf = (span) => span.entity_group ?? span.entity ?? span.label ?? "";

/* Return spans as a tree: a span inside another is its child; one that crosses the end of another is cut there. */
function nest(spans) {
  const order = (a, b) => a.start - b.start || b.end - a.end;
  const waiting = spans.map((span) => ({ span, start: span.start, end: span.end, inside: [], before: "", after: "" }));
  waiting.sort(order);
  const root = { end: Infinity, inside: [] };
  const open = [root];
  while (waiting.length) {
    const item = waiting.shift();
    while (open.at(-1).end <= item.start) open.pop();
    const outer = open.at(-1);
    if (item.end > outer.end) {
      waiting.push({ ...item, start: outer.end, inside: [], before: "…" });
      waiting.sort(order);
      [item.end, item.after] = [outer.end, "…"];
    }
    outer.inside.push(item);
    open.push(item);
  }
  return root.inside;
}

const levels = (items) => items.reduce((most, item) => Math.max(most, 1 + levels(item.inside)), 0);

/* Offsets count code points, as in Python; JavaScript strings count UTF-16 units. */
function marked(task, characters, items, start, end) {
  const parts = [];
  for (const item of items) {
    const name = `${item.before}${labelOf(item.span)}${item.after}`;
    const inside = marked(task, characters, item.inside, item.start, item.end);
    const mark = make("mark", "", ...inside, make("small", name));
    mark.className = labelClass(task, labelOf(item.span));
    if (parts.length && item.start === start) mark.classList.add("adjacent");
    mark.style.setProperty("--levels", levels(item.inside));
    parts.push(characters.slice(start, item.start).join(""), mark);
    start = item.end;
  }
  parts.push(characters.slice(start, end).join(""));
  return parts;
}

function spansView(task, text, spans) {
  const characters = Array.from(text);
  const tree = nest(spans);
  const read = styled("read", make("div", "", ...marked(task, characters, tree, 0, characters.length)));
  read.dir = "auto";
  read.style.setProperty("--levels", Math.max(0, levels(tree) - 1));
  if (!spans.length) return [read, quiet("no spans")];
  const rows = spans.map((span) => {
    const words = make("th", characters.slice(span.start, span.end).join(""));
    words.scope = "row";
    return make("tr", "", words, make("td", labelOf(span)), make("td", percent(span.score)));
  });
  const table = styled("spans", make("table", "", make("tbody", "", ...rows)));
  return [read, make("details", "", styled("quiet", make("summary", count(spans.length, "span"))), table)];
}

/* ---- Trees ---- */

/* The words of a dependency tree as nested lists: each word with its relation, below its head. */
function treeView(words) {
  const items = words.map((word) => ({ word, inside: [] }));
  const roots = [];
  for (const item of items) (item.word.head ? items[item.word.head - 1].inside : roots).push(item);
  const list = (inside) => make("ul", "", ...inside.map(entry));
  const entry = ({ word, inside }) =>
    make("li", "", make("b", word.word), " ", make("small", word.deprel), ...(inside.length ? [list(inside)] : []));
  const rows = words.map((word, index) => {
    const name = make("th", `${index + 1} ${word.word}`);
    name.scope = "row";
    const head = word.head ? `${word.head} ${words[word.head - 1].word}` : "—";
    return make("tr", "", name, make("td", word.deprel), make("td", head), make("td", percent(word.score)));
  });
  const table = styled("spans", make("table", "", make("tbody", "", ...rows)));
  const tree = styled("tree", list(roots));
  tree.dir = "auto";
  return [tree, make("details", "", styled("quiet", make("summary", count(words.length, "word"))), table)];
}

/* ---- Other predictions ---- */

function bars(scores, predicted) {
  const rows = [...scores].sort((a, b) => b[1] - a[1]).map(([label, score]) => {
    const bar = styled("bar", make("div"));
    bar.style.width = `${100 * score}%`;
    const name = make("th", label);
    name.scope = "row";
    const row = make("tr", "", name, make("td", "", bar), make("td", percent(score)));
    if (predicted.includes(label)) {
      row.className = "chosen";
      name.ariaCurrent = "true";
    }
    return row;
  });
  const table = (part) => styled("bars", make("table", "", make("tbody", "", ...part)));
  const parts = [table(rows.slice(0, MAX_ROWS))];
  if (rows.length > MAX_ROWS) {
    const summary = styled("quiet", make("summary", `${rows.length - MAX_ROWS} more`));
    parts.push(make("details", "", summary, table(rows.slice(MAX_ROWS))));
  }
  return parts;
}

const isRanked = (item) => Number.isInteger(item?.index) && typeof item.score === "number";

/* The score of each choice of a ranking, by its text. */
function ranking(items, choices) {
  return bars(items.map((item) => [choices[item.index] ?? item.index, item.score]), []);
}

const isToken = (item) => typeof item?.token_str === "string" && typeof item.score === "number";

/* The most probable tokens for each mask token; for a single one, the prediction is a list of them, not of lists. */
function maskView(prediction) {
  const masks = Array.isArray(prediction[0]) ? prediction : [prediction];
  return masks.flatMap((tokens, index) => [
    ...(masks.length > 1 ? [quiet(`mask ${index + 1}`)] : []),
    ...bars(tokens.map((token) => [token.token_str, token.score]), [tokens[0].token_str]),
  ]);
}

/* A text that a task generated: the value of a key such as translation_text. */
const generatedText = (prediction) => Object.entries(prediction).find(([key, value]) => key.endsWith("_text") && typeof value === "string")?.[1];

function textView(text) {
  if (!text) return [quiet("an empty text")];
  const read = styled("generated", make("div", text));
  read.dir = "auto";
  return [read];
}

const isSpan = (item) => Number.isInteger(item?.start) && Number.isInteger(item.end) && typeof item.score === "number";

/* Spans, and a row for each relation between them; head and tail are indices into the spans. */
function relationsView(task, text, { entities, relations }) {
  const characters = Array.from(text);
  const words = (index) => characters.slice(entities[index].start, entities[index].end).join("");
  const rows = relations.map((relation) => {
    const head = make("th", words(relation.head));
    head.scope = "row";
    return make("tr", "", head, make("td", relation.label), make("td", words(relation.tail)), make("td", percent(relation.score)));
  });
  const table = styled("spans", make("table", "", make("tbody", "", ...rows)));
  return [...spansView(task, text, entities), rows.length ? table : quiet("no relations")];
}

/* The view is the one that the task type names, or follows from the shape of the prediction; else it is JSON. */
function view(task, prediction, text, lists) {
  if (tasks[task]?.view === "tree") return treeView(prediction);
  if (Array.isArray(prediction) && prediction.length && prediction.every(isRanked)) {
    return ranking(prediction, lists[tasks[task]?.text_lists?.[0]] ?? []);
  }
  if (Array.isArray(prediction) && prediction.length && prediction.every((item) => typeof item === "number")) {
    return [make("details", "", styled("quiet", make("summary", count(prediction.length, "number"))), make("pre", prediction.join(", ")))];
  }
  if (Array.isArray(prediction) && prediction.length && prediction.flat().every(isToken)) return maskView(prediction);
  if (Array.isArray(prediction) && prediction.every(isSpan)) return spansView(task, text, prediction);
  if (isSpan(prediction) && "answer" in prediction) {
    if (!prediction.answer) return [quiet(`no answer: ${percent(prediction.score)}`)];
    return spansView(task, text, [{ ...prediction, label: "answer" }]);
  }
  if (prediction !== null && typeof prediction === "object") {
    if (Array.isArray(prediction.entities) && prediction.entities.every(isSpan) && Array.isArray(prediction.relations)) {
      return relationsView(task, text, prediction);
    }
    if ("scores" in prediction) {
      const predicted = "labels" in prediction ? prediction.labels.map((item) => item.label) : [prediction.label];
      const parts = bars(Object.entries(prediction.scores), predicted);
      if ("labels" in prediction && !predicted.length) parts.unshift(quiet("no label is above its threshold"));
      if ("polarity" in prediction) parts.push(quiet(`polarity ${prediction.polarity.toFixed(2).replace("-", "−")}, from −1 to 1`));
      return parts;
    }
    const generated = generatedText(prediction);
    if (generated !== undefined) return textView(generated);
    if (typeof prediction.value === "number") {
      return [styled("value", make("div", String(Number(prediction.value.toPrecision(4)))))];
    }
  }
  return [make("pre", JSON.stringify(prediction, null, 2))];
}

function card(task, prediction, text, lists = {}) {
  const parts = view(task, prediction, text, lists);
  if (prediction?.truncated) parts.push(quiet("truncated: only the beginning of the text was read"));
  const section = make("section", "", make("h2", task, make("small", tasks[task]?.kind ?? "")), ...parts);
  section.dataset.task = task;
  return section;
}

/* ---- Tasks and examples ---- */

const boxes = () => [...byId("task-list").querySelectorAll("input:not(:disabled)")];
const selected = () => boxes().filter((box) => box.checked).map((box) => box.value);

function showSelected() {
  byId("selected").textContent = `${selected().length} of ${Object.keys(tasks).length} selected`;
}

function select(wanted) {
  for (const box of boxes()) box.checked = wanted;
  showSelected();
}

function labelList(task, labels) {
  const spans = tasks[task].view === "spans";
  const names = spans ? spanLabels(task) : labels;
  const chips = names.map((name) => (spans ? styled(labelClass(task, name), make("mark", name)) : make("span", name)));
  const list = styled("labels", make("div", "", ...chips));
  if (names.length <= MAX_ROWS) return list;
  return styled("more", make("details", "", styled("quiet", make("summary", count(names.length, "label"))), list));
}

/* The lists of texts that a task needs are typed, one text per line. */
const typed = (task) => (task.required_inputs ?? []).every((key) => (task.text_lists ?? []).includes(key));
const lines = (field) => field.value.split("\n").map((line) => line.trim()).filter(Boolean);

/* The texts and the lists of texts as they are now. */
function readInputs() {
  const lists = [...document.querySelectorAll("#lists textarea")].map((field) => [field.id.replace(/^list-/, ""), lines(field)]);
  return { text: byId("text").value, pair: byId("pair").value, lists: Object.fromEntries(lists) };
}

function listField([key, readers]) {
  const field = make("textarea");
  [field.id, field.dir] = [`list-${key}`, "auto"];
  const about = styled("quiet", make("span", `one per line, for ${readers.join(", ")}`));
  const label = styled("caption", make("label", "", `${key[0].toUpperCase()}${key.slice(1)} `, about));
  label.htmlFor = field.id;
  return make("div", "", label, field);
}

function taskItem([name, task]) {
  const box = make("input");
  [box.type, box.value, box.disabled] = ["checkbox", name, !typed(task)];
  box.checked = !box.disabled && !task.only_by_name;
  const facts = [task.kind, task.input === "pair" ? "two texts" : "one text"];
  if (task.required_inputs) facts.push(`needs ${task.required_inputs.join(", ")}${box.disabled ? ": use the API" : ""}`);
  if (task.required_text) facts.push(`needs ${task.required_text}`);
  const label = make("label", "", box, make("span", "", make("b", name), " ", styled("quiet", make("span", facts.join(" · ")))));
  return make("li", "", label, ...(task.labels.length ? [labelList(name, task.labels)] : []));
}

function exampleItem(example) {
  const lists = Object.entries(example).filter(([, value]) => Array.isArray(value));
  const texts = [example.text, example.pair, ...lists.map(([, list]) => list.join(" / "))];
  const button = make("button", texts.filter((text) => text !== undefined).join(" — "));
  [button.type, button.dir] = ["button", "auto"];
  button.addEventListener("click", () => {
    byId("text").value = example.text;
    byId("pair").value = example.pair ?? "";
    for (const field of document.querySelectorAll("#lists textarea")) field.value = "";
    for (const [key, list] of lists) if (byId(`list-${key}`)) byId(`list-${key}`).value = list.join("\n");
    busy(predict);
  });
  return make("li", "", button);
}

/* ---- Requests ---- */

async function request(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not respond");
  }
  const content = await response.json();
  if (!response.ok) throw new Error(`${content.error} (${response.status})`);
  return content;
}

/* Return the bodies of the requests: one for the tasks that read a text, one for those that read two, and one for each
   set of lists that tasks need. */
function bodies({ text, pair, lists: typedLists }) {
  const names = selected();
  if (!names.length) throw new Error("select a task");
  const reads = (name) => text.includes(tasks[name].required_text ?? "");
  const reading = (shape) => (name) => tasks[name].input === shape && !tasks[name].required_inputs && reads(name);
  const body = (inputs, shape) => {
    const wanted = names.filter(reading(shape));
    const usual = Object.keys(tasks).filter((name) => reading(shape)(name) && !tasks[name].only_by_name);
    return { inputs, ...(String(wanted) === String(usual) ? {} : { tasks: wanted }), all_scores: true };
  };
  const made = [];
  if (names.some(reading("text"))) made.push(body(text, "text"));
  if (names.some(reading("pair")) && (pair || !made.length)) made.push(body([text, pair], "pair"));
  const groups = Map.groupBy(names.filter((name) => tasks[name].required_inputs), (name) => {
    return JSON.stringify([tasks[name].input, tasks[name].required_inputs]);
  });
  for (const [group, wanted] of groups) {
    const [shape, keys] = JSON.parse(group);
    const lists = Object.fromEntries(keys.map((key) => [key, typedLists[key] ?? []]));
    if (made.length && keys.some((key) => !lists[key].length)) continue;
    made.push({ inputs: { text, ...(shape === "pair" ? { pair } : {}), ...lists }, tasks: wanted, all_scores: true });
  }
  if (!made.length) throw new Error(`${names.join(", ")}: the text needs ${tasks[names[0]].required_text}`);
  return made;
}

/* Quote for a POSIX shell: nothing is special inside single quotes but the single quote. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/* JSON in which characters that a terminal may interpret or hide are escaped. */
function visibleJson(value) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (found) => found.split("").map(escape).join(""));
}

const command = (body) => `curl ${quoted(new URL("predict", document.baseURI).href)} --json ${quoted(visibleJson(body))}`;

async function predict() {
  const inputs = readInputs();  // they may be edited while the requests are running
  const sent = bodies(inputs);
  const start = performance.now();
  const results = await Promise.all(sent.map((body) => request("predict", body)));
  const milliseconds = performance.now() - start;
  const predictions = Object.assign({}, ...results);
  const predicted = Object.keys(tasks).filter((task) => task in predictions);
  const textOf = (task) => (tasks[task].input === "pair" ? inputs.pair : inputs.text);
  byId("predictions").replaceChildren(...predicted.map((task) => card(task, predictions[task], textOf(task), inputs.lists)));
  const time = milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
  const requests = sent.length > 1 ? `${count(sent.length, "request")}, ` : "";
  byId("summary").textContent = `${count(predicted.length, "task")}, ${requests}${time} from request to response`;
  byId("command").textContent = sent.map(command).join("\n");
  byId("copy").textContent = "Copy as curl";
  byId("copy").hidden = byId("curl").hidden = false;
}

/* The clipboard API needs HTTPS or localhost; elsewhere the command is selected and copied as by Ctrl+C. */
async function copy() {
  const text = byId("command").textContent;
  if (text.split("\n").some((line) => new TextEncoder().encode(line).length > MAX_COMMAND_BYTES)) {
    byId("copy").textContent = "Too long for a command";
    return;
  }
  let copied = false;
  if (navigator.clipboard) {
    copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  if (!copied) {
    byId("curl").open = true;
    getSelection().selectAllChildren(byId("command"));
    copied = document.execCommand("copy");
  }
  byId("copy").textContent = copied ? "Copied" : "Press Ctrl+C";
}

async function busy(work) {
  if (byId("go").disabled) return;
  byId("go").disabled = true;
  byId("error").textContent = "";
  try {
    await work();
  } catch (error) {
    byId("predictions").replaceChildren();
    byId("copy").hidden = byId("curl").hidden = true;
    byId("summary").textContent = "";
    byId("error").textContent = error.message;
  } finally {
    byId("go").disabled = false;
  }
}

async function start() {
  const info = await request("info");
  tasks = info.tasks;
  const entries = Object.entries(tasks);
  const pairs = entries.filter(([, task]) => task.input === "pair").map(([name]) => name);
  document.title = `${info.model_id} · nlpmtl`;
  byId("model").textContent = info.model_id;
  byId("about").textContent = `${count(entries.length, "task")} · nlpmtl ${info.version}`;
  byId("readers").textContent = `for ${pairs.join(", ")}`;
  byId("second").hidden = !pairs.length;
  const lists = new Map();
  for (const [name, task] of entries.filter(([, task]) => typed(task))) {
    for (const key of task.required_inputs ?? []) lists.set(key, [...(lists.get(key) ?? []), name]);
  }
  byId("lists").replaceChildren(...[...lists].map(listField));
  byId("task-list").replaceChildren(...entries.map(taskItem));
  byId("tasks").open = !matchMedia("(max-width: 64rem)").matches;
  byId("examples").replaceChildren(...info.examples.map(exampleItem));
  byId("try").hidden = !info.examples.length;
  showSelected();
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(predict);
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) busy(predict);
});
byId("task-list").addEventListener("change", showSelected);
byId("all").addEventListener("click", () => select(true));
byId("none").addEventListener("click", () => select(false));
byId("copy").addEventListener("click", copy);
busy(start);
