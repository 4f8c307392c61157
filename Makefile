# SPDX-License-Identifier: GPL-3.0-or-later
# slapos: build, demonstrate, test. `make help` lists the targets.

GO       ?= go
PYTHON   ?= python3
VERSION  := 1.26.1
COMMIT   := $(shell git rev-parse --short=10 HEAD 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# Without the writer of man pages of package cli, which takes time at each start:
# ours are made by `make man`.
TAGS     := urfave_cli_no_docs
TESTENV  := var/testenv
# Releases of slapos.core whose promises are tried too: the last one that runs
# them by its own launcher, and one that doesn't.
OLDCORES := 1.21.1 1.24.1
# What `make pins` resolves versions with.
UV       := uv==0.13.9
# A server of S3, to test contents in a bucket with.
S3SERVER := github.com/versity/versitygw/cmd/versitygw@v1.8.0
# What `make release` makes packages, images and lists of contents with; the version of
# packages, their time, and the gpg key that signs them (none: they aren't signed).
NFPM     := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CRANE    := github.com/google/go-containerregistry/cmd/crane@v0.22.1
SYFT     := github.com/anchore/syft/cmd/syft@v1.57.1
PACKAGE  ?= $(shell docs/packaging/version.sh)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
KEY      ?=
# How long `make fuzz` tries each target, and below which directories.
FUZZTIME ?= 5m
FUZZDIRS ?= .
# Pythons for the long promise tests, of any version, beside the one above.
PYTHONS  ?= $(wildcard $(HOME)/.pyenv/versions/*/bin/python /usr/bin/python2.7)
PROMISEENV := var/promise
# How often `make soak` kills the agent.
KILLS    ?= 300
# Where `make install` puts things; DESTDIR is for those who make packages.
PREFIX   ?= /usr/local
LINTER   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: reaction help build program install man completions licenses release try-packages docs demo tutorial demo-clean test testenv testenv-newest pins promise-toolbox slapos-testing soak verdicts panel-bench fleet mutations lint fuzz clean check-tools

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

# What the README names for `make demo` and `make test`, and nothing else.
check-tools:
	@case $$($(GO) env GOVERSION 2>/dev/null) in go1.2[6-9]*|go1.[3-9][0-9]*|go[2-9]*) ;; \
	*) echo "make: Go 1.26 or newer is missing: install it from https://go.dev/dl (or make GO=/path/to/go)"; exit 1 ;; esac
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "make: Python 3.11 or newer with venv is missing: install packages python3 and python3-venv (or make PYTHON=/path/to/python)"; exit 1; }
	@echo '#include <stdlib.h>' | gcc -fsyntax-only -x c - 2>/dev/null || \
	{ echo "make: gcc with the headers of the C library is missing: install packages gcc and libc6-dev"; exit 1; }

build: program man completions licenses ## the static binary, bin/slapos, its manuals, completions and licences

program:
	@command -v $(GO) >/dev/null || { echo "make: Go 1.26 or newer is missing: install it from https://go.dev/dl (or make GO=/path/to/go)"; exit 1; }
	CGO_ENABLED=0 $(GO) build -buildvcs=false -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/slapos ./cmd/slapos
	ln -sf slapos bin/slapos-watchdog

man: program ## a man page for each command, in bin/man/man1
	bin/slapos help --man bin/man/man1

completions: program ## what completes the command line in bash, zsh and fish, in bin/completions
	mkdir -p bin/completions
	for shell in bash zsh fish; do bin/slapos complete --shell $$shell > bin/completions/slapos.$$shell || exit 1; done

licenses: ## the licence texts of all that is linked, in bin/licenses
	GO=$(GO) TAGS=$(TAGS) docs/packaging/licenses.sh bin/licenses

install: ## what `make build` made, with units and examples, below PREFIX (/usr/local); needs no Go
	PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) docs/packaging/install.sh

release: build var/bin/nfpm var/bin/crane var/bin/syft ## packages, archives, images, SBOM and checksums of this commit, in var/release; KEY= signs
	GO=$(GO) TAGS=$(TAGS) LDFLAGS='$(LDFLAGS)' TOOLS=$(CURDIR)/var/bin PACKAGE=$(PACKAGE) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) KEY='$(KEY)' \
	  docs/packaging/release.sh var/release

try-packages: var/bin/nfpm var/bin/crane var/bin/syft ## packages built twice and compared; installed, changed and removed on clean systems: takes long, needs root
	SLAPOS_TEST_PACKAGES=1 $(GO) test -count 1 -timeout 120m -v -run 'TestPackages|TestRelease' ./docs

reaction: program ## how fast a node with an agent reacts, and what the agent costs: the whole takes two minutes
	$(PYTHON) .ci/reaction.py bin/slapos

docs: program ## docs/commands.md, from the help of the commands
	bin/slapos help --markdown > docs/commands.md

testenv: $(TESTENV)/.ready var/bin/versitygw var/bin/nfpm ## the Python environment and the programs that tests use

var/bin/versitygw: TOOL = $(S3SERVER)
var/bin/nfpm: TOOL = $(NFPM)
var/bin/crane: TOOL = $(CRANE)
var/bin/syft: TOOL = $(SYFT)
var/bin/%:
	GOBIN=$(CURDIR)/var/bin CGO_ENABLED=0 $(GO) install -trimpath -ldflags '-s -w' $(TOOL)

# Buildout, the original's promise classes, Python's supervisor and network cache
# client, plugins of others: .ci/requirements.in says what, requirements.txt which.
%/.ready: .ci/requirements.txt .ci/pip promise/testdata/releases.sh
	rm -rf $*
	$(PYTHON) -m venv $*
	.ci/pip $*/bin/python build
	# First: beside an installed slapos.core, old ones are built as that version.
	SLAPOS_NEWEST= promise/testdata/releases.sh $*/core $*/bin/python $(OLDCORES)
	for section in buildout tests axe openapi toolbox; do .ci/pip $*/bin/python $$section || exit 1; done
	touch $@

testenv-newest: check-tools program testenv ## what would break with the newest of all Python packages, in var/testenv-newest
	rm -rf var/testenv-newest
	SLAPOS_NEWEST=1 $(MAKE) var/testenv-newest/.ready
	.ci/newest var/testenv-newest

pins: ## versions and hashes of all Python packages anew, in .ci/requirements.txt
	$(PYTHON) -m venv var/pins
	var/pins/bin/python -m pip install -q --disable-pip-version-check $(UV)
	PATH=$(CURDIR)/var/pins/bin:$$PATH $(PYTHON) .ci/pins.py $(firstword $(wildcard $(HOME)/.pyenv/versions/2.7*/bin/python /usr/bin/python2.7))

test: check-tools program testenv ## every test, with the race detector
	$(GO) vet ./...
	# -count 1: a cached result knows nothing of what the machine has by now.
	GO=$(GO) .ci/test.py -race -count 1 -timeout 20m ./...

mutations: export SLAPOS_TEST_MUTATIONS = $(or $(ONLY),.)
mutations: check-tools testenv ## each security check of docs/security.md, or those with a word (ONLY), taken out: its test must fail
	GO=$(GO) $(GO) test -count 1 -timeout 120m -v -run TestMutations ./docs

fuzz: check-tools testenv ## each fuzz target for FUZZTIME (5m), below FUZZDIRS (all)
	@grep -rH --include='*_test.go' '^func Fuzz' $(FUZZDIRS) | sed -E 's|/[^/]*_test.go:func (Fuzz[A-Za-z0-9_]*).*| \1|' | sort | \
	while read -r package target; do \
	  echo "== $$package $$target"; \
	  $(GO) test "./$$package" -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) </dev/null || exit 1; \
	done

verdicts: check-tools testenv ## verdicts on parameters for all releases below SCHEMAS, a directory, compared with slapos.core's
	SLAPOS_TEST_SCHEMAS=$(abspath $(SCHEMAS)) $(GO) test -count 1 -timeout 60m -v -run TestVerdictsOfReleases ./slap/schema

fleet: check-tools ## 50 clients download the same 300 MB at once over a slow link, through a proximity cache: two minutes
	SLAPOS_TEST_FLEET=1 $(GO) test -count 1 -timeout 10m -v -run 'TestFleet$$' ./networkcache/proximity

panel-bench: check-tools ## how long the pages of a master with 10,000 nodes and 100,000 instances take
	$(GO) test -count 1 -run '^$$' -bench BenchmarkPanel -benchtime 20x ./proxy

promise-toolbox: check-tools testenv ## plugins of slapos.toolbox, old slapos.core, other Pythons: long promise tests
	[ -e $(PROMISEENV)/.ready ] || promise/testdata/environments.sh $(PROMISEENV) $(PYTHON) $(PYTHONS)
	PROMISE_TEST_ENV=$(CURDIR)/$(PROMISEENV) $(GO) test -count 1 -timeout 60m -v -run 'TestToolbox|TestReleases|TestRuntimes' ./promise

slapos-testing: check-tools testenv ## tests of a release written with slapos.testing, with both supervisors
	SLAPOS_TEST_SUITES=1 $(GO) test -count 1 -timeout 30m -v -run 'TestReleaseSuites|TestStandaloneLibrary$$' ./cmd/slapos

soak: check-tools testenv ## the agent killed KILLS times (300), the supervisor upgraded 120 times, all hostile files in all places (a random third in make test, SLAPOS_TEST_SEED repeats it): takes long
	SLAPOS_TEST_ROUNDS=50 $(GO) test -race -count 1 -timeout 120m -run 'Stream|Pieces|Cut|FirstBytes|Upload|CloseWhile|Broken' ./networkcache/... ./grid/supervisor/daemon ./slap ./proxy ./promise/process ./grid/pass ./grid/buildout ./format ./collect ./cmd/slapos
	SLAPOS_TEST_ROUNDS=50 $(GO) test -count 1 -timeout 120m -run 'Exchanged|Race|PruneLinks' ./slap/confined ./grid/software ./grid/prune
	SLAPOS_TEST_ROUNDS=120 $(GO) test -race -count 1 -timeout 120m -run 'TestUpgrade' ./grid/supervisor
	SLAPOS_TEST_KILLS=$(KILLS) SLAPOS_TEST_LONG=1 $(GO) test -count 1 -timeout 120m -v -run 'TestKilledAgent|TestHostilePartitions' ./grid/instance

demo: check-tools program ## from nothing to a running service, in var/demo
	docs/examples/demo.sh

tutorial: check-tools program ## type docs/tutorial.md, and see that it works
	SLAPOS_TUTORIAL=1 $(GO) test ./cmd/slapos -run 'TestTutorial$$' -count 1 -timeout 30m -v

demo-clean: ## stop what the demo started, remove var/demo
	docs/examples/demo.sh clean

lint: ## linters, among them the walls between the packages
	$(GO) run $(LINTER) run ./...

clean: demo-clean ## remove what make made
	rm -rf bin var
