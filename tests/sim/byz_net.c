/* What a liar answers and sends. */
#include "tests/sim/byz.h"

#define HOUR_MS 3600000u

/* Whether the answer is one, the reader standing behind its status. */
static bool answers(struct ses_reader *r, const struct ses_buf *body)
{
    struct ses_refusal refusal;
    bool ok = false;
    return ses_response_begin(r, body->bytes, body->len, &ok, &refusal) == SES_OK && ok;
}

static void begin(struct ses_writer *w, struct ses_buf *out)
{
    SES_ASSERT(ses_buf_reserve(out, SES_FRAME_BYTES_MAX) == SES_OK);
    ses_writer_init(w, out->bytes, SES_FRAME_BYTES_MAX);
}

static void end(const struct ses_writer *w, struct ses_buf *out, struct ses_buf *body)
{
    SES_ASSERT(ses_writer_done(w) == SES_OK);
    out->len = w->len;
    ses_buf_free(body);
    *body = *out;
}

/* ---- pages ---- */
static bool hides(const struct byz *b, const struct ses_record *record)
{
    struct ses_record_ids ids;
    return ses_record_identify(&ids, record) == SES_OK && ids.id.bytes[0] % 4 < b->hides;
}

static void hide_page(const struct byz *b, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_page page;
    struct ses_buf out = {0};
    uint16_t kept = 0;
    if (!answers(&r, body)) {
        return;
    }
    ses_page_read(&r, &page);
    begin(&w, &out);
    ses_page_write(&w, &page);
    for (uint16_t i = 0; i < page.record_cnt; i++) {
        struct ses_record record;
        ses_record_read(&r, &record);
        SES_ASSERT(r.err == SES_OK);
        if (!hides(b, &record)) {
            ses_record_write(&w, &record);
            kept++;
        } else {
            sim_see(b->node->sim, SEEN_LIE_PAGE);
        }
    }
    ses_put_u16(out.bytes + SES_PAGE_HEADER_BYTES - 2, kept);
    end(&w, &out, body);
}

/* ---- comparing ---- */
/* Hours of today, in each of the classes that people use. */
static void write_junk_rows(struct byz *b, struct ses_writer *w)
{
    const uint64_t now_ms = sim_unix_ms(b->node->sim);
    ses_sync_rows_write(w, &(struct ses_sync_rows){.cnt = 3});
    for (uint8_t ttl_class = 0; ttl_class < 3; ttl_class++) {
        struct ses_sync_hours hours = {
            .ttl_class = ttl_class, .day = (uint32_t)(now_ms / HOUR_MS / SES_ROW_HOURS), .cnt = 4};
        const uint8_t first = (uint8_t)dice_below(&b->dice, SES_ROW_HOURS - 4);
        for (uint8_t i = 0; i < 4; i++) {
            hours.hours[i].hour = (uint8_t)(first + i);
            hours.hours[i].digest = dice_u64(&b->dice);
            hours.hours[i].count = dice_between(&b->dice, 1, 1 + dice_below(&b->dice, 4000));
        }
        ses_sync_hours_write(w, &hours);
    }
}

static void write_junk_answer(struct byz *b, struct ses_writer *w, uint16_t bitmap)
{
    struct ses_sync_answer *a = ses_alloc(1, sizeof *a);
    SES_ASSERT(a != NULL);
    a->bitmap = bitmap | (uint16_t)(dice_u64(&b->dice) & dice_u64(&b->dice));
    for (unsigned n = 0; n < 16; n++) {
        struct ses_sync_child *child = &a->children[n];
        const bool branch = dice_chance(&b->dice, 20);
        child->form = branch ? SES_SYNC_BRANCH : (uint8_t)dice_between(&b->dice, 1, 4);
        child->bitmap = (uint16_t)(dice_u64(&b->dice) | 1u);
        for (unsigned k = 0; k < SES_SYNC_SHORTS_MAX; k++) {
            child->shorts[k] = dice_u64(&b->dice) | 1u;
        }
    }
    ses_sync_answer_write(w, a);
    ses_free(a);
}

static void junk(struct byz *b, uint8_t op, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_buf out = {0};
    if (!answers(&r, body) || (op != SES_SYNC_ROWS && op != SES_SYNC_NODES)) {
        return;
    }
    sim_see(b->node->sim, SEEN_LIE_SYNC);
    begin(&w, &out);
    if (op == SES_SYNC_ROWS) {
        write_junk_rows(b, &w);
    } else {
        struct ses_sync_answer *a = ses_alloc(1, sizeof *a);
        SES_ASSERT(a != NULL);
        const uint16_t cnt = ses_sync_count_read(&r, 2);
        ses_sync_count_write(&w, cnt);
        for (uint16_t i = 0; i < cnt; i++) {
            ses_sync_answer_read(&r, a);
            write_junk_answer(b, &w, a->bitmap);
        }
        ses_free(a);
    }
    end(&w, &out, body);
}

static void hide_sync(const struct byz *b, uint8_t op, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_buf out = {0};
    if (!answers(&r, body) || op == SES_SYNC_NODES || op == SES_SYNC_OFFER) {
        return;
    }
    sim_see(b->node->sim, SEEN_LIE_SYNC);
    begin(&w, &out);
    if (op == SES_SYNC_ROWS) {
        ses_sync_rows_write(&w, &(struct ses_sync_rows){.cnt = 0});
    } else if (op == SES_SYNC_FETCH) {
        ses_sync_records_write(&w, &(struct ses_sync_records){.more = false});
        ses_write_u16(&w, 0);
    } else {
        ses_sync_sums_write(&w, &(struct ses_sync_sums){.more = false});
    }
    end(&w, &out, body);
}

/* Turns a byte of the payload of the first record that has one, which becomes `out`; false if there
 * is none. What was changed before is left alone: it would become what it was. */
static bool change_record(struct ses_record_ids *out, const struct sim *s, struct ses_buf *body,
                          struct ses_reader *r, uint16_t cnt)
{
    for (uint16_t i = 0; i < cnt; i++) {
        struct ses_record record;
        ses_record_read(r, &record);
        if (r->err == SES_OK && record.payload_bytes > 0 &&
            ses_record_identify(out, &record) == SES_OK && !byz_forged(s, &out->id)) {
            body->bytes[(size_t)(record.payload - body->bytes)] ^= 1u;
            SES_ASSERT(ses_record_identify(out, &record) == SES_OK);
            return true;
        }
    }
    return false;
}

bool byz_forged(const struct sim *s, const struct ses_hash *id)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct byz *b = s->nodes[i].byz;
        for (uint32_t k = 0; b != NULL && k < b->forged_cnt; k++) {
            if (ses_equal(&b->forged[k], id, sizeof *id)) {
                return true;
            }
        }
    }
    return false;
}

static void note_forged(struct byz *b, const struct ses_hash *id)
{
    if (byz_forged(b->node->sim, id)) {
        return;
    }
    if (b->forged_cnt == b->forged_cap) {
        b->forged_cap = b->forged_cap != 0 ? 2 * b->forged_cap : 64;
        b->forged = ses_realloc(b->forged, b->forged_cap, sizeof *b->forged);
        SES_ASSERT(b->forged != NULL);
    }
    b->forged[b->forged_cnt++] = *id;
}

/* ---- what leaves a node ---- */
static bool sync_lie(struct byz *b, uint8_t op, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_sync_records head;
    struct ses_record_ids ids;
    if (op == SES_SYNC_FETCH && byz_does(b, BYZ_SYNC_OTHER) && !b->patient && answers(&r, body)) {
        ses_sync_records_read(&r, &head);
        if (change_record(&ids, b->node->sim, body, &r, head.cnt)) {
            sim_see(b->node->sim, SEEN_LIE_SYNC);
            return true;
        }
    }
    if (byz_does(b, BYZ_HIDE_SYNC) && !b->patient) {
        hide_sync(b, op, body);
    } else if (byz_does(b, BYZ_SYNC_JUNK)) {
        junk(b, op, body);
    }
    return false;
}

static void bulk_lie(struct byz *b, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_buf out = {0};
    struct ses_bulk_page page;
    struct ses_record_ids ids;
    if (!answers(&r, body)) {
        return;
    }
    ses_bulk_page_read(&r, &page);
    if (byz_does(b, BYZ_SYNC_OTHER)) {
        if (change_record(&ids, b->node->sim, body, &r, page.cnt)) {
            sim_see(b->node->sim, SEEN_LIE_BULK);
            note_forged(b, &ids.id);
        }
    } else if (byz_does(b, BYZ_HIDE_SYNC)) {
        sim_see(b->node->sim, SEEN_LIE_BULK);
        begin(&w, &out);
        ses_bulk_page_write(&w, &(struct ses_bulk_page){.more = true, .next = page.next + 1});
        end(&w, &out, body);
    }
}

bool byz_reply(struct sim_node *node, enum ses_proto proto, uint8_t op, struct ses_buf *body)
{
    struct byz *b = node->byz;
    if (proto == SES_PROTO_RETRIEVE && op == SES_RETRIEVE_PAGE && byz_does(b, BYZ_HIDE_PAGES)) {
        hide_page(b, body);
    } else if (proto == SES_PROTO_SYNC) {
        return sync_lie(b, op, body);
    } else if (proto == SES_PROTO_BULK) {
        bulk_lie(b, body);
    }
    return false;
}

/* ---- receipts ---- */
/* The groups of an answer to a replicate frame become those of an old receipt. */
static void old_receipts(struct byz *b, struct ses_buf *body)
{
    struct ses_reader r;
    struct ses_writer w;
    struct ses_buf out = {0};
    struct ses_replicate_result result;
    struct ses_receipt_group group;
    uint16_t record;
    struct ses_receipt receipt;
    if (!answers(&r, body) || ses_replicate_result_read(&result, &r) != SES_OK ||
        result.record_cnt > 1) {
        return; /* each would be verified, for each record again and again */
    }
    for (uint16_t i = 0; i < result.record_cnt; i++) {
        (void)ses_read_u16(&r);
    }
    if (b->old == NULL && ses_read_u16(&r) > 0) {
        ses_receipt_group_read(&r, &group);
        ses_receipt_group_item_read(&r, &group, &record, &receipt);
        b->old = ses_alloc(1, sizeof *b->old);
        SES_ASSERT(r.err == SES_OK && b->old != NULL);
        *b->old = receipt;
        return;
    }
    if (b->old == NULL) {
        return;
    }
    sim_see(b->node->sim, SEEN_LIE_RECEIPT);
    begin(&w, &out);
    ses_replicate_result_write(&w, &result);
    for (uint16_t i = 0; i < result.record_cnt; i++) {
        ses_write_u16(&w, SES_OK);
    }
    ses_write_u16(&w, result.record_cnt);
    group = (struct ses_receipt_group){
        .node_id = b->old->node_id, .n = b->old->n, .signature = b->old->signature, .cnt = 1};
    for (uint16_t i = 0; i < result.record_cnt; i++) {
        ses_receipt_group_write(&w, &group);
        ses_receipt_group_item_write(&w, i, b->old);
    }
    end(&w, &out, body);
}

bool byz_frame(struct sim_node *node, uint32_t to, enum ses_proto proto, struct ses_buf *body)
{
    struct byz *b = node->byz;
    const bool is_put = body->len > 2 && body->bytes[1] == SES_REPLICATE_PUT;
    if (proto == SES_PROTO_WATCH) {
        return !byz_does(b, BYZ_HIDE_PAGES);
    }
    if (proto != SES_PROTO_REPLICATE) {
        return true;
    }
    if (is_put) {
        return !byz_does(b, BYZ_KEEP) || (to + node->index) % 2 == 0;
    }
    if (byz_does(b, BYZ_OLD_RECEIPTS) && dice_chance(&b->dice, 300)) {
        old_receipts(b, body);
    }
    return true;
}

/* ---- receipts for what is thrown away ---- */
static bool seat_of(const struct byz *b, struct ses_receipt_leaf *leaf)
{
    const struct ses_map *map = b->node->sim->chain.map;
    const struct ses_map_node *own = map != NULL ? ses_map_find(map, &b->node->node_id) : NULL;
    if (own == NULL || own->row.swarm == SES_SWARM_NONE) {
        return false;
    }
    leaf->swarm = own->row.swarm;
    leaf->swarm_from_epoch = own->row.swarm_from_epoch;
    return true;
}

void byz_receipt_make(struct ses_receipt *out, struct byz *b, const struct ses_record_ids *ids,
                      uint64_t admit_epoch)
{
    struct sim *s = b->node->sim;
    struct ses_receipt_leaf leaf = {.id = ids->id,
                                    .digest = ids->digest,
                                    .segment = ids->segment,
                                    .admit_epoch = admit_epoch,
                                    .time_ms = sim_unix_ms(s)};
    (void)seat_of(b, &leaf);
    SES_ASSERT(ses_receipts_sign(out, &leaf, 1, &s->chain.params.chain_id, &b->node->node_id,
                                 b->node->key, &b->dice.random) == SES_OK);
}

/* Answers a frame of one record in the daemon's place. */
static bool answer_put(struct byz *b, struct ses_flow *flow, struct ses_reader *r,
                       const struct ses_replicate_put *put)
{
    struct ses_record record;
    struct ses_record_ids ids;
    struct ses_receipt receipt;
    struct ses_writer w;
    uint8_t bytes[8192];
    const struct ses_params *p = &b->node->sim->chain.params.params;
    const struct ses_times times = {.genesis_s = b->node->sim->chain.params.genesis_timestamp,
                                    .epoch_s = p->epoch_seconds,
                                    .settle_s = p->settle_seconds,
                                    .freeze_s = p->freeze_seconds};
    ses_record_read(r, &record);
    if (r->err != SES_OK || ses_record_identify(&ids, &record) != SES_OK) {
        return false;
    }
    sim_see(b->node->sim, SEEN_LIE_RECEIPT);
    byz_receipt_make(&receipt, b, &ids,
                     ses_admit_epoch(&times, ids.header.ts_ms, sim_unix_ms(b->node->sim), -1, 0));
    const struct ses_replicate_result result = {.seq = put->seq, .record_cnt = 1};
    const struct ses_receipt_group group = {
        .node_id = receipt.node_id, .n = receipt.n, .signature = receipt.signature, .cnt = 1};
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_replicate_result_write(&w, &result);
    ses_write_u16(&w, SES_OK);
    ses_write_u16(&w, 1);
    ses_receipt_group_write(&w, &group);
    ses_receipt_group_item_write(&w, 0, &receipt);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return sim_flow_send(flow, bytes, w.len) == SES_OK;
}

bool byz_swallows(struct sim_node *node, struct ses_flow *flow, enum ses_proto proto,
                  const uint8_t *body, size_t len)
{
    struct byz *b = node->byz;
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_replicate_put put;
    struct ses_replicate_result result;
    bool ok = false;
    if (proto != SES_PROTO_REPLICATE || len < 3) {
        return false;
    }
    if (body[1] != SES_REPLICATE_PUT) { /* the answer to what byz_late.c sent */
        return ses_response_begin(&r, body, len, &ok, &refusal) == SES_OK && ok &&
               ses_replicate_result_read(&result, &r) == SES_OK && result.seq >= BYZ_SEQ;
    }
    return byz_does(b, BYZ_TAKE_NOTHING) && dice_chance(&b->dice, 700) &&
           ses_replicate_put_read(&put, &r, body, len) == SES_OK && put.record_cnt == 1 &&
           answer_put(b, flow, &r, &put);
}

/* Who stores nothing does not fetch it either. */
bool byz_asks(const struct sim_node *node, enum ses_proto proto)
{
    return !byz_does(node->byz, BYZ_TAKE_NOTHING) ||
           (proto != SES_PROTO_SYNC && proto != SES_PROTO_BULK);
}
