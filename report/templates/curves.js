// A small chart of two learning curves with a mark at the moment that is shown.

const CHART = { width: 320, height: 150, left: 46, right: 14, top: 10, bottom: 26 };

/** Lines against training step as an SVG; `lines` hold values, a colour variable and dashes. */
function curveChart(curve, lines, step) {
  const { width, height, left, right, top, bottom } = CHART;
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const last = curve.steps.at(-1) || 1;
  const [low, high] = values.length ? widened(Math.min(...values), Math.max(...values)) : [0, 1];
  const x = (at) => left + (at / last) * (width - left - right);
  const y = (value) => top + (1 - (value - low) / (high - low)) * (height - top - bottom);
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "curves", "aria-hidden": "true" });
  for (const value of ticks(low, high, 3)) {
    chart.append(
      drawn("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), stroke: "var(--grid)" }),
      drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, brief(value)),
    );
  }
  for (const at of ticks(0, last, 4)) {
    chart.append(drawn("text", { x: x(at), y: height - bottom + 16, "text-anchor": "middle" }, brief(at)));
  }
  chart.append(drawn("line", {
    x1: x(Math.min(step, last)), x2: x(Math.min(step, last)), y1: top, y2: height - bottom,
    stroke: "var(--muted)", "stroke-dasharray": "2 3",
  }));
  for (const line of lines) {
    const path = line.values.map((value, i) => (value === null ? "" : `${x(curve.steps[i]).toFixed(1)},${y(value).toFixed(1)}`));
    chart.append(drawn("polyline", {
      points: path.filter(Boolean).join(" "), fill: "none", stroke: `var(--${line.colour})`,
      "stroke-width": 2, "stroke-dasharray": line.dashes, "stroke-linejoin": "round",
    }));
    const place = placeAt(curve.steps, step);
    if (line.values[place] !== null) {
      chart.append(drawn("circle", { cx: x(curve.steps[place]), cy: y(line.values[place]), r: 3.5, fill: `var(--${line.colour})` }));
    }
  }
  return chart;
}

function widened(low, high) {
  const room = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Round numbers between two limits, about so many. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= raw);
  const found = [];
  for (let value = Math.ceil(low / unit) * unit; value <= high; value += unit) found.push(value);
  return found;
}

function brief(value) {
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

/** The place of the last evaluation at or before a step. */
function placeAt(steps, step) {
  return Math.max(0, steps.findLastIndex((at) => at <= step));
}
