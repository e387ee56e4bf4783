// Belief, proposal and pulser: what is told in words, bars and tables.

import { fill, span } from "./curves.js";
import { spell } from "./film.js";

const by = (id) => document.getElementById(id);
const UNTRUSTED = 0.98;
const KINDS = { empty: "empty", one: "one skyrmion", other: "anything else" };

export function showBelief(belief) {
  const cells = [span("head", ""), span("head", "in −z"), span("", ""), span("head", "in +z"), span("", "")];
  for (const [kind, words] of Object.entries(KINDS)) {
    cells.push(span("", words));
    for (const sign of [-1, 1]) {
      const { p } = belief.states.find((state) => state.kind === kind && state.sign === sign);
      const track = document.createElement("div");
      track.className = "track";
      track.append(document.createElement("i"));
      fill(track, p);
      cells.push(track, span("p", percent(p)));
    }
  }
  by("belief").replaceChildren(...cells);
  by("belief-text").textContent = belief.text;
  const unsound = by("unsound");
  fill(unsound, belief.unsound, belief.unsound >= UNTRUSTED);
  Object.assign(unsound.lastElementChild.style, { display: "block", left: `${100 * UNTRUSTED}%` });
  by("unsound-text").textContent = percent(belief.unsound);
}

// What is asked for now, or else what was decided last.
export function showProposal(state) {
  const { request, decision, pulser } = state, shown = request ?? decision;
  by("proposal-title").textContent = request ? "Approve this pulse?" : "Proposal";
  if (!shown) return;
  const { pulse } = shown;
  by("pulse").textContent = `${shown.task}: ${pulse.text}`;
  by("reason").textContent = `${shown.agent}: ${shown.reason}. The film: ${request ? shown.film : shown.from_state}.`;
  fill(by("dose"), pulse.dose_T2ps / pulser.dose_each_T2ps);
  by("dose-text").textContent = `${round(pulse.dose_T2ps)} of ${round(pulser.dose_each_T2ps)} T²ps`;
  by("guard").textContent = request ? shown.guard : `${shown.guard} · ${decision.approval}`;
  by("guard").classList.toggle("no", shown.guard !== "allowed");
  showCandidates(shown, request);
}

function showCandidates(shown, request) {
  const rows = shown.candidates.slice(0, 6);
  by("candidates").hidden = rows.length === 0;
  by("candidates").tBodies[0].replaceChildren(...rows.map((each) => {
    const row = document.createElement("tr");
    row.classList.toggle("first", each.text === shown.pulse.text);
    for (const text of [each.text, each.chance === null ? "–" : percent(each.chance), round(each.dose_T2ps)]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

export function showPulser(state) {
  const { pulser, holds } = state, running = state.run && !state.run.ended;
  by("armed").textContent = pulser.armed ? "▲ ARMED" : "disarmed";
  by("armed").className = `chip ${pulser.armed ? "warn" : ""}`;
  meter("shots", pulser.shots, pulser.shots_most, "");
  meter("spent", pulser.dose_T2ps, pulser.dose_most_T2ps, " T²ps");
  by("current-meter").hidden = !pulser.current_most_A2s_per_m4; // no current may be fired here
  meter("current", pulser.current_A2s_per_m4, pulser.current_most_A2s_per_m4, " A²s/m⁴");
  const items = holds.map(({ who, why }) => {
    const item = document.createElement("li"), name = document.createElement("b");
    name.textContent = `${who}: `;
    item.append(name, why);
    item.className = running || state.stopped ? "" : "idle";
    return item;
  });
  if (!items.length) {
    const free = document.createElement("li");
    free.className = "free";
    free.textContent = "nothing holds fire";
    items.push(free);
  }
  by("holds").replaceChildren(...items);
  showFacts(state);
}

function meter(id, used, most, unit) {
  fill(by(id), used / most, used > 0.9 * most);
  by(`${id}-text`).textContent = `${round(most - used)} of ${round(most)}${unit} left`;
}

function showFacts(state) {
  const { p50, p99 } = state.latency, { counts } = state.film;
  const lost = Object.entries(counts).filter(([name, count]) => count && name !== "received" && name !== "stale");
  const facts = [
    ["latency", p50 === null ? "–" : `${p50.toFixed(1)} ms to a verdict, p99 ${p99.toFixed(1)} ms`],
    ["frames", `${counts.received} received, ${lost.length ? lost.map(([name, count]) => `${count} ${name.replace("_", " ")}`).join(", ") : "no gaps"}`, lost.length > 0],
  ];
  if (state.pulser.refused) facts.push(["refused", `${state.pulser.refused} pulses by the guard`]);
  facts.push(["model", state.model]);
  const nodes = facts.flatMap(([name, text, warn]) => term(name, text, warn));
  if (state.tiled) nodes.push(...term("Tiled", link(state.tiled)));
  if (state.recording) nodes.push(...term("file", state.recording.split("/").pop()));
  by("facts").replaceChildren(...nodes);
  by("log-box").hidden = !state.log.length;
  by("log").replaceChildren(...[...state.log].reverse().map((line) => {
    const item = document.createElement("li");
    const at = new Date(1000 * line.time).toLocaleTimeString([], { hour12: false });
    item.textContent = `${at} ${line.who}: ${line.action}${line.comment ? `, “${line.comment}”` : ""}`;
    return item;
  }));
}

function term(name, content, warn = false) {
  const dt = document.createElement("dt"), dd = document.createElement("dd");
  dt.textContent = name;
  dd.append(content);
  dd.classList.toggle("warn", warn);
  return [dt, dd];
}

function link(address) {
  const made = document.createElement("a");
  Object.assign(made, { href: address, target: "_blank", rel: "noopener noreferrer", textContent: "this run" });
  return made;
}

export function showRun(state) {
  const { run } = state;
  by("kind").hidden = state.kind === "live";
  by("kind").textContent = "▶ REPLAY";
  by("kind").className = "chip play";
  if (!run) {
    by("run").textContent = (state.title || "no run yet") + (state.killed ? " · the run was killed" : "");
    return;
  }
  const spent = spell(Math.max(0, (run.ended ?? state.time) - run.began));
  const ended = run.ended ? `ended: ${run.exit}${run.reason ? ` (${run.reason})` : ""}, ${spent}` : `running ${spent}`;
  by("run").textContent = [run.plan, run.mode, ended].filter(Boolean).join(" · ");
}

export function percent(p) {
  if (p > 0.999 && p < 1) return "> 99.9 %";
  return `${(100 * p).toFixed(p > 0.99 && p < 1 ? 1 : 0)} %`;
}

function round(value) {
  if (value >= 1e8) return value.toExponential(1); // a current's dose
  return value >= 1e5 ? `${(value / 1e3).toFixed(0)}k` : value.toFixed(0);
}
