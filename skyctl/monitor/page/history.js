// Shots as film strips, the newest first; one that is clicked is played again.

import { lookOf, painted } from "./colours.js";
import { span } from "./curves.js";
import { fetchMovie } from "./pictures.js";

const SHOWN = 60, SHOWN_OF_A_RECORDING = 2000, PICTURES = 6, SIDE = 40;
const by = (id) => document.getElementById(id);

export class History {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.cards = new Map();     // by shot
    this.items = new Map();
    // Pictures are fetched of the cards that are seen.
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.seen.unobserve(target);
        this.strip(target.querySelector("canvas"), target.dataset.shot);
      }
    });
  }

  // `all` : of a recording, whose shots are all told at once
  show(items, count, all) {
    const most = all ? SHOWN_OF_A_RECORDING : SHOWN;
    by("history-count").textContent = count ? `${count}, newest first; choose one to play it again` : "none yet";
    for (const item of items.slice(-most)) {
      const before = this.items.get(item.shot);
      this.items.set(item.shot, item);
      if (!before) this.add(item);
      else if (JSON.stringify(before) !== JSON.stringify(item)) this.fillIn(this.cards.get(item.shot), item);
    }
    while (this.cards.size > most) {
      const [oldest, card] = this.cards.entries().next().value;
      card.parentElement.remove();
      this.cards.delete(oldest);
      this.items.delete(oldest);
    }
  }

  add(item) {
    const entry = document.createElement("li"), card = document.createElement("button");
    card.type = "button";
    card.className = "shot";
    card.append(document.createElement("div"), document.createElement("canvas"), document.createElement("div"));
    card.firstElementChild.className = "top";
    card.addEventListener("click", () => this.onChoose(item.shot, item.number));
    entry.append(card);
    by("history").prepend(entry);
    this.cards.set(item.shot, card);
    this.fillIn(card, item);
    card.dataset.shot = item.shot;
    this.seen.observe(card);
  }

  fillIn(card, item) {
    const look = lookOf(item.label), letter = span("letter", look.letter);
    letter.style.background = look.colour;
    const chance = item.confidence === null ? "" : item.confidence.toFixed(2);
    card.firstElementChild.replaceChildren(span("dim", `${item.number}`), letter, span("", item.label || "no verdict"), span("dim", chance));
    const words = [item.pulse, item.film ? `left ${item.film}` : ""].filter(Boolean).join(" · ");
    const below = [span("dim", words)];
    if (item.problem || item.missing) below.push(span("dim problem", item.problem || `${item.missing} frames missing`));
    card.lastElementChild.replaceChildren(...below);
    card.title = [item.task, words, item.early ? "ended early by a certain verdict" : ""].filter(Boolean).join("\n");
    card.setAttribute("aria-label", `Shot ${item.number}, ${item.label || "no verdict"} ${chance}, ${words}. Play it again.`);
  }

  async strip(canvas, shot) {
    canvas.width = PICTURES * (SIDE + 2) - 2;
    canvas.height = SIDE;
    let pictures = [];
    try {
      pictures = await fetchMovie(shot, PICTURES, 2 * SIDE);
    } catch {
      return;       // its frames are not kept: the words still tell
    }
    const context = canvas.getContext("2d");
    pictures.forEach((picture, k) => context.drawImage(painted(picture), k * (SIDE + 2), 0, SIDE, SIDE));
  }

  mark(shot) {
    for (const [known, card] of this.cards) card.classList.toggle("playing", known === shot);
  }
}
