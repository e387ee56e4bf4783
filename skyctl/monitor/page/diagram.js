// The process diagram as it fills: a letter a cell, as strong as the mapper is sure of it.

import { lookOf, prepared } from "./colours.js";

const by = (id) => document.getElementById(id);
const LEFT = 44, BOTTOM = 30, TOP = 4, RIGHT = 4;

export class Diagram {
  constructor() {
    new ResizeObserver(() => this.draw()).observe(by("map"));
  }

  show(map) {
    const there = Boolean(map?.labels);
    by("map-panel").hidden = !there;
    document.body.classList.toggle("mapping", there);
    this.map = there ? map : null;
    if (!there) return;
    const unsure = map.error.flat().reduce((sum, one) => sum + one, 0) / map.error.flat().length;
    by("map-text").textContent = `${map.shots} shots, ${(100 * unsure).toFixed(0)} % of it expected wrong`;
    by("map").setAttribute("aria-label", `Process diagram after ${map.shots} shots, rows from below: `
      + map.labels.map((row) => row.map((label) => lookOf(map.axes.classes[label]).letter).join("")).join(" "));
    this.draw();
  }

  draw() {
    if (!this.map) return;
    const [context, width, height] = prepared(by("map"));
    const { labels, error, fired, axes } = this.map, rows = labels.length, columns = labels[0].length;
    const w = (width - LEFT - RIGHT) / columns, h = (height - TOP - BOTTOM) / rows;
    const size = Math.min(13, h - 2);
    labels.forEach((row, i) => row.forEach((label, j) => {
      const look = lookOf(axes.classes[label]), sure = 1 - error[i][j];
      const x = LEFT + j * w, y = height - BOTTOM - (i + 1) * h;
      context.globalAlpha = 0.12 + 0.88 * Math.max(0, (sure - 0.25) / 0.75);
      context.fillStyle = look.colour;
      context.fillRect(x + 0.5, y + 0.5, w - 1, h - 1);
      context.globalAlpha = 1;
      context.fillStyle = sure > 0.55 ? "#10151b" : "#e8edf3";
      context.font = `bold ${size}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.fillText(look.letter, x + w / 2, y + h / 2 + size * 0.36);
      if (fired[i][j]) dot(context, x + w - 6, y + 6);
    }));
    this.axes(context, width, height, w, h);
  }

  axes(context, width, height, w, h) {
    const { rows, columns, row_name, column_name } = this.map.axes;
    context.fillStyle = "#9aa8b7";
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    const every = Math.ceil(13 / h);
    rows.forEach((value, i) => i % every || context.fillText(`${+value.toPrecision(3)}`, LEFT - 5, height - BOTTOM - (i + 0.5) * h + 4));
    context.textAlign = "center";
    const skip = Math.ceil(26 / w);
    columns.forEach((value, j) => j % skip || context.fillText(`${+value.toPrecision(3)}`, LEFT + (j + 0.5) * w, height - BOTTOM + 13));
    context.fillText(spelt(column_name), LEFT + (width - LEFT) / 2, height - 4);
    context.save();
    context.translate(10, (height - BOTTOM) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(spelt(row_name), 0, 0);
    context.restore();
  }
}

function dot(context, x, y) {
  context.fillStyle = "#000";
  context.beginPath();
  context.arc(x, y, 3.4, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "#fff";
  context.beginPath();
  context.arc(x, y, 2, 0, 2 * Math.PI);
  context.fill();
}

function spelt(name) {
  return { width_ps: "pulse width (ps)", amplitude_T: "field (T)", theta_deg: "angle θ (°)" }[name] ?? name;
}
