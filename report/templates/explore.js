// Explore: every cell's mean with its interval beside its learning curve, as two linked charts.
//
// Drawn by Vega-Lite, whose expressions are interpreted (`ast`), never compiled, so that the page's
// policy can forbid eval. Colours are variables of the stylesheet, so the charts turn dark by
// themselves.

const MOST_COLOURS = 8;
const ROW = 19; // height of a cell's row, pixels

/** Start the charts inside the section of this id. */
async function startExplore(id, data) {
  const section = document.getElementById(id);
  const controls = section.querySelector(".controls");
  const [dots, lines] = section.querySelectorAll(".chart");
  const message = section.querySelector(".picked");
  const words = section.querySelector(".counted");
  const tip = element("div", { class: "tip", hidden: true });
  document.body.append(tip);
  let state = {};
  let charts = [];
  let turn = 0;

  function current() {
    const study = data.studies.find(({ name }) => name === state.study) ?? data.studies[0];
    const task = study.tasks.find(({ name }) => name === state.task) ?? study.tasks[0];
    const response = task.responses.find(({ column }) => column === state.response)
      ?? task.responses[0];
    return { study, task, response, curve: curveFor(task, response) };
  }

  function change(values) {
    show({ ...state, ...values });
    remember(id, state);
  }

  async function show(values) {
    state = { ...values };
    const { study, task, response, curve } = current();
    state = keptState(state, task.factors);
    fillControls(study, task, response);
    const places = chosenCells(task.factors, task.cells, state);
    const rows = rowsOf(task, response, places, state.colour);
    words.textContent = countedCells(places.length, task.cells.length, task.all_cells);
    const own = (turn += 1);
    const made = await Promise.all([
      embedded(dots, dotChart(rows, response, colourScale(task, state.colour))),
      embedded(lines, lineChart(rows, curve, colourScale(task, state.colour))),
    ]);
    if (own !== turn) return made.forEach((chart) => chart?.finalize());
    charts.forEach((chart) => chart.finalize());
    charts = made.filter(Boolean);
    for (const chart of charts) listen(chart.view);
    dots.setAttribute("aria-label", `${response.name} of ${places.length} cells on ${task.name}, `
      + `in order: ${rows.slice(0, 3).map(({ label }) => label).join("; ")}.`);
    lines.setAttribute("aria-label", curve
      ? `${curve.name} against training step on ${task.name}, one line for each of the cells.` : "");
    section.dataset.cells = places.length;
    pick(kept());
  }

  function fillControls(study, task, response) {
    const names = (list) => list.map(({ name }) => [name, name]);
    const cells = [["", "none"], ...task.cells.map(({ label, brief }) => [label, brief])];
    const colours = [["", "none"], ...names(task.factors.filter(
      ({ levels }) => levels.length <= MOST_COLOURS && task.factors.length > 1))];
    const focus = document.activeElement?.closest?.(".choice")?.firstChild.textContent;
    controls.replaceChildren(
      choice("Study", names(data.studies), study.name, (name) => change({ study: name, cell: "" })),
      choice("Task", names(study.tasks), task.name, (name) => change({ task: name })),
      choice("Response", task.responses.map(({ column, name }) => [column, name]),
        response.column, (column) => change({ response: column })),
      choice("Highlight", cells, state.cell ?? "", (cell) => change({ cell })),
      ...factorChoices(task.factors, state, change),
      ...(colours.length > 1
        ? [choice("Colour by", colours, state.colour ?? "", (colour) => change({ colour }))] : []),
      linkButton(() => remember(id, state)),
    );
    const again = [...controls.querySelectorAll(".choice")]
      .find(({ firstChild }) => firstChild.textContent === focus);
    again?.querySelector("select").focus();
  }

  /** The highlighted cell, unless the filters hide it. */
  function kept() {
    const { task } = current();
    const shown = chosenCells(task.factors, task.cells, state);
    return shown.some((place) => task.cells[place].label === state.cell) ? state.cell : "";
  }

  /** Make one cell stand out in both charts, and say its numbers. */
  function pick(label) {
    const { task, response } = current();
    const place = task.cells.findIndex((cell) => cell.label === label);
    for (const { view } of charts) view.signal("picked", place < 0 ? "" : label).runAsync();
    section.dataset.picked = place < 0 ? "" : label;
    message.textContent = place < 0 ? "Point at a cell to see its curve, or tap it; a click keeps it."
      : inWords(task.cells[place].label, response, place);
  }

  function listen(view) {
    const over = (event, item) => item?.datum?.label && pick(item.datum.label);
    view.addEventListener("pointerover", over);
    view.addEventListener("pointerout", () => pick(kept()));
    view.addEventListener("click", (event, item) => {
      const label = item?.datum?.label;
      if (label) change({ cell: label === state.cell ? "" : label });
    });
  }

  async function embedded(place, specification) {
    if (!specification) {
      place.replaceChildren(element("p", { class: "note" }, "No learning curves of this."));
      return null;
    }
    return vegaEmbed(place, specification, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false,
      tooltip: (handler, event, item, value) => point(tip, event, value), config: chartTheme(),
    });
  }

  follow(id, show);
  await show({});
}

/** A cell's numbers in a sentence. */
function inWords(label, response, place) {
  const [value, low, high] = ["value", "low", "high"].map((name) =>
    told(response[name][place], response.digits, response.unit));
  const seeds = response.n[place] === 1 ? "1 seed" : `${response.n[place]} seeds`;
  const interval = low === "–" ? "no interval" : `95% t interval ${low} to ${high}`;
  return `${label}: ${response.name.replace(" (%)", "")} ${value} (${interval}, n = ${seeds}).`;
}

/** The learning curve that goes with a response: the same kind, on validation data if there. */
function curveFor(task, response) {
  const [part, kind] = response.column.split("_");
  const wanted = part === "train" ? [`train_${kind}`, `val_${kind}`] : [`val_${kind}`, `train_${kind}`];
  return wanted.map((column) => task.curves.find((curve) => curve.column === column))
    .find(Boolean) ?? task.curves[0];
}

/** One row for every cell with a value, best first. */
function rowsOf(task, response, places, colour) {
  const factor = task.factors.findIndex(({ name }) => name === colour);
  const brief = new Set(task.cells.map((cell) => cell.brief)).size === task.cells.length;
  const rows = places.filter((place) => response.value[place] !== null).map((place) => ({
    place,
    label: task.cells[place].label,
    name: brief ? task.cells[place].brief : task.cells[place].label,
    baseline: place === task.baseline,
    group: factor < 0 ? "" : task.factors[factor].levels[task.cells[place].levels[factor]],
    value: response.value[place], low: response.low[place], high: response.high[place],
    said: told(response.value[place], response.digits, response.unit),
    interval: response.low[place] === null ? "none"
      : `${told(response.low[place], response.digits)} to ${told(response.high[place], response.digits)}`,
    n: String(response.n[place]),
  }));
  return rows.sort((a, b) => (response.higher ? b.value - a.value : a.value - b.value));
}

/** Colours of a factor's levels; null where nothing is coloured. */
function colourScale(task, colour) {
  const factor = task.factors.find(({ name }) => name === colour);
  if (!factor) return null;
  return { domain: factor.levels, range: factor.levels.map((_, i) => `var(--series-${i + 1})`) };
}

function coloured(scale, named) {
  if (scale) {
    return { field: "group", type: "nominal", scale,
      legend: named ? { title: null, orient: "top", symbolType: "circle" } : null };
  }
  return { condition: { test: "datum.baseline", value: "var(--ink)" }, value: "var(--series-1)" };
}

/** Colours of curves: grey unless a factor is coloured or the cell is picked. */
function lineColour(scale) {
  if (scale) return coloured(scale, false);
  return { condition: [
    { test: "datum.baseline", value: "var(--ink)" },
    { test: "datum.label === picked", value: "var(--series-1)" },
  ], value: "var(--context)" };
}

const FAINT = { condition: { test: "picked === '' || datum.label === picked", value: 1 }, value: 0.22 };

/** The range of some numbers with a margin; one of shares ends at 100% unless an interval passes it. */
function roomy(numbers, unit) {
  if (!numbers.length) return [0, 1];
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const margin = (most - least) * 0.04 || Math.abs(most) * 0.1 || 1;
  const end = most + margin;
  return [least - margin, unit === "%" && most <= 100 ? Math.min(end, 100) : end];
}

/** Every cell's mean with its interval. */
function dotChart(rows, response, scale) {
  const y = { field: "name", type: "nominal", sort: null, title: null,
    axis: { labelLimit: 170, domain: false, ticks: false, labelPadding: 8, grid: true } };
  const ends = rows.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
  const x = { type: "quantitative", title: response.name,
    scale: { domain: roomy(ends, response.unit), zero: false, nice: false },
    axis: { orient: "top", tickCount: 5, grid: false } };
  const tooltip = [
    { field: "label", title: "cell" }, { field: "said", title: response.name.replace(" (%)", "") },
    { field: "interval", title: "95% t interval" }, { field: "n", title: "seeds" }];
  const base = rows.filter(({ baseline }) => baseline);
  return {
    data: { values: rows }, width: "container", height: ROW * Math.max(1, rows.length),
    autosize: { type: "fit-x", contains: "padding" },
    params: [{ name: "picked", value: "" }],
    layer: [
      { data: { values: base }, mark: { type: "rule", color: "var(--edge)", strokeDash: [4, 3] },
        encoding: { x: { ...x, field: "value" } } },
      { transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", strokeWidth: 2 },
        encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color: coloured(scale, true),
          opacity: FAINT, tooltip } },
      { mark: { type: "point", filled: true, size: 70, opacity: 1 },
        encoding: { y, x: { ...x, field: "value" }, color: coloured(scale, true), opacity: FAINT, tooltip } },
    ],
  };
}

/** Learning curves of the same cells; the band of the one that is picked. */
function lineChart(rows, curve, scale) {
  if (!curve) return null;
  const values = rows.flatMap((row) => curve.steps.map((step, i) => ({
    label: row.label, baseline: row.baseline, group: row.group, step,
    value: curve.value[row.place][i],
    low: curve.low?.[row.place][i] ?? null, high: curve.high?.[row.place][i] ?? null,
    said: told(curve.value[row.place][i], curve.digits, curve.unit),
  }))).filter(({ value }) => value !== null);
  if (!values.length) return null;
  const x = { field: "step", type: "quantitative", title: "training step",
    scale: { domain: [0, curve.steps.at(-1) || 1], nice: false }, axis: { grid: false, tickCount: 5 } };
  const y = { field: "value", type: "quantitative", title: curve.name,
    scale: { domain: curveDomain(rows, curve), zero: false, nice: false }, axis: { tickCount: 6 } };
  const detail = { field: "label" };
  const tooltip = [{ field: "label", title: "cell" }, { field: "step", title: "step" },
    { field: "said", title: curve.name.replace(" (%)", "") }];
  return {
    data: { values }, width: "container", height: 340, params: [{ name: "picked", value: "" }],
    layer: [
      { transform: [{ filter: "datum.label === picked && isValid(datum.low)" }],
        mark: { type: "area", clip: true, opacity: 0.2 },
        encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: lineColour(scale) } },
      { mark: { type: "line", clip: true },
        encoding: { x, y, detail, color: lineColour(scale), opacity: FAINT,
          strokeWidth: { condition: { test: "datum.label === picked", value: 3 }, value: 1.4 } } },
      { mark: { type: "point", filled: true, size: 90, opacity: 0, clip: true },
        encoding: { x, y, detail, tooltip } },
    ],
  };
}

/** Limits fitted to where curves end, as in the report's own figures. */
function curveDomain(rows, curve) {
  const lines = rows.map(({ place }) => curve.value[place]);
  const later = lines.flatMap((line) => line.slice(1)).filter((value) => value !== null);
  const all = later.length ? later : lines.flat().filter((value) => value !== null);
  const ends = lines.map((line) => line.findLast((value) => value !== null))
    .filter((value) => value !== undefined);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const reach = Math.max(1.5 * (most - least), 0.2 * (high - low)) || Math.abs(high) || 1;
  const [from, to] = [Math.max(low, least - reach), Math.min(high, most + reach)];
  const room = 0.04 * (to - from) || 1;
  return [from - room, to + room];
}

/** Show a tooltip beside the pointer, or hide it. */
function point(tip, event, value) {
  const rows = value && typeof value === "object" ? Object.entries(value) : [];
  tip.hidden = !event || !rows.length;
  if (tip.hidden) return;
  tip.replaceChildren(...rows.map(([name, text], i) => (i === 0
    ? element("b", {}, String(text))
    : element("div", {}, element("span", {}, name), ` ${text}`))));
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 16;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
}

function chartTheme() {
  const font = getComputedStyle(document.body).fontFamily;
  const words = { labelColor: "var(--muted)", titleColor: "var(--muted)", labelFontSize: 12,
    titleFontSize: 12, titleFontWeight: "normal", labelFont: font, titleFont: font };
  return {
    mark: { aria: false }, background: null, font, view: { stroke: null },
    axis: { ...words, aria: false, gridColor: "var(--grid)", domainColor: "var(--edge)", tickColor: "var(--edge)" },
    axisY: { labelColor: "var(--ink)" },
    legend: { ...words, aria: false },
  };
}
