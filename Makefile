# `make` alone lists the targets.
GO    ?= go
BENCH ?= .
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help check test build bench fuzz cover clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## gofmt, vet, staticcheck and all tests with the race detector: what a change must pass
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race ./...

test: ## all tests, without the race detector
	$(GO) test ./...

build: ## the binary, bin/freshet
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/freshet ./cmd/freshet

bench: ## the benchmarks of the packages; BENCH=Regexp chooses
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

cover: ## coverage of the tests over all packages, as cover.out and a total
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	@$(GO) tool cover -func=cover.out | tail -n 1

clean: ## remove what the targets above made
	rm -rf bin cover.out
