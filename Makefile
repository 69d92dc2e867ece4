SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How long `make fuzz` gives each target, and how often `make chaos` kills.
FUZZTIME ?= 20s
KILLS ?= 500

# The version comes from git, by way of the build information that Go embeds.
# -buildvcs=true fails without a commit, so that is looked up first.
VCS := $(shell git rev-parse --quiet --verify HEAD >/dev/null 2>&1 && echo true || echo false)
# The race detector needs a C compiler; Go switches cgo off where there is none.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
# Development tools have a module of their own, so that none of what they need
# becomes a dependency of the program.
TOOL := go tool -modfile=tools/go.mod
SCRIPTS = $(shell find . -path ./.git -prune -o -path ./.cache -prune -o -name '*.sh' -print) .ci/run

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-10s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build the static binary bin/heddle
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -o bin/heddle ./cmd/heddle

.PHONY: run
run: build ## build, then run examples/hello.yaml as plain processes
	bin/heddle run --executor process --data-dir .cache/data -f examples/hello.yaml

.PHONY: test
test: ## the one test command: set up, lint, all tests
	@test/testbed/setup.sh
	@$(if $(RACE),,echo "left out: the race detector: it needs cgo and a C compiler")
	@status=0; \
	eval "$$(test/testbed/env.sh)"; \
	[ -n "$${TESTBED_KEEP:-}" ] || trap test/testbed/down.sh EXIT; \
	$(MAKE) --no-print-directory --keep-going lint || status=1; \
	echo "go test $(RACE) ./..."; \
	$(TOOL) gotestsum --format standard-quiet --no-color \
		--post-run-command "bash -c 'echo \$$((TESTS_TOTAL - TESTS_FAILED - TESTS_SKIPPED)) passed, \$$TESTS_FAILED failed, \$$TESTS_SKIPPED skipped'" \
		-- $(RACE) -timeout 20m ./... || status=1; \
	exit $$status

.PHONY: lint
lint: lint-fmt lint-vet lint-static lint-mod lint-scripts ## all static checks

.PHONY: lint-fmt
lint-fmt:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is due on:"; echo "$$unformatted"; exit 1; fi

.PHONY: lint-vet
lint-vet:
	GOOS=linux go vet ./...
	GOOS=darwin CGO_ENABLED=0 go vet ./...
	GOOS=windows CGO_ENABLED=0 go vet ./...

.PHONY: lint-static
lint-static:
	$(TOOL) staticcheck ./...

# -e: tidy also looks at the tests of dependencies, and not all that those import
# can be had from every module proxy. What this module needs is still compared.
.PHONY: lint-mod
lint-mod:
	go mod tidy -e -diff
	cd tools && go mod tidy -diff

.PHONY: lint-scripts
lint-scripts:
	@for script in $(SCRIPTS); do bash -n "$$script"; done

.PHONY: fuzz
fuzz: ## fuzz every target, each for FUZZTIME (default 20s)
	@grep -rEo --include='*_test.go' '^func Fuzz\w+' . | while IFS=: read -r file decl; do \
		echo "$$file $${decl#func } $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$${decl#func }\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$(dirname "$$file")" </dev/null; \
	done

.PHONY: bench
bench: ## measure speed against bare loops run beside it
	bench/run.sh

.PHONY: chaos
chaos: ## every crash point on every store and executor, KILLS random kills (default 500); `test` has the short form
	@test/testbed/setup.sh
	eval "$$(test/testbed/env.sh)"; HEDDLE_CHAOS_ALL=1 HEDDLE_CHAOS_KILLS=$(KILLS) go test -count=1 -timeout 0 -v ./test/chaos

.PHONY: verify
verify: ## regenerate, lint and test, then fail if that left the tree dirty
	go generate ./...
	@$(MAKE) --no-print-directory test
	@dirty=$$(git status --porcelain); \
	if [ -n "$$dirty" ]; then echo "not committed:"; echo "$$dirty"; exit 1; fi

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin .cache
