// Counts, means, intervals and crossings, as phasediag.analysis reckons them: bit by bit the same numbers.
const NO_DISTANCE = 255; // of a trial that has fewer distances than others
const OK = 0, DIVERGED = 1;

class Diagram {
  constructor({ head, arrays }) {
    Object.assign(this, { head, arrays });
    this.trials = arrays.cell.length;
    this.cells = arrays.cell_x.length;
    this.width = arrays.x.length;
    this.height = arrays.y.length;
    this.panels = head.facets.reduce((count, facet) => count * facet.values.length, 1);
    this.members = Array.from({ length: this.cells }, () => []);
    arrays.cell.forEach((cell, trial) => this.members[cell].push(trial));
    for (const members of this.members) members.sort((a, b) => arrays.replicate[a] - arrays.replicate[b]);
  }

  // The number of the panel of some values of the facets, given as positions.
  panel(chosen) {
    return this.head.facets.reduce((code, facet, at) => code * facet.values.length + chosen[at], 0);
  }

  // The cell that is shown at a place of the mesh; undefined where none is.
  shown(panel, column, row) {
    const source = this.arrays.source[(panel * this.height + row) * this.width + column];
    return source ? source - 1 : undefined;
  }

  // What a column counts of one trial at a threshold of the range; NaN where it has no distances.
  count(column, trial, place) {
    const length = this.head.lengths[column], passed = this.arrays[`passed_${column}`];
    const small = this.head.of_small.includes(column);
    let count = 0, known = false;
    for (let at = trial * length; at < (trial + 1) * length; at++) {
      if (passed[at] === NO_DISTANCE) continue;
      known = true;
      if (small ? passed[at] <= place : passed[at] > place) count++;
    }
    return known ? count : NaN;
  }

  // The order parameter of every trial; NaN where it has none.
  values(number, place) {
    const { counted, shared } = this.head.orders[number], recorded = this.arrays[`value_${number}`];
    if (!counted) return recorded;
    return recorded.map((value, trial) => {
      if (Number.isNaN(value)) return NaN;
      const count = this.count(counted, trial, place);
      if (!shared) return count;
      return this.arrays.most[trial] > 0 ? count / this.arrays.most[trial] : NaN;
    });
  }

  // Of every cell: mean with Student's interval, how many values, and shares of fates.
  statistics(number, place) {
    const order = this.head.orders[number], values = this.values(number, place);
    const { cell, status, late } = this.arrays, n = this.cells;
    const made = () => new Float64Array(n);
    const [mean, count, second, ok, diverged, unsettled] = [made(), made(), made(), made(), made(), made()];
    values.forEach((value, trial) => {
      const at = cell[trial];
      if (status[trial] === OK) { ok[at]++; unsettled[at] += late[trial]; }
      if (status[trial] === DIVERGED) diverged[at]++;
      if (Number.isFinite(value)) { mean[at] += value; count[at]++; }
    });
    for (let at = 0; at < n; at++) mean[at] = count[at] ? mean[at] / count[at] : NaN;
    values.forEach((value, trial) => {
      if (Number.isFinite(value)) second[cell[trial]] += (value - mean[cell[trial]]) ** 2;
    });
    const [lowest, highest] = order.bounds.map((bound, side) => bound ?? (side ? Infinity : -Infinity));
    const low = made().fill(NaN), high = made().fill(NaN), share = (part, all) => (all ? part / all : 0);
    for (let at = 0; at < n; at++) {
      if (count[at] < this.head.fewest) continue;
      // values that agree exactly tell nothing of the error
      if (second[at] <= count[at] * (1e-12 * mean[at]) ** 2) continue;
      const half = this.head.student[count[at]] * Math.sqrt(second[at] / (count[at] - 1) / count[at]);
      low[at] = Math.max(mean[at] - half, lowest);
      high[at] = Math.min(mean[at] + half, highest);
    }
    const divergedShare = ok.map((each, at) => share(diverged[at], each + diverged[at]));
    const unsettledShare = ok.map((each, at) => share(unsettled[at], each));
    // where most trials diverged, the others are no sample of the cell
    const decided = mean.map((each, at) => (divergedShare[at] <= 0.5 || order.name === "diverged" ? each : NaN));
    const phase = Array.from(mean, (value, at) => {
      if (divergedShare[at] > 0.5) return "diverged";
      if (!count[at]) return "missing";
      if (unsettledShare[at] > 0.5 && !order.of_training) return "unconverged";
      return order.level === null ? "" : order.phases[value < order.level ? 0 : 1];
    });
    return { values, mean, low, high, count, divergedShare, unsettledShare, decided, phase };
  }

  // Where each row crosses the level: { panel, row, cell, position } on the scale of x.
  crossings(number, { decided }) {
    const { level } = this.head.orders[number], { linked, cell_x, cell_y, cell_panel, x_at } = this.arrays;
    const crossings = [];
    if (level === null) return crossings;
    for (let cell = 0; cell + 1 < this.cells; cell++) {
      const start = decided[cell], end = decided[cell + 1];
      if (!linked[cell] || Number.isNaN(start) || Number.isNaN(end)) continue;
      if (start < level === end < level) continue;
      const from = x_at[cell_x[cell]], wide = x_at[cell_x[cell + 1]] - from;
      const position = from + (wide * (level - start)) / (end - start);
      crossings.push({ panel: cell_panel[cell], row: cell_y[cell], cell, position });
    }
    return crossings;
  }

  id(trial) {
    const digits = this.arrays.id.subarray(16 * trial, 16 * trial + 16);
    return Array.from(digits, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // The course of a count of one trial, as [step, count] pairs; empty where none is recorded.
  course(column, trial) {
    const first = this.arrays[`course_first_${column}`];
    if (!first) return [];
    const steps = this.arrays[`course_step_${column}`], counts = this.arrays[`course_count_${column}`];
    const pairs = [];
    for (let at = first[trial]; at < first[trial + 1]; at++) pairs.push([steps[at], counts[at]]);
    return pairs;
  }
}
