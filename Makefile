# SPDX-License-Identifier: Apache-2.0
# What people type; Meson and ninja do the work. `make help` lists the targets.
BUILD ?= build
ARENA ?= chunks
MESON_FLAGS = -Darena=$(ARENA)
PYTHON ?= /usr/bin/python3

.PHONY: all test unit e2e images lint format asan tsan clang tour bench-smoke bench-kube golden clean help

all: $(BUILD)/build.ninja      ## build everything into ./build
	@ninja -C $(BUILD) $(NINJA_FLAGS)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(MESON_FLAGS) > /dev/null

test:                          ## lint and every test (what ./run test calls)
	@$(PYTHON) tools/test.py

unit: all                      ## unit, golden, simulation and fuzz-replay tests
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs

e2e: all                       ## end-to-end tests on the sandbox (root)
	@$(PYTHON) -m pytest -q test/e2e

images:                        ## container images as OCI archives, into build/images; HUB=… TAG=…
	@HUB=$(HUB) TAG=$(TAG) $(PYTHON) tools/images.py --output $(BUILD)/images --build $(BUILD)-static

lint:                          ## layers, stories, sizes, formatting, clang-tidy on what changed
	@$(PYTHON) tools/lint.py

format:                        ## reformat every C file
	@git ls-files '*.c' '*.h' '*.cc' | xargs clang-format-14 -i

asan:                          ## unit tests under ASan and UBSan, arenas as single mallocs
	@test -d $(BUILD)-asan || meson setup $(BUILD)-asan -Db_sanitize=address,undefined -Db_lundef=false -Darena=malloc > /dev/null
	@ninja -C $(BUILD)-asan $(NINJA_FLAGS)
	@meson test -C $(BUILD)-asan --no-rebuild --print-errorlogs

tsan:                          ## unit tests under TSan
	@test -d $(BUILD)-tsan || meson setup $(BUILD)-tsan -Db_sanitize=thread -Db_lundef=false > /dev/null
	@ninja -C $(BUILD)-tsan $(NINJA_FLAGS)
	@meson test -C $(BUILD)-tsan --no-rebuild --print-errorlogs

clang:                         ## the same tree with clang 14
	@test -d $(BUILD)-clang || CC=clang-14 CXX=clang++-14 meson setup $(BUILD)-clang > /dev/null
	@ninja -C $(BUILD)-clang $(NINJA_FLAGS)

tour:                          ## the book of the code: first comment of every file, in layer order
	@$(PYTHON) tools/tour.py

bench-smoke: all               ## instructions, system calls, allocations and memory of a proxied request, with ceilings
	@$(PYTHON) test/bench/bench_smoke.py
	@$(PYTHON) test/bench/bench_mesh.py

bench-kube: all                ## what weft costs on Kubernetes, against its targets (12 minutes; a cluster as root)
	@$(PYTHON) test/bench/bench_kube.py --build $(BUILD)

golden: all                    ## regenerate the golden files; review the diff
	@ninja -C $(BUILD) golden-compile-update golden-inject-update golden-diagnostics-update
	@git status --short test/golden

clean:                         ## remove the build folders
	@rm -rf $(BUILD) $(BUILD)-static $(BUILD)-asan $(BUILD)-tsan $(BUILD)-clang

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
