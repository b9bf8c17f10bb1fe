// Tables: sorted by a button in each heading, searched, and copied as CSV or LaTeX.

const LONG_TABLE = 8; // rows from which a table can be searched
const SECONDS = { ns: 1e-9, "µs": 1e-6, "μs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600 };

/** Give every table of the page its tools. */
function equipTables() {
  for (const frame of document.querySelectorAll("div.table")) equipTable(frame);
}

function equipTable(frame) {
  const table = frame.querySelector("table");
  const headings = [...table.tHead.rows[0].cells];
  const names = headings.map((heading) => heading.textContent.trim());
  const keys = names.map((name, i) => (names.indexOf(name) < i ? `${name} ${i + 1}` : name));
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const status = element("span", { class: "status", role: "status" });
  const state = { sort: "", down: "", search: "" };

  function show({ sort = "", down = "", search = "" } = {}) {
    Object.assign(state, { sort, down, search });
    const column = keys.indexOf(sort);
    const ordered = column < 0 ? rows : sorted(rows, column, down === "1");
    body.append(...ordered);
    headings.forEach((heading, i) => {
      const order = i !== column ? "none" : down === "1" ? "descending" : "ascending";
      heading.setAttribute("aria-sort", order);
    });
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    if (field) field.value = search;
    const left = rows.filter((row) => !row.hidden).length;
    status.textContent = search ? `${left} of ${rows.length} rows` : "";
  }

  function change(values) {
    show({ ...state, ...values });
    remember(frame.id, state);
  }

  headings.forEach((heading, i) => {
    const press = () => {
      const again = state.sort === keys[i];
      if (again && state.down === "1") change({ sort: "", down: "" });
      else change({ sort: keys[i], down: again ? "1" : "" });
    };
    heading.replaceChildren(element("button", { type: "button", onclick: press }, names[i]));
  });

  const field = rows.length < LONG_TABLE ? null : element("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": `Search the table: ${table.caption.textContent}`,
    oninput: () => change({ search: field.value }),
  });
  const copy = (name, written) => element("button", {
    type: "button",
    "aria-label": `Copy as ${name}: ${table.caption.textContent}`,
    onclick: async () => {
      const seen = [...body.rows].filter((row) => !row.hidden);
      const cells = seen.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
      const numeric = headings.map((heading) => heading.classList.contains("number"));
      const done = await copied(written([names, ...cells], numeric));
      status.textContent = done ? `Copied as ${name}` : "This browser does not allow copying";
    },
  }, `Copy ${name}`);
  frame.before(
    element("div", { class: "tools" }, field, copy("CSV", asCsv), copy("LaTeX", asLatex), status),
  );
  follow(frame.id, show);
  show();
}

/** Rows by the cells of one column, numbers by size, what has none last. */
function sorted(rows, column, down) {
  const numeric = rows[0]?.cells[column].classList.contains("number");
  const keyed = rows.map((row) => [sortKey(row.cells[column].textContent, numeric), row]);
  const sign = down ? -1 : 1;
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  });
  return keyed.map(([, row]) => row);
}

/** What a cell is sorted by: its text, or its first number in its unit; null where it has none. */
function sortKey(text, numeric) {
  const plain = text.trim().replace(/−/g, "-");
  if (!numeric) return plain === "–" ? null : plain;
  const found = plain.replace(/(\d),(?=\d{3})/g, "$1").match(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i);
  if (!found) return null;
  const unit = plain.slice(plain.search(/[a-zµμ]/i)).match(/^(ns|µs|μs|ms|s|min|h)\b/);
  return Number(found[0]) * (unit ? SECONDS[unit[0]] : 1);
}

/** Rows as CSV; text that a spreadsheet would compute gets an apostrophe in front. */
function asCsv(rows) {
  const cell = (text) => {
    const number = text.replace(/^−/, "-");
    const plain = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(number) ? number : text;
    const safe = plain === text && /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))
      ? `'${text}` : plain;
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

// As latex.py writes them: what acts, what makes a ligature, and what opens an argument after \\.
const LATEX = {
  "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#",
  _: "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "×": "$\\times$",
  "²": "\\textsuperscript{2}", "³": "\\textsuperscript{3}", "ⁿ": "\\textsuperscript{n}",
  "–": "--", "†": "\\dag{}", "±": "$\\pm$", "≥": "$\\geq$", "≤": "$\\leq$", "√": "$\\surd$",
  "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "µ": "$\\mu$", "μ": "$\\mu$",
  "…": "\\ldots{}", '"': "{''}", "`": "\\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",
  "-": "{-}", "·": "$\\cdot$",
  "“": "``", "”": "''", "‘": "`", "’": "'",
};
const UNSET = /[^\u0000-\u00ff]|[«»ÐÞðþ]/u; // what pdfTeX's default encoding lacks

/** One letter as LaTeX; one that cannot be set is spelled as its code point. */
function asLatexLetter(letter) {
  if (letter in LATEX) return LATEX[letter];
  if (!UNSET.test(letter)) return letter;
  return `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Rows as a LaTeX tabular with the rules of booktabs; every letter that acts is spelled out. */
function asLatex(rows, numeric) {
  const cell = (text) => [...text].map(asLatexLetter).join("");
  const [head, ...body] = rows.map((row) => `${row.map(cell).join(" & ")} \\\\`);
  const columns = numeric.map((is) => (is ? "r" : "l")).join("");
  return [
    "% needs \\usepackage{booktabs}", `\\begin{tabular}{${columns}}`, "\\toprule", head, "\\midrule",
    ...body, "\\bottomrule", "\\end{tabular}", "",
  ].join("\n");
}

/** Put text on the clipboard; false where the browser refuses. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "away", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
