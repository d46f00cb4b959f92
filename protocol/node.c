#include "protocol/node_internal.h"

#include "protocol/protocol_internal.h"

#define KEYS_BYTES_MAX (SES_DSA_PK_BYTES + 2 * SES_KEM_PK_BYTES + 1)

const char *ses_node_status_text(enum ses_node_status status)
{
    switch (status) {
    case SES_NODE_ACTIVE:
        return "active";
    case SES_NODE_DECOMMISSIONING:
        return "decommissioning";
    case SES_NODE_RETIRED:
        return "retired";
    }
    return "unknown";
}

static bool status_ok(unsigned status)
{
    return status >= SES_NODE_ACTIVE && status <= SES_NODE_RETIRED;
}

void ses_node_status_write(struct ses_writer *w, enum ses_node_status status)
{
    ses_writer_check(w, status_ok(status));
    ses_write_u8(w, (uint8_t)status);
}

enum ses_node_status ses_node_status_read(struct ses_reader *r)
{
    const uint8_t status = ses_read_u8(r);
    ses_reader_check(r, status_ok(status), SES_ERR_MALFORMED);
    return (enum ses_node_status)status;
}

void ses_node_write(struct ses_writer *w, const struct ses_node *n)
{
    ses_write_bytes(w, n->node_id.bytes, sizeof n->node_id.bytes);
    ses_write_bytes(w, n->owner.bytes, sizeof n->owner.bytes);
    ses_write_u64(w, n->stake);
    ses_write_u64(w, n->principal);
    ses_write_u32(w, n->swarm);
    ses_write_u32(w, n->prev_swarm);
    ses_write_u64(w, n->swarm_from_epoch);
    ses_write_bytes(w, n->next_commit.bytes, sizeof n->next_commit.bytes);
    ses_node_status_write(w, n->status);
    ses_write_u64(w, n->registered_at);
    ses_write_u64(w, n->last_ping_at);
    ses_write_bytes(w, n->uptime, sizeof n->uptime);
    ses_write_bytes(w, n->observed, sizeof n->observed);
    ses_write_u64(w, n->misses);
    ses_write_u64(w, n->misses_running);
    ses_write_bytes(w, n->forgiven, sizeof n->forgiven);
    ses_write_u64(w, n->slashed);
    ses_write_u64(w, n->deviant_cnt);
    ses_write_u64(w, n->unreachable_cnt);
    ses_write_u64(w, n->capacity);
    ses_write_u64(w, n->decommission_epoch);
}

void ses_node_read(struct ses_reader *r, struct ses_node *n)
{
    memset(n, 0, sizeof *n);
    ses_read_bytes(r, n->node_id.bytes, sizeof n->node_id.bytes);
    ses_read_bytes(r, n->owner.bytes, sizeof n->owner.bytes);
    n->stake = ses_read_u64(r);
    n->principal = ses_read_u64(r);
    n->swarm = ses_read_u32(r);
    n->prev_swarm = ses_read_u32(r);
    n->swarm_from_epoch = ses_read_u64(r);
    ses_read_bytes(r, n->next_commit.bytes, sizeof n->next_commit.bytes);
    n->status = ses_node_status_read(r);
    n->registered_at = ses_read_u64(r);
    n->last_ping_at = ses_read_u64(r);
    ses_read_bytes(r, n->uptime, sizeof n->uptime);
    ses_read_bytes(r, n->observed, sizeof n->observed);
    n->misses = ses_read_u64(r);
    n->misses_running = ses_read_u64(r);
    ses_read_bytes(r, n->forgiven, sizeof n->forgiven);
    n->slashed = ses_read_u64(r);
    n->deviant_cnt = ses_read_u64(r);
    n->unreachable_cnt = ses_read_u64(r);
    n->capacity = ses_read_u64(r);
    n->decommission_epoch = ses_read_u64(r);
    if (r->err != SES_OK) {
        memset(n, 0, sizeof *n);
    }
}

uint32_t ses_node_uptime_bps(const struct ses_node *n)
{
    uint32_t passed = 0;
    uint32_t observed = 0;
    for (unsigned i = 0; i < sizeof n->observed; i++) {
        passed += (uint32_t)__builtin_popcount(n->uptime[i] & n->observed[i]);
        observed += (uint32_t)__builtin_popcount(n->observed[i]);
    }
    return observed == 0 ? 10000 : 10000 * passed / observed;
}

void ses_node_keys_write(struct ses_writer *w, const struct ses_node_keys *k)
{
    ses_write_bytes(w, k->public_key.bytes, sizeof k->public_key.bytes);
    ses_write_bytes(w, k->encryption_key.bytes, sizeof k->encryption_key.bytes);
    ses_write_u8(w, k->has_prev_encryption_key ? 1 : 0);
    if (k->has_prev_encryption_key) {
        ses_write_bytes(w, k->prev_encryption_key.bytes, sizeof k->prev_encryption_key.bytes);
    }
}

void ses_node_keys_read(struct ses_reader *r, struct ses_node_keys *k)
{
    memset(k, 0, sizeof *k);
    ses_read_bytes(r, k->public_key.bytes, sizeof k->public_key.bytes);
    ses_read_bytes(r, k->encryption_key.bytes, sizeof k->encryption_key.bytes);
    const uint8_t has_prev = ses_read_u8(r);
    ses_reader_check(r, has_prev <= 1, SES_ERR_MALFORMED);
    k->has_prev_encryption_key = has_prev == 1;
    if (k->has_prev_encryption_key) {
        ses_read_bytes(r, k->prev_encryption_key.bytes, sizeof k->prev_encryption_key.bytes);
    }
    if (r->err != SES_OK) {
        memset(k, 0, sizeof *k);
    }
}

void ses_node_keys_hash(struct ses_hash *out, const struct ses_node_keys *k,
                        const struct ses_endpoint *e)
{
    uint8_t bytes[KEYS_BYTES_MAX + SES_ENDPOINT_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_node_keys_write(&w, k);
    ses_endpoint_write(&w, e);
    SES_ASSERT(ses_writer_done(&w) == SES_OK); /* an endpoint that was never checked is a bug */
    ses_blake3_hash(out, bytes, w.len);
}
