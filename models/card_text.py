"""The model card, written from what was measured."""

from typing import Any

from skyctl.inference.card import ModelCard
from skyctl.inference.rules import Rules, Validity
from skyctl.process import PROCESSES


def model_card(card: ModelCard, results: dict[str, Any]) -> str:
    """The card of an exported classifier, Markdown; ``results`` of ``recipe.make_classifier``."""
    if card.rules is None or card.valid is None:
        raise ValueError(f"model {card.name}: has no rules to describe")
    return f"""# {card.name}, version {card.version}

Names the process in a movie of a skyrmion film, frame by frame, from S_z and the clock.

{_network(card, results)}

{_held_out(results)}

{_calibration(card.rules, card, results)}

{_limits(card.valid)}

| | |
|---|---|
| lives sha256 | `{card.data_sha256}` |
| file sha256 | `{card.file_sha256}` |
| torch against ONNX Runtime, 50 carried steps | {results["parity"]:.1e} |
| train it again | `{results["command"]}` |
"""


def _network(card: ModelCard, results: dict[str, Any]) -> str:
    """What it is, and what it has seen."""
    return f"""\
**Network.** S_z on 50 × 50 cells through three convolutions, {card.hidden} gated units (GRU),
softmax over 18 transitions: what the film was (empty, one skyrmion, something else), what it
becomes, and whether its background turned over. The classes are sums of transitions. One frame in,
probabilities out; the hidden state is carried by the caller and starts at zero. The film is turned
so that the background of the first frame is -z, and grey values are counted from that background.
The clock tells the time to the pulse's peak, since the last frame, and the pulse's width; of
amplitude, angle and place of the pulse the network is told nothing.

**Learned from** {results["training_movies"]} movies of simulated lives (`skyctl.models.lives`): a
random sample, ten shots one after the other, what a loop fires that writes, switches, erases and
repairs. The first 600 lives are broad: both backgrounds, along and against the field, skyrmions off
the centre, local pulses at films with a skyrmion, films that begin with several skyrmions or
domains; damping 0.03–0.6, one life in five 50² to 200² sites. The others are narrow: samples and
pulses of the loop as it is (damping 0.08–0.45, 100² sites). One in eight is warm (to 1.5 K). Each
time a movie is learned from, another random camera: noise to 1.6, blur to 2.8 sites,
a pixel of one to four sites, gain 0.6–1.1 that drifts, offset to 0.12; a frame every 4 to 20 ps,
the first up to 10 ps before the pulse's peak. Truth is the film once it has settled
(`topology.film_truth`)."""


def _held_out(results: dict[str, Any]) -> str:
    """How well it names movies that it did not learn from."""
    test = results["test"]
    rows = "\n".join(
        f"| {name} | {results['movies'][name]} | {test['recall'][name]:.1%} | "
        f"{test['recall_of_named'][name]:.1%} | {test['coverage'][name]:.1%} |"
        for name in PROCESSES
    )
    confusion = "\n".join(
        f"| **{name}** | " + " | ".join(str(n) for n in line) + " |"
        for name, line in zip(PROCESSES, test["confusion"], strict=True)
    )
    everything, loops = (_by_noise(test[which]) for which in ("by_noise", "loops"))
    return f"""\
**Held out**: {results["calibration_movies"]} movies of other lives to calibrate with,
{test["movies"]} to test, each once by one such random camera. {test["accuracy"]:.1%} right,
{test["named"]:.1%} named, of those {test["accuracy_named"]:.2%} right.

| class | movies | recall | recall of the named | in its conformal set |
|---|---|---|---|---|
{rows}

| truth ↓, named → | {" | ".join(PROCESSES)} | unsure |
|---|{"---|" * (len(PROCESSES) + 1)}
{confusion}

Narrow lives, what the loop fires at samples like those it was made for:

| pixel noise | named | of those right | stopped early | of those wrong | read after the peak |
|---|---|---|---|---|---|
{loops}

All lives, broad ones too:

| pixel noise | named | of those right | stopped early | of those wrong | read after the peak |
|---|---|---|---|---|---|
{everything}"""


def _calibration(rules: Rules, card: ModelCard, results: dict[str, Any]) -> str:
    """When it names a class, ends a movie, or takes one for foreign."""
    test = results["test"]
    early, rule = test["early"], _early_rule(rules)
    return f"""\
**Calibrated** on narrow lives. Temperature {results["temperature"]:.2f}; expected calibration error
on the test movies {test["calibration_error"]:.3f}. A class is named where it is alone in the
conformal set (class-conditional coverage {rules.coverage:.0%}). Otherwise the network abstains.

**Early.** {rule}: at {rules.confidence:.0%} confidence no more than {rules.early_wrong:.1%} of all
movies are ended so with a wrong verdict. On the test movies: {early["stopped"]:.1%} ended,
{early["wrong_of_stopped"]:.2%} of them wrong, {early["read"]:.0%} of frames after the peak read.

**Worth**, as a belief reckons with it: {card.reliability.wrong:.2%} of sure verdicts are wrong,
{card.reliability.abstains:.1%} of movies are not named (calibration movies, ended early where they
may be).

**Novelty.** {test["novel"]:.1%} of the test movies are taken for foreign (limit: 1 % of the
calibration movies). A foreign movie is never named."""


def _early_rule(rules: Rules) -> str:
    if rules.early is None:
        return "No verdict ends a movie"
    return (
        f"One transition with a probability of {rules.early:.4f} or more in {rules.steady} frames "
        "in a row, of the class that is named, ends the movie from the pulse's peak on"
    )


def _limits(valid: Validity) -> str:
    """Of what movies it says anything."""
    return f"""\
**Valid** for frames {valid.interval_ps[0]:g} to {valid.interval_ps[1]:g} ps apart, the first
{-valid.first_after_peak_ps:g} ps before the pulse's peak at the latest, pixel noise up to
{valid.noise:g}, {valid.pixels} pixels or more each way, a first frame with a background of
{valid.level:g} or more. That is checked at run time; of any other
movie the network says nothing.

**Limits.** Chaotic pulses (low damping, boundaries of the process diagram) cannot be told before
they have settled, and not all by then. A bubble without charge looks like a skyrmion in S_z."""


def _by_noise(test: dict[str, Any]) -> str:
    return "\n".join(
        f"| {noise} | {found['named']:.1%} | {found['accuracy_named']:.1%} | "
        f"{found['early']['stopped']:.1%} | {found['early']['wrong_of_stopped']:.2%} | "
        f"{found['early']['read']:.0%} |"
        for noise, found in test.items()
    )
