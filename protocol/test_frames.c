/* Frames of /session/...: limits, counts, and what each refusal carries. */
#include "protocol/test_samples_frames.h"

#include "base/tap.h"

static uint8_t bytes[65536];
static uint8_t again[65536];

static size_t sample(void (*write)(struct ses_writer *))
{
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    write(&w);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    return w.len;
}

static enum ses_err recode(enum kind kind, size_t len)
{
    struct ses_writer w;
    ses_writer_init(&w, again, sizeof again);
    return kind_recode(kind, bytes, len, &w);
}

/* The example with one byte changed. */
static enum ses_err with(enum kind kind, size_t len, size_t at, uint8_t value)
{
    const uint8_t old = bytes[at];
    bytes[at] = value;
    const enum ses_err err = recode(kind, len);
    bytes[at] = old;
    return err;
}

static void test_versions_and_ops(void)
{
    static const struct {
        void (*write)(struct ses_writer *);
        enum kind kind;
        bool request;
    } all[] = {{sample_store_put_owner, KIND_STORE_PUT, true},
               {sample_store_receipts, KIND_STORE_RECEIPTS, true},
               {sample_retrieve, KIND_RETRIEVE, true},
               {sample_info_request, KIND_INFO_REQUEST, true},
               {sample_registry_ask, KIND_REGISTRY_ASK, true},
               {sample_registry_keys_ask, KIND_REGISTRY_KEYS_ASK, true},
               {sample_replicate_put, KIND_REPLICATE_PUT, true},
               {sample_login, KIND_LOGIN, true},
               {sample_probe, KIND_PROBE, true},
               {sample_stored, KIND_STORED, false},
               {sample_page, KIND_PAGE, false},
               {sample_info, KIND_INFO, false},
               {sample_registry_page, KIND_REGISTRY_PAGE, false},
               {sample_registry_keys, KIND_REGISTRY_KEYS, false},
               {sample_replicate_result, KIND_REPLICATE_RESULT, false},
               {sample_probe_answer, KIND_PROBE_ANSWER, false},
               {sample_auth_hello_node, KIND_AUTH_HELLO, false}};
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        const size_t len = sample(all[i].write);
        TAP_ERR(SES_OK, recode(all[i].kind, len));
        TAP_ERR(SES_ERR_VERSION, with(all[i].kind, len, 0, 2));
        if (all[i].request) {
            TAP_ERR(SES_ERR_MALFORMED, with(all[i].kind, len, 1, 0));
            TAP_ERR(SES_ERR_MALFORMED, with(all[i].kind, len, 1, 9));
        }
    }
    const size_t len = sample(sample_auth_hello_node);
    TAP_ERR(SES_ERR_VERSION, with(KIND_AUTH_HELLO, len, 1, 2));   /* a later suite */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_AUTH_HELLO, len, 1, 0)); /* nothing follows suite 0 */
}

static struct ses_refusal refused(size_t len, enum ses_err want)
{
    struct ses_refusal refusal;
    struct ses_reader r;
    bool ok = true;
    TAP_ERR(want, ses_response_begin(&r, bytes, len, &ok, &refusal));
    TAP_OK(!ok);
    return refusal;
}

static void test_refusals(void)
{
    struct ses_refusal m = refused(sample(sample_refusal_wrong_swarm), SES_OK);
    TAP_EQ(SES_ERR_WRONG_SWARM, m.status);
    TAP_EQ(77, m.epoch);
    TAP_EQ(8, m.num_swarms);
    TAP_EQ(5, m.swarm);
    TAP_EQ(2, m.member_cnt);
    TAP_EQ(0xB0, m.members[1].bytes[0]);
    m = refused(sample(sample_refusal_clock), SES_OK);
    TAP_EQ(TS_MS, m.time_ms);
    m = refused(sample(sample_refusal_work), SES_OK);
    TAP_EQ(19, m.work_bits);
    m = refused(sample(sample_refusal_quota), SES_OK);
    TAP_EQ(SES_ERR_QUOTA, m.status);
}

static void test_refusal_rejects(void)
{
    size_t len = sample(sample_refusal_quota);
    ses_put_u16(bytes + 1, 999); /* a number without a name */
    struct ses_refusal m = refused(len, SES_ERR_MALFORMED);
    TAP_EQ(0, m.status);
    len = sample(sample_refusal_wrong_swarm);
    bytes[19] = SES_MEMBERS_MAX + 1;
    m = refused(len, SES_ERR_MALFORMED);
    TAP_EQ(0, m.member_cnt);
    bytes[19] = 3;
    m = refused(len, SES_ERR_TRUNCATED);
    m.status = SES_OK; /* a refusal refuses */
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_refusal_write(&w, &m);
    TAP_ERR(SES_ERR_INVALID, ses_writer_done(&w));
    m = refused(SES_FRAME_BYTES_MAX + 1, SES_ERR_TOO_LARGE);
}

/* Every error of the project can travel, and arrives as itself. */
static void test_every_status(void)
{
    static const enum ses_err all[] = {
#define SES_X(name, code, text) SES_##name,
        SES_ERRORS(SES_X)
#undef SES_X
    };
    for (size_t i = 1; i < SES_COUNT(all); i++) {
        const struct ses_refusal out = {.status = all[i], .time_ms = 3, .num_swarms = 1};
        struct ses_refusal in;
        struct ses_writer w;
        struct ses_reader r;
        bool ok;
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_refusal_write(&w, &out);
        TAP_ERR(SES_OK, ses_writer_done(&w));
        TAP_ERR(SES_OK, ses_response_begin(&r, bytes, w.len, &ok, &in));
        TAP_OK(!ok);
        TAP_EQ(all[i], in.status);
    }
}

static void test_request_begin(void)
{
    struct ses_reader r;
    uint8_t op = 9;
    const size_t len = sample(sample_store_receipts);
    TAP_ERR(SES_OK, ses_request_begin(&r, bytes, len, &op));
    TAP_EQ(SES_STORE_RECEIPTS, op);
    TAP_EQ(32, r.left);
    TAP_ERR(SES_ERR_TRUNCATED, ses_request_begin(&r, bytes, 1, &op));
    TAP_ERR(SES_ERR_TRUNCATED, ses_request_begin(&r, bytes, 0, &op));
    TAP_ERR(SES_ERR_TOO_LARGE, ses_request_begin(&r, bytes, SES_FRAME_BYTES_MAX + 1, &op));
}

static void test_store(void)
{
    size_t len = sample(sample_store_put_token);
    struct ses_store_put m;
    TAP_ERR(SES_OK, ses_store_put_read(&m, bytes, len));
    TAP_EQ(SES_ENTRY_TOKEN, m.entry);
    TAP_EQ(5, m.record.payload_bytes);
    TAP_EQ(5000, m.wait_ms);
    TAP_EQ(0xD0, m.token.bytes[0]);
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_STORE_PUT, len, 2 + 48 + 4 + 5, 3)); /* entry */
    ses_put_u32(bytes + 2 + 48, SES_PAYLOAD_MAX + 1);
    TAP_ERR(SES_ERR_TOO_LARGE, recode(KIND_STORE_PUT, len));
    len = sample(sample_stored);
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_STORED, len, 3, 0)); /* neither stored nor pending */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_STORED, len, 3, 3));
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_STORED, len, 37, 65));
    TAP_ERR(SES_ERR_TRUNCATED, with(KIND_STORED, len, 37, 3));
}

static void test_retrieve(void)
{
    size_t len = sample(sample_retrieve);
    const size_t record_max_at = 2 + 32 + 2 + 16;
    ses_put_u16(bytes + record_max_at, 0);
    TAP_ERR(SES_ERR_MALFORMED, recode(KIND_RETRIEVE, len));
    ses_put_u16(bytes + record_max_at, 1025);
    TAP_ERR(SES_ERR_MALFORMED, recode(KIND_RETRIEVE, len));
    ses_put_u16(bytes + record_max_at, 1024);
    TAP_ERR(SES_OK, recode(KIND_RETRIEVE, len));
    len = sample(sample_page);
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_PAGE, len, 3, 4)); /* flags */
    ses_put_u16(bytes + SES_PAGE_HEADER_BYTES - 2, 1024);   /* more than the frame holds */
    TAP_ERR(SES_ERR_TRUNCATED, recode(KIND_PAGE, len));
    ses_put_u16(bytes + SES_PAGE_HEADER_BYTES - 2, 1025);
    TAP_ERR(SES_ERR_MALFORMED, recode(KIND_PAGE, len));
}

static void test_page_header_place(void)
{
    struct ses_page m = {.flags = 0, .record_cnt = 0};
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_page_write(&w, &m);
    TAP_EQ(SES_PAGE_HEADER_BYTES, w.len);
}

static void test_info(void)
{
    struct ses_info m = {.time_ms = 1};
    struct ses_writer w;
    const size_t len = sample(sample_info);
    const size_t agent_len_at = len - 15;
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_INFO, len, len - 1, '\n')); /* no control characters */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_INFO, len, len - 1, 0x80));
    TAP_ERR(SES_ERR_TRUNCATED, with(KIND_INFO, len, agent_len_at, 15));
    memset(m.agent, 'a', sizeof m.agent); /* no room for the NUL */
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_info_write(&w, &m);
    TAP_ERR(SES_ERR_INVALID, ses_writer_done(&w));
    m.agent[63] = '\0';
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_info_write(&w, &m);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    TAP_ERR(SES_OK, recode(KIND_INFO, w.len));
}

static void test_registry(void)
{
    const size_t len = sample(sample_registry_page);
    const size_t num_swarms_at = 3 + 8 + 64;
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REGISTRY_PAGE, len, num_swarms_at + 3, 7));
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REGISTRY_PAGE, len, num_swarms_at + 3, 0));
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REGISTRY_PAGE, len, num_swarms_at + 11, 80)); /* first */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REGISTRY_PAGE, len, num_swarms_at + 11, 81));
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REGISTRY_PAGE, len, num_swarms_at + 13, 2)); /* rows */
    ses_put_u32(bytes + num_swarms_at + 4, 4096 + 79);
    ses_put_u16(bytes + num_swarms_at + 12, 4096);
    TAP_ERR(SES_ERR_TRUNCATED, recode(KIND_REGISTRY_PAGE, len));
}

static void test_replicate(void)
{
    size_t len = sample(sample_replicate_put);
    ses_put_u16(bytes + 10, SES_REPLICATE_RECORDS_MAX + 1);
    TAP_ERR(SES_ERR_MALFORMED, recode(KIND_REPLICATE_PUT, len));
    ses_put_u16(bytes + 10, SES_REPLICATE_RECORDS_MAX);
    TAP_ERR(SES_ERR_TRUNCATED, recode(KIND_REPLICATE_PUT, len));
    len = sample(sample_replicate_result);
    const size_t group = 3 + 8 + 2 + 4 + 2;
    const size_t cnt_at = group + 20 + 2 + SES_DSA_SIG_BYTES;
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REPLICATE_RESULT, len, cnt_at + 1, 6)); /* cnt > n */
    TAP_ERR(SES_ERR_TRUNCATED, with(KIND_REPLICATE_RESULT, len, cnt_at + 1, 5));
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REPLICATE_RESULT, len, group + 21, 0));   /* n */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REPLICATE_RESULT, len, group + 20, 2));   /* n = 517 */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REPLICATE_RESULT, len, cnt_at + 3, 128)); /* record */
    TAP_ERR(SES_ERR_MALFORMED, with(KIND_REPLICATE_RESULT, len, 12, 129));         /* statuses */
}

/* A receipt that travels in a group is the receipt that was signed. */
static void test_group_restores_receipts(void)
{
    static const struct ses_dsa_seed seed = {{9}};
    static struct ses_receipt receipts[9], got;
    struct ses_receipt_leaf leaves[9];
    struct ses_dsa_private *key = NULL;
    struct ses_dsa_pk pk;
    struct ses_hash chain_id;
    struct ses_receipt_group group = {.n = 9, .cnt = 9}, in;
    struct ses_writer w;
    struct ses_reader r;
    uint16_t record;
    FILL(chain_id, 0xC0);
    TAP_MUST(ses_dsa_private_new(&key, &seed) == SES_OK);
    ses_dsa_private_pk(key, &pk);
    ses_node_id_of(&group.node_id, &pk);
    for (unsigned i = 0; i < 9; i++) {
        leaves[i] = sample_receipt_struct().leaf;
        leaves[i].time_ms += i;
    }
    TAP_ERR(SES_OK,
            ses_receipts_sign(receipts, leaves, 9, &chain_id, &group.node_id, key, tap_random()));
    group.signature = receipts[0].signature;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_group_write(&w, &group);
    for (uint16_t i = 0; i < 9; i++) {
        ses_receipt_group_item_write(&w, (uint16_t)(100 - i), &receipts[i]);
    }
    TAP_ERR(SES_OK, ses_writer_done(&w));
    ses_reader_init(&r, bytes, w.len);
    ses_receipt_group_read(&r, &in);
    for (uint16_t i = 0; i < 9; i++) {
        ses_receipt_group_item_read(&r, &in, &record, &got);
        TAP_EQ(100u - i, record);
        TAP_ERR(SES_OK, ses_receipt_verify(&got, &chain_id, &pk));
    }
    TAP_ERR(SES_OK, ses_reader_done(&r));
    ses_dsa_private_free(key);
}

/* Writers never run over their memory: every capacity below the length is an error. */
static void test_small_buffers(void)
{
    static void (*const all[])(struct ses_writer *) = {sample_refusal_wrong_swarm,
                                                       sample_store_put_stamp,
                                                       sample_stored,
                                                       sample_retrieve,
                                                       sample_page,
                                                       sample_info,
                                                       sample_registry_page,
                                                       sample_endpoint,
                                                       sample_epoch,
                                                       sample_node};
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        const size_t len = sample(all[i]);
        for (size_t cap = 0; cap < len; cap++) {
            struct ses_writer w;
            uint8_t *small = ses_alloc(cap, 1);
            ses_writer_init(&w, small, cap);
            all[i](&w);
            TAP_ERR(SES_ERR_TOO_LARGE, ses_writer_done(&w));
            ses_free(small);
        }
    }
}

int main(void)
{
    TAP_RUN(test_versions_and_ops);
    TAP_RUN(test_refusals);
    TAP_RUN(test_refusal_rejects);
    TAP_RUN(test_every_status);
    TAP_RUN(test_request_begin);
    TAP_RUN(test_store);
    TAP_RUN(test_retrieve);
    TAP_RUN(test_page_header_place);
    TAP_RUN(test_info);
    TAP_RUN(test_registry);
    TAP_RUN(test_replicate);
    TAP_RUN(test_group_restores_receipts);
    TAP_RUN(test_small_buffers);
    return tap_done();
}
