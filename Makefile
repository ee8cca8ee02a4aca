.PHONY: demo test test-long check clean

demo: .venv  ## train on the bundled recordings, generate audio and a picture
	.venv/bin/wavenet demo

test: .venv  ## the tests
	.venv/bin/python -m pytest

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
