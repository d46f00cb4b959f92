#include "fuzz/fuzz_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_kinds("sync_frames", data, size);
}
