# reheap - replay recorded memory behaviour through any allocator.
#
#   make            build build/reheap            make demo       install what is missing, build, run the main job
#   make test       the same, then all tests      make bench      print the numbers the README states
#   make install    DESTDIR= PREFIX=/usr/local    make uninstall  make clean      make help
#   make deb        a Debian package              make dist       a tarball       make lib  libreheap.so
#   make test-deb   the package, in a clean Debian
#   make test-arm64 emulated AArch64: counters, 16 KiB pages, 72 CPUs
#   make test-qemu     AArch64 under qemu-user: unit tests with pages of 4, 16 and 64 KiB
#   make test-matrix   other systems, compilers, without optional parts
#   make test-fleet    a matrix on a real Slurm of two nodes
#
# V=1 shows commands. SANITIZE=address,undefined | thread builds beside the normal build.
# NO_DEPS=1 never calls apt. DEVELOPER=1 turns warnings into errors. DEBUG=1 checks lock
# ranks and whole structures.

CC      ?= cc
# Cross-built into a folder of its own; SYSROOT= has the libraries of the other machine.
# CC=clang is told which machine, and takes crt files and libgcc of the cross gcc.
ifdef CROSS
ifneq ($(findstring clang,$(CC)),)
override CC := $(CC) --target=$(CROSS:-=)$(if $(SYSROOT), --sysroot=$(SYSROOT) -B/usr/lib/gcc-cross/$(CROSS:-=))
else
CC := $(CROSS)gcc$(if $(SYSROOT), --sysroot=$(SYSROOT))
endif
AR := $(CROSS)ar
endif
PREFIX  ?= /usr/local
DESTDIR ?=
LIBDIR  ?= $(PREFIX)/lib

ifdef V
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif
ifneq ($(findstring s,$(firstword -$(MAKEFLAGS))),)
say = @:
endif

comma := ,
B := build$(if $(CROSS),/$(CROSS:-=))$(if $(SANITIZE),/san-$(subst $(comma),-,$(SANITIZE)))$(if $(DEBUG),/debug)
# One name for one folder: gcc records an object's headers under that name only, so after
# B=/here/build an object would not be rebuilt when a header changes.
# (A relative name stays one: this folder's own may have blanks, which make takes for several.)
override B := $(if $(filter /%,$(B)),$(patsubst $(CURDIR)/%,%,$(abspath $(B))),$(patsubst ./%,%,$(B:/=)))

WARN := -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wshadow -Wpointer-arith \
        -Wwrite-strings -Wold-style-definition $(if $(DEVELOPER),-Werror)
CFLAGS ?= -O2 -g
# No frame above 32 KiB: commands run on a stack of 64 (ulimit -s 64).
FRAME = $(if $(SANITIZE)$(findstring /test/,$<),,-Wframe-larger-than=32768)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(FRAME) -fno-omit-frame-pointer -pthread -I. -I$(B)/gen \
             $(CPPFLAGS) $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined \
             $(if $(findstring undefined,$(SANITIZE)),-fsanitize=float-cast-overflow -fno-sanitize-recover=float-cast-overflow) -DRH_SANITIZE=\"$(SANITIZE)\") \
             $(if $(DEBUG)$(SANITIZE),-DRH_DEBUG=1)
ALL_LDFLAGS = -pthread -rdynamic $(LDFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# Only the driver needs libraries; the worker has libc only, because any other library would
# allocate from the heap under test before the first event.
DRIVER_LIBS = -larchive -ljansson -lsqlite3 -lzstd -lxxhash -lmd -lm -ldl
WORKER_LIBS = -lm -ldl

# --- sources of each program: folders, not files -------------------------------------------
ALLOC_SRC   := $(wildcard alloc/base/*.c alloc/*.c alloc/heap/*.c alloc/heap/*/*.c alloc/stack/*.c alloc/stack/*/*.c)
TRACES_SRC  := $(wildcard traces/format/*.c traces/import/*.c traces/import/go/*.c traces/gen/*.c traces/edit/*.c traces/record/*.c)
WORKER_SRC  := $(filter-out harness/worker/main.c,$(wildcard harness/worker/*.c)) harness/control/hist.c
HARNESS_SRC := $(filter-out harness/cli/main.c harness/worker/%.c harness/control/%.c harness/test/%.c,$(wildcard harness/*/*.c))
PLOTS_SRC   := $(wildcard plots/figure/*.c plots/report/*.c)
GATE_SRC    := $(wildcard ci/gate/*.c)
SHIM_SRC    := $(wildcard traces/record/shim/*.c)
TEST_SRC    := $(wildcard alloc/test/test_*.c traces/test/test_*.c harness/test/test_*.c plots/test/test_*.c ci/gate/test/test_*.c)
HELPER_SRC  := $(wildcard ci/own/helpers/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
ALLOC_OBJ   := $(call obj,$(ALLOC_SRC))
TRACES_OBJ  := $(call obj,$(TRACES_SRC))
HARNESS_OBJ := $(call obj,$(HARNESS_SRC) $(PLOTS_SRC) $(GATE_SRC))
WORKER_OBJ  := $(call obj,$(WORKER_SRC))
TESTS       := $(patsubst %.c,$(B)/test/%,$(TEST_SRC))
HELPERS     := $(patsubst ci/own/helpers/%.c,$(B)/helpers/%,$(filter-out ci/own/helpers/faults.c ci/own/helpers/fuzz_driver.c,$(HELPER_SRC)))

PROGRAMS := $(B)/reheap $(B)/reheap-worker $(if $(SHIM_SRC),$(B)/libreheap-record.so) \
            $(B)/libreheap-mutex.so $(B)/libreheap-maps.so

.PHONY: test-fleet test-arm64 test-qemu test-deb test-matrix test-flaky result-doc lib dist deb all fuzz fuzz-coverage faults demo demo-full test check format compile_commands.json deps bench install uninstall clean help tests FORCE
.DEFAULT_GOAL := all
.SECONDARY:
all: $(PROGRAMS)

# The version is a file; the commit is added where git knows it, but not that of a tree around this
# one: a tarball unpacked in it is the same package anywhere.
$(B)/gen/version.h: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)v=$$(cat ci/VERSION); c=$$([ ! -e .git ] || git describe --always --dirty --exclude='*' 2>/dev/null); \
	  printf '#define RH_VERSION "%s%s"\n' "$$v" "$${c:+ ($$c)}" > $@.new; \
	  cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# These stand between the replay and the allocator: a register move and a jump, no frame.
EXTRA_alloc_heap_libc := -fomit-frame-pointer
EXTRA_alloc_heap_null := -fomit-frame-pointer
EXTRA_alloc_stack_pools_pools := -fomit-frame-pointer -fno-tree-slp-vectorize

# Its calls are traced by the C library: compilers know calloc and would leave some out.
EXTRA_traces_test_test_import_formats := -fno-builtin

# The replay loop holds six values over each call and x86-64 keeps six registers: a frame
# pointer would push one of them to memory (+1 instruction per event).
EXTRA_harness_worker_loop := -fomit-frame-pointer

$(B)/obj/%.o: %.c | $(B)/gen/version.h
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(EXTRA_$(subst /,_,$*)) -MMD -MP -c $< -o $@

$(B)/liballoc.a: $(ALLOC_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/libreheap.a: $(TRACES_OBJ) $(HARNESS_OBJ) $(WORKER_OBJ) $(ALLOC_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/reheap: $(B)/obj/harness/cli/main.o $(B)/libreheap.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(DRIVER_LIBS)
$(B)/reheap-worker: $(B)/obj/harness/worker/main.o $(WORKER_OBJ) $(B)/liballoc.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(WORKER_LIBS)

# libreheap: reading, writing and importing traces for other programs. Its own objects, because it
# is position-independent; only the symbols in traces/libreheap.map are visible.
LIB_ABI   := $(shell sed 's/^v//; s/[.].*//' ci/VERSION)
LIBREHEAP := $(B)/libreheap.so.$(LIB_ABI)
LIB_SRC   := $(wildcard traces/format/*.c traces/import/*.c traces/import/go/*.c) $(wildcard alloc/base/*.c)
$(B)/pic/%.o: %.c | $(B)/gen/version.h
	$(say) CC "$< (shared)"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -MMD -MP -c $< -o $@
$(LIBREHEAP): $(patsubst %.c,$(B)/pic/%.o,$(LIB_SRC)) traces/libreheap.map
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script,traces/libreheap.map \
	  $(filter %.o,$^) -o $@ -larchive -lzstd -lxxhash -lmd -lm -ldl
	$(Q)ln -sf $(@F) $(B)/libreheap.so
lib: $(LIBREHEAP)

# Preloaded libraries have their own flags; of the user's only where the sources are said to be, as
# packages, which must not depend on the folder that they are built in, want it.
SHIM_FLAGS := -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -I. -fPIC -shared -fvisibility=hidden \
              -ftls-model=initial-exec $(filter -ffile-prefix-map=%,$(CFLAGS))
# The recorder runs in other programs' processes: initial-exec TLS, nothing exported but malloc's
# family, never a sanitizer.
$(B)/libreheap-record.so: $(SHIM_SRC) $(wildcard traces/record/*.h traces/format/event.h traces/record/shim/*.h alloc/base/*.h)
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_FLAGS) -fno-builtin -pthread $(SHIM_SRC) -o $@ -ldl

# Preloaded after the recorder with --maps only: otherwise none of these calls comes through us.
$(B)/libreheap-maps.so: traces/record/shim/maps/maps.c traces/record/area.h traces/format/event.h
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_FLAGS) -fno-builtin $< -o $@ -ldl

# Preloaded into workers of the mutex probe, before the allocator under test.
$(B)/libreheap-mutex.so: harness/probe/shim/mutex.c harness/control/mutex.h alloc/base/clock.h
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SHIM_FLAGS) $< -o $@ -ldl

$(B)/test/%: $(B)/obj/%.o $(B)/libreheap.a
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ -lcmocka $(DRIVER_LIBS)
# Programs whose calls are counted: clang leaves out a malloc whose block is only freed.
$(B)/helpers/%: ci/own/helpers/%.c
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O1 -g -fno-builtin -pthread -I. $< -o $@ -ldl -lm
# The example of a backend in its own library, and the libraries that the tests of loading load.
$(B)/test/%.so: %.c alloc/backend.h $(wildcard alloc/base/*.h)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -I. -fPIC -shared -fvisibility=hidden \
	  $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $< -o $@
PLUGINS := $(B)/test/alloc/test/skeleton_native.so $(B)/test/harness/test/odd_malloc.so $(B)/test/harness/test/locking.so \
           $(B)/test/harness/test/packing.so
# Makes the n-th call of a kind fail (ci/own/e2e/faults.sh).
$(B)/helpers/faults.so: ci/own/helpers/faults.c
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g -fPIC -shared $< -o $@ -ldl
# The fuzz targets with a plain main, which replays files: earlier findings
# (ci/own/e2e/findings.sh).
FUZZ_RUN := $(foreach f,$(wildcard alloc/test/fuzz_*.c traces/test/fuzz_*.c harness/test/fuzz_*.c plots/test/fuzz_*.c ci/gate/test/fuzz_*.c),\
            $(B)/test/$(f:.c=))
$(FUZZ_RUN): $(B)/test/%: $(B)/obj/%.o $(B)/obj/ci/own/helpers/fuzz_driver.o $(B)/libreheap.a
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(DRIVER_LIBS)
tests: $(FUZZ_RUN) $(B)/helpers/faults.so all $(TESTS) $(HELPERS) $(PLUGINS)

deps:
	$(if $(NO_DEPS),@:,$(Q)ci/own/deps.sh)

# The build is a second make, because deps may install what the first one did not find.
demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/own/demo.sh $(B)
demo-full: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/own/demo.sh $(B) full
test: deps
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)ci/own/test.sh $(B)
# For editors and analysers: how each source is compiled.
$(B)/compile_commands.json: Makefile | $(B)/gen/version.h
	$(say) JSON $@
	$(Q){ echo '['; sep=; for f in $(ALLOC_SRC) $(TRACES_SRC) $(HARNESS_SRC) $(WORKER_SRC) $(PLOTS_SRC) \
	  $(GATE_SRC) $(SHIM_SRC) $(TEST_SRC) harness/cli/main.c harness/worker/main.c; do \
	  printf '%s{"directory": "%s", "file": "%s", "command": "%s -c %s"}\n' "$$sep" '$(CURDIR)' "$$f" \
	  '$(subst ",\\",$(CC) $(ALL_CFLAGS))' "$$f"; sep=,; done; echo ']'; } > $@
compile_commands.json: $(B)/compile_commands.json
# Every fuzz target for SECONDS; TARGET=import or TARGET=import-android runs some of them.
fuzz:
	$(Q)ci/own/fuzz.sh '$(TARGET)' $(or $(SECONDS),30)
# How much of each file that reads the seeds and findings reach, after SECONDS of fuzzing each target where it is given.
fuzz-coverage:
	$(Q)FUZZ_COVERAGE=1 ci/own/fuzz.sh '$(TARGET)' $(SECONDS)
# Every unit test N=50 times beside two CPU hogs and memory pressure; TEST="test_live ..." runs some.
test-flaky:
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)ci/own/flaky.sh $(B) $(TEST)
# A matrix on a real Slurm of two nodes here: 200 cells, one node dies; installs slurm-wlm and munge.
test-fleet:
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/own/test-fleet.sh $(B)
# The packages in a clean Debian: installed, used, removed.
test-deb: deb
	$(Q)ci/own/test-deb.sh $(B)
# Cross-built and run on Debian's arm64 kernels in qemu-system-aarch64: counter unit, 16 KiB pages, 72 CPUs.
test-arm64:
	$(Q)ci/own/test-arm64.sh
# Unit tests of an AArch64 build under qemu-user, with pages of 4, 16 and 64 KiB; CC=clang builds by clang.
test-qemu:
	$(Q)$(if $(filter command% environment,$(origin CC)),CC='$(CC)') ci/own/test-qemu.sh
# Other systems in chroots: Debian 12 and 13, Ubuntu 24.04, gcc and clang, with and without optional parts.
test-matrix:
	$(Q)ci/own/test-matrix.sh
# The n-th failing call of every command, for every n.
faults:
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)REHEAP_BUILD=$(B) REHEAP_FAULTS=whole ci/own/e2e/faults.sh
	$(Q)REHEAP_BUILD=$(B) REHEAP_FAULTS=whole ci/own/e2e/record-faults.sh
format:
	$(Q)git ls-files '*.c' '*.h' '*.inc' | xargs clang-format-14 -i
# The tables of RESULT.md and the JSON Schema, anew from fields.h.
result-doc: all
	$(Q)sed "/^## Tables/,\$$d" harness/result/RESULT.md > $(B)/RESULT.md && \
	  { printf "## Tables\n\nWritten by \`make result-doc\`; \`make check\` holds them against \`reheap list fields\`.\n\n"; \
	    $(B)/reheap list fields; } >> $(B)/RESULT.md && mv $(B)/RESULT.md harness/result/RESULT.md
	$(Q)$(B)/reheap list schema > harness/result/result.schema.json

check: all
	$(Q)ci/own/tidy.sh
bench: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/own/bench/spine.sh $(B)
bench-%: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/own/bench/$*.sh $(B)

# By the environment, so that a place may have any characters.
install uninstall: export DESTDIR := $(DESTDIR)
install uninstall: export PREFIX := $(PREFIX)
install uninstall: export LIBDIR := $(LIBDIR)
install: all $(LIBREHEAP)
	$(Q)ci/own/install.sh install $(B)
	$(say) DONE "installed under $$DESTDIR$$PREFIX"
uninstall: all
	$(Q)ci/own/install.sh uninstall $(B)
# The same bytes each time: names sorted, one owner, the time of the last commit.
dist:
	$(Q)ci/own/dist.sh $(B)
deb test-deb: export PACKAGING = 1
deb: deps dist
	$(Q)ci/own/deb.sh $(B)
clean:
	$(Q)rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

-include $(shell [ ! -d $(B)/obj ] || find $(B)/obj $(wildcard $(B)/pic) -name '*.d')
