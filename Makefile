# make run | cluster | test | lint | spec | bench | soak | fuzz | clean      ARGS="…" goes to the program that is run

HOST ?= 127.0.0.1
PORT ?= 6000
BIN := .venv/bin
READY := .venv/ready

.PHONY: run cluster test lint spec bench soak fuzz clean

run: $(READY)
	exec $(BIN)/chat-node $(HOST) $(PORT) $(ARGS)

cluster: $(READY)
	exec $(BIN)/python -m deploy.cluster $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py tests/test_prose.py
	$(BIN)/python spec/generate.py --check

spec: $(READY)
	$(BIN)/python spec/generate.py

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

soak: $(READY)
	$(BIN)/python -m tests.soak $(ARGS)

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(ARGS)

$(READY): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
