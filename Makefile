# reheap - replay recorded memory behaviour through any allocator.
#
#   make            build build/reheap            make demo       install what is missing, build, run the main job
#   make test       the same, then all tests      make bench      print the numbers the README states
#   make install    DESTDIR= PREFIX=/usr/local    make clean      make help
#
# V=1 shows commands. SANITIZE=address,undefined | thread builds beside the normal build.
# NO_DEPS=1 never calls apt. DEVELOPER=1 turns warnings into errors. DEBUG=1 checks lock
# ranks and whole structures.

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=

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
B := build$(if $(SANITIZE),/san-$(subst $(comma),-,$(SANITIZE)))$(if $(DEBUG),/debug)
# One name for one folder: what gcc notes of an object's headers counts for that name only, so
# after B=/here/build an object would not be made anew when a header changes.
override B := $(patsubst $(CURDIR)/%,%,$(abspath $(B)))

WARN := -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wshadow -Wpointer-arith \
        -Wwrite-strings -Wold-style-definition $(if $(DEVELOPER),-Werror)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) -fno-omit-frame-pointer -pthread -I. -I$(B)/gen \
             $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -DRH_SANITIZE=\"$(SANITIZE)\") \
             $(if $(DEBUG)$(SANITIZE),-DRH_DEBUG=1)
ALL_LDFLAGS = -pthread -rdynamic $(LDFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# Only the driver needs libraries; the worker has libc alone, because whatever else it
# loaded would allocate from the heap under test before the first event.
DRIVER_LIBS = -larchive -ljansson -lsqlite3 -lzstd -lxxhash -lmd -lm -ldl
WORKER_LIBS = -lm -ldl

# --- what is built of what: folders, not files -------------------------------------------
ALLOC_SRC   := $(wildcard alloc/base/*.c alloc/*.c alloc/heap/*.c alloc/heap/*/*.c alloc/stack/*.c alloc/stack/*/*.c)
TRACES_SRC  := $(wildcard traces/*.c traces/import/*.c traces/gen/*.c traces/record/*.c)
HARNESS_SRC := $(filter-out harness/main.c harness/worker/%.c harness/shim/%.c harness/test/%.c,$(wildcard harness/*.c harness/*/*.c))
WORKER_SRC  := $(filter-out harness/worker/main.c,$(wildcard harness/worker/*.c))
SHIM_SRC    := $(wildcard traces/record/shim/*.c)
TEST_SRC    := $(wildcard alloc/test/test_*.c traces/test/test_*.c harness/test/test_*.c plots/test/test_*.c)
HELPER_SRC  := $(wildcard ci/helpers/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
ALLOC_OBJ   := $(call obj,$(ALLOC_SRC))
TRACES_OBJ  := $(call obj,$(TRACES_SRC))
HARNESS_OBJ := $(call obj,$(HARNESS_SRC))
WORKER_OBJ  := $(call obj,$(WORKER_SRC))
TESTS       := $(patsubst %.c,$(B)/test/%,$(TEST_SRC))
HELPERS     := $(patsubst ci/helpers/%.c,$(B)/helpers/%,$(HELPER_SRC))

PROGRAMS := $(B)/reheap $(B)/reheap-worker $(if $(SHIM_SRC),$(B)/libreheap-record.so) \
            $(B)/libreheap-mutex.so

.PHONY: all demo test check deps bench install uninstall clean help tests FORCE
.DEFAULT_GOAL := all
.SECONDARY:
all: $(PROGRAMS)

$(B)/gen/version.h: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)v=$$(git describe --always --dirty --tags 2>/dev/null || echo unknown); \
	  printf '#define RH_VERSION "%s"\n' "$$v" > $@.new; \
	  cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# These stand between the replay and the allocator: a register move and a jump, no frame.
EXTRA_alloc_heap_libc := -fomit-frame-pointer
EXTRA_alloc_heap_null := -fomit-frame-pointer
EXTRA_alloc_stack_pools_pools := -fomit-frame-pointer -fno-tree-slp-vectorize

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

$(B)/reheap: $(B)/obj/harness/main.o $(B)/libreheap.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(DRIVER_LIBS)
$(B)/reheap-worker: $(B)/obj/harness/worker/main.o $(WORKER_OBJ) $(B)/liballoc.a
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ $(WORKER_LIBS)

# The recorder lives in strangers' processes: initial-exec TLS, nothing exported but malloc's family,
# never a sanitizer.
$(B)/libreheap-record.so: $(SHIM_SRC) $(wildcard traces/record/*.h traces/record/shim/*.h alloc/base/*.h)
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -I. -fPIC -shared -fvisibility=hidden \
	  -ftls-model=initial-exec -fno-builtin -pthread $(SHIM_SRC) -o $@ -ldl

# Preloaded into workers of the mutex probe, before the allocator under test.
$(B)/libreheap-mutex.so: harness/shim/mutex.c harness/probe/mutex.h alloc/base/clock.h
	$(say) SHIM $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -I. -fPIC -shared -fvisibility=hidden \
	  -ftls-model=initial-exec $< -o $@ -ldl

$(B)/test/%: $(B)/obj/%.o $(B)/libreheap.a
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ -o $@ -lcmocka $(DRIVER_LIBS)
$(B)/helpers/%: ci/helpers/%.c
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O1 -g -pthread -I. $< -o $@ -ldl
# The example of a backend in a library of its own, and what the tests of loading load.
$(B)/test/%.so: %.c alloc/backend.h $(wildcard alloc/base/*.h)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -g -I. -fPIC -shared -fvisibility=hidden \
	  $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $< -o $@
PLUGINS := $(B)/test/alloc/test/skeleton_native.so $(B)/test/harness/test/odd_malloc.so $(B)/test/harness/test/locking.so \
           $(B)/test/harness/test/packing.so
tests: all $(TESTS) $(HELPERS) $(PLUGINS)

deps:
	$(if $(NO_DEPS),@:,$(Q)ci/deps.sh)

# The build is a second make, because what deps installs changes what the first one saw.
demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/demo.sh $(B)
test: deps
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)ci/test.sh $(B)
check: all
	$(Q)ci/tidy.sh
bench: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/bench/spine.sh $(B)
bench-%: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)ci/bench/$*.sh $(B)

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/reheap \
	  $(DESTDIR)$(PREFIX)/share/reheap/plots $(DESTDIR)$(PREFIX)/share/reheap/corpus
	$(Q)install $(B)/reheap $(DESTDIR)$(PREFIX)/bin/
	$(Q)install $(B)/reheap-worker $(DESTDIR)$(PREFIX)/libexec/reheap/
	$(Q)[ ! -f $(B)/libreheap-record.so ] || install -m 644 $(B)/libreheap-record.so $(DESTDIR)$(PREFIX)/libexec/reheap/
	$(Q)install -m 644 $(B)/libreheap-mutex.so $(DESTDIR)$(PREFIX)/libexec/reheap/
	$(Q)install -m 644 plots/*.gp plots/*.css $(DESTDIR)$(PREFIX)/share/reheap/plots/ 2>/dev/null || true
	$(Q)install -m 644 traces/corpus/*.rht traces/corpus/go/*.rht $(DESTDIR)$(PREFIX)/share/reheap/corpus/
	$(say) DONE "installed under $(DESTDIR)$(PREFIX)"
uninstall:
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/bin/reheap $(DESTDIR)$(PREFIX)/libexec/reheap $(DESTDIR)$(PREFIX)/share/reheap
clean:
	$(Q)rm -rf build

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

-include $(shell [ ! -d $(B)/obj ] || find $(B)/obj -name '*.d')
