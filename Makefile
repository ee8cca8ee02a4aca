.PHONY: demo test check clean

demo: .venv  ## train on the bundled recordings, generate audio and a picture
	.venv/bin/wavenet demo

test: .venv  ## the tests
	.venv/bin/python -m pytest

check: .venv  ## format, lint, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

.PHONY: .venv
.venv:
	@./setup.sh

clean:
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
