"""The model card, written from what was measured."""

from collections.abc import Sequence
from typing import Any

from skyctl.inference.model import ModelCard
from skyctl.models.movie_set import MovieSet


def model_card(
    card: ModelCard, movies: MovieSet, results: dict[str, Any], classes: Sequence[str]
) -> str:
    """The card of an exported classifier, Markdown; ``results`` of ``recipe.make_classifier``."""
    test, rules = results["test"], card.rules
    if rules is None:
        raise ValueError(f"model {card.name}: has no rules to describe")
    early = test["early"]
    rows = "\n".join(
        f"| {name} | {results['movies'][name]} | {test['recall'][name]:.1%} | "
        f"{test['precision'][name]:.1%} | {test['coverage'][name]:.1%} |"
        for name in classes
    )
    confusion = "\n".join(
        f"| **{name}** | " + " | ".join(str(n) for n in line) + " |"
        for name, line in zip(classes, test["confusion"], strict=True)
    )
    rule = (
        f"A class named with a probability of {rules.early:.3f} or more, {rules.early_after_ps:g} "
        "ps after the pulse's peak or later, may be acted on before the movie is over"
        if rules.early is not None
        else "No verdict may be acted on before the movie is over"
    )
    return f"""# {card.name}, version {card.version}

Names the process in a movie of a skyrmion film, frame by frame, from S_z alone.

**Network.** {card.features} inputs ({card.preprocessing}: quantiles of S_z, and the regions above
and below five levels of it; see docs/classifier.md), {card.hidden} gated units (GRU), softmax over
{len(card.classes)} classes. One frame in, probabilities out; the hidden state is carried by the
caller and starts at zero. The film is turned so that the background of the first frame is -z.

**Learned from** {results["training_movies"]} of {len(movies)} simulated movies (`classifier_shots`)
of the atomistic film of skyctl, each as it is and in {results["views"] - 1} random cameras (noise
to 0.22, blur to 2.7 sites, binning to 4, gain that drifts): pulses of 26–36° and 44–62° (never
37–43°), 2–52 ps, damping 0.02–0.6, at a skyrmion; local and weak uniform ones at an empty film; one
film in five 50² to 200² sites, one in four with other couplings, one in ten warm (to 1.5 K).
Frames every 5, 10 or 15 ps. Truth is the topology of the relaxed state 125 ps after the peak.

**Held out**: {results["calibration_movies"]} movies to calibrate with, {test["movies"]} to test.
Tested on whole movies, a frame every 15 ps: {test["accuracy"]:.1%} right (the film itself),
{test["accuracy_cameras"]:.1%} in random cameras; {test["accuracy_short"]:.1%} of movies that end
65 ps after the peak, as the paper's.

| class | movies | recall | precision | in its conformal set |
|---|---|---|---|---|
{rows}

| truth ↓, named → | {" | ".join(classes)} |
|---|{"---|" * len(classes)}
{confusion}

**Calibrated.** Temperature {results["temperature"]:.2f}; expected calibration error on the test
movies {test["calibration_error"]:.3f}. A class is named where it is alone in the conformal set
(class-conditional coverage {rules.coverage:.0%}): {test["named"]:.1%} of the test
movies, {test["accuracy_named"]:.1%} of those right. Otherwise the network abstains.

**Early.** {rule}: at {rules.confidence:.0%} confidence that costs at most
{rules.early_gap:.0%} of the accuracy of whole movies. On the test movies it reads
{early["read"]:.0%} of the frames after the peak and costs {early["gap"]:.1%}; stopping at the first
p ≥ 0.8 reads {early["naive_read"]:.0%} and costs {early["naive_gap"]:.1%}.

**Novelty.** {test["novel"]:.1%} of the test movies are taken for foreign (limit: 1 % of the
calibration movies). A foreign movie is never named.

**Limits.** Chaotic pulses (low damping, boundaries of the process diagram) cannot be told before
they have settled, and not all by then. A bubble without charge looks like a skyrmion in S_z. Not
for films that begin with several skyrmions or domains: those are foreign to it.

| | |
|---|---|
| movies sha256 | `{card.data_sha256}` |
| file sha256 | `{card.file_sha256}` |
| torch against ONNX Runtime, 50 carried steps | {results["parity"]:.1e} |
| train it again | `{results["command"]}` |
"""
