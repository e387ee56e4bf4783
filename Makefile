# make demo    the environment, then the demonstration
# make test    the environment, then lint, types, layers and tests
# make docs    the documentation as a site, build/site: notebooks run, warnings are errors
# make test-browser  Chromium, then the tests of the live page in it (Debian, as root)
# make screenshots   docs/figures/monitor*.png, taken anew
# make attack  what an attacker, a clumsy hand or a kill may do to guard, approver and accounts
# make gpu     all that needs an NVIDIA GPU, on a machine that has one and no network; first, where
#              there is a network: make gpu-wheels GPU_PYTHON=3.12 GPU_MORE="what it lacks"
PYTHON ?= python3
BIN := .venv/bin
# ONNX Runtime for the GPU only where there is one: the two distributions exclude each other.
RUNTIME := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: env demo docs test test-browser screenshots lint types tests slow bench fuzz attack gpu-wheels gpu clean

env: .venv/.run

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "skyctl needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[$(RUNTIME),catalogue]'
	touch $@

.venv/.test: .venv/.run
	$(PIP) -e '.[$(RUNTIME),train,test]'
	touch $@

demo: .venv/.run
	$(BIN)/skyctl demo

# Types beside the tests: each alone leaves a core idle.
test: lint
	@$(MAKE) --no-print-directory -j 2 types tests

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Type and layer checks want the one package that these folders are once installed: copy them so.
types: .venv/.test
	rm -rf build/types && mkdir -p build/types/skyctl
	cp -r skyctl/. devices models simulators build/types/skyctl/
	cd build/types && ../../$(BIN)/lint-imports --no-logo --config ../../pyproject.toml
	nice $(BIN)/pyright

# Three workers on two cores, as many tests wait for something; each leaves BLAS one thread. Bytecode
# is kept, whatever the machine's custom: pytest compiles all tests anew otherwise, in each worker.
tests: .venv/.test
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

.venv/.browser: .venv/.test
	$(PIP) -e '.[$(RUNTIME),train,test,browser]'
	command -v chromium >/dev/null || { apt-get update && apt-get install -y --no-install-recommends chromium; }
	touch $@

test-browser: .venv/.browser
	$(BIN)/pytest -m browser tests/monitor

screenshots: .venv/.browser
	$(BIN)/python tests/monitor/screenshots.py

# Docstrings are read from the one package that the folders are once installed, as for types.
.venv/.docs: .venv/.test
	$(PIP) -e '.[$(RUNTIME),train,test,docs]'
	touch $@

docs: .venv/.docs
	rm -rf build/types && mkdir -p build/types/skyctl
	cp -r skyctl/. devices models simulators build/types/skyctl/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

slow: .venv/.test
	$(BIN)/pytest -m slow

bench: .venv/.test
	$(BIN)/skyctl bench simulator --json benchmarks/simulator.json
	$(BIN)/skyctl bench monte-carlo --json benchmarks/monte_carlo.json
	$(BIN)/skyctl bench thinfilm --json benchmarks/thin_film.json
	$(BIN)/skyctl bench reader --json benchmarks/reader.json
	$(BIN)/skyctl bench states --json benchmarks/states.json
	$(BIN)/skyctl bench starts --json benchmarks/starts.json
	$(BIN)/skyctl bench reach --json benchmarks/reach.json
	$(BIN)/skyctl bench generator --json benchmarks/generator.json
	$(BIN)/skyctl bench loop --json benchmarks/loop.json
	$(BIN)/skyctl bench recording --json benchmarks/recording.json
	$(BIN)/skyctl bench stream --json benchmarks/stream.json
	$(BIN)/skyctl bench monitor --json benchmarks/monitor.json
	$(BIN)/skyctl bench faults --json benchmarks/faults.json
	$(BIN)/skyctl bench soak --minutes 10 --json benchmarks/soak.json

fuzz: .venv/.test
	$(BIN)/python tests/fuzz/parsers.py --inputs 1000000 --json benchmarks/fuzz.json
	$(BIN)/python tests/fuzz/guard.py --proposals 1000000 --json benchmarks/fuzz_guard.json

ATTACKED := $(addprefix tests/,test_interrupts.py cli/test_run.py cli/test_approval.py \
	devices/test_guard.py devices/test_pulser.py devices/test_ledger.py devices/test_classifier.py \
	devices/test_camera.py plans/test_modes.py plans/test_provenance.py queueserver \
	recording/test_writer.py recording/test_reader.py recording/test_recover.py \
	recording/test_replay.py recording/test_commands.py inference/test_model.py \
	inference/test_torque_network.py stream/test_keys.py stream/test_faults.py \
	monitor/test_controls.py monitor/test_server.py)

attack: .venv/.test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal \
		-m "attack or not slow" $(ATTACKED)
	$(BIN)/python tests/fuzz/guard.py --proposals 300000
	$(BIN)/python tests/fuzz/interrupts.py --interrupts 1000

gpu-wheels:
	$(PYTHON) benchmarks/gpu/wheels.py $(if $(GPU_PYTHON),--python $(GPU_PYTHON)) $(GPU_MORE)

# TRIAL=--trial tries it on numba's simulator of a GPU.
gpu:
	$(PYTHON) benchmarks/gpu/environment.py $(TRIAL)
	build/gpu/bin/python benchmarks/gpu/check.py $(TRIAL)

clean:
	rm -rf .venv build runs *.egg-info
