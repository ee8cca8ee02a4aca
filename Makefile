.PHONY: demo test test-all test-long check clean

# A test has one thread of its own, so each worker needs a core; some tests start processes besides.
pytest = .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

demo: .venv  ## train on the bundled recordings, generate audio and a picture
	.venv/bin/wavenet demo

test: .venv  ## the quick tests, of everything: at most four minutes on two cores
	$(pytest)

test-all: test  ## and then the slow ones: every engine with every network, kills at any moment
	$(pytest) -m "slow and not long"

test-long: .venv  ## what takes minutes or gigabytes: hours of audio, hundreds of kills, thousands of damaged files
	.venv/bin/python -m pytest -m "long or property" --hypothesis-profile long --timeout 3600

check: .venv  ## format, lint, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

.PHONY: .venv
.venv:
	@./setup.sh

clean:
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
