// Which cells are shown: one list per factor, whose levels narrow the choice.

/** The lists of a study's factors; `state` holds `f.<factor>` for each level that was chosen. */
function factorChoices(factors, state, change) {
  return factors.map(({ name, levels }) => {
    const options = [["", "all"], ...levels.map((level) => [level, level])];
    return choice(name, options, state[`f.${name}`] ?? "", (level) => change({ [`f.${name}`]: level }));
  });
}

/** The places of the cells that have all chosen levels. */
function chosenCells(factors, cells, state) {
  return cells.map((cell, place) => place).filter((place) =>
    factors.every(({ name, levels }, i) => {
      const wanted = levels.indexOf(state[`f.${name}`]);
      return wanted < 0 || cells[place].levels[i] === wanted;
    }));
}

/** A state without the levels of factors that this study does not have. */
function keptState(state, factors) {
  const known = new Set(factors.map(({ name }) => `f.${name}`));
  return Object.fromEntries(
    Object.entries(state).filter(([key]) => !key.startsWith("f.") || known.has(key)));
}

/** "40 of 108 cells", and how they were chosen where the page does not hold all. */
function countedCells(shown, there, all) {
  const of = shown === there ? `${there} cells` : `${shown} of ${there} cells`;
  if (there === all) return there === 1 ? "1 cell" : of;
  return `${of}; the study has ${all.toLocaleString("en")}, of which this page holds the baseline `
    + "and others evenly spread by rank";
}
