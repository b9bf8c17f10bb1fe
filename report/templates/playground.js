// The playground: every cell's first network as a small picture, scrubbed through training, and any
// two of them side by side with their learning curves and numbers.

const TICK = 450; // milliseconds a moment is shown while it plays
const LARGE = 360; // pixels of a picture that is compared
const SLOTS = [["a", "A", "series-1", null], ["b", "B", "series-2", "6 4"]];

/** Start the playground inside the section of this id. */
async function startPlayground(id, data) {
  const section = document.getElementById(id);
  const controls = section.querySelector(".controls");
  const part = (name) => section.querySelector(`.${name}`);
  const [slider, play, moment] = [part("moment"), part("play"), part("step")];
  const [wallPlace, compared, spoken] = [part("wall"), part("compared"), part("spoken")];
  const ready = new Map(); // walls whose pictures are decoded
  let state = {};
  let wall = null;
  let tiles = [];
  let older = "a"; // the slot that the next pick replaces
  let timer = 0;
  let turn = 0;

  const studies = [...new Set(data.walls.map(({ study }) => study))];

  function asked(values) {
    const own = data.walls.filter(({ study }) => study === (values.study ?? studies[0]));
    const among = own.length ? own : data.walls;
    return among.find(({ task }) => task === values.task) ?? among[0];
  }

  async function show(values) {
    pause();
    const plain = asked(values);
    const own = (turn += 1);
    if (!ready.has(plain)) ready.set(plain, preparedWall(plain, data.classes));
    const prepared = await ready.get(plain);
    if (own !== turn) return;
    wall = prepared;
    state = { ...keptState(values, wall.factors), study: wall.study, task: wall.task };
    const known = new Set(wall.cells.map(({ label }) => label));
    if (!known.has(state.a)) state.a = wall.cells[Math.max(0, wall.baseline)].label;
    if (!known.has(state.b)) state.b = bestOther(wall, state.a);
    const moments = momentsOf(wall);
    const step = Number(state.step);
    const at = "step" in state && state.step !== "" && Number.isFinite(step)
      ? placeAt(moments, step) : moments.length - 1;
    slider.max = moments.length - 1;
    slider.value = at;
    fillControls();
    fillWall();
    draw();
    say();
  }

  async function change(values) {
    await show({ ...state, ...values });
    remember(id, state);
  }

  function fillControls() {
    const focus = document.activeElement?.closest?.(".choice")?.firstChild.textContent;
    const tasks = data.walls.filter(({ study }) => study === wall.study);
    controls.replaceChildren(
      choice("Study", studies.map((name) => [name, name]), wall.study, (study) => change({ study })),
      choice("Task", tasks.map(({ task }) => [task, task]), wall.task, (task) => change({ task })),
      ...(wall.factors.length > 1 ? factorChoices(wall.factors, state, change) : []),
      linkButton(() => remember(id, state)),
    );
    const again = [...controls.querySelectorAll(".choice")]
      .find(({ firstChild }) => firstChild.textContent === focus);
    again?.querySelector("select").focus();
  }

  function fillWall() {
    const places = chosenCells(wall.factors, wall.cells, state);
    tiles = places.map((place) => tile(place));
    wallPlace.replaceChildren(...tiles.map(({ button }) => button));
    wallPlace.dataset.kind = wall.kind;
    part("counted").textContent = `${countedCells(places.length, wall.cells.length, wall.all_cells)}. `
      + KIND_WORDS[wall.kind]
      + (wall.curves.length ? ` Below each: ${wall.curves[0].name.replace(" (%)", "")} at this step.` : "")
      + (wall.steps.length > 1 ? "" : " These pictures show the end of training; "
      + "the slider moves the numbers and the curves.");
    section.dataset.cells = places.length;
  }

  function tile(place) {
    const cell = wall.cells[place];
    const canvas = element("canvas", { width: 144, height: canvasHeight(144, wall), "aria-hidden": "true" });
    const button = element("button", {
      type: "button", class: `tile${place === wall.baseline ? " baseline" : ""}`, title: cell.label,
      onclick: () => pick(cell.label),
    },
    canvas,
    element("span", { class: "badge", "aria-hidden": "true" }),
    element("span", { class: "name" }, ...breakable(cell.brief)),
    element("span", { class: "reached" }));
    return { button, canvas, place };
  }

  /** What the network under a tile scores at the moment of the slider, or how its trial ended. */
  function scoreWords(place) {
    const { status } = wall.cells[place];
    const [curve] = wall.curves;
    if (!curve) return status;
    const value = curve.value[place][placeAt(curve.steps, step())];
    return value === null ? status : told(value, curve.unit ? 1 : 2, curve.unit);
  }

  /** Put a cell beside the one that was picked before it. */
  function pick(label) {
    if (label === state.a || label === state.b) return;
    state[older] = label;
    older = older === "a" ? "b" : "a";
    remember(id, state);
    draw();
    say();
  }

  function step() {
    return momentsOf(wall)[Number(slider.value)];
  }

  /** Paint everything at the moment of the slider. */
  function draw() {
    if (!wall) return;
    const moments = momentsOf(wall);
    const words = `step ${step()} of ${moments.at(-1)}`;
    moment.textContent = words;
    slider.setAttribute("aria-valuetext", words);
    for (const { button, canvas, place } of tiles) {
      const slot = SLOTS.find(([name]) => state[name] === wall.cells[place].label);
      paint(canvas, wall, frameAt(wall, place, step()));
      button.setAttribute("aria-pressed", String(Boolean(slot)));
      button.dataset.slot = slot ? slot[1] : "";
      button.querySelector(".badge").textContent = slot ? slot[1] : "";
      button.querySelector(".reached").textContent = scoreWords(place);
    }
    drawCompared();
    section.dataset.step = step();
  }

  function drawCompared() {
    const chosen = SLOTS.map(([name]) => wall.cells.findIndex(({ label }) => label === state[name]));
    const panels = SLOTS.map(([name, letter, colour], i) => panel(name, letter, colour, chosen[i]));
    const focus = document.activeElement?.id;
    compared.replaceChildren(
      element("div", { class: "pair" }, ...panels),
      numbersTable(wall, chosen, step()),
      ...wall.curves.filter(({ column }) => column.startsWith("val_") || wall.curves.length < 3).map((curve) =>
        element("div", { class: "curve" },
          element("p", {}, curve.name),
          curveChart(curve, SLOTS.map(([, , colour, dashes], i) =>
            ({ values: curve.value[chosen[i]], colour, dashes })), step()))),
    );
    if (focus && !document.activeElement?.id) document.getElementById(focus)?.focus();
  }

  function panel(name, letter, colour, place) {
    const canvas = element("canvas", { width: LARGE, height: canvasHeight(LARGE, wall), role: "img",
      "aria-label": `${KIND_NAMES[wall.kind]} of ${wall.cells[place].label} at step ${step()}` });
    paint(canvas, wall, frameAt(wall, place, step()), colour);
    const options = wall.cells.map(({ label, brief }) => [label, brief]);
    const list = choice(letter, options, wall.cells[place].label, (label) => {
      state[name] = label;
      remember(id, state);
      draw();
      say();
    });
    list.title = wall.cells[place].label;
    list.querySelector("select").id = `${id}-${name}`;
    return element("div", { class: `slot ${colour}` }, list, canvas);
  }

  /** Say the numbers of both cells to those who do not see them. */
  function say() {
    const rows = numberRows(wall, SLOTS.map(([name]) =>
      wall.cells.findIndex(({ label }) => label === state[name])), step());
    spoken.textContent = `At step ${step()}: ` + SLOTS.map(([name], i) =>
      `${state[name]}: ${rows.map(([what, ...values]) => `${what} ${values[i]}`).join(", ")}`).join("; ");
  }

  function moved() {
    state.step = String(step());
    remember(id, state);
    draw();
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ Play";
  }

  play.addEventListener("click", () => {
    if (timer) {
      pause();
      say();
      return;
    }
    play.setAttribute("aria-pressed", "true");
    play.textContent = "❚❚ Pause";
    if (slider.value === slider.max) slider.value = 0;
    moved();
    timer = setInterval(() => {
      if (slider.value === slider.max) {
        pause();
        say();
        return;
      }
      slider.value = Number(slider.value) + 1;
      moved();
    }, TICK);
  });
  slider.addEventListener("input", () => { pause(); moved(); });
  slider.addEventListener("change", say);
  wallPlace.addEventListener("keydown", (event) => moveFocus(event, wallPlace));
  whenThemed(draw);
  follow(id, show);
  await show({});
}

const KIND_NAMES = { region: "Decision region", curve: "Fitted curve", confusion: "Confusion matrix" };
const KIND_WORDS = {
  region: "Colour: the class that wins; deeper: more certain. Points: the training data.",
  curve: "Line: the network's output. Points: the training data.",
  confusion: "True class down, predicted class across; deeper: a commoner mistake.",
};

/** The steps that the slider visits: those with pictures or, where there is one, of the curves. */
function momentsOf(wall) {
  if (wall.steps.length > 1 || !wall.curves.length) return wall.steps;
  return wall.curves[0].steps;
}

/** Which picture a cell shows at a step: the latest by then, or the only one. */
function frameAt(wall, place, step) {
  if (wall.steps.length === 1) return wall.frames[place][0];
  return wall.frames[place][placeAt(wall.steps, step)];
}

function canvasHeight(width, wall) {
  return wall.kind === "curve" ? Math.round(0.72 * width) : width;
}

/** The best cell that is not this one, by the mean over seeds. */
function bestOther(wall, label) {
  const lower = wall.response.includes("loss") ? -1 : 1;
  const others = wall.cells.filter((cell) => cell.label !== label && cell.mean[0] !== null);
  others.sort((a, b) => lower * (b.mean[0] - a.mean[0]));
  return (others[0] ?? wall.cells[0]).label;
}

/** The numbers of two cells: at this step, at the end, and the mean of all seeds. */
function numberRows(wall, places, step) {
  const rows = wall.curves.map((curve) => [
    curve.name.replace(" (%)", ""),
    ...places.map((place) => told(curve.value[place][placeAt(curve.steps, step)], curve.digits, curve.unit)),
  ]);
  const digits = wall.unit ? 1 : 3;
  const name = wall.response.replace(" (%)", "");
  const cells = places.map((place) => wall.cells[place]);
  const end = (cell) => (cell.reached === null ? cell.status : told(cell.reached, digits, wall.unit));
  rows.push([`${name} at the end`, ...cells.map(end)]);
  rows.push([`mean of ${cells[0].n === cells[1].n ? cells[0].n : "all"} seeds`,
    ...cells.map(({ mean }) => told(mean[0], digits, wall.unit))]);
  rows.push(["95% t interval", ...cells.map(({ mean }) => (mean[1] === null ? "–"
    : `${told(mean[1], digits)} to ${told(mean[2], digits)}`))]);
  rows.push(["learning rate", ...cells.map(({ rate }) => (rate === null ? "–" : String(rate)))]);
  rows.push(["parameters", ...cells.map(({ parameters }) =>
    (parameters === null ? "–" : parameters.toLocaleString("en")))]);
  return rows;
}

function numbersTable(wall, places, step) {
  const head = element("tr", {}, element("th", { scope: "col" }, `at step ${step}, seed ${wall.cells[places[0]].seed}`),
    ...SLOTS.map(([, letter, colour]) => element("th", { scope: "col", class: `number ${colour}` }, letter)));
  const body = numberRows(wall, places, step).map(([name, ...values]) => element("tr", {},
    element("th", { scope: "row" }, name),
    ...values.map((value) => element("td", { class: "number" }, value))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

/** Arrow keys go from tile to tile. */
function moveFocus(event, wallPlace) {
  const buttons = [...wallPlace.children];
  const at = buttons.indexOf(document.activeElement?.closest(".tile"));
  const row = buttons.filter(({ offsetTop }) => offsetTop === buttons[0].offsetTop).length;
  const way = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
  const next = buttons[at + way];
  if (at < 0 || !next) return;
  event.preventDefault();
  next.focus();
}
