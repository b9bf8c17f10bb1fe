// Painting one picture of a wall on a canvas: a decision region, a fitted curve, a confusion matrix.

/** What all pictures of a wall need: its bytes decoded, and limits that they share. */
async function preparedWall(wall, classes) {
  const bytes = await unpackedBytes(wall.pictures);
  const size = wall.shape[0] * wall.shape[1];
  const pictures = wall.bounds.map((_, i) => bytes.subarray(i * size, (i + 1) * size));
  if (wall.kind === "curve") pictures.forEach(summed);
  const worst = wall.kind === "confusion" ? Math.max(1, ...pictures.map((p) => worstMistake(p, wall))) : 1;
  return { ...wall, pictures, worst, palette: classes.map(channels), limits: verticalLimits(wall), scatter: new Map() };
}

/** A curve was stored as its first value and the differences after it. */
function summed(values) {
  for (let i = 1; i < values.length; i += 1) values[i] = (values[i] + values[i - 1]) % 256;
}

function worstMistake(values, wall) {
  return Math.max(...values.map((value, i) => (i % (wall.classes + 1) === 0 ? 0 : value)));
}

/** The vertical range of fitted curves: that of the training points, with a tenth to spare. */
function verticalLimits(wall) {
  if (wall.kind !== "curve") return null;
  const heights = wall.points.y.length ? wall.points.y : wall.bounds.flatMap((b) => b.slice(2));
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const room = 0.1 * (high - low) || 1;
  return [low - room, high + room];
}

function channels(colour) {
  return [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16));
}

/** Paint picture number `index` of a prepared wall over the whole canvas; `colour` of a curve. */
function paint(canvas, wall, index, colour = "series-1") {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (index < 0) return;
  if (wall.kind === "region") paintRegion(context, canvas, wall, index);
  else if (wall.kind === "curve") paintCurve(context, canvas, wall, index, colour);
  else paintConfusion(context, canvas, wall, index);
}

function paintRegion(context, canvas, wall, index) {
  const [height, width] = wall.shape;
  const paper = channels(themed("page"));
  const shades = wall.classes * wall.shades <= 256 ? wall.shades : 1;
  const image = new ImageData(width, height);
  wall.pictures[index].forEach((value, i) => {
    const winner = wall.palette[Math.floor(value / shades) % wall.palette.length];
    const certain = shades === 1 ? 1 : (value % shades) / (shades - 1);
    const strength = 0.12 + 0.78 * certain;
    const place = 4 * ((height - 1 - Math.floor(i / width)) * width + (i % width));
    for (let c = 0; c < 3; c += 1) {
      image.data[place + c] = paper[c] + strength * (winner[c] - paper[c]);
    }
    image.data[place + 3] = 255;
  });
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.drawImage(scatter(canvas, wall, wall.bounds[index]), 0, 0);
}

function paintCurve(context, canvas, wall, index, colour) {
  const [left, right, bottom, top] = wall.bounds[index];
  const [low, high] = wall.limits;
  context.drawImage(scatter(canvas, wall, [left, right, low, high]), 0, 0);
  const values = wall.pictures[index];
  context.beginPath();
  values.forEach((value, i) => {
    const y = bottom + (value / 255) * (top - bottom);
    const up = canvas.height * (1 - (y - low) / (high - low));
    context.lineTo((i / (values.length - 1)) * canvas.width, Math.max(-9, Math.min(canvas.height + 9, up)));
  });
  context.strokeStyle = themed(colour);
  context.lineWidth = 1.5 + 0.008 * canvas.width;
  context.lineJoin = "round";
  context.stroke();
}

/** True class down, predicted class across; the diagonal is left out of the scale. */
function paintConfusion(context, canvas, wall, index) {
  const side = canvas.width / wall.classes;
  const [from, to] = [channels(themed("page")), channels(themed("series-1"))];
  wall.pictures[index].forEach((value, i) => {
    const [row, column] = [Math.floor(i / wall.classes), i % wall.classes];
    const share = Math.sqrt(value / wall.worst);
    context.fillStyle = row === column ? themed("grid")
      : `rgb(${from.map((c, k) => Math.round(c + share * (to[k] - c))).join(" ")})`;
    context.fillRect(column * side, row * side, side + 0.5, side + 0.5);
  });
  if (wall.classes > 10) return;
  context.fillStyle = themed("muted");
  context.font = `${0.62 * side}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let c = 0; c < wall.classes; c += 1) context.fillText(c, (c + 0.5) * side, (c + 0.54) * side);
}

/** The training points on a canvas of this size, drawn once for all pictures with these bounds. */
function scatter(canvas, wall, bounds) {
  const paper = themed("page");
  const key = [canvas.width, canvas.height, paper, ...bounds].join(" ");
  if (!wall.scatter.has(key)) wall.scatter.set(key, scattered(canvas, wall, bounds, paper));
  return wall.scatter.get(key);
}

function scattered(canvas, wall, [left, right, bottom, top], paper) {
  const layer = new OffscreenCanvas(canvas.width, canvas.height);
  const context = layer.getContext("2d");
  const radius = Math.max(1.7, 0.009 * canvas.width);
  wall.points.x.forEach((x, i) => {
    const across = ((x - left) / (right - left)) * canvas.width;
    const down = canvas.height * (1 - (wall.points.y[i] - bottom) / (top - bottom));
    context.beginPath();
    context.arc(across, down, radius, 0, 2 * Math.PI);
    context.fillStyle = pointColour(wall, i);
    context.fill();
    if (!wall.points.label.length) return;
    context.strokeStyle = paper;
    context.lineWidth = 0.22 * radius;
    context.stroke();
  });
  return layer;
}

/** A point's colour: its class's, darker on a light page and lighter on a dark one. */
function pointColour(wall, i) {
  if (!wall.points.label.length) return themed("edge");
  const base = wall.palette[Math.max(0, wall.points.label[i]) % wall.palette.length];
  const dark = channels(themed("page"))[0] < 128;
  const shift = (c) => Math.round(dark ? c + 0.6 * (255 - c) : 0.5 * c);
  return `rgb(${base.map(shift).join(" ")})`;
}
