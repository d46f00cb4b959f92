# A thin front for Meson. `make help` lists the targets; programs end up in build/bin/.
BUILD ?= build
SAN_BUILD = build-sanitize
FUZZ_BUILD = build-fuzz
COV_BUILD = build-coverage
FUZZ_SECONDS ?= 30
MINUTES ?= 30
export MINUTES
export PKG_CONFIG_PATH := $(CURDIR)/.deps/lib/pkgconfig:$(PKG_CONFIG_PATH)
SETUP = $(if $(wildcard .deps/lib/libcrypto.a),-Dstatic_openssl=true)
SANITIZE = -Db_sanitize=address,undefined -Db_lundef=false
prefix ?= /usr/local

all: $(BUILD)/build.ninja ## build everything (the default)
	@ninja -C $(BUILD) --quiet

# The first build installs what is missing: see tools/bootstrap --help.
%/build.ninja:
	@tools/bootstrap
	@$(MAKE) --no-print-directory $*.setup
	@echo "building for the first time: some minutes"

$(BUILD).setup:
	@meson setup $(BUILD) $(SETUP) $(MESONFLAGS) >/dev/null

$(SAN_BUILD).setup:
	@meson setup $(SAN_BUILD) $(SETUP) $(SANITIZE) $(MESONFLAGS) >/dev/null

$(FUZZ_BUILD).setup:
	@tools/bootstrap --lint
	@CC=clang meson setup $(FUZZ_BUILD) $(SETUP) $(SANITIZE) -Dfuzz=true >/dev/null

# without optimisation: lines and branches are those of the source
$(COV_BUILD).setup:
	@CC=gcc meson setup $(COV_BUILD) $(SETUP) -Db_coverage=true -Dbuildtype=debug >/dev/null

demo: all ## one message end to end on a real twelve-node network
	@tools/demo $(BUILD)/bin

demo-accountable: all ## what a node pays that loses messages: audits, demands, healing on a real network
	@tools/demo-accountable $(BUILD)/bin

test: all ## all tests
	@tools/run-tests $(BUILD)

test-sanitize: $(SAN_BUILD)/build.ninja ## all tests with AddressSanitizer and UBSan
	@ninja -C $(SAN_BUILD) --quiet
	@tools/run-tests $(SAN_BUILD) -- --timeout-multiplier 4

coverage: $(COV_BUILD)/build.ninja ## lines and branches that the tests of five folders run: a table
	@tools/coverage $(COV_BUILD)

faults: all ## real processes under kills, stops, wrong clocks, cuts, full disks: CYCLES=1000
	@tools/run-faults $(BUILD) $(CYCLES)

soak: all ## ten nodes under load for MINUTES=30; a table that tells whether anything grows
	@python3 tests/faults/soak.py $(BUILD)/bin

bench: all ## benchmarks: tables beside the bare library calls
	@tools/run-bench $(BUILD)

fuzz: $(FUZZ_BUILD)/build.ninja ## fuzz every decoder, FUZZ_SECONDS each
	@ninja -C $(FUZZ_BUILD) --quiet
	@tools/run-fuzz $(FUZZ_BUILD) $(FUZZ_SECONDS)

SIM = $(BUILD)/tests/sim/sim$(if $(MUTANT),_mutants --mutate $(MUTANT)) --jobs $(shell nproc)
HOURS ?= 4
sim: all ## the whole network in one process: SEED=1 SEEDS=1 HOURS=4 NODES=0 TRACE=1 MUTANT=NAME
	@$(SIM) --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --hours $(HOURS) --nodes $(or $(NODES),0) \
	  --twice $(if $(TRACE),--trace)

sim-long: all ## 1,000 seeds of 24 virtual hours
	@$(SIM) --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1000) --hours 24

sim-mutants: all ## our own code with one mistake switched on, until the simulator notices: MUTANTS=all SEEDS=80
	@$(BUILD)/tests/sim/sim_mutants --jobs $(shell nproc) --mutants $(or $(MUTANTS),all) \
	  --seeds $(or $(SEEDS),80) --hours 3

lint: all ## tidy, cppcheck, clang-tidy
	@tools/bootstrap --lint
	@tools/tidy
	@tools/run-lint $(BUILD)

format: ## clang-format everything
	@tools/bootstrap --lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all ## install to $(prefix); DESTDIR is honoured
	@meson configure $(BUILD) --prefix=$(prefix)
	@meson install -C $(BUILD) --quiet

clean: ## remove build directories
	@rm -rf $(BUILD) $(SAN_BUILD) $(FUZZ_BUILD) $(COV_BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## /  make \1\t/p' Makefile | expand -t 24

.PHONY: all demo demo-accountable test test-sanitize coverage faults soak bench fuzz sim sim-long sim-mutants lint format install clean \
  help
.PRECIOUS: %/build.ninja
