// The page: one socket brings states and frames; each is acknowledged once it is shown.

import { Actions } from "./actions.js";
import { Curves } from "./curves.js";
import { Diagram } from "./diagram.js";
import { Film } from "./film.js";
import { History } from "./history.js";
import { showBelief, showProposal, showPulser, showRun } from "./panels.js";
import { unpack } from "./pictures.js";

const by = (id) => document.getElementById(id);
const film = new Film(), curves = new Curves(), diagram = new Diagram(), actions = new Actions();
const history = new History(replay);
let state = null, stateAt = 0, socket = null, wait_ms = 250;

async function replay(shot, number) {
  try {
    const [, answer] = await Promise.all([film.replay(shot), fetch(`/shot/${encodeURIComponent(shot)}`)]);
    film.number = number;
    history.mark(shot);
    if (answer.ok) curves.show(await answer.json(), state.novelty_limit, `shot ${number}`);
  } catch (error) {
    notice(error.message);
  }
}

film.onTime = (_, time) => curves.mark(time);
film.onLive = () => {
  history.mark("");
  curves.mark(null);
  if (state?.curve) curves.show(state.curve, state.novelty_limit, "");
};

function show(next) {
  const first = state === null;
  state = next;
  stateAt = performance.now();
  document.body.classList.toggle("recording", state.kind === "recording");
  document.body.classList.toggle("replay", state.kind === "replay");
  showRun(state);
  history.show(state.history, state.shots, state.kind === "recording");
  if (state.belief) showBelief(state.belief);
  if (state.curve && !film.playing) curves.show(state.curve, state.novelty_limit, "");
  if (state.pulser) {
    showProposal(state);
    showPulser(state);
    actions.show(state);
    film.aim(state.request?.pulse.spot ?? null, state.film.pixel_sites);
    document.body.classList.toggle("asking", Boolean(state.request));
    diagram.show(state.map);
  }
  if (first && state.kind === "recording" && state.history.length) {
    replay(state.history.at(-1).shot, state.history.at(-1).number);
  }
}

function tick() {
  const age = state === null ? Infinity : (performance.now() - stateAt) / 1000;
  if (state) film.status(state, state.kind === "recording" ? 0 : age);
  actions.tick(age);
  const chip = by("connection");
  if (state?.over) set(chip, "ended", "");
  else if (socket?.readyState !== WebSocket.OPEN) set(chip, "⚠ no connection", "bad");
  else if (age > 2 && state?.kind !== "recording") set(chip, "⚠ stale", "bad");
  else set(chip, state.watching > 1 ? `connected, ${state.watching} look` : "connected", "good");
}

function set(chip, text, look) {
  if (chip.textContent !== text) chip.textContent = text;
  chip.className = `chip ${look}`;
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  const mine = socket;
  const drawn = (what) => mine.readyState === WebSocket.OPEN && mine.send(what);
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return film.live(unpack(data)[0], () => drawn("frame"));
    const said = JSON.parse(data);
    if (said.you) return hello(said.you);
    show(said);
    tick();
    drawn("state");
  };
  socket.onclose = () => {
    tick();
    if (state?.over) return notice(`This run's page is closed.${state.recording ? ` Look at it again: skyctl monitor ${state.recording}` : ""}`);
    notice("No connection to the server. What is shown is old; trying again …");
    wait_ms = Math.min(5000, 2 * wait_ms);
    setTimeout(connect, wait_ms);
  };
}

function hello(you) {
  wait_ms = 250;
  notice("");
  actions.you = you;
  by("you").textContent = `${you.name} (${you.role})`;
}

function notice(text) {
  by("notice").hidden = !text;
  by("notice").className = "banner";
  by("notice").textContent = text;
}

document.addEventListener("keydown", (event) => event.key === "Escape" && !by("confirm").open && film.stopReplay());
setInterval(tick, 250);
connect();
