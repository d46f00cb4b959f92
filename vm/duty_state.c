/* What the state keeps of the duties of nodes: a ring of commitments, the last response, demands of
 * two epochs, turns of keys and endpoints. Entries name their epoch: another one is as good as
 * none.
 */
#include "vm/vm_internal.h"

#define DEMAND_EPOCHS 2u
#define RESPONSE_BYTES_MAX (8u + 8u + 8u + 1u + 1u + SES_VERDICT_BYTES_MAX)
#define DEMANDS_BYTES_MAX (8u + 1u + SES_DEMANDS_MAX * (SES_SEGMENT_ID_BYTES + SES_LEAF_KEY_BYTES))
#define TURNS_BYTES (1u + 8u + 8u + 8u)
#define ROTATED 1u
#define PREV_LISTED 2u
#define MOVED 4u

static struct ses_state_key commitment_key(const struct ses_node_id *node_id, uint64_t epoch)
{
    return ses_state_key_slot(SES_STATE_COMMITMENT, node_id->bytes,
                              (uint8_t)(epoch % SES_COMMITMENT_EPOCHS));
}

static struct ses_state_key demands_key(const struct ses_node_id *node_id, uint64_t epoch)
{
    return ses_state_key_slot(SES_STATE_DEMANDS, node_id->bytes, (uint8_t)(epoch % DEMAND_EPOCHS));
}

bool ses_committed_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                        uint64_t epoch, struct ses_committed *out)
{
    const struct ses_state_key key = commitment_key(node_id, epoch);
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    if (value == NULL || ses_get_u64(value) != epoch) {
        memset(out, 0, sizeof(*out));
        return false;
    }
    ses_reader_init(&r, value, len);
    ses_committed_read(&r, out);
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    out->node_id = *node_id;
    return true;
}

enum ses_err ses_committed_store(struct ses_layer *layer, const struct ses_committed *committed)
{
    const struct ses_state_key key = commitment_key(&committed->node_id, committed->epoch);
    uint8_t bytes[SES_COMMITTED_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_committed_write(&w, committed);
    SES_TRY(ses_writer_done(&w));
    return ses_state_put(layer, &key, bytes, w.len);
}

bool ses_response_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                       uint64_t epoch, struct ses_response_state *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_RESPONSE, node_id->bytes);
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    *out = (struct ses_response_state){0};
    if (value == NULL || ses_get_u64(value) != epoch) {
        return false;
    }
    ses_reader_init(&r, value, len);
    out->epoch = ses_read_u64(&r);
    out->free = ses_read_u64(&r);
    out->used = ses_read_u64(&r);
    out->shown = ses_read_u8(&r);
    out->verdict_cnt = ses_read_u8(&r);
    SES_ASSERT(out->verdict_cnt <= SES_VERDICT_BYTES_MAX);
    ses_read_bytes(&r, out->verdicts, out->verdict_cnt);
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    return true;
}

enum ses_err ses_response_store(struct ses_layer *layer, const struct ses_node_id *node_id,
                                const struct ses_response_state *response)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_RESPONSE, node_id->bytes);
    uint8_t bytes[RESPONSE_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_write_u64(&w, response->epoch);
    ses_write_u64(&w, response->free);
    ses_write_u64(&w, response->used);
    ses_write_u8(&w, response->shown);
    ses_write_u8(&w, response->verdict_cnt);
    ses_write_bytes(&w, response->verdicts, response->verdict_cnt);
    SES_TRY(ses_writer_done(&w));
    return ses_state_put(layer, &key, bytes, w.len);
}

uint32_t ses_demands_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                          uint64_t epoch, struct ses_owed out[SES_DEMANDS_MAX])
{
    const struct ses_state_key key = demands_key(node_id, epoch);
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    if (value == NULL || ses_get_u64(value) != epoch) {
        return 0;
    }
    ses_reader_init(&r, value + 8, len - 8);
    const uint8_t cnt = ses_read_u8(&r);
    SES_ASSERT(cnt <= SES_DEMANDS_MAX);
    for (uint32_t i = 0; i < cnt; i++) {
        out[i] = (struct ses_owed){.kind = SES_OWED_DEMAND};
        ses_read_bytes(&r, out[i].segment.bytes, sizeof(out[i].segment.bytes));
        ses_read_bytes(&r, out[i].key.bytes, sizeof(out[i].key.bytes));
    }
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    return cnt;
}

enum ses_err ses_demands_store(struct ses_layer *layer, const struct ses_node_id *node_id,
                               uint64_t epoch, const struct ses_owed *demands, uint32_t cnt)
{
    const struct ses_state_key key = demands_key(node_id, epoch);
    uint8_t bytes[DEMANDS_BYTES_MAX];
    struct ses_writer w;
    SES_ASSERT(cnt <= SES_DEMANDS_MAX);
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_write_u64(&w, epoch);
    ses_write_u8(&w, (uint8_t)cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        ses_write_bytes(&w, demands[i].segment.bytes, sizeof(demands[i].segment.bytes));
        ses_write_bytes(&w, demands[i].key.bytes, sizeof(demands[i].key.bytes));
    }
    SES_TRY(ses_writer_done(&w));
    return ses_state_put(layer, &key, bytes, w.len);
}

void ses_turns_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                    struct ses_turns *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_TURNS, node_id->bytes);
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    *out = (struct ses_turns){0};
    if (value == NULL) {
        return;
    }
    SES_ASSERT(len == TURNS_BYTES);
    out->rotated = (value[0] & ROTATED) != 0;
    out->prev_listed = (value[0] & PREV_LISTED) != 0;
    out->moved = (value[0] & MOVED) != 0;
    out->key_epoch = ses_get_u64(value + 1);
    out->endpoint_epoch = ses_get_u64(value + 9);
    out->sequence = ses_get_u64(value + 17);
}

enum ses_err ses_turns_store(struct ses_layer *layer, const struct ses_node_id *node_id,
                             const struct ses_turns *turns)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_TURNS, node_id->bytes);
    uint8_t bytes[TURNS_BYTES];
    bytes[0] = (uint8_t)((turns->rotated ? ROTATED : 0) | (turns->prev_listed ? PREV_LISTED : 0) |
                         (turns->moved ? MOVED : 0));
    ses_put_u64(bytes + 1, turns->key_epoch);
    ses_put_u64(bytes + 9, turns->endpoint_epoch);
    ses_put_u64(bytes + 17, turns->sequence);
    return ses_state_put(layer, &key, bytes, sizeof(bytes));
}

enum ses_err ses_duty_forget(struct ses_layer *layer, const struct ses_node_id *node_id)
{
    struct ses_state_key key = ses_state_key(SES_STATE_RESPONSE, node_id->bytes);
    SES_TRY(ses_state_remove(layer, &key));
    key = ses_state_key(SES_STATE_TURNS, node_id->bytes);
    SES_TRY(ses_state_remove(layer, &key));
    for (uint64_t e = 0; e < SES_COMMITMENT_EPOCHS; e++) {
        key = commitment_key(node_id, e);
        SES_TRY(ses_state_remove(layer, &key));
    }
    for (uint64_t e = 0; e < DEMAND_EPOCHS; e++) {
        key = demands_key(node_id, e);
        SES_TRY(ses_state_remove(layer, &key));
    }
    return SES_OK;
}
