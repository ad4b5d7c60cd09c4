# Every target says in one line what it does; `make` alone lists them.
GO      ?= go
BIN     := bin/pgsignet
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOL    := $(GO) tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help demo build deb test testenv drivers race suites lint vuln bench fuzz up down

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build testenv ## Watch psql log in to a real PostgreSQL with nothing but a certificate
	@$(BIN) demo

build: ## Build bin/pgsignet, static and stripped
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/pgsignet

# A version that dpkg orders: a tag's, or 0~git and the commit's date where there is none.
DEB_VERSION ?= $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' 2>/dev/null || git log -1 --date=format:%Y%m%d%H%M --format=0~git%cd.%h))

deb: export ARCH = $(shell $(GO) env GOARCH)
deb: export DEB_VERSION := $(DEB_VERSION)
deb: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
deb: build ## Build bin/pgsignet_VERSION_ARCH.deb: program, units, manual pages, completions
	@rm -rf bin/deb && mkdir -p bin/deb
	@$(GO) run ./testenv/deb/man $(BIN) $(DEB_VERSION) bin/deb
	@for shell in bash zsh fish; do $(BIN) completion $$shell > bin/deb/$$shell || exit 1; done
	@git log --no-merges --max-count=200 --format='%s' | fold -s -w 74 | \
	  awk '{print (more ? "    " : "  * ") $$0; more = / $$/}' | sed 's/ *$$//' | { \
	  printf 'pgsignet (%s) unstable; urgency=medium\n\n' '$(DEB_VERSION)'; cat; \
	  git log -1 --format='%n -- The pgsignet authors <pgsignet@example.org>  %cD'; } > bin/deb/changelog
	@gzip -9n bin/deb/*.[158] bin/deb/changelog
	@$(TOOL) nfpm package --config deploy/deb/nfpm.yaml --packager deb --target bin/

# What drives the built program: without -race in `make test`, with it in `make race`.
PROGRAM := ./testenv/e2e ./testenv/compat
PARTS   := $(shell $(GO) list ./... | grep -v -e /testenv/e2e$$ -e /testenv/compat$$)
# A program with the race detector sleeps a second when it exits, and the tests start hundreds.
test: export GORACE = atexit_sleep_ms=20
test: testenv drivers ## Run every test against a real PostgreSQL: the parts with -race, the program, figures and random cases
	@code=0; set -x; \
	$(GO) test -race -timeout 25m $(PARTS) || code=1; \
	$(GO) test -timeout 25m $(PROGRAM) || code=1; \
	$(GO) test -timeout 15m -run '(Alloc|Figure|IsCheap|IsFast|IsBounded|MillionEntries|AsPostgreSQL)' $(PARTS) || code=1; \
	exit $$code

race: export GORACE = atexit_sleep_ms=20
race: testenv drivers ## Run the program's tests with -race, too (some 20 min)
	$(GO) test -race -timeout 40m $(PROGRAM)

testenv: ## Install what the tests need and this machine lacks
	@$(GO) run ./testenv/pgserver/setup

drivers: ## Install the PostgreSQL drivers that the tests run through the broker
	@$(GO) run ./testenv/compat/setup || test -z "$$CI"

suites: testenv ## Run the suites of PostgreSQL and pgx through the broker (built once, cached; up to 45 min)
	$(GO) test -timeout 45m -tags suites -count 1 -v ./testenv/suites

bench: build testenv ## Compare with PgBouncer, side by side, and show how both grow (BENCH=scale); BENCH=row,… BENCH_SECONDS= BENCH_ROUNDS= PGBOUNCER= choose, BENCH_PAGE=docs/performance.md keeps
	$(GO) run ./testenv/bench -page "$(BENCH_PAGE)"

lint: ## gofmt, go vet, go mod tidy, staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(TOOL) staticcheck ./...

# The database of the Go project, or a copy of it: file:///srv/vulndb.
VULNDB ?= https://vuln.go.dev

vuln: ## Look for known vulnerabilities in the code that the program calls (govulncheck; VULNDB= is its database)
	@out=$$($(TOOL) govulncheck -db $(VULNDB) ./... 2>&1); code=$$?; \
	case "$$code $$out" in \
	  *"fetching vulnerabilities"*) echo "vuln: did not run, $(VULNDB) cannot be read: $${out##*fetching vulnerabilities: }";; \
	  *) echo "$$out"; exit $$code;; \
	esac

COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

up: ## Run PostgreSQL and pgsignet with docker compose; nothing but Docker is needed
	@$(COMPOSE) up -d
	@echo "Log in as alice, by her certificate:  $(COMPOSE) run --rm psql"

down: ## Stop what `make up` started and remove its volumes
	@$(COMPOSE) down -v --remove-orphans

FUZZTIME ?= 60s
fuzz: ## Run each fuzz target for FUZZTIME (default 60s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; done; done
