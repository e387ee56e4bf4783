// STOP, release, approve and deny. What the server says of it is shown; the server decides.

const by = (id) => document.getElementById(id);
const SETTLE_MS = 500, FRESH_S = 2;

async function post(path, said) {
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(said),
    });
    return await answer.json();
  } catch {
    return { done: false, why: "no connection to the server: use the emergency stop at the instrument, or Ctrl-C" };
  }
}

export class Actions {
  constructor() {
    this.state = null;
    this.age = Infinity;        // of the state, s
    this.you = { name: "", role: "viewer" };
    this.asked = "";            // the shot that is asked for
    this.since = 0;             // when it came to be shown, ms
    by("stop").addEventListener("click", () => this.stop());
    by("release").addEventListener("click", () => this.askRelease());
    by("confirm-no").addEventListener("click", () => by("confirm").close());
    by("confirm-yes").addEventListener("click", () => this.release());
    by("approve").addEventListener("click", () => this.answer(true));
    by("deny").addEventListener("click", () => this.answer(false));
    by("ask").addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
    if (event.key === "S" && event.shiftKey && !typing && !event.ctrlKey && !event.altKey) this.stop();
  }

  // Never asked twice, never disabled, and not held up by anything on this page.
  async stop() {
    const { done, why } = await post("/api/stop", {});
    tell(done ? "" : `STOP: ${why}`);
  }

  askRelease() {
    const { stopped } = this.state;
    if (!stopped) return;
    this.releasing = stopped.number;
    by("confirm-text").textContent = `Release the stop by ${stopped.who} at ${clock(stopped.time)}? The plan may then fire what guard and approver let.`;
    by("confirm").showModal();
  }

  async release() {
    by("confirm").close();
    const { done, why } = await post("/api/release", { stop: this.releasing, stamp: this.state.stamp });
    tell(done ? "" : `Release: ${why}`);
  }

  async answer(approved) {
    const why = this.notNow(approved);
    if (why) return this.said(why);
    const shot = this.asked;
    const comment = by("comment").value;
    const result = await post("/api/answer", { shot, approved, comment, stamp: this.state.stamp });
    const verb = approved ? "Approved" : "Denied";
    this.said(result.done ? `${verb} by ${this.you.name}.` : `Not ${verb.toLowerCase()}: ${result.why}.`);
    if (result.done) by("comment").value = "";
  }

  said(text) {
    by("answered").textContent = text;
  }

  // Why no answer can be given now, or "".
  notNow(approved) {
    if (this.you.role !== "operator") return `You are a ${this.you.role}: only an operator answers.`;
    if (!this.asked) return "Nothing is asked.";
    if (this.age > FRESH_S) return "What is shown is old: wait for the connection.";
    if (performance.now() - this.since < SETTLE_MS) return "The question has just changed: read it first.";
    if (approved && this.state.stopped) return "Stopped: release first.";
    return "";
  }

  show(state) {
    this.state = state;
    const { request, stopped } = state;
    by("stopped").hidden = !stopped;
    if (stopped) by("stopped-by").textContent = `by ${stopped.who} at ${clock(stopped.time)}.`;
    setDisabled(by("release"), this.you.role !== "operator");
    if (stopped?.number !== this.releasing && by("confirm").open) by("confirm").close();
    by("ask").hidden = !request;
    const asked = request?.shot ?? "";
    if (asked !== this.asked) {
      this.asked = asked;
      this.since = performance.now();
      by("comment").value = "";
      if (asked) this.said("");
      document.title = asked ? "● approve? – skyctl" : "skyctl";
    }
  }

  // Every quarter of a second, also when no state comes: `age` : of the last one, s
  tick(age) {
    this.age = age;
    setDisabled(by("approve"), Boolean(this.notNow(true)));
    setDisabled(by("deny"), Boolean(this.notNow(false)));
    const request = this.state?.request;
    if (!request) return;
    const waited = Math.floor(request.since_s + age), left = Math.max(0, Math.floor(request.left_s - age));
    const code = `shot ${request.shot.slice(0, 4)}`;
    by("asked").textContent = `Asked ${waited} s ago (${code}); without an answer it is a no in ${left} s.${request.more ? ` A yes is good for more: this one${request.more}.` : ""}`;
  }
}

function setDisabled(button, disabled) {
  button.setAttribute("aria-disabled", String(disabled));
}

function tell(text) {
  by("notice").hidden = !text;
  by("notice").className = "banner bad";
  by("notice").textContent = text;
}

function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });
}
