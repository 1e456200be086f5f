// Scales of axes, their ticks, and numbers as they are written.
function inverse(axis, at) {
  if (axis.kind === "log") return Math.exp(at);
  return axis.kind === "asinh" ? Math.sinh(at) * axis.width : at;
}

function forward(axis, value) {
  if (axis.kind === "log") return Math.log(value);
  return axis.kind === "asinh" ? Math.asinh(value / axis.width) : value;
}

function written(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= 1e7)) {
    const [factor, exponent] = value.toExponential(digits - 1).split("e");
    return `${+factor}e${+exponent}`.replaceAll("-", "−");
  }
  return String(+value.toPrecision(digits)).replace("-", "−");
}

// Round values between two ends, at most about so many.
function evenTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at++) ticks.push(at * step);
  return ticks;
}

// Values at which an axis that shows [low, high] of its scale has numbers.
function ticksOf(axis, low, high, most) {
  const [start, end] = [inverse(axis, low), inverse(axis, high)];
  if (axis.kind === "linear") return evenTicks(start, end, most);
  const ticks = axis.kind === "asinh" && start <= 0 ? [0] : [];
  const first = Math.floor(Math.log10(Math.max(start, axis.kind === "asinh" ? axis.width : Number.MIN_VALUE)));
  const decades = Math.log10(end) - first;
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const values = [];
    for (let exponent = first; exponent <= Math.log10(end); exponent++)
      for (const factor of factors) values.push(factor * 10 ** exponent);
    const inside = values.filter((value) => value >= start * (1 - 1e-9) && value <= end * (1 + 1e-9));
    if (inside.length + ticks.length <= most || factors.length === 1) {
      const thin = Math.ceil(inside.length / most) || 1;
      ticks.push(...inside.filter((_, at) => at % thin === 0));
      break;
    }
  }
  return ticks.length >= 2 || decades > 2 ? ticks : evenTicks(start, end, most).filter((v) => v > 0 || axis.kind !== "log");
}
