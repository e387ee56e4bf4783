// The film: the newest frame, live; or a movie played again. A crosshair tells the value under it.

import { painted, prepared, SHADES } from "./colours.js";
import { fetchMovie } from "./pictures.js";

const REPLAY_MS = 90, QUIET_S = 1.0;
const by = (id) => document.getElementById(id);

export class Film {
  constructor() {
    this.canvas = by("film");
    this.shown = null;          // the picture on the canvas
    this.at = 0;                // when it came, ms
    this.small = document.createElement("canvas");
    this.cross = null;          // [x, y] as parts of the film, from its lower left corner
    this.spot = null;           // of the pulse that is asked for, sites
    this.sitesAPixel = 1;
    this.playing = null;        // {shot, pictures, place, held}
    this.waiting = null;        // a live picture that is not drawn yet, and what to call then
    this.paints = [];
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    by("live").addEventListener("click", () => this.stopReplay());
    by("seek").addEventListener("input", () => this.seek(Number(by("seek").value)));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    drawBar();
  }

  // A live picture: painted with the screen's next one; `drawn` then tells the server.
  live(picture, drawn) {
    this.at = performance.now();
    const first = this.waiting === null;
    this.waiting = { picture, drawn };
    if (first) requestAnimationFrame(() => {
      const { picture: newest, drawn: tell } = this.waiting;
      this.waiting = null;
      this.newest = newest;
      if (!this.playing) this.show(newest);
      this.paints.push(performance.now());
      tell();
    });
  }

  show(picture) {
    this.shown = picture;
    painted(picture, this.small);
    this.draw();
  }

  draw() {
    if (!this.shown) return;
    const [context, width, height] = prepared(this.canvas);
    context.imageSmoothingEnabled = false;
    const scale = Math.min(width / this.shown.columns, height / this.shown.rows);
    const w = this.shown.columns * scale, h = this.shown.rows * scale;
    this.box = { left: (width - w) / 2, top: (height - h) / 2, w, h };
    context.drawImage(this.small, this.box.left, this.box.top, w, h);
    this.drawSpot(context);
    this.drawCross(context);
    this.tell();
  }

  // Where a pulse that is asked for would hit: a spot in sites, or null.
  aim(spot, sitesAPixel) {
    const same = JSON.stringify(spot) === JSON.stringify(this.spot);
    this.spot = spot;
    this.sitesAPixel = sitesAPixel;
    if (!same) this.draw();
  }

  drawSpot(context) {
    if (!this.spot || this.playing || this.spot.shape?.kind === "stripe") return;
    const site = this.box.w / (this.shown.columns * this.shown.step * this.sitesAPixel);
    const x = this.box.left + (this.spot.x + 0.5) * site;
    const y = this.box.top + this.box.h - (this.spot.y + 0.5) * site;
    for (const [dash, colour] of [[[], "#000"], [[6, 4], "#ffd35c"]]) {
      context.setLineDash(dash);
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, (this.spot.shape?.radius ?? this.spot.sigma) * site, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }

  drawCross(context) {
    if (!this.cross) return;
    const x = this.box.left + this.cross[0] * this.box.w;
    const y = this.box.top + (1 - this.cross[1]) * this.box.h;
    for (const [width, colour] of [[3, "rgb(0 0 0 / 60%)"], [1, "#ffd35c"]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x, this.box.top); context.lineTo(x, y - 5);
      context.moveTo(x, y + 5); context.lineTo(x, this.box.top + this.box.h);
      context.moveTo(this.box.left, y); context.lineTo(x - 5, y);
      context.moveTo(x + 5, y); context.lineTo(this.box.left + this.box.w, y);
      context.stroke();
    }
  }

  tell() {
    const { shown } = this;
    const frames = shown.expected > 1 ? `frame ${shown.index + 1} of ${shown.expected}` : "look";
    by("film-where").textContent = shown.expected > 1 ? `${shown.time_ps.toFixed(0)} ps · ${frames}` : "a look at the film";
    if (!this.cross) return;
    const column = Math.min(shown.columns - 1, Math.floor(this.cross[0] * shown.columns));
    const row = Math.min(shown.rows - 1, Math.floor(this.cross[1] * shown.rows));
    const level = shown.image[row * shown.columns + column];
    const value = level === 255 ? "no number" : signed((level - 127) / 127);
    by("film-value").textContent = `x ${column * shown.step}, y ${row * shown.step}: S_z ${value}`;
  }

  point(event) {
    if (!this.box) return;
    const around = this.canvas.getBoundingClientRect();
    const x = (event.clientX - around.left - this.box.left) / this.box.w;
    const y = 1 - (event.clientY - around.top - this.box.top) / this.box.h;
    if (x < 0 || x > 1 || y < 0 || y > 1) return;
    this.cross = [x, y];
    this.draw();
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (!step || !this.shown) return;
    event.preventDefault();
    const [x, y] = this.cross ?? [0.5, 0.5], far = event.shiftKey ? 10 : 1;
    const inside = (value) => Math.min(0.9999, Math.max(0, value));
    this.cross = [inside(x + (far * step[0]) / this.shown.columns), inside(y + (far * step[1]) / this.shown.rows)];
    this.draw();
  }

  // Play a shot's movie again, over and over, until somebody wants the live film back.
  async replay(shot) {
    const pictures = await fetchMovie(shot, 64, 512);
    if (!pictures.length) throw new Error("that movie has no frames");
    clearInterval(this.playing?.timer);
    this.playing = { shot, pictures, place: -1, held: false };
    Object.assign(by("seek"), { max: pictures.length - 1, hidden: false });
    by("live").hidden = document.body.classList.contains("recording");
    this.playing.timer = setInterval(() => this.next(), REPLAY_MS);
    this.next();
  }

  next() {
    const { playing } = this;
    if (playing.held) return;
    const last = playing.pictures.length - 1;
    playing.place += 1;
    if (playing.place > last + 8) playing.place = 0;   // rest on the last picture
    this.seekTo(Math.min(playing.place, last));
  }

  seek(place) {
    if (!this.playing) return;
    Object.assign(this.playing, { held: true, place });
    this.seekTo(place);
  }

  seekTo(place) {
    by("seek").value = place;
    this.show(this.playing.pictures[place]);
    this.onTime?.(this.playing.shot, this.shown.time_ps);
  }

  stopReplay() {
    if (!this.playing || document.body.classList.contains("recording")) return;
    clearInterval(this.playing.timer);
    this.playing = null;
    by("live").hidden = by("seek").hidden = true;
    if (this.newest) this.show(this.newest);
    this.onLive?.();
  }

  // What the badge and the lines under the film say; `old` : how old the state is, s.
  status(state, old) {
    const now = performance.now();
    this.paints = this.paints.filter((at) => now - at < 1000);
    const age = this.newest ? this.newest.age_s + (now - this.at) / 1000 : null;
    const [text, look] = this.badge(state, old, age);
    by("film-state").textContent = text;
    by("film-state").className = `chip ${look}`;
    if (state.kind === "recording") return;
    by("film-rates").textContent = `${this.paints.length} pictures/s painted · ${(state.film?.rate ?? 0).toFixed(0)} frames/s from the source`;
    by("film-age").textContent = age === null ? "" : `${spell(age)} old`;
  }

  badge(state, old, age) {
    if (this.playing) return [`▶ REPLAY of shot ${this.number ?? ""}`, "play"];
    if (old > 2) return [`⚠ STALE ${spell(old)}`, "bad"];
    if (age === null) return ["no frame yet", ""];
    if (!state.film?.shot) return [`❚❚ LAST FRAME, ${spell(age)} ago`, ""];
    if (age > QUIET_S) return [`⚠ STALE ${spell(age)}`, "bad"];
    return [state.kind === "replay" ? "▶ REPLAY, streamed" : "● LIVE", state.kind === "replay" ? "play" : "good"];
  }
}

export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

export function spell(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function drawBar() {
  const bar = by("bar"), context = bar.getContext("2d");
  const pixels = context.createImageData(14, 256), words = new Uint32Array(pixels.data.buffer);
  for (let y = 0; y < 256; y++) words.fill(SHADES[Math.min(254, 255 - y)], 14 * y, 14 * (y + 1));
  context.putImageData(pixels, 0, 0);
}
