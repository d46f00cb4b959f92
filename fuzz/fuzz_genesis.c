/* Genesis JSON: accepted or refused with a note; accepted twice, it says the same. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "vm/vm_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_note note = {{0}};
    struct ses_genesis first;
    struct ses_genesis second;
    const enum ses_err err = ses_genesis_parse(&first, data, size, &note);
    if (err != SES_OK) {
        SES_ASSERT(note.text[0] != 0 || err == SES_ERR_MEMORY);
        SES_ASSERT(first.allocations == NULL && first.nodes == NULL);
        return 0;
    }
    SES_ASSERT(ses_genesis_parse(&second, data, size, NULL) == SES_OK);
    SES_ASSERT(memcmp(first.chain_id.bytes, second.chain_id.bytes, 32) == 0);
    SES_ASSERT(first.supply == second.supply && first.node_cnt == second.node_cnt);
    SES_ASSERT(ses_params_validate(&first.params, NULL) == SES_OK);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < first.allocation_cnt; i++) {
        SES_ASSERT(!__builtin_add_overflow(sum, first.allocations[i].amount, &sum));
    }
    for (uint32_t i = 0; i < first.node_cnt; i++) {
        SES_ASSERT(!__builtin_add_overflow(sum, first.nodes[i].stake, &sum));
    }
    SES_ASSERT(sum == first.supply);
    ses_genesis_free(&first);
    ses_genesis_free(&second);
    return 0;
}
