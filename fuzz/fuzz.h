/* A fuzz target is one function; libFuzzer or replay.c calls it with bytes as they come from the
 * network or a disk. It aborts (SES_ASSERT) if accepted bytes do not re-encode identically. */
#ifndef SES_FUZZ_FUZZ_H
#define SES_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
