// Probabilities of each class over the movie, as it runs; the verdict that may end it; novelty; states.

import { lookOf, prepared } from "./colours.js";

const by = (id) => document.getElementById(id);
const LEFT = 30, RIGHT = 22, TOP = 8, BOTTOM = 20;

export class Curves {
  constructor() {
    this.curve = null;
    this.time = null;     // of a replayed picture, ps
    this.limit = null;
    new ResizeObserver(() => this.draw()).observe(by("curves"));
  }

  show(curve, limit, name) {
    this.curve = curve;
    this.limit = limit;
    this.headline(name);
    this.legend();
    this.novelty();
    this.draw();
  }

  mark(time) {
    this.time = time;
    this.draw();
  }

  headline(name) {
    const { curve } = this, last = curve.points.at(-1);
    const look = lookOf(curve.label);
    by("verdict-letter").textContent = look.letter;
    by("verdict-letter").style.background = look.colour;
    by("verdict-label").textContent = curve.label ?? (last ? "no class named" : "no verdict");
    const best = last ? Math.max(...last.slice(1)) : null;
    by("verdict-more").textContent = [
      best === null ? "" : best.toFixed(2),
      curve.early_ps === null ? "" : `certain at ${curve.early_ps.toFixed(0)} ps`,
      curve.outside,
    ].filter(Boolean).join(" · ");
    by("verdict-shot").textContent = [name, curve.pulse?.text].filter(Boolean).join(": ");
  }

  legend() {
    const last = this.curve.points.at(-1);
    by("classes").replaceChildren(...this.curve.classes.map((name, k) => {
      const item = document.createElement("li"), look = lookOf(name);
      const letter = span("letter", look.letter);
      letter.style.background = look.colour;
      item.append(letter, span("", name), span("", last ? last[k + 1].toFixed(2) : ""));
      return item;
    }));
  }

  novelty() {
    this.meter("novelty", this.curve.novelty, this.limit, "foreign, abstains");
    this.meter("off-states", this.curve.off_states, 1, "no state of this sample, abstains");
  }

  meter(name, value, limit, beyond) {
    const track = by(name), known = value !== null && limit;
    by(`${name}-row`).hidden = !known;
    if (!known) return;
    const over = value > limit, top = 1.5 * limit;
    fill(track, value / top, over);
    Object.assign(track.lastElementChild.style, { display: "block", left: `${100 / 1.5}%` });
    by(`${name}-text`).textContent = `${value.toFixed(1)} of ${limit.toFixed(1)}${over ? `: ${beyond}` : ""}`;
  }

  draw() {
    const [context, width, height] = prepared(by("curves"));
    this.context = context;
    const points = this.curve?.points ?? [];
    const last = Math.max(this.curve?.pulse ? 40 : 100, ...points.map((point) => point[0]), this.curve?.pulse?.course.at(-1)[0] ?? 0);
    this.x = (ps) => LEFT + (ps / last) * (width - LEFT - RIGHT);
    this.y = (p) => height - BOTTOM - p * (height - TOP - BOTTOM);
    this.pulse();
    this.axes(last, width);
    if (!points.length) return;
    this.early(height);
    this.curve.classes.forEach((name, k) => this.line(name, points, k + 1));
    this.letters(points.at(-1));
    if (this.time !== null) this.upright(this.time, "#ffffff", []);
  }

  axes(last, width) {
    const { context } = this;
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const p of [0, 0.5, 1]) {
      context.strokeStyle = "#2a3440";
      context.beginPath();
      context.moveTo(LEFT, this.y(p));
      context.lineTo(width - RIGHT, this.y(p));
      context.stroke();
      this.write(p.toString(), LEFT - 5, this.y(p) + 4, "right");
    }
    const step = last > 120 ? 50 : last > 60 ? 20 : 10;
    for (let ps = 0; ps <= 0.95 * last; ps += step) this.write(ps.toString(), this.x(ps), this.y(0) + 15, "center");
    this.write("ps", width - 4, this.y(0) + 15, "right");
  }

  pulse() {
    const pulse = this.curve?.pulse, { context } = this;
    if (!pulse) return;
    context.fillStyle = "#1f2a36";
    context.beginPath();
    context.moveTo(this.x(0), this.y(0));
    for (const [ps, strength] of pulse.course) context.lineTo(this.x(ps), this.y(0.9 * strength));
    context.lineTo(this.x(pulse.course.at(-1)[0]), this.y(0));
    context.fill();
    const [peak] = pulse.course.reduce((most, point) => (point[1] > most[1] ? point : most));
    this.write("pulse", this.x(peak), this.y(0.9) - 4, "center");
  }

  early(height) {
    const { early_ps } = this.curve;
    if (early_ps === null) return;
    this.upright(early_ps, "#ffd35c", [5, 4]);
    const left = this.x(early_ps) > 120;
    this.write("certain", this.x(early_ps) + (left ? -5 : 5), height / 2, left ? "right" : "left", "#ffd35c");
  }

  upright(ps, colour, dash) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(this.x(ps), this.y(1));
    context.lineTo(this.x(ps), this.y(0));
    context.stroke();
    context.setLineDash([]);
  }

  line(name, points, column) {
    const { context } = this;
    context.strokeStyle = lookOf(name).colour;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    for (const point of points) context.lineTo(this.x(point[0]), this.y(point[column]));
    context.stroke();
  }

  // Letters at the ends of the lines, moved apart where they would cover each other.
  letters(last) {
    const ends = this.curve.classes
      .map((name, k) => ({ look: lookOf(name), y: this.y(last[k + 1]) + 4 }))
      .sort((a, b) => a.y - b.y);
    const floor = this.y(0) + 4;
    for (let k = 1; k < ends.length; k++) ends[k].y = Math.max(ends[k].y, ends[k - 1].y + 12);
    for (let k = ends.length - 1, most = floor; k >= 0; k--, most = ends[k + 1].y - 12) ends[k].y = Math.min(ends[k].y, most);
    this.context.font = "bold 12px system-ui, sans-serif";
    for (const { look, y } of ends) this.write(look.letter, this.x(last[0]) + 5, y, "left", look.colour);
  }

  write(text, x, y, align, colour = "#9aa8b7") {
    this.context.fillStyle = colour;
    this.context.textAlign = align;
    this.context.fillText(text, x, y);
  }
}

export function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

// A bar filled to a part of 1; hatched where that is more than it should be.
export function fill(track, part, high = false) {
  const bar = track.firstElementChild;
  bar.style.width = `${100 * Math.min(1, Math.max(0, part))}%`;
  bar.className = high ? "high" : "";
}
