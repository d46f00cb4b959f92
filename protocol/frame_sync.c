/* /session/sync/1: rows, nodes, fetch, offer, sums */
#include "protocol/frame_internal.h"
#include "protocol/sync_internal.h"

#define HOURS_BYTES_MIN 6u
#define ROW_BYTES 13u
#define PLACE_BYTES_MIN (SES_SEGMENT_BYTES + 1u)
#define NODE_BYTES_MIN (PLACE_BYTES_MIN + 2u)
#define GROUP_BYTES_MIN (PLACE_BYTES_MIN + 1u + 8u)
#define SUM_BYTES (SES_SEGMENT_BYTES + 32u + 8u + 8u)

/* ---- names ---- */
uint64_t ses_sync_short(const struct ses_sync_nonce *nonce, const struct ses_hash *hash)
{
    struct ses_hash out;
    ses_b(&out, SES_TAG_SYNC,
          SES_PARTS(SES_PART(nonce->bytes, sizeof nonce->bytes), SES_PART(hash->bytes, 32)));
    return ses_get_u64(out.bytes);
}

void ses_sync_shorts(uint64_t out[16], const struct ses_sync_nonce *nonce,
                     const struct ses_sum sums[16])
{
    uint8_t in[16][64];
    struct ses_hash hashes[16];
    for (unsigned i = 0; i < 16; i++) {
        memcpy(in[i], nonce->bytes, sizeof nonce->bytes);
        memcpy(in[i] + sizeof nonce->bytes, sums[i].hash.bytes, 32);
    }
    ses_b_batch(hashes, SES_TAG_SYNC, in[0], sizeof nonce->bytes + 32, sizeof in[0], 16);
    for (unsigned i = 0; i < 16; i++) {
        out[i] = sums[i].count > 0 ? ses_get_u64(hashes[i].bytes) : 0;
    }
}

void ses_sync_leaf_shorts(uint64_t *out, const struct ses_sync_nonce *nonce,
                          const struct ses_leaf *leaves, size_t cnt)
{
    uint8_t bytes[16][SES_LEAF_BYTES];
    uint8_t in[16][64];
    struct ses_hash hashes[16];
    for (size_t at = 0; at < cnt; at += 16) {
        const size_t some = cnt - at < 16 ? cnt - at : 16;
        for (size_t i = 0; i < some; i++) {
            ses_leaf_encode(bytes[i], &leaves[at + i]);
        }
        ses_b_batch(hashes, SES_TAG_LEAF, bytes[0], sizeof bytes[0], sizeof bytes[0], some);
        for (size_t i = 0; i < some; i++) {
            memcpy(in[i], nonce->bytes, sizeof nonce->bytes);
            memcpy(in[i] + sizeof nonce->bytes, hashes[i].bytes, 32);
        }
        ses_b_batch(hashes, SES_TAG_SYNC, in[0], sizeof nonce->bytes + 32, sizeof in[0], some);
        for (size_t i = 0; i < some; i++) {
            out[at + i] = ses_get_u64(hashes[i].bytes);
        }
    }
}

uint64_t ses_sync_leaf_short(const struct ses_sync_nonce *nonce, const struct ses_leaf *leaf)
{
    uint64_t out;
    ses_sync_leaf_shorts(&out, nonce, leaf, 1);
    return out;
}

uint64_t ses_sync_row_digest(const struct ses_sync_nonce *nonce,
                             const struct ses_sync_segment *segments, size_t cnt)
{
    uint8_t bytes[SES_ROW_HOURS * (SES_SEGMENT_BYTES + 32u)];
    struct ses_hash out;
    struct ses_writer w;
    SES_ASSERT(cnt <= SES_ROW_HOURS);
    ses_writer_init(&w, bytes, sizeof bytes);
    for (size_t i = 0; i < cnt; i++) {
        ses_segment_put(&w, &segments[i].id);
        ses_write_bytes(&w, segments[i].sum.hash.bytes, 32);
    }
    ses_b(&out, SES_TAG_SYNC,
          SES_PARTS(SES_PART(nonce->bytes, sizeof nonce->bytes), SES_PART(bytes, w.len)));
    return ses_get_u64(out.bytes);
}

/* ---- what several messages share ---- */
void ses_segment_put(struct ses_writer *w, const struct ses_segment *m)
{
    ses_writer_check(w, m->ttl_class < SES_TTL_CLASS_CNT);
    ses_write_u8(w, m->ttl_class);
    ses_write_u32(w, m->hour);
}

void ses_segment_take(struct ses_reader *r, struct ses_segment *m)
{
    m->ttl_class = ses_read_u8(r);
    m->hour = ses_read_u32(r);
    ses_reader_check(r, m->ttl_class < SES_TTL_CLASS_CNT, SES_ERR_MALFORMED);
}

static bool set_ok(const struct ses_sync_set *m)
{
    return ses_power_of_two(m->num_swarms) && m->swarm < m->num_swarms;
}

void ses_sync_set_put(struct ses_writer *w, const struct ses_sync_set *m)
{
    ses_writer_check(w, set_ok(m));
    ses_write_u32(w, m->num_swarms);
    ses_write_u32(w, m->swarm);
}

void ses_sync_set_take(struct ses_reader *r, struct ses_sync_set *m)
{
    m->num_swarms = ses_read_u32(r);
    m->swarm = ses_read_u32(r);
    ses_reader_check(r, set_ok(m), SES_ERR_MALFORMED);
}

bool ses_flag_take(struct ses_reader *r)
{
    const uint8_t flag = ses_read_u8(r);
    ses_reader_check(r, flag <= 1, SES_ERR_MALFORMED);
    return flag == 1;
}

static unsigned place_bytes(unsigned nibble_cnt)
{
    return (nibble_cnt + 1) / 2;
}

static void place_write(struct ses_writer *w, const struct ses_sync_place *m)
{
    ses_writer_check(w, m->nibble_cnt <= SES_SYNC_DEPTH_MAX);
    ses_segment_put(w, &m->segment);
    ses_write_u8(w, m->nibble_cnt);
    if (w->err == SES_OK) {
        ses_write_bytes(w, m->prefix.bytes, place_bytes(m->nibble_cnt));
    }
}

static void place_read(struct ses_reader *r, struct ses_sync_place *m)
{
    memset(m, 0, sizeof *m);
    ses_segment_take(r, &m->segment);
    m->nibble_cnt = ses_read_u8(r);
    ses_reader_check(r, m->nibble_cnt <= SES_SYNC_DEPTH_MAX, SES_ERR_MALFORMED);
    if (r->err == SES_OK) {
        ses_read_bytes(r, m->prefix.bytes, place_bytes(m->nibble_cnt));
        const bool odd = m->nibble_cnt % 2 == 1;
        ses_reader_check(r, !odd || (m->prefix.bytes[m->nibble_cnt / 2] & 15u) == 0,
                         SES_ERR_MALFORMED);
    }
}

/* Digests of the children in the bitmap. */
static void digests_write(struct ses_writer *w, uint16_t bitmap, const uint64_t *digests)
{
    ses_write_u16(w, bitmap);
    for (unsigned i = 0; i < 16; i++) {
        if (ses_sync_has(bitmap, i)) {
            ses_write_u64(w, digests[i]);
        }
    }
}

static uint16_t digests_read(struct ses_reader *r, uint64_t *digests)
{
    const uint16_t bitmap = ses_read_u16(r);
    for (unsigned i = 0; i < 16; i++) {
        digests[i] = ses_sync_has(bitmap, i) ? ses_read_u64(r) : 0;
    }
    return bitmap;
}

/* ---- the beginning of a request ---- */
static uint16_t ask_max(uint8_t op)
{
    switch (op) {
    case SES_SYNC_ROWS:
        return SES_SYNC_ROWS_MAX;
    case SES_SYNC_NODES:
        return SES_SYNC_NODES_MAX;
    case SES_SYNC_FETCH:
    case SES_SYNC_OFFER:
        return SES_SYNC_GROUPS_MAX;
    default:
        return 0;
    }
}

static size_t ask_element_min(uint8_t op)
{
    return op == SES_SYNC_ROWS    ? ROW_BYTES
           : op == SES_SYNC_NODES ? NODE_BYTES_MIN
                                  : GROUP_BYTES_MIN;
}

static bool ask_ok(const struct ses_sync_ask *m)
{
    return ask_max(m->op) > 0 && m->cnt <= ask_max(m->op) && (!m->whole || m->op == SES_SYNC_ROWS);
}

void ses_sync_ask_write(struct ses_writer *w, const struct ses_sync_ask *m)
{
    ses_writer_check(w, ask_ok(m));
    ses_request_write(w, m->op);
    ses_sync_set_put(w, &m->set);
    ses_write_bytes(w, m->nonce.bytes, sizeof m->nonce.bytes);
    ses_write_u8(w, m->whole ? 1 : 0);
    ses_write_u16(w, m->cnt);
}

enum ses_err ses_sync_ask_read(struct ses_sync_ask *m, struct ses_reader *r, const uint8_t *body,
                               size_t len)
{
    memset(m, 0, sizeof *m);
    const enum ses_err begun = ses_request_begin(r, body, len, &m->op);
    ses_reader_check(r, begun == SES_OK, begun);
    ses_sync_set_take(r, &m->set);
    ses_read_bytes(r, m->nonce.bytes, sizeof m->nonce.bytes);
    m->whole = ses_flag_take(r);
    m->cnt = ses_read_u16(r);
    ses_reader_check(r, ask_ok(m), SES_ERR_MALFORMED);
    ses_read_prove(r, m->cnt, ask_element_min(m->op));
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
    return r->err;
}

void ses_sync_count_write(struct ses_writer *w, uint16_t cnt)
{
    ses_response_ok(w);
    ses_write_u16(w, cnt);
}

uint16_t ses_sync_count_read(struct ses_reader *r, size_t element_bytes_min)
{
    const uint16_t cnt = ses_read_u16(r);
    ses_read_prove(r, cnt, element_bytes_min);
    return r->err == SES_OK ? cnt : 0;
}

/* ---- rows ---- */
void ses_sync_rows_write(struct ses_writer *w, const struct ses_sync_rows *m)
{
    ses_response_ok(w);
    ses_write_u8(w, m->partial ? 1 : 0);
    ses_write_u16(w, m->cnt);
}

void ses_sync_rows_read(struct ses_reader *r, struct ses_sync_rows *m)
{
    m->partial = ses_flag_take(r);
    m->cnt = ses_sync_count_read(r, HOURS_BYTES_MIN);
}

void ses_sync_row_write(struct ses_writer *w, const struct ses_sync_row *m)
{
    ses_writer_check(w, m->ttl_class < SES_TTL_CLASS_CNT);
    ses_write_u8(w, m->ttl_class);
    ses_write_u32(w, m->day);
    ses_write_u64(w, m->digest);
}

void ses_sync_row_read(struct ses_reader *r, struct ses_sync_row *m)
{
    m->ttl_class = ses_read_u8(r);
    m->day = ses_read_u32(r);
    m->digest = ses_read_u64(r);
    ses_reader_check(r, m->ttl_class < SES_TTL_CLASS_CNT && m->day < UINT32_MAX / SES_ROW_HOURS,
                     SES_ERR_MALFORMED);
}

static bool hours_ok(const struct ses_sync_hours *m)
{
    bool ok = m->ttl_class < SES_TTL_CLASS_CNT && m->cnt <= SES_ROW_HOURS &&
              m->day < UINT32_MAX / SES_ROW_HOURS;
    for (unsigned i = 0; ok && i < m->cnt; i++) {
        ok = m->hours[i].hour < SES_ROW_HOURS &&
             (i == 0 || m->hours[i - 1].hour < m->hours[i].hour) && m->hours[i].count > 0;
    }
    return ok;
}

void ses_sync_hours_write(struct ses_writer *w, const struct ses_sync_hours *m)
{
    ses_writer_check(w, hours_ok(m));
    ses_write_u8(w, m->ttl_class);
    ses_write_u32(w, m->day);
    ses_write_u8(w, m->cnt);
    for (unsigned i = 0; w->err == SES_OK && i < m->cnt; i++) {
        ses_write_u8(w, m->hours[i].hour);
        ses_write_u64(w, m->hours[i].digest);
        ses_write_u64(w, m->hours[i].count);
    }
}

void ses_sync_hours_read(struct ses_reader *r, struct ses_sync_hours *m)
{
    memset(m, 0, sizeof *m);
    m->ttl_class = ses_read_u8(r);
    m->day = ses_read_u32(r);
    m->cnt = ses_read_u8(r);
    ses_reader_check(r, m->cnt <= SES_ROW_HOURS, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < m->cnt; i++) {
        m->hours[i].hour = ses_read_u8(r);
        m->hours[i].digest = ses_read_u64(r);
        m->hours[i].count = ses_read_u64(r);
    }
    ses_reader_check(r, hours_ok(m), SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

/* ---- nodes ---- */
void ses_sync_node_write(struct ses_writer *w, const struct ses_sync_node *m)
{
    place_write(w, &m->place);
    digests_write(w, m->bitmap, m->digests);
}

void ses_sync_node_read(struct ses_reader *r, struct ses_sync_node *m)
{
    place_read(r, &m->place);
    m->bitmap = digests_read(r, m->digests);
}

static void child_write(struct ses_writer *w, const struct ses_sync_child *m)
{
    ses_writer_check(w, m->form <= SES_SYNC_SHORTS_MAX || m->form == SES_SYNC_BRANCH);
    ses_write_u8(w, m->form);
    if (m->form == SES_SYNC_BRANCH) {
        digests_write(w, m->bitmap, m->shorts);
    }
    for (unsigned i = 0; m->form != SES_SYNC_BRANCH && w->err == SES_OK && i < m->form; i++) {
        ses_write_u64(w, m->shorts[i]);
    }
}

static void child_read(struct ses_reader *r, struct ses_sync_child *m)
{
    m->form = ses_read_u8(r);
    if (m->form == SES_SYNC_BRANCH) {
        m->bitmap = digests_read(r, m->shorts);
        return;
    }
    ses_reader_check(r, m->form <= SES_SYNC_SHORTS_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < m->form; i++) {
        m->shorts[i] = ses_read_u64(r);
    }
}

void ses_sync_answer_write(struct ses_writer *w, const struct ses_sync_answer *m)
{
    ses_write_u16(w, m->bitmap);
    for (unsigned i = 0; i < 16; i++) {
        if (ses_sync_has(m->bitmap, i)) {
            child_write(w, &m->children[i]);
        }
    }
}

void ses_sync_answer_read(struct ses_reader *r, struct ses_sync_answer *m)
{
    memset(m, 0, sizeof *m);
    m->bitmap = ses_read_u16(r);
    for (unsigned i = 0; i < 16; i++) {
        if (ses_sync_has(m->bitmap, i)) {
            child_read(r, &m->children[i]);
        }
    }
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

/* ---- fetch, offer ---- */
void ses_sync_group_write(struct ses_writer *w, const struct ses_sync_group *m)
{
    ses_writer_check(w, m->cnt >= 1 && m->cnt <= SES_SYNC_SHORTS_MAX);
    place_write(w, &m->place);
    ses_write_u8(w, m->cnt);
    for (unsigned i = 0; w->err == SES_OK && i < m->cnt; i++) {
        ses_write_u64(w, m->shorts[i]);
    }
}

void ses_sync_group_read(struct ses_reader *r, struct ses_sync_group *m)
{
    memset(m, 0, sizeof *m);
    place_read(r, &m->place);
    m->cnt = ses_read_u8(r);
    ses_reader_check(r, m->cnt >= 1 && m->cnt <= SES_SYNC_SHORTS_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < m->cnt; i++) {
        m->shorts[i] = ses_read_u64(r);
    }
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

void ses_sync_records_write(struct ses_writer *w, const struct ses_sync_records *m)
{
    ses_writer_check(w, m->cnt <= SES_SYNC_RECORDS_MAX);
    ses_response_ok(w);
    ses_write_u8(w, m->more ? 1 : 0);
    ses_write_u16(w, m->cnt);
}

void ses_sync_records_read(struct ses_reader *r, struct ses_sync_records *m)
{
    m->more = ses_flag_take(r);
    m->cnt = ses_sync_count_read(r, SES_RECORD_WIRE_MIN);
    ses_reader_check(r, m->cnt <= SES_SYNC_RECORDS_MAX, SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

/* ---- sums ---- */
void ses_sync_sums_ask_write(struct ses_writer *w, const struct ses_sync_sums_ask *m)
{
    ses_request_write(w, SES_SYNC_SUMS);
    ses_sync_set_put(w, &m->set);
    ses_segment_put(w, &m->from);
}

enum ses_err ses_sync_sums_ask_read(struct ses_sync_sums_ask *m, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_request_expect(&r, body, len, SES_SYNC_SUMS);
    ses_sync_set_take(&r, &m->set);
    ses_segment_take(&r, &m->from);
    return ses_read_end(&r, m, sizeof *m);
}

void ses_sync_sums_write(struct ses_writer *w, const struct ses_sync_sums *m)
{
    ses_writer_check(w, m->cnt <= SES_SYNC_SUMS_MAX);
    ses_response_ok(w);
    ses_write_u8(w, m->partial ? 1 : 0);
    ses_write_u8(w, m->more ? 1 : 0);
    ses_write_u16(w, m->cnt);
}

void ses_sync_sums_read(struct ses_reader *r, struct ses_sync_sums *m)
{
    m->partial = ses_flag_take(r);
    m->more = ses_flag_take(r);
    m->cnt = ses_sync_count_read(r, SUM_BYTES);
    ses_reader_check(r, m->cnt <= SES_SYNC_SUMS_MAX, SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(m, 0, sizeof *m);
    }
}

void ses_sync_segment_write(struct ses_writer *w, const struct ses_sync_segment *m)
{
    ses_segment_put(w, &m->id);
    ses_write_bytes(w, m->sum.hash.bytes, 32);
    ses_write_u64(w, m->sum.count);
    ses_write_u64(w, m->sum.bytes);
}

void ses_sync_segment_read(struct ses_reader *r, struct ses_sync_segment *m)
{
    ses_segment_take(r, &m->id);
    ses_read_bytes(r, m->sum.hash.bytes, 32);
    m->sum.count = ses_read_u64(r);
    m->sum.bytes = ses_read_u64(r);
}
