# busduct: `make help` lists the targets. Only Python 3.11+ and cargo are presumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := python/busduct/_core.abi3.so
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SOURCES := $(shell find rust -name '*.rs') Cargo.toml Cargo.lock

export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help build run test test-rust test-loom test-python test-kills sanitize sanitize-rust sanitize-python check bench bench-shm bench-pool bench-fmq fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9,<2'
	$(BIN)/python -m pip install --quiet --group dev --group bench
	@touch $@

$(CORE): $(VENV)/.installed $(SOURCES)
	$(BIN)/maturin develop --release --quiet --extras cli,endpoint,model,plot,server
	@touch $@

build: $(CORE) ## make the virtual environment and the extension

run: build ## serve the embedded model at http://127.0.0.1:8000
	$(BIN)/busduct serve

test: test-rust test-loom test-python ## run every test

test-rust:
	cargo test --quiet
	$(PYTHON) tests/rust/boundary.py

test-loom: ## interleavings of the lock-free layer; LOOM_MAX_PREEMPTIONS=5 and up for more
	cargo test --quiet --manifest-path tests/rust/loom/Cargo.toml --target-dir target/loom

# In three processes, as most tests mostly wait. Again without shared memory, of which
# the pure-Python backend has none anyhow.
test-python: build
	$(BIN)/python -m pytest -n 3
	BUSDUCT_SHM=off $(BIN)/python -m pytest -n 3 tests/transport tests/interop -k 'not python'

test-kills: build ## kill 500 processes that share memory, and tell how soon others know
	BUSDUCT_KILLS=500 $(BIN)/python -m pytest -s tests/chaos

sanitize: sanitize-rust sanitize-python ## the tests under sanitizers of addresses and threads

# AddressSanitizer watches the heap and the stack; what is mapped has checks of its own.
sanitize-rust: ## the core's tests under AddressSanitizer, a ring under ThreadSanitizer
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_PROFILE_DEV_DEBUG=line-tables-only \
		cargo test --quiet --target $(HOST) --target-dir target/address --lib --test moved --test shm --test socket --test sync
	RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer' TSAN_OPTIONS=halt_on_error=1 timeout 600 \
		cargo run --quiet --manifest-path tests/rust/tsan/Cargo.toml --target-dir target/tsan --target $(HOST)

sanitize-python: $(VENV)/.installed ## the transport's tests on an extension under AddressSanitizer
	$(BIN)/python tools/address_sanitizer.py

check: build ## formatting, lints, types, and the stub against the extension
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	for package in loom tsan; do \
		cargo fmt --check --manifest-path tests/rust/$$package/Cargo.toml || exit 1; \
		cargo clippy --all-targets --quiet --manifest-path tests/rust/$$package/Cargo.toml --target-dir target/$$package -- -D warnings || exit 1; \
	done
	cargo clippy --features python --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --quiet
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --no-cache --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest busduct._core --concise --allowlist tests/parity/stubtest_allowlist.txt --ignore-unused-allowlist

bench: build ## measure beside pyzmq and others; prints the tables of README
	$(BIN)/python benches/python/bench_transport.py
	$(BIN)/python benches/python/bench_shm.py
	$(BIN)/python benches/python/bench_round_trips.py
	$(BIN)/python benches/python/bench_fan_out.py
	$(BIN)/python benches/python/bench_broadcast.py
	$(BIN)/python benches/python/bench_idle.py
	$(BIN)/python benches/python/bench_memory.py
	$(BIN)/python benches/python/bench_pool.py
	$(BIN)/python benches/python/bench_endpoint_client.py
	$(BIN)/python benches/python/bench_fmq.py
	cargo bench --quiet

bench-shm: build ## measure shared memory beside its peers; prints its targets
	$(BIN)/python benches/python/bench_shm.py
	$(BIN)/python benches/python/bench_round_trips.py --roles ping --sizes 32 --pin
	$(BIN)/python benches/python/bench_broadcast.py
	$(BIN)/python benches/python/bench_idle.py
	$(BIN)/python benches/python/bench_memory.py

bench-pool: build ## measure the worker pool and the client of endpoints; see docs/performance.md
	$(BIN)/python benches/python/bench_pool.py
	$(BIN)/python benches/python/bench_endpoint_client.py

bench-fmq: build ## measure queues beside FastDeploy's protocol and zmq.asyncio; prints targets
	$(BIN)/python benches/python/bench_fmq.py

fuzz: ## fuzz for a minute a target, from the corpus; needs cargo-fuzz
	cd rust/fuzz/corpus && for corpus in *.hex; do $(PYTHON) ../../../tools/fuzz_corpus.py unpack $$corpus $${corpus%.hex} || exit 1; done
	cd rust && for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list --fuzz-dir fuzz); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz $$target -- -max_total_time=60 -malloc_limit_mb=256 || exit 1; \
	done

clean: ## remove what was built
	rm -rf target $(VENV) $(CORE) dist
