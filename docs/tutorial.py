# %% [markdown]
# # Ten minutes with skyctl
#
# A pulse is fired at a magnetic film, a network watches the movie after it and says what happened,
# and a plan chooses the next pulse. Here all of it runs in this notebook; the film is simulated.
# You need `pip install 'bluesky-skyctl[cpu]'` and nothing else. Everything below was run when this
# page was built.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from skyctl.beamline import simulated_beamline
from skyctl.interrupts import run_engine

folder = Path(tempfile.mkdtemp())
beamline = simulated_beamline(folder)  # a pulser, a camera and a classifier around a film
print(beamline)
RE = run_engine(beamline, call_returns_result=True)  # Bluesky's, and Ctrl-C disarms the pulser

# %% [markdown]
# ## Look, then fire
#
# `classify_shot` takes a *look*, an image of the film at rest; fires one pulse; and films what
# follows, a *shot*. The first shot takes some seconds longer: kernels are compiled, once.

# %%
from skyctl.plans import classify_shot
from skyctl.pulse import Pulse, Spot

news = []
beamline.streaming.subscribe(news.append)  # whatever the network says
local = Pulse(amplitude_T=7.8, width_ps=16, theta_deg=40, spot=Spot(x=50, y=50, sigma=6))
shot = RE(classify_shot(beamline, local)).plan_result
print(shot.label, shot.counts.received, "frames")

# %% [markdown]
# A *verdict* is what the network says at a frame: how likely each process is. One that is certain
# ends the movie.

# %%
from skyctl.verdict import Verdict

for verdict in [each for each in news if isinstance(each, Verdict) and each.shot == shot.shot]:
    best = max(range(len(verdict.classes)), key=lambda k: verdict.probabilities[k])
    print(
        f"{verdict.movie_time_ps:4.0f} ps  {verdict.classes[best]:10} "
        f"{verdict.probabilities[best]:.2f}"
    )

# %% [markdown]
# ## Let a plan choose
#
# The film has a skyrmion now. `switch` reverses its polarity: it proposes a pulse, asks the guard
# in the pulser, fires, reads the verdict, and goes on from there. It sees beliefs and verdicts,
# never the simulator's truth.

# %%
from skyctl.plans import switch

result = RE(switch(beamline, shots=8)).plan_result
print(result.reached, result.pulses, [str(pulse) for pulse in result.proposed])

# %% [markdown]
# ## What is left of it
#
# Each run leaves a recording (NeXus/HDF5). Its shots are drawn as a film strip, a pulse a row:

# %%
from skyctl.pictures import film_strip, recorded_strips
from skyctl.recording.reader import Recording

path = Path(beamline.camera.recording)
with Recording(path) as recording:
    print(recording.frame_count, "frames of", recording.shape)
    film_strip(recorded_strips(recording), folder / "strip.png")
plt.figure(figsize=(12, 4))
plt.imshow(plt.imread(folder / "strip.png"))
plt.axis("off")
# %% [markdown]
# ## Replay it
#
# The recorded frames go through the same stream and the same network: the verdicts come out bit for
# bit, on a machine of the same kind. At a prompt it is `skyctl replay FILE.h5`.

# %%
from skyctl.inference.model import MovieClassifier
from skyctl.recording.replay import replay

with Recording(path) as recording:
    print(replay(recording, MovieClassifier()).identical)

# %% [markdown]
# ## Yours in its place
#
# - a movie of your own: `skyctl import stack.tif …`, then `skyctl replay` ([yours](yours.md))
# - an instrument: one file ([a beamline](instruments.md)); a plan of your own ([plans](plans.md))
# - your agent, camera or network, from a package of yours ([plug-ins](plugins.md))

# %%
beamline.close()
