# make demo   trains, scores and draws X3D on a generated AVA
# make test   lints, then runs the tests but for the slow ones
# make test-slow   runs those: whole runs, kills, ranks that hang; CI runs both
# All make .venv first; PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO := outputs/demo
MINI := data/ava_mini
CONFIG := configs/x3d_xs_ava_mini.yaml
# The test of `make demo` makes it small with these two.
MINI_OPTIONS :=
SETTINGS :=

.PHONY: demo test test-slow lint format clean

demo: $(DEMO)/videos/.drawn
	@echo
	@echo "The demo wrote:"
	@echo "  $(DEMO)/train/model.safetensors       the trained detector"
	@echo "  $(DEMO)/train/curves.png              loss, learning rate and frame-mAP over the training"
	@echo "  $(DEMO)/annotated_boxes/              report.html says why the score is what it is; json, csv, png"
	@echo "  $(DEMO)/detected_boxes/               the same with detected boxes"
	@echo "  $(DEMO)/videos/                       drawn videos and a contact sheet:"
	@ls $(DEMO)/videos | sed 's/^/    /'

test: $(READY) lint
	$(RUN) -m pytest -n 2 --dist worksteal -m "not slow" tests

test-slow: $(READY)
	$(RUN) -m pytest -n 2 --dist worksteal -m slow tests

lint: $(READY)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

clean:
	rm -rf outputs data/ava_mini data/kinetics_mini data/kinetics_motion .pytest_cache .ruff_cache .mypy_cache

$(READY): setup.py pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet -e ".[dev]"
	@touch $@

$(MINI)/manifest.json: | $(READY)
	$(RUN) tools/make_ava_mini.py --output-dir $(MINI) $(MINI_OPTIONS)

# The mark is made when the training has reached its end: its model appears at each evaluation.
$(DEMO)/train/.trained: $(MINI)/manifest.json $(CONFIG) | $(READY)
	$(RUN) tools/train_ava.py --config $(CONFIG) $(SETTINGS) --resume --output-dir $(DEMO)/train
	@touch $@

$(DEMO)/annotated_boxes/report.json: $(DEMO)/train/.trained
	$(RUN) tools/evaluate_ava.py --config $(CONFIG) $(SETTINGS) \
	    --checkpoint $(DEMO)/train/model.safetensors --output-dir $(@D)

$(DEMO)/detected_boxes/report.json: $(DEMO)/train/.trained
	$(RUN) tools/evaluate_ava.py --config $(CONFIG) $(SETTINGS) --set boxes.evaluate=detected \
	    --checkpoint $(DEMO)/train/model.safetensors --output-dir $(@D)

$(DEMO)/videos/.drawn: $(DEMO)/annotated_boxes/report.json $(DEMO)/detected_boxes/report.json
	$(RUN) tools/visualize_ava.py --config $(CONFIG) $(SETTINGS) --contact-sheet --max-videos 3 \
	    --detections $(DEMO)/detected_boxes/detections.csv --output-dir $(@D)
	@touch $@
