# moongate: `make help` lists the targets. Everything that is built goes under build/.

BUILD   ?= build
CC      ?= gcc
PREFIX  ?= /usr/local
LUA     ?= lua5.4
DESTDIR ?=
OBJCOPY ?= objcopy

VERSION := $(shell sed -n 's/^\#define MOONGATE_VERSION "\(.*\)"/\1/p' core/base/version.h)
SONAME  := libmoongate.so.0

# What Debian 12 calls the things that we need: to build and run, to test, to compare speed with.
RUN_PACKAGES   := gcc pkg-config libev-dev libpq-dev liblua5.4-dev lua5.4 libpg-query-dev \
                  postgresql-server-dev-15 libssl-dev libc-ares-dev libmicrohttpd-dev libxxhash-dev uthash-dev \
                  libcurl4-openssl-dev libjansson-dev \
                  lua-argparse lua-luv lua-cjson postgresql-15 postgresql-client-15
TEST_PACKAGES  := libcmocka-dev lua-busted lua-socket lua-cqueues lua-http lua-copas lua-check luarocks clang-format \
                  clang-tidy python3-psycopg2 python3-psycopg openssl procps
BENCH_PACKAGES := pgbouncer lua-sql-postgres
PATRONI_PACKAGES := patroni etcd-server

PKGS      := lua5.4 libpq libcares libssl libcrypto libcurl jansson
WARNINGS  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
OPTIMIZE  ?= -O2 -g
SANITIZE  ?=
CPPFLAGS  += -Icore -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS))
CFLAGS    += -std=c11 $(WARNINGS) $(OPTIMIZE) $(SANITIZE) -fPIC -fvisibility=hidden -pthread
LDFLAGS   += $(SANITIZE) -pthread
LDLIBS    += $(shell pkg-config --libs $(PKGS)) -lev -lpg_query -lm
PG_SERVER := $(shell pg_config --includedir-server 2>/dev/null)

# Rooms, lowest first; the module has all of the upper line, libmoongate the API on top of them.
MODULE_ROOMS := base wire sql cluster script
MODULE_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(MODULE_ROOMS:%=core/%/*.c)))
API_OBJ      := $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/api/*.c))
ROUTER_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/router/*.c))
UNIT_ROUTER  := $(addprefix $(BUILD)/core/router/,cancel_key.o login.o own_sql.o settings.o settings_sql.o statement.o edits.o \
                  json.o query_log.o query_log_moongate.o tally.o)
CHAOS_TOOLS  := $(BUILD)/tests/fault_proxy $(BUILD)/tests/chaos_load
FORK         := $(BUILD)/tests/fork.so
UNIT_TESTS   := $(patsubst tests/core/%.c,$(BUILD)/tests/%,$(wildcard tests/core/test_*.c))
LIVE_TESTS   := $(patsubst tests/core/%.c,$(BUILD)/tests/%,$(wildcard tests/core/live_*.c))
C_FILES      := $(wildcard core/*.h core/*/*.[ch] tests/core/*.[ch] tests/support/*.[ch] tests/chaos/*.[ch])
LUA_FILES    := $(shell find lua scripts examples tests -name '*.lua' 2>/dev/null)

# `make V=1` shows the commands themselves.
ifeq ($(V),)
say = @echo "  $(1)	$(patsubst $(BUILD)/%,%,$@)";
endif

ASAN := BUILD=$(BUILD)/asan OPTIMIZE="-O1 -g" \
        SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

.DEFAULT_GOAL := help
.PHONY: help deps deps-test deps-clients deps-patroni deps-bench all run test test-chaos test-patroni test-model test-regress unit unit-build lint bench asan library install uninstall dist clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

deps: ## install what is missing to build and run, from Debian's packages
	@sh tests/support/install_packages.sh $(RUN_PACKAGES)

deps-test:
	@sh tests/support/install_packages.sh $(RUN_PACKAGES) $(TEST_PACKAGES)

deps-clients: ## install node's drivers for the tests, with npm (optional)
	@mkdir -p $(BUILD)/clients && cp tests/router/clients/package.json $(BUILD)/clients
	@npm install --no-package-lock --no-audit --no-fund --silent --fetch-retries 1 --prefix $(BUILD)/clients

deps-patroni: ## install Patroni and etcd for the tests (optional)
	@sh tests/support/install_packages.sh $(PATRONI_PACKAGES)

deps-bench:
	@sh tests/support/install_packages.sh $(RUN_PACKAGES) $(TEST_PACKAGES) $(BENCH_PACKAGES)

all: $(BUILD)/moongate $(BUILD)/lib/moongate/core.so library ## build the router, the Lua module and the C library

run: deps ## build, then show the router routing on a throwaway cluster
	@$(MAKE) --no-print-directory all
	@$(BUILD)/moongate demo

test: deps-test ## all tests: C units under sanitizers, Lua, and the router on real PostgreSQL
	@$(MAKE) --no-print-directory all $(CHAOS_TOOLS) $(FORK)
	@$(MAKE) --no-print-directory $(ASAN) unit-tests $(BUILD)/asan/moongate \
		$(BUILD)/asan/lib/moongate/core.so
	@BUILD=$(BUILD) sh tests/run.sh

asan: ## build the router under build/asan with ASan and UBSan
	@$(MAKE) --no-print-directory $(ASAN) $(BUILD)/asan/moongate

unit: unit-build ## C unit tests, under ASan and UBSan
	@BUILD=$(BUILD) sh tests/run.sh unit

unit-build:
	@$(MAKE) --no-print-directory $(ASAN) unit-tests

test-chaos: deps-test ## outages, partitions and failovers at length, with a checker (docs/reliability.md)
	@$(MAKE) --no-print-directory all $(CHAOS_TOOLS)
	@MOONGATE_CHAOS=long BUILD=$(BUILD) sh tests/run.sh chaos

test-patroni: deps-test ## a real Patroni cluster fails over under load, if Patroni can be installed
	@$(MAKE) --no-print-directory deps-patroni || echo "Patroni could not be installed"
	@$(MAKE) --no-print-directory all $(CHAOS_TOOLS)
	@MOONGATE_CHAOS=long BUILD=$(BUILD) sh tests/run.sh patroni

test-model: deps-test ## random conversations at length: SEED=1 RUNS=10 STEPS=300 CLIENTS=8 FEATURES=all
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) MOONGATE_BIN=$(BUILD)/moongate LUA_PATH="lua/?.lua;lua/?/init.lua;tests/?.lua;./?.lua;;" \
		LUA_CPATH="$(BUILD)/lib/?.so;;" $(LUA) tests/router/model/main.lua

test-regress: deps-test ## PostgreSQL's own regression suite through the router (docs/regression.md)
	@$(MAKE) --no-print-directory all
	@MOONGATE_BIN=$(BUILD)/moongate $(LUA) tests/regress.lua --sources $(BUILD)/regress --out $(BUILD)/regress

lint: deps-test ## format, static analysis, include directions
	@BUILD=$(BUILD) sh tests/lint.sh

bench: deps-bench ## pgbench through moongate, PgBouncer and directly; the module beside LuaSQL
	@$(MAKE) --no-print-directory all
	@$(LUA) tests/bench/bench.lua
	@$(MAKE) --no-print-directory bench-module

bench-module: deps-bench $(BUILD)/tests/count_allocations.so ## the Lua module beside LuaSQL
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) LUA_CPATH="$(BUILD)/lib/?.so;;" $(LUA) tests/bench/module.lua

bench-idle: deps-bench ## what an idle client costs in memory, and how evenly busy ones are served
	@$(MAKE) --no-print-directory all
	@ulimit -n "$$(ulimit -Hn)" && $(LUA) tests/bench/idle.lua

bench-policy: $(BUILD)/tests/bench_policy ## what a policy costs per query, fence and all
	@$(BUILD)/tests/bench_policy

bench-decide: $(BUILD)/tests/bench_decide ## what each step of a decision costs: time and allocations
	@$(BUILD)/tests/bench_decide

bench-classify: $(BUILD)/tests/bench_classify ## what it costs to say what a statement is
	@$(BUILD)/tests/bench_classify

# What `pkg-config --cflags --libs moongate` says: a line each.
define MOONGATE_PC
'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' \
	'Name: moongate' 'Description: PostgreSQL clusters for C, on a libev loop' 'Version: $(VERSION)' \
	'Requires: libpq' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lmoongate -lev' \
	'Libs.private: $(strip $(LDLIBS)) -pthread'
endef

install: all ## install the router, its Lua files, the module and the C library under $(PREFIX)
	install -D -m 755 $(BUILD)/moongate $(DESTDIR)$(PREFIX)/bin/moongate
	install -D -m 755 $(BUILD)/lib/moongate/core.so $(DESTDIR)$(PREFIX)/lib/lua/5.4/moongate/core.so
	install -D -m 755 $(BUILD)/lib/$(SONAME) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libmoongate.so
	install -D -m 644 $(BUILD)/lib/libmoongate.a $(DESTDIR)$(PREFIX)/lib/libmoongate.a
	install -D -m 644 core/moongate.h $(DESTDIR)$(PREFIX)/include/moongate.h
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	printf '%s\n' $(MOONGATE_PC) >$(DESTDIR)$(PREFIX)/lib/pkgconfig/moongate.pc
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} $(DESTDIR)$(PREFIX)/share/lua/5.4/{} \;
	cd scripts && find . -name '*.lua' -exec install -D -m 644 {} $(DESTDIR)$(PREFIX)/share/moongate/scripts/{} \;

uninstall: ## remove what `make install` has put under $(PREFIX)
	cd $(DESTDIR)$(PREFIX) && rm -rf bin/moongate include/moongate.h lib/libmoongate.so lib/$(SONAME) \
		lib/libmoongate.a lib/pkgconfig/moongate.pc lib/lua/5.4/moongate share/lua/5.4/moongate share/moongate

dist: ## the source archive of what is committed, and its rockspec beside it, in $(BUILD)
	@mkdir -p $(BUILD)
	git archive --format=tar --prefix=moongate-$(VERSION)/ HEAD | gzip -9n >$(BUILD)/moongate-$(VERSION).tar.gz
	sed 's/^version = .*/version = "$(VERSION)-1"/; s/^  url = .*/  url = "moongate-$(VERSION).tar.gz",/' \
		moongate-scm-1.rockspec >$(BUILD)/moongate-$(VERSION)-1.rockspec

clean: ## remove what was built
	rm -rf $(BUILD)

$(BUILD)/moongate: LDLIBS += -lmicrohttpd
$(BUILD)/moongate: $(MODULE_OBJ) $(ROUTER_OBJ)
	$(call say,LINK)$(CC) $(LDFLAGS) -Wl,-E -o $@ $^ $(LDLIBS)

# Threads may outlive a Lua state that is closed, which unloads its modules: cluster/interrupt.h.
STAYS := -Wl,-z,nodelete
$(BUILD)/lib/moongate/core.so: $(MODULE_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(LDFLAGS) -shared $(STAYS) -o $@ $^ $(LDLIBS)

# The C library: of all that is in it, moongate.h can be called, and no more.
library: $(BUILD)/lib/libmoongate.so $(BUILD)/lib/libmoongate.a

$(BUILD)/lib/$(SONAME): $(MODULE_OBJ) $(API_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(LDFLAGS) -shared $(STAYS) -Wl,-soname,$(SONAME) \
		-Wl,--version-script,core/api/exports.map -o $@ $^ $(LDLIBS)

$(BUILD)/lib/libmoongate.so: $(BUILD)/lib/$(SONAME)
	@ln -sf $(SONAME) $@

$(BUILD)/lib/libmoongate.a: $(MODULE_OBJ) $(API_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)$(LD) -r -o $(@D)/libmoongate.o $^
	@$(OBJCOPY) --wildcard --keep-global-symbol='moongate_*' $(@D)/libmoongate.o
	@$(AR) rcs $@ $(@D)/libmoongate.o && rm $(@D)/libmoongate.o

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS) $(LIVE_TESTS)

$(BUILD)/tests/%: tests/core/%.c $(MODULE_OBJ) $(API_OBJ) $(UNIT_ROUTER)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes -Itests/core -MMD -MP $(LDFLAGS) -o $@ $< $(MODULE_OBJ) $(API_OBJ) $(UNIT_ROUTER) $(LDLIBS) -lcmocka

# It counts allocations, inside of the libraries that are linked into it.
$(BUILD)/tests/bench_decide: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

$(BUILD)/tests/bench_%: tests/bench/%.c $(wildcard tests/bench/*.h) $(MODULE_OBJ)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(MODULE_OBJ) $(LDLIBS)

$(BUILD)/tests/count_allocations.so: tests/bench/count_allocations.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-prototypes $(LDFLAGS) -shared -o $@ $<

$(BUILD)/tests/fault_proxy: tests/support/fault_proxy.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< -lm

$(FORK): tests/support/fork.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -shared -o $@ $<

$(BUILD)/tests/chaos_load: $(wildcard tests/chaos/*.[ch])
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^) -lpq -lm

# The parser's tree is PostgreSQL's own: only these files see its headers.
$(BUILD)/core/sql/parse%.o: CPPFLAGS += -isystem $(PG_SERVER) -isystem /usr/include/pg_query

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(MODULE_OBJ:.o=.d) $(API_OBJ:.o=.d) $(ROUTER_OBJ:.o=.d) $(UNIT_TESTS:=.d) $(LIVE_TESTS:=.d)
