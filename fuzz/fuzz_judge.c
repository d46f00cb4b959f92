/* What a client makes of a node's answers: to an offer, to its questions for a list and for
 * receipts. The first byte chooses; the rest are answers, each a u16 length and its bytes, or for
 * receipts by `overlay` u16 where and the bytes that are laid over an honest answer. */
#include <string.h>

#include "client/client_internal.h"
#include "fuzz/fuzz.h"

#define NOW_MS 1790000000000u
#define NODES 5u
#define ACTIVE 3u
#define EARLY_MS 10000u    /* nodes take nothing that is later */
#define SILENCE UINT16_MAX /* as a length: no answer came */

/* Nodes 0 to 2 are Active in the inbox's swarm, 3 is leaving it, 4 is of the other swarm. */
static struct {
    struct ses_identity *owner;
    struct ses_hash chain_id, inbox;
    struct ses_map map;
    struct ses_map_node nodes[NODES];
    struct ses_receipt_want want;
    struct ses_receipt receipts[NODES];
    uint8_t answer[NODES * SES_RECEIPT_BYTES_MAX];
    size_t answer_len;
} world;

static void fixed_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 7, len);
}

static const struct ses_random fixed = {.fill = fixed_fill};

static void at_end(void)
{
    ses_identity_free(world.owner);
}

/* ---- the world ---- */
static void make_receipt(uint32_t i, uint32_t swarm, struct ses_map_node *node,
                         struct ses_receipt *receipt)
{
    const struct ses_dsa_seed seed = {{(uint8_t)(i + 1)}};
    struct ses_dsa_private *key = NULL;
    struct ses_receipt_leaf leaf = {
        .id = world.want.id, .swarm = swarm, .admit_epoch = 3, .time_ms = NOW_MS};
    SES_ASSERT(ses_dsa_private_new(&key, &seed) == SES_OK);
    ses_dsa_private_pk(key, &node->keys.public_key);
    ses_node_id_of(&node->row.node_id, &node->keys.public_key);
    node->row.status = i == ACTIVE ? SES_NODE_DECOMMISSIONING : SES_NODE_ACTIVE;
    node->row.swarm = swarm;
    node->row.prev_swarm = SES_SWARM_NONE;
    ses_inbox_digest(&leaf.digest, &world.inbox);
    ses_segment_of(&leaf.segment, world.want.ttl_class, world.want.ts_ms);
    SES_ASSERT(ses_receipts_sign(receipt, &leaf, 1, &world.chain_id, &node->row.node_id, key,
                                 &fixed) == SES_OK);
    ses_dsa_private_free(key);
}

static int by_node_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ses_node_id));
}

static void setup(void)
{
    static const uint8_t seed[32] = {3};
    struct ses_writer w;
    struct ses_hash digest;
    _Static_assert(offsetof(struct ses_map_node, row.node_id) == 0, "rows sort by their start");
    SES_ASSERT(ses_crypto_init() == SES_OK && ses_identity_new(&world.owner, seed) == SES_OK);
    SES_ASSERT(atexit(at_end) == 0);
    memcpy(world.inbox.bytes, world.owner->id.bytes + 1, sizeof world.inbox.bytes);
    world.chain_id.bytes[0] = 5;
    world.want = (struct ses_receipt_want){
        .id = {{9}}, .inbox = world.inbox, .ttl_class = 2, .ts_ms = NOW_MS};
    world.map = (struct ses_map){.num_swarms = 2, .node_cnt = NODES, .nodes = world.nodes};
    ses_inbox_digest(&digest, &world.inbox);
    const uint32_t swarm = ses_swarm_of(&digest, 2);
    ses_writer_init(&w, world.answer, sizeof world.answer);
    ses_response_ok(&w);
    ses_write_u16(&w, NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        make_receipt(i, i < NODES - 1 ? swarm : 1 - swarm, &world.nodes[i], &world.receipts[i]);
        ses_receipt_write(&w, &world.receipts[i]);
    }
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    world.answer_len = w.len;
    qsort(world.nodes, NODES, sizeof world.nodes[0], by_node_id);
}

/* ---- offers ---- */
static void new_offer(struct ses_outbox_item *item, uint8_t entry)
{
    const struct ses_record_header fields = {.ttl_class = 2, .ts_ms = NOW_MS, .inbox = world.inbox};
    struct ses_buf bytes = {0};
    struct ses_record_ids ids;
    const struct ses_hash token = {{1}};
    SES_ASSERT(ses_outbox_init(item, &world.owner->id, (const uint8_t *)"hi", 2, NOW_MS, &fixed) ==
               SES_OK);
    SES_ASSERT(ses_buf_reserve(&bytes, SES_RECORD_HEADER_BYTES + 8) == SES_OK);
    memset(bytes.bytes, 1, SES_RECORD_HEADER_BYTES + 8);
    ses_record_header_encode(bytes.bytes, &fields);
    bytes.len = SES_RECORD_HEADER_BYTES + 8;
    const struct ses_record record = {bytes.bytes, bytes.bytes + SES_RECORD_HEADER_BYTES, 8};
    SES_ASSERT(ses_record_identify(&ids, &record) == SES_OK);
    ses_outbox_sealed(item, &bytes, &ids, entry % 2 == 0 ? SES_ENTRY_STAMP : SES_ENTRY_TOKEN,
                      &token, 77);
}

/* It can be kept on the disk, and nobody's word alone ends it well. */
static void check_item(const struct ses_outbox_item *item)
{
    struct ses_outbox_item again;
    struct ses_buf bytes = {0};
    SES_ASSERT(item->state != SES_OUTBOX_STORED);
    SES_ASSERT(item->node_cnt <= SES_MEMBERS_MAX);
    SES_ASSERT(item->work_bits <= SES_OUTBOX_WORK_BITS_MAX);
    SES_ASSERT(ses_outbox_encode(&bytes, item) == SES_OK);
    SES_ASSERT(ses_outbox_decode(&again, bytes.bytes, bytes.len) == SES_OK);
    SES_ASSERT(again.state == item->state && again.next_ms == item->next_ms);
    ses_outbox_free(&again);
    ses_buf_free(&bytes);
}

static void check_stored(const uint8_t *bytes, size_t len)
{
    enum ses_store_state state;
    struct ses_refusal refusal;
    struct ses_reader r;
    struct ses_stored said;
    bool ok = false;
    const enum ses_err err = ses_stored_answer(bytes, len, ACTIVE, &state, &refusal);
    if (err == SES_OK && state == SES_STORED) {
        SES_ASSERT(ses_response_begin(&r, bytes, len, &ok, &refusal) == SES_OK && ok);
        SES_ASSERT(ses_stored_read(&said, &r) == SES_OK);
        SES_ASSERT(said.node_cnt >= ses_write_quorum(ACTIVE));
    }
}

/* Taken only by a node that names our record. */
static bool names(const uint8_t *bytes, size_t len, const struct ses_hash *id)
{
    struct ses_refusal refusal;
    struct ses_reader r;
    struct ses_stored said;
    bool ok = false;
    return ses_response_begin(&r, bytes, len, &ok, &refusal) == SES_OK && ok &&
           ses_stored_read(&said, &r) == SES_OK && memcmp(&said.id, id, sizeof *id) == 0;
}

static void offers(struct ses_reader *r)
{
    struct ses_outbox_item item;
    struct ses_note note;
    new_offer(&item, ses_read_u8(r));
    while (item.state == SES_OUTBOX_OFFER && r->left > 0) {
        const uint16_t len = ses_read_u16(r);
        const bool silent = len == SILENCE;
        const uint8_t *bytes = silent ? NULL : ses_read_view(r, len);
        if (r->err != SES_OK) {
            break;
        }
        (void)ses_offer_answer(&item, silent ? SES_ERR_TIMEOUT : SES_OK, bytes, len, ACTIVE, NOW_MS,
                               &note);
        check_item(&item);
        SES_ASSERT(item.state != SES_OUTBOX_CHECK || names(bytes, len, &item.id));
        if (!silent) {
            check_stored(bytes, len);
        }
    }
    ses_outbox_free(&item);
}

/* ---- lists ---- */
static void check_listing(struct ses_listing *l)
{
    ses_listing_merge(l);
    for (uint32_t i = 0; i < l->cnt; i++) {
        const struct ses_delete_target *t = &l->list[i];
        SES_ASSERT(memcmp(&t->header.inbox, &world.inbox, sizeof world.inbox) == 0);
        SES_ASSERT(t->header.ns == SES_NS_INBOX && t->size <= SES_PAYLOAD_MAX);
        SES_ASSERT(ses_segment_expires_ms(&t->segment) > NOW_MS);
        SES_ASSERT(ses_listing_find(l, &t->id) == t);
    }
}

/* Whatever nodes list, we can sign that it is to go, at a time that others take. */
static void delete_some(const struct ses_listing *l)
{
    const struct ses_delete_signer signer = {world.owner, &world.chain_id, &fixed, NOW_MS};
    const uint32_t cnt = l->cnt < SES_DELETE_TARGETS_MAX ? l->cnt : SES_DELETE_TARGETS_MAX;
    struct ses_buf body = {0};
    struct ses_record_ids ids;
    SES_ASSERT(ses_delete_body(&signer, l->list, cnt, 0, &body) == SES_OK);
    SES_ASSERT(ses_delete_ids(&ids, &body) == SES_OK);
    SES_ASSERT(ids.header.ts_ms <= NOW_MS + EARLY_MS);
    ses_buf_free(&body);
}

static void lists(struct ses_reader *r)
{
    const struct ses_client_delete all = {.before_ms = SES_CLIENT_DELETE_ALL};
    struct ses_listing l = {0};
    struct ses_retrieve ask = {.inbox = world.inbox, .ns = SES_NS_INBOX};
    enum ses_err err = SES_OK;
    while (err == SES_OK && r->left > 0) {
        struct ses_refusal refusal;
        uint8_t flags;
        const uint16_t len = ses_read_u16(r);
        const uint8_t *bytes = ses_read_view(r, len);
        err = r->err;
        if (err == SES_OK) {
            err = ses_listing_take(&l, &ask, NOW_MS, bytes, len, &flags, &refusal);
        }
    }
    check_listing(&l);
    uint32_t due = 0;
    for (uint32_t i = 0; i < l.cnt; i++) {
        due += l.list[i].header.ts_ms <= NOW_MS + EARLY_MS;
    }
    ses_delete_choose(&l, &all, NOW_MS);
    SES_ASSERT(l.cnt == due);
    if (l.cnt > 0) {
        delete_some(&l);
    }
    ses_listing_free(&l);
}

/* ---- receipts ---- */
struct counted {
    struct ses_receipt_memo memo;
    uint32_t cnt, good;
};

/* Only what was signed counts, and only by those whom readers ask. */
static enum ses_err count(void *cookie, const struct ses_receipt *receipt)
{
    struct counted *c = cookie;
    c->cnt++;
    if (ses_receipt_check(receipt, &world.want, &world.map, &world.chain_id, &c->memo) != SES_OK) {
        return SES_OK;
    }
    for (uint32_t i = 0; i < ACTIVE; i++) {
        const struct ses_receipt *honest = &world.receipts[i];
        if (memcmp(&honest->node_id, &receipt->node_id, sizeof honest->node_id) == 0) {
            SES_ASSERT(receipt->leaf.admit_epoch == honest->leaf.admit_epoch);
            SES_ASSERT(receipt->leaf.time_ms == honest->leaf.time_ms);
            c->good++;
            return SES_OK;
        }
    }
    SES_ASSERT(false);
}

static void answered(const uint8_t *bytes, size_t len, bool is_honest)
{
    static struct counted c;
    memset(&c, 0, sizeof c);
    const enum ses_err err = ses_receipts_answer(bytes, len, count, &c);
    SES_ASSERT(c.cnt <= SES_MEMBERS_MAX);
    SES_ASSERT(!is_honest || (err == SES_OK && c.cnt == NODES && c.good == ACTIVE));
}

static void overlay(struct ses_reader *r)
{
    uint8_t *bytes = ses_alloc(world.answer_len, 1);
    const size_t at = ses_read_u16(r) % world.answer_len;
    const size_t len = r->left < world.answer_len - at ? r->left : world.answer_len - at;
    SES_ASSERT(bytes != NULL);
    memcpy(bytes, world.answer, world.answer_len);
    if (len > 0) {
        memcpy(bytes + at, r->at, len);
    }
    answered(bytes, world.answer_len, memcmp(bytes, world.answer, world.answer_len) == 0);
    ses_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_reader r;
    if (world.owner == NULL) {
        setup();
    }
    ses_reader_init(&r, data, size);
    const uint8_t kind = ses_read_u8(&r) % 4;
    if (kind == 0) {
        offers(&r);
    } else if (kind == 1) {
        lists(&r);
    } else if (kind == 2) {
        overlay(&r);
    } else {
        answered(r.at, r.left, false);
    }
    return 0;
}
