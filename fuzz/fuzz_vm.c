/* A small chain that is given anything. The first byte chooses:
 *
 *   even  the rest is a block as a peer sends it: parse, verify
 *   odd   u16 seconds, then transactions (u16 length, bytes): each goes into the mempool and into a
 *         block with the right parent, as if its signatures held, so that the rules are reached;
 *         what the chain builds must verify on a second chain with the same root
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "vm/vm_internal.h"

#define GENESIS_TIME 1800000000u
#define TXS_MAX 16u

static const char genesis[] =
    "{\"networkName\":\"fuzz\",\"timestamp\":1800000000,"
    "\"params\":{\"epochSeconds\":100,\"settleSeconds\":20,\"freezeSeconds\":10,"
    "\"unbondEpochs\":1},\"allocations\":["
    "{\"account\":\"LUX-2ZEw5Hcv1hTb6YUQJ69y1V7uhcoGdeM1x\",\"amount\":900000000000},"
    "{\"account\":\"LUX-47Us9aEq2PvBC5wobBJw1yEpQEbMdm54p\",\"amount\":500000000000}]}";

struct world {
    uint64_t now_s;
    struct ses_clock clock;
    struct ses_kv_memory *memory;
    struct ses_vm *vm;
};

static uint64_t world_now(void *ctx)
{
    return ((const struct world *)ctx)->now_s * 1000;
}

static void world_new(struct world *w, uint64_t now_s)
{
    w->now_s = now_s;
    w->clock = (struct ses_clock){.ctx = w, .now_ms = world_now};
    SES_ASSERT(ses_kv_memory_new(&w->memory) == SES_OK);
    const struct ses_vm_params params = {.genesis = (const uint8_t *)genesis,
                                         .genesis_len = sizeof(genesis) - 1,
                                         .kv = ses_kv_memory_kv(w->memory),
                                         .clock = &w->clock};
    SES_ASSERT(ses_vm_new(&w->vm, &params, NULL) == SES_OK);
}

static void world_free(struct world *w)
{
    ses_vm_free(w->vm);
    ses_kv_memory_free(w->memory);
}

static enum ses_err give_block(struct world *w, const uint8_t *bytes, size_t len,
                               struct ses_hash *id)
{
    struct ses_note note = {{0}};
    struct ses_buf again = {0};
    SES_TRY(ses_vm_parse(w->vm, bytes, len, id));
    SES_ASSERT(ses_vm_block(w->vm, id, &again) == SES_OK);
    SES_ASSERT(again.len == len && memcmp(again.bytes, bytes, len) == 0);
    ses_buf_free(&again);
    const enum ses_err err = ses_vm_verify(w->vm, id, &note);
    SES_ASSERT(err == SES_OK || note.text[0] != 0 || err == SES_ERR_MEMORY);
    return err;
}

/* False for one whose place among the verified another one has: the cache would forget that. */
static bool trust(struct world *w, const uint8_t *bytes, size_t len)
{
    static const struct ses_hash none;
    struct ses_tx tx;
    if (ses_tx_decode(&tx, bytes, len) != SES_OK) {
        return true;
    }
    const struct ses_hash *slot = &w->vm->verified[ses_get_u32(tx.id.bytes) % SES_VERIFIED_SLOTS];
    if (memcmp(slot->bytes, none.bytes, 32) != 0 && memcmp(slot->bytes, tx.id.bytes, 32) != 0) {
        return false;
    }
    ses_verified_add(w->vm, &tx.id);
    return true;
}

/* Transactions into the mempool of `w`; `other` trusts their signatures too. */
static void give_txs(struct world *w, struct world *other, struct ses_reader *r)
{
    for (unsigned i = 0; i < TXS_MAX && r->left > 2; i++) {
        struct ses_hash id;
        struct ses_note note = {{0}};
        const size_t want = ses_read_u16(r);
        const size_t len = want < r->left ? want : r->left;
        const uint8_t *bytes = ses_read_view(r, len);
        if (!trust(w, bytes, len) || !trust(other, bytes, len)) {
            continue;
        }
        const enum ses_err err = ses_vm_submit(w->vm, bytes, len, &id, &note);
        SES_ASSERT(err == SES_OK || note.text[0] != 0);
    }
}

static void add_accounts(const struct world *w, uint64_t *sum)
{
    for (uint32_t i = 0; i < w->vm->base.entries.cnt; i++) {
        const struct ses_entry *entry = &w->vm->base.entries.list[i];
        if (entry->key.bytes[0] == SES_STATE_ACCOUNT) {
            *sum += ses_get_u64(entry->value);
        }
    }
}

static void check_supply(const struct world *w)
{
    uint64_t sum = ses_vm_total_bonded(w->vm) + ses_vm_total_burned(w->vm);
    add_accounts(w, &sum);
    SES_ASSERT(sum == 1400000000000u);
}

static void build_and_follow(struct world *a, struct world *b)
{
    struct ses_hash id;
    struct ses_hash same;
    struct ses_buf bytes = {0};
    if (ses_vm_build(a->vm, &id) != SES_OK) {
        return;
    }
    SES_ASSERT(ses_vm_block(a->vm, &id, &bytes) == SES_OK);
    b->now_s = a->now_s;
    SES_ASSERT(give_block(b, bytes.bytes, bytes.len, &same) == SES_OK);
    SES_ASSERT(ses_vm_accept(a->vm, &id) == SES_OK && ses_vm_accept(b->vm, &id) == SES_OK);
    check_supply(a);
    check_supply(b);
    ses_buf_free(&bytes);
}

static void play(const uint8_t *data, size_t size)
{
    struct world a;
    struct world b;
    struct ses_reader r;
    ses_reader_init(&r, data, size);
    const uint64_t seconds = ses_read_u16(&r);
    world_new(&a, GENESIS_TIME);
    world_new(&b, GENESIS_TIME);
    for (unsigned round = 0; round < 3; round++) {
        give_txs(&a, &b, &r);
        build_and_follow(&a, &b);
        a.now_s += seconds % 250;
    }
    world_free(&a);
    world_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 1) {
        play(data + 1, size - 1);
        return 0;
    }
    struct world w;
    struct ses_hash id;
    world_new(&w, GENESIS_TIME + 150);
    const enum ses_err err = give_block(&w, data + 1, size - 1, &id);
    if (err == SES_OK) {
        SES_ASSERT(ses_vm_accept(w.vm, &id) == SES_OK);
    }
    world_free(&w);
    return 0;
}
