# A thin front for Meson. `make` builds; programs end up in build/bin/.
BUILD ?= build
export PKG_CONFIG_PATH := $(CURDIR)/.deps/lib/pkgconfig:$(PKG_CONFIG_PATH)
SETUP = $(if $(wildcard .deps/lib/libcrypto.a),-Dstatic_openssl=true)

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@tools/bootstrap
	@$(MAKE) --no-print-directory setup

setup:
	@meson setup $(BUILD) $(SETUP) $(MESONFLAGS) >$(BUILD).setup.log || { cat $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

.PHONY: all setup
