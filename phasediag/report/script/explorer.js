// Controls, pointer and keys around a drawing, and what is said of the cell that is looked at.
function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function drawn(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

class Explorer {
  constructor(root, data) {
    this.root = root;
    this.diagram = new Diagram(data);
    const { head } = this.diagram;
    this.place = head.recorded;
    this.number = 0;
    this.facets = head.facets.map((facet) => facet.first);
    this.cursor = this.pinned = this.box = null;
    this.trial = null;
    this.build();
    this.recount();
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  get order() { return this.diagram.head.orders[this.number]; }
  get panel() { return this.diagram.panel(this.facets); }

  build() {
    const { head } = this.diagram;
    const choice = (text, options, first, act) => {
      const select = make("select", {}, ...options.map((option, at) => make("option", { value: at }, option)));
      select.value = first;
      select.addEventListener("change", () => act(+select.value));
      return make("label", {}, text, select);
    };
    const button = (text, title, act) => {
      const node = make("button", { type: "button", title }, text);
      node.setAttribute("aria-label", title);
      node.addEventListener("click", act);
      return node;
    };
    const selects = head.facets.map((facet, at) => choice(facet.label, facet.values, facet.first, (value) => {
      this.facets[at] = value;
      this.renew();
    }));
    if (head.orders.length > 1)
      selects.unshift(choice("order parameter", head.orders.map((order) => order.label), 0, (value) => {
        this.number = value;
        this.recount();
      }));
    this.slider = make("input", { type: "range", min: 0, max: head.factors.length - 1, step: 1, value: this.place });
    this.slider.addEventListener("input", () => {
      this.place = +this.slider.value;
      this.recount();
    });
    this.threshold = make("output", { className: "small" });
    const range = make("label", { className: "range" }, "threshold ε", this.slider);
    const recorded = button("as recorded", "Back to the recorded threshold", () => {
      this.slider.value = this.place = head.recorded;
      this.recount();
    });
    const hasRange = head.orders.some((order) => order.counted);
    this.ranged = make("div", { className: "controls" }, range, recorded, this.threshold);
    this.canvas = make("canvas", { tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Phase diagram. Arrow keys move from cell to cell, Enter holds a cell, plus and minus zoom, 0 shows all.");
    this.tip = make("div", { className: "tip", hidden: true });
    this.bar = make("canvas", { className: "bar-colours" });
    this.details = make("div", { className: "details" });
    this.details.setAttribute("aria-live", "polite");
    this.reset = button("show all", "Show all of the diagram", () => this.magnify(0));
    const zooms = make("div", { className: "controls" }, button("+", "Zoom in", () => this.magnify(2)), button("−", "Zoom out", () => this.magnify(0.5)), this.reset);
    const help = "Point at a cell, tap it, or move with the arrow keys; a click or Enter holds it. Draw a rectangle, pinch, or press + and − to zoom.";
    this.root.replaceChildren(
      make("div", { className: "controls" }, ...selects),
      hasRange ? this.ranged : make("p", { className: "small" }, `The threshold ε cannot be moved here: ${head.no_range || "no order parameter is counted by it"}.`),
      make("div", { className: "sides" },
        make("div", { className: "stage" }, make("div", { className: "frame" }, this.canvas, this.tip), this.bar, zooms, make("p", { className: "small" }, help)),
        this.details),
    );
    this.drawing = new Drawing(this.canvas, this.diagram);
    this.listen();
    this.root.hidden = false;
  }

  listen() {
    const { canvas } = this, touches = new Map();
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let start = null, gap = 0;
    canvas.addEventListener("pointerdown", (event) => {
      touches.set(event.pointerId, at(event));
      if (event.pointerType === "mouse" || event.pointerType === "pen") canvas.setPointerCapture(event.pointerId);
      start = touches.size === 1 ? at(event) : null;
      gap = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = at(event);
      if (touches.has(event.pointerId)) touches.set(event.pointerId, here);
      if (touches.size === 2) {
        const [one, other] = [...touches.values()], apart = Math.hypot(one[0] - other[0], one[1] - other[1]);
        if (gap) this.magnify(apart / gap, [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2]);
        gap = apart;
        return;
      }
      if (start && event.pointerType !== "touch" && Math.hypot(here[0] - start[0], here[1] - start[1]) > 6) this.box = [...start, ...here];
      this.look(this.drawing.place(...here), here);
    });
    const end = (event) => {
      const here = at(event), tapped = start && !this.box;
      touches.delete(event.pointerId);
      if (this.box) this.frame(this.box);
      else if (tapped && event.type === "pointerup") this.hold(this.drawing.place(...here));
      this.box = start = null;
      this.redraw();
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => { if (!start) this.look(null); });
    canvas.addEventListener("dblclick", () => this.magnify(0));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls; trackpads pinch with ctrl
      event.preventDefault();
      this.magnify(Math.exp(-event.deltaY / 200), at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.look(null));
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const { width, height } = this.diagram;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      const [column, row] = this.cursor ?? this.pinned ?? [Math.floor(width / 2), Math.floor(height / 2)];
      const [right, up] = this.cursor || this.pinned ? moves[event.key] : [0, 0];
      const place = [Math.min(Math.max(column + right, 0), width - 1), Math.min(Math.max(row + up, 0), height - 1)];
      this.drawing.reveal(place);
      this.pinned = null;
      this.look(place);
    } else if (event.key === "Enter" || event.key === " ") this.hold(this.cursor);
    else if (event.key === "+" || event.key === "=") this.magnify(2);
    else if (event.key === "-") this.magnify(0.5);
    else if (event.key === "0") this.magnify(0);
    else if (event.key === "Escape") { this.pinned = null; this.look(null); }
    else return;
    event.preventDefault();
  }

  // Zoom by a factor about a pixel, or else about the cell that is looked at; 0 shows all.
  magnify(factor, pixel) {
    const { drawing } = this, place = this.cursor ?? this.pinned, { x_at, y_at } = this.diagram.arrays;
    if (!factor) drawing.view = structuredClone(drawing.all);
    else if (pixel) drawing.zoom(factor, [drawing.fromX(pixel[0]), drawing.fromY(pixel[1])]);
    else drawing.zoom(factor, place ? [x_at[place[0]], y_at[place[1]]] : undefined);
    this.redraw();
  }

  frame([x, y, otherX, otherY]) {
    const { drawing } = this;
    if (Math.abs(x - otherX) < 6 || Math.abs(y - otherY) < 6) return;
    const [left, right] = [x, otherX].sort((a, b) => a - b), [top, bottom] = [y, otherY].sort((a, b) => a - b);
    drawing.frame([drawing.fromX(left), drawing.fromX(right)], [drawing.fromY(bottom), drawing.fromY(top)]);
  }

  hold(place) {
    const same = place && this.pinned && place.every((at, axis) => at === this.pinned[axis]);
    this.pinned = same ? null : place;
    this.tell();
    this.redraw();
  }

  look(place, pixel) {
    this.cursor = place;
    const cell = place && this.diagram.shown(this.panel, ...place);
    this.tip.hidden = cell === null || cell === undefined || !pixel;
    if (!this.tip.hidden) {
      this.tip.textContent = this.line(cell);
      const right = pixel[0] > this.drawing.size.width / 2;
      this.tip.style.left = right ? "" : `${pixel[0] + 14}px`;
      this.tip.style.right = right ? `${this.drawing.size.width - pixel[0] + 14}px` : "";
      this.tip.style.top = `${pixel[1] + 14}px`;
    }
    if (!this.pinned) this.tell();
    this.redraw();
  }

  recount() {
    const { diagram } = this, { head, arrays } = diagram, counted = this.order.counted, moved = this.place !== head.recorded;
    this.statistics = diagram.statistics(this.number, this.place);
    this.crossings = diagram.crossings(this.number, this.statistics);
    const recorded = moved ? diagram.statistics(this.number, head.recorded) : this.statistics;
    this.range = colourRange(this.order, recorded.mean);
    this.intervals = this.number || moved ? [] : Array.from(arrays.boundary_row, (row, at) => ({
      row, panel: arrays.boundary_panel[at], position: arrays.boundary_position[at], low: arrays.boundary_low[at], high: arrays.boundary_high[at],
    }));
    const factor = head.factors[this.place], cut = head.threshold;
    const parts = cut ? ` = max(${written(cut.absolute * factor)}, ${written(cut.relative * factor)} s)` : "";
    this.slider.disabled = !counted;
    this.slider.setAttribute("aria-valuetext", `${written(factor)} times the recorded threshold`);
    this.threshold.textContent = !counted ? `${this.order.label} is not counted with a threshold.`
      : !moved ? `ε${parts}, as recorded`
      : `ε${parts}, ${written(factor)} times the recorded one. Counts and the boundary are of this ε; the stripes of unconverged cells and the intervals of the boundary are known for the recorded one only.`;
    this.renew();
  }

  // What is shown and said, after another panel or other counts; the pointer may rest on a cell meanwhile.
  renew() {
    const cell = this.cursor && this.diagram.shown(this.panel, ...this.cursor);
    if (cell === null || cell === undefined) this.tip.hidden = true;
    else this.tip.textContent = this.line(cell);
    this.tell();
    this.redraw();
  }

  redraw() {
    if (!this.statistics || !this.canvas.clientWidth) return;
    const { panel, statistics, range, order, cursor, pinned, box, intervals } = this;
    this.drawing.draw({ panel, statistics, range, order, cursor, pinned, box, intervals });
    this.reset.disabled = !this.drawing.zoomed;
    this.colours();
  }

  // The bar of colours with its ends and the level.
  colours() {
    const { bar } = this, ratio = window.devicePixelRatio || 1, wide = bar.clientWidth, [low, high] = this.range;
    bar.width = wide * ratio;
    bar.height = bar.clientHeight * ratio;
    const pen = bar.getContext("2d"), look = getComputedStyle(bar);
    pen.scale(ratio, ratio);
    const left = MARGIN.left, room = wide - left - MARGIN.right;
    for (let x = 0; x < room; x++) {
      pen.fillStyle = `rgb(${mixed(this.diagram.head.colours, x / room)})`;
      pen.fillRect(left + x, 16, 1.5, 12);
    }
    pen.fillStyle = look.getPropertyValue("--ink").trim();
    pen.font = `12px ${look.fontFamily}`;
    pen.textBaseline = "top";
    pen.fillText(this.order.label, left, 0, room);
    pen.fillText(written(low), left, 32);
    pen.textAlign = "right";
    pen.fillText(written(high), left + room, 32);
    const share = (this.order.level - low) / (high - low);
    if (this.order.level === null || !(share > 0 && share < 1)) return;
    pen.textAlign = "center";
    pen.fillText(`boundary ${written(this.order.level)}`, left + share * room, 32);
    pen.fillRect(left + share * room - 1, 13, 2, 18);
  }

  // `0.53 [0.31, 0.75], 4 trials, broken`
  line(cell) {
    const { mean, low, high, count, phase } = this.statistics;
    const interval = Number.isNaN(low[cell]) ? "" : ` [${written(low[cell])}, ${written(high[cell])}]`;
    const word = phase[cell] ? `, ${phase[cell]}` : "";
    return `${written(mean[cell])}${interval}, ${count[cell]} ${count[cell] === 1 ? "value" : "values"}${word}`;
  }

  tell() {
    const { diagram, panel } = this, { head, arrays } = diagram, place = this.pinned ?? this.cursor;
    const cell = place && diagram.shown(panel, ...place);
    if (cell === null || cell === undefined) {
      const count = this.crossings.filter((each) => each.panel === panel).length;
      const level = this.order.level === null ? "" : ` The level ${written(this.order.level)} is crossed ${count} times along ${head.axes[0].label}.`;
      this.details.replaceChildren(make("p", { className: "small" }, (place ? "No trial was run here." : "No cell is looked at.") + level));
      this.trial = null;
      return;
    }
    const [column, row] = [arrays.cell_x[cell], arrays.cell_y[cell]];
    const terms = [
      [head.axes[0].label, written(arrays.x[column], 6)], [head.axes[1].label, written(arrays.y[row], 6)],
      ...head.facets.map((facet, at) => [facet.label, facet.values[this.facets[at]]]),
      [this.order.label, this.line(cell)], ...this.boundary(row),
    ];
    if (this.statistics.unsettledShare[cell] > 0) terms.push(["unconverged", `${Math.round(100 * this.statistics.unsettledShare[cell])} % of its trials`]);
    const members = diagram.members[cell];
    if (!members.includes(this.trial)) this.trial = members[0];
    const rows = members.map((trial) => this.row(trial));
    const names = ["replicate", "value", "state", "trial"].map((name) => make("th", { scope: "col" }, name));
    this.details.replaceChildren(
      make("dl", {}, ...terms.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      make("div", { className: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...names)), make("tbody", {}, ...rows))),
      ...this.again(),
    );
  }

  // Where the row of a cell crosses the level, with the interval where the analysis has one.
  boundary(row) {
    const [x] = this.diagram.head.axes, own = (each) => each.panel === this.panel && each.row === row;
    const value = (at) => written(inverse(x, at));
    const known = this.intervals.filter(own), crossed = known.length ? known : this.crossings.filter(own);
    const texts = crossed.map((each) => value(each.position) + (each.low === undefined || Number.isNaN(each.low) ? "" : ` [${value(each.low)}, ${value(each.high)}]`));
    return this.order.level === null ? [] : [["boundary in this row", texts.join("; ") || "none"]];
  }

  row(trial) {
    const { arrays } = this.diagram, states = ["ok", "diverged", "failed", "unknown"];
    const state = states[arrays.status[trial]] + (arrays.status[trial] === OK && arrays.late[trial] ? ", unconverged" : "");
    const button = make("button", { type: "button", className: "id" }, this.diagram.id(trial));
    button.setAttribute("aria-pressed", trial === this.trial);
    button.addEventListener("click", () => {
      this.trial = trial;
      this.pinned ??= this.cursor;
      this.tell();
    });
    const cells = [arrays.replicate[trial], written(this.statistics.values[trial]), state, button];
    return make("tr", {}, ...cells.map((content) => make("td", {}, content)));
  }

  // The command that trains the chosen trial again, and its course.
  again() {
    const id = this.diagram.id(this.trial), text = `${this.diagram.head.command} ${id} --save rerun-${id.slice(0, 8)}`;
    const copy = make("button", { type: "button" }, "copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text).catch(() => getSelection().selectAllChildren(copy.previousSibling));
      copy.textContent = "copied";
    });
    const command = make("p", { className: "command" }, make("code", {}, text), copy);
    return [make("h4", {}, "Train this trial again"), command, ...this.course()];
  }

  course() {
    const { head } = this.diagram, column = head.courses.includes(this.order.counted) ? this.order.counted : head.courses[0];
    const pairs = column ? this.diagram.course(column, this.trial) : [];
    if (pairs.length < 2) return [];
    const steps = pairs.map(([step]) => step), counts = pairs.map(([, count]) => count);
    const [last, most] = [Math.max(...steps), Math.max(...counts, 1)];
    const points = pairs.map(([step, count]) => `${4 + (292 * step) / (last || 1)},${66 - (60 * count) / most}`);
    const picture = drawn("svg", { viewBox: "0 0 300 70", role: "img", "aria-label": `Course of ${column}` });
    picture.append(drawn("polyline", { points: points.join(" "), fill: "none", stroke: "currentColor", "stroke-width": 1.5 }));
    for (const point of points) {
      const [cx, cy] = point.split(",");
      picture.append(drawn("circle", { cx, cy, r: 2.5, fill: "currentColor" }));
    }
    const few = pairs.length <= 12 ? pairs : [...pairs.slice(0, 6), ...pairs.slice(-6)];
    const words = few.map(([step, count]) => `${step.toLocaleString("en")}: ${count}`).join(", ");
    return [
      make("h4", {}, `Its course: ${column.replaceAll("_", " ")} at the recorded threshold`), picture,
      make("p", { className: "small" }, `By step, ${words}.`),
    ];
  }
}

for (const root of document.querySelectorAll(".explorer")) {
  const data = root.querySelector("script");
  unpacked(data.textContent).then((content) => {
    root.explorer = new Explorer(root, content);
    root.dataset.ready = "";
  });
}
