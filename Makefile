.PHONY: demo test test-all test-long test-lowest check docs pictures docs-check clean .venv developers

# Windows has programs of an environment elsewhere.
bin := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# A test has one thread of its own, so each worker needs a core; some tests start processes besides.
workers := --numprocesses auto --maxprocesses 4 --dist worksteal
pytest := $(bin)/python -m pytest $(workers)
lowest := .venv-lowest

demo: .venv  ## train on the bundled recordings, generate audio and a picture
	$(bin)/wavenet demo

test: developers  ## the quick tests, of everything: seven to nine minutes on two cores
	$(pytest)

test-all: test  ## and then the slow ones: every engine with every network, kills, the pages' commands
	$(pytest) -m "slow and not long"

test-long: developers  ## what takes minutes or gigabytes: hours of audio, hundreds of kills, damaged files
	$(bin)/python -m pytest -m "long or property" --hypothesis-profile long --timeout 3600

test-lowest:  ## the quick tests with the lowest version of everything that pyproject.toml allows
	mkdir -p build
	$${PYTHON:-python3} -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*(d.split(",")[0].replace(">=", "==") for d in p["dependencies"]), sep="\n")' \
	    >build/lowest.txt
	PIP_CONSTRAINT=build/lowest.txt VENV=$(lowest) ./setup.sh test
	$(lowest)/bin/python -m pytest $(workers)

check: developers  ## format, lint, types
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

docs: developers  ## write the reference pages again from the code
	$(bin)/python -m docs.tools.settings_page
	$(bin)/python -m docs.tools.api_page

pictures: developers  ## draw the pictures of the pages again: two minutes
	$(bin)/python -m docs.tools.pictures

docs-check: developers  ## run the commands on every page and compare what they print
	$(bin)/python -m docs.tools.commands $(PAGES)

# What running the program needs, and with what its tests and checks need besides.
.venv:
	@./setup.sh

developers:
	@./setup.sh dev

clean:
	rm -rf .venv .venv-lowest runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
