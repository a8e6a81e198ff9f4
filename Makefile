# `make` is what has to pass before a commit; `make ci` before a merge.

GOLANGCI = go tool -modfile=tools/go.mod golangci-lint
FUZZTIME ?= 30s

.PHONY: all
all: fmt-check vet lint test ## Check formatting, vet, lint and test (the default)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: fmt
fmt: ## Format
	$(GOLANGCI) fmt ./...

.PHONY: fmt-check
fmt-check: ## Fail where gofmt or goimports would change a file
	$(GOLANGCI) fmt --diff ./...

.PHONY: vet
vet: ## Run go vet in every module
	bash .ci/run vet

.PHONY: lint
lint: ## Run golangci-lint in every module, as .golangci.yaml has it
	bash .ci/run lint

.PHONY: test
test: ## Run the tests of the root, proof and middleware/echov5 with the race detector, in random order
	go test -race -shuffle=on ./...
	go -C proof test -race -shuffle=on ./...
	go -C middleware/echov5 test -race -shuffle=on ./...

.PHONY: postgres
postgres: ## Run the tests of the store, and fail where Postgres is missing
	SESSILE_REQUIRE_POSTGRES=1 go test -race -shuffle=on -count=1 ./store/... ./internal/pgtest/...

.PHONY: cover
cover: ## Show the coverage of each package by the tests of the root
	go test -coverprofile=cover.out -coverpkg=./sessions/...,./store/...,./middleware/... ./...
	go tool cover -func=cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	bash .ci/fuzz $(FUZZTIME)

.PHONY: update
update: ## Rewrite the golden files from what the code does now; read the diff
	go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' sessions store middleware | xargs -n 1 dirname | sort -u | sed 's,^,./,') -update
	go -C interop test ./hosts -update

.PHONY: pictures
pictures: ## Take the pictures in docs/images again (needs Chromium)
	SESSILE_REQUIRE_CHROMIUM=1 go -C interop test -count=1 -run '^TestChromium$$/^pictures$$' . -update

.PHONY: tidy
tidy: ## Tidy every go.mod
	@for mod in $$(git ls-files 'go.mod' '*/go.mod'); do (cd $$(dirname $$mod) && go mod tidy) || exit 1; done

.PHONY: vuln
vuln: ## Look for known vulnerabilities in every module (needs https://vuln.go.dev)
	bash .ci/run vuln

.PHONY: ci
ci: ## Run everything that guards a change
	bash .ci/run
