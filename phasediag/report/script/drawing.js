// The diagram on a canvas: cells, hatches, the boundary, axes, and the cursor.
const MARGIN = { left: 74, right: 10, top: 10, bottom: 52 };
const DIVERGED_COLOUR = "#d55e00";

function mixed(colours, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1), below = Math.min(Math.floor(at), colours.length - 2);
  const part = (colour, place) => parseInt(colour.slice(1 + 2 * place, 3 + 2 * place), 16);
  return [0, 1, 2].map((place) => {
    const start = part(colours[below], place);
    return Math.round(start + (at - below) * (part(colours[below + 1], place) - start));
  });
}

// From which value to which the colours go: of the recorded threshold, so that they stay where it moves.
function colourRange(order, mean) {
  if (order.colours) return order.colours;
  const values = Array.from(mean).filter(Number.isFinite).sort((a, b) => a - b);
  if (!values.length) return [0, 1];
  if (order.centred) {
    const away = values.map((value) => Math.abs(value - order.level)).sort((a, b) => a - b);
    const most = away[Math.floor(0.95 * (away.length - 1))] || 1;
    return [order.level - most, order.level + most];
  }
  const [low, high] = [values[0], values[values.length - 1]];
  return low < high ? [low, high] : [low - 1, high + 1];
}

class Drawing {
  constructor(canvas, diagram) {
    Object.assign(this, { canvas, diagram });
    const { x_edges, y_edges } = diagram.arrays;
    this.all = { x: [x_edges[0], x_edges[x_edges.length - 1]], y: [y_edges[0], y_edges[y_edges.length - 1]] };
    this.view = structuredClone(this.all);
    this.patterns = {};
  }

  get inside() {
    const { width, height } = this.size;
    return { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  }

  toX(at) { return MARGIN.left + ((at - this.view.x[0]) / (this.view.x[1] - this.view.x[0])) * this.inside.width; }
  toY(at) { return MARGIN.top + ((this.view.y[1] - at) / (this.view.y[1] - this.view.y[0])) * this.inside.height; }
  fromX(pixel) { return this.view.x[0] + ((pixel - MARGIN.left) / this.inside.width) * (this.view.x[1] - this.view.x[0]); }
  fromY(pixel) { return this.view.y[1] - ((pixel - MARGIN.top) / this.inside.height) * (this.view.y[1] - this.view.y[0]); }

  // The place of the mesh under a pixel, [column, row]; null outside.
  place(x, y) {
    const { x_edges, y_edges } = this.diagram.arrays;
    const column = x_edges.findLastIndex((edge) => edge <= this.fromX(x));
    const row = y_edges.findLastIndex((edge) => edge <= this.fromY(y));
    const within = x >= MARGIN.left && y >= MARGIN.top && x <= MARGIN.left + this.inside.width && y <= MARGIN.top + this.inside.height;
    return within && column >= 0 && row >= 0 && column < this.diagram.width && row < this.diagram.height ? [column, row] : null;
  }

  // Magnify about a point of the scales; never beyond all that there is.
  zoom(factor, centre = [(this.view.x[0] + this.view.x[1]) / 2, (this.view.y[0] + this.view.y[1]) / 2]) {
    ["x", "y"].forEach((axis, at) => {
      const [low, high] = this.view[axis];
      this.view[axis] = this.clamped(axis, centre[at] + (low - centre[at]) / factor, centre[at] + (high - centre[at]) / factor);
    });
  }

  clamped(axis, low, high) {
    const [first, last] = this.all[axis], wide = Math.min(high - low, last - first);
    const start = Math.min(Math.max(low, first), last - wide);
    return [start, start + wide];
  }

  frame(x, y) {
    this.view = { x: this.clamped("x", ...x), y: this.clamped("y", ...y) };
  }

  // Keep a place of the mesh in sight.
  reveal([column, row]) {
    const { x_edges, y_edges } = this.diagram.arrays;
    for (const [axis, edges, at] of [["x", x_edges, column], ["y", y_edges, row]]) {
      const [low, high] = this.view[axis];
      const move = Math.min(edges[at] - low, 0) || Math.max(edges[at + 1] - high, 0);
      this.view[axis] = this.clamped(axis, low + move, high + move);
    }
  }

  get zoomed() {
    return ["x", "y"].some((axis) => this.view[axis][1] - this.view[axis][0] < 0.999 * (this.all[axis][1] - this.all[axis][0]));
  }

  draw(state) {
    const box = this.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    this.size = { width: box.width, height: box.height };
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    const pen = this.pen = this.canvas.getContext("2d"), look = getComputedStyle(this.canvas);
    this.ink = look.getPropertyValue("--ink").trim();
    pen.scale(ratio, ratio);
    pen.font = `12px ${look.fontFamily}`;
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, MARGIN.top, this.inside.width, this.inside.height);
    pen.fillStyle = "#fff";
    pen.fill();
    pen.clip();
    this.drawCells(state);
    this.drawContour(state);
    this.drawIntervals(state);
    this.drawCursor(state);
    pen.restore();
    this.drawAxes();
  }

  drawCells({ panel, statistics, range, order }) {
    const { diagram, pen } = this, { x_edges, y_edges } = diagram.arrays, colours = diagram.head.colours;
    for (let row = 0; row < diagram.height; row++) {
      const top = this.toY(y_edges[row + 1]), tall = this.toY(y_edges[row]) - top;
      if (top > this.size.height || top + tall < 0) continue;
      for (let column = 0; column < diagram.width; column++) {
        const left = this.toX(x_edges[column]), wide = this.toX(x_edges[column + 1]) - left;
        const cell = diagram.shown(panel, column, row);
        if (left > this.size.width || left + wide < 0 || cell === undefined) continue;
        const phase = statistics.phase[cell];
        const share = (statistics.mean[cell] - range[0]) / (range[1] - range[0]);
        const colour = phase === "diverged" ? [213, 94, 0] : phase === "missing" ? [255, 255, 255] : mixed(colours, share);
        const box = [left - 0.25, top - 0.25, wide + 0.5, tall + 0.5]; // no seams between cells
        pen.fillStyle = `rgb(${colour})`;
        pen.fillRect(...box);
        const late = statistics.unsettledShare[cell] > 0.5 && !order.of_training && phase !== "missing";
        if (!late && phase !== "missing" && phase !== "diverged") continue;
        const dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 128;
        pen.fillStyle = this.pattern(phase === "missing" || phase === "diverged" ? phase : "late", dark);
        pen.fillRect(left, top, wide, tall);
      }
    }
  }

  // Stripes of cells that have not converged, dots of diverged ones, crosses of missing ones.
  pattern(kind, dark) {
    const name = `${kind} ${dark}`;
    if (this.patterns[name]) return this.patterns[name];
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = pen.fillStyle = kind === "missing" ? "#8c8c8c" : dark || kind === "diverged" ? "#fff" : "#303030";
    pen.lineWidth = 1;
    if (kind === "diverged") pen.fillRect(3, 3, 2, 2);
    else {
      pen.moveTo(-1, 9); pen.lineTo(9, -1); pen.moveTo(-5, 5); pen.lineTo(5, -5); pen.moveTo(3, 13); pen.lineTo(13, 3);
      if (kind === "missing") { pen.moveTo(-1, -1); pen.lineTo(9, 9); }
      pen.stroke();
    }
    return (this.patterns[name] = this.pen.createPattern(tile, "repeat"));
  }

  line(points, dashed) {
    const { pen } = this;
    for (const [colour, width] of [["#fff", 4], ["#000", 1.8]]) {
      pen.beginPath();
      for (const [from, to] of points) { pen.moveTo(...from); pen.lineTo(...to); }
      pen.setLineDash(dashed && colour === "#000" ? [5, 3] : []);
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  // Where the mean is at the level: between each four neighbouring cells, straight.
  drawContour({ panel, statistics, order }) {
    if (order.level === null) return;
    const { diagram } = this, { x_at, y_at } = diagram.arrays, sure = [], early = [];
    const height = ([column, row]) => statistics.decided[diagram.shown(panel, column, row)] ?? NaN;
    for (let row = 0; row + 1 < diagram.height; row++)
      for (let column = 0; column + 1 < diagram.width; column++) {
        const corners = [[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]];
        const values = corners.map(height), points = [];
        if (values.some(Number.isNaN)) continue;
        corners.forEach((corner, at) => {
          const next = corners[(at + 1) % 4], [start, end] = [values[at], values[(at + 1) % 4]];
          if (start < order.level === end < order.level) return;
          const share = (order.level - start) / (end - start);
          points.push([
            this.toX(x_at[corner[0]] + share * (x_at[next[0]] - x_at[corner[0]])),
            this.toY(y_at[corner[1]] + share * (y_at[next[1]] - y_at[corner[1]])),
          ]);
        });
        const late = !order.of_training && corners.some((corner) => statistics.unsettledShare[diagram.shown(panel, ...corner)] > 0.5);
        for (let at = 0; at + 1 < points.length; at += 2) (late ? early : sure).push([points[at], points[at + 1]]);
      }
    this.line(sure, false);
    this.line(early, true);
  }

  // The 95 % intervals of the analysis, a bar in each row: of its own order parameter and threshold.
  drawIntervals({ panel, intervals }) {
    const bars = intervals.filter((each) => each.panel === panel && !Number.isNaN(each.low));
    const ends = ({ low, high }) => [Math.max(low, this.all.x[0]), Math.min(high, this.all.x[1])];
    this.line(bars.map((bar) => {
      const y = this.toY(this.diagram.arrays.y_at[bar.row]), [low, high] = ends(bar);
      return [[this.toX(low), y], [this.toX(high), y]];
    }), false);
  }

  drawCursor({ cursor, box, pinned }) {
    const { pen } = this, { x_edges, y_edges } = this.diagram.arrays;
    const outline = (left, top, wide, tall, colours) => colours.forEach(([colour, width]) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.strokeRect(left, top, wide, tall);
    });
    for (const [place, inner] of [[cursor, "#fff"], [pinned, "#ff3b30"]]) {
      if (!place) continue;
      const left = this.toX(x_edges[place[0]]), top = this.toY(y_edges[place[1] + 1]);
      outline(left, top, this.toX(x_edges[place[0] + 1]) - left, this.toY(y_edges[place[1]]) - top, [["#000", 4], [inner, 2]]);
    }
    if (box) outline(box[0], box[1], box[2] - box[0], box[3] - box[1], [["#fff", 3], ["#000", 1]]);
  }

  drawAxes() {
    const { pen, diagram } = this, { width, height } = this.inside, [x, y] = diagram.head.axes;
    const bottom = MARGIN.top + height;
    pen.strokeStyle = pen.fillStyle = this.ink;
    pen.lineWidth = 1;
    pen.strokeRect(MARGIN.left, MARGIN.top, width, height);
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const value of ticksOf(x, ...this.view.x, Math.max(2, width / 70))) {
      const at = this.toX(forward(x, value));
      pen.fillRect(at, bottom, 1, 5);
      pen.fillText(written(value), at, bottom + 8);
    }
    pen.fillText(x.label, MARGIN.left + width / 2, bottom + 30, width + MARGIN.left);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of ticksOf(y, ...this.view.y, Math.max(2, height / 45))) {
      const at = this.toY(forward(y, value));
      pen.fillRect(MARGIN.left - 5, at, 5, 1);
      pen.fillText(written(value), MARGIN.left - 8, at);
    }
    pen.save();
    pen.translate(12, MARGIN.top + height / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(y.label, 0, 0, height + MARGIN.bottom);
    pen.restore();
  }
}
