# Each target sets up what it needs: a virtual environment in .venv, and for the tests Debian's Prometheus.
.PHONY: demo run test check bench accuracy clean
VENV := .venv
RUN  := $(VENV)/bin

demo: $(VENV)/ready  ## the whole service against a simulated censored Internet, on this machine only
	$(RUN)/wallwatch demo

run: $(VENV)/ready  ## the service on the real Internet, as config.toml says
	$(RUN)/wallwatch run

test: $(VENV)/ready  ## all tests, with coverage of the instrument and the judge
	.ci/services
	$(RUN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

check: $(VENV)/ready  ## style, types, architecture
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: $(VENV)/ready  ## speed, side by side with bare asyncio
	$(RUN)/python -m benchmarks

accuracy: $(VENV)/ready  ## how often the verdict is wrong, in the lab of tests/network; writes docs/accuracy.md
	.ci/services
	$(RUN)/python -m tests.network.accuracy --write

$(VENV)/ready: pyproject.toml constraints.txt .ci/venv
	.ci/venv $(VENV)
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
