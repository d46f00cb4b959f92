#include "protocol/test_vectors.h"

static uint8_t payload[SES_PAYLOAD_MAX + 1];

static void pattern(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)(i % 251);
    }
}

static void check_record(const json_t *v)
{
    uint8_t header[SES_RECORD_HEADER_BYTES], segment[SES_SEGMENT_BYTES], want[SES_SEGMENT_BYTES];
    struct ses_record_ids ids;
    const uint32_t size = (uint32_t)json_u64(v, "size");
    json_bytes(v, "header", header, sizeof header);
    json_bytes(v, "segment", want, sizeof want);
    pattern(size);
    TAP_ERR(SES_OK, ses_record_identify(&ids, &(struct ses_record){header, payload, size}));
    TAP_BYTES(json_hash(v, "payload_root").bytes, ids.payload_root.bytes, 32);
    TAP_BYTES(json_hash(v, "header_hash").bytes, ids.header_hash.bytes, 32);
    TAP_BYTES(json_hash(v, "id").bytes, ids.id.bytes, 32);
    TAP_BYTES(json_hash(v, "digest").bytes, ids.digest.bytes, 32);
    ses_segment_encode(segment, &ids.segment);
    TAP_BYTES(want, segment, sizeof want);
    TAP_EQ(json_u64(v, "expires_ms"), ses_segment_expires_ms(&ids.segment));
}

static void test_records_of_the_model(void)
{
    json_t *root = model_vectors();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(root, "records"), i, v)
    {
        check_record(v);
    }
    TAP_OK(root == NULL || i > 0);
    json_decref(root);
}

static void test_inbox_digest_of_the_model(void)
{
    json_t *root = model_vectors();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(root, "inbox_swarm"), i, v)
    {
        struct ses_session_id id;
        struct ses_hash inbox, digest;
        json_bytes(v, "session_id", id.bytes, sizeof id.bytes);
        memcpy(inbox.bytes, id.bytes + 1, 32);
        ses_inbox_digest(&digest, &inbox);
        TAP_BYTES(json_hash(v, "digest").bytes, digest.bytes, 32);
    }
    TAP_OK(root == NULL || i > 0);
    json_decref(root);
}

static void check_commitments(const json_t *v, const struct ses_times *t, uint64_t admit,
                              uint8_t ttl_class)
{
    char name[] = "ttl_class 0";
    name[sizeof name - 2] = (char)('0' + ttl_class);
    const json_t *want = json_object_get(json_object_get(v, "in_S_of_first_three_epochs"), name);
    struct ses_segment segment;
    size_t found = 0;
    ses_segment_of(&segment, ttl_class, json_u64(v, "ts_ms"));
    for (uint64_t e = admit; e < admit + 3; e++) {
        if (ses_in_commitment(t, e, &segment, admit)) {
            TAP_EQ(number_u64(json_array_get(want, found)), e);
            found++;
        }
    }
    TAP_EQ(json_array_size(want), found);
    TAP_OK(admit == 0 || !ses_in_commitment(t, admit - 1, &segment, admit));
}

static void check_admission(const json_t *v)
{
    static const unsigned vouchers[] = {0, 1, 5, 9};
    const struct ses_times t = {json_u64(v, "genesis_s"), json_u64(v, "epoch_s"),
                                json_u64(v, "settle_s"), json_u64(v, "freeze_s")};
    const uint64_t ts = json_u64(v, "ts_ms");
    const uint64_t accepted = json_u64(v, "accepted_ms");
    const uint64_t late = accepted + t.freeze_s * 1000 / 6;
    const json_t *list = json_object_get(v, "accepted freeze/6 later with 0, 1, 5, 9 vouchers");
    const uint64_t admit = json_u64(v, "admit_epoch");
    TAP_EQ(admit, ses_admit_epoch(&t, ts, accepted, -1, 0));
    TAP_EQ(json_u64(v, "with sealed = 10"), ses_admit_epoch(&t, ts, accepted, 10, 0));
    for (size_t k = 0; k < SES_COUNT(vouchers); k++) {
        TAP_EQ(number_u64(json_array_get(list, k)), ses_admit_epoch(&t, ts, late, -1, vouchers[k]));
    }
    check_commitments(v, &t, admit, 0);
    check_commitments(v, &t, admit, 1);
}

static void test_admission_of_the_model(void)
{
    json_t *root = model_vectors();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(root, "admission"), i, v)
    {
        check_admission(v);
    }
    TAP_OK(root == NULL || i > 0);
    json_decref(root);
}

/* The rule itself: the least e > sealed with ts < T_e - settle and accepted <= T_e - freeze. */
static uint64_t admit_by_search(const struct ses_times *t, uint64_t ts, uint64_t accepted,
                                int64_t sealed, unsigned vouchers)
{
    const uint64_t grace = (vouchers < 5 ? vouchers : 5) * t->freeze_s * 1000 / 6;
    uint64_t e = (uint64_t)(sealed + 1);
    while (ts + t->settle_s * 1000 >= ses_epoch_start_ms(t, e) ||
           accepted - grace + t->freeze_s * 1000 > ses_epoch_start_ms(t, e)) {
        e++;
    }
    return e;
}

static void test_admission_is_the_least(void)
{
    const struct ses_times t = {1800000000, 60, 10, 5};
    for (unsigned i = 0; i < 2000; i++) {
        const uint64_t span = ses_random_below(tap_random(), 900000);
        const uint64_t accepted = t.genesis_s * 1000 - 300000 + span;
        const uint64_t ts = accepted - ses_random_below(tap_random(), 120000);
        const int64_t sealed = (int64_t)ses_random_below(tap_random(), 8) - 1;
        const unsigned vouchers = (unsigned)ses_random_below(tap_random(), 8);
        TAP_EQ(admit_by_search(&t, ts, accepted, sealed, vouchers),
               ses_admit_epoch(&t, ts, accepted, sealed, vouchers));
    }
}

static void test_epoch_at(void)
{
    const struct ses_times t = {1800000000, 3600, 600, 330};
    TAP_EQ(0, ses_epoch_at(&t, 0));
    TAP_EQ(0, ses_epoch_at(&t, 1800003599));
    TAP_EQ(1, ses_epoch_at(&t, 1800003600));
    TAP_EQ(1800003600000, ses_epoch_start_ms(&t, 1));
}

static void test_header_rejects(void)
{
    struct ses_record_header h = {.ns = 3, .ttl_class = 4, .ts_ms = SES_TS_MAX_MS};
    struct ses_record_header again;
    uint8_t good[SES_RECORD_HEADER_BYTES], bad[SES_RECORD_HEADER_BYTES];
    static const struct {
        unsigned at;
        uint8_t value;
    } bads[] = {{0, 0}, {0, 2}, {1, 2}, {4, 5}, {4, 255}, {5, 1}, {6, 1}, {7, 1}, {15, 1}};
    ses_record_header_encode(good, &h);
    TAP_ERR(SES_OK, ses_record_header_decode(&again, good));
    TAP_EQ(SES_TS_MAX_MS, again.ts_ms);
    for (size_t i = 0; i < SES_COUNT(bads); i++) {
        memcpy(bad, good, sizeof bad);
        bad[bads[i].at] = bads[i].value;
        TAP_ERR(SES_ERR_MALFORMED, ses_record_header_decode(&again, bad));
    }
    memcpy(bad, good, sizeof bad);
    ses_put_u64(bad + 8, SES_TS_MAX_MS + 1000); /* its hour has no u32 */
    TAP_ERR(SES_ERR_MALFORMED, ses_record_header_decode(&again, bad));
}

static void test_payload_limit(void)
{
    const struct ses_record_header h = {.ts_ms = 1000};
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record_ids ids;
    struct ses_record record = {header, payload, SES_PAYLOAD_MAX};
    ses_record_header_encode(header, &h);
    TAP_ERR(SES_OK, ses_record_identify(&ids, &record));
    record.payload_bytes++;
    TAP_ERR(SES_ERR_TOO_LARGE, ses_record_identify(&ids, &record));
}

/* Chunking by batches is the definition: MT over B(0x05, chunk). */
static void test_payload_root(void)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 2047, 2048, 2049, 5000};
    struct ses_hash chunks[20], want, got;
    pattern(5000);
    for (size_t i = 0; i < SES_COUNT(sizes); i++) {
        size_t cnt = 0;
        for (size_t at = 0; at < sizes[i]; at += 256) {
            const size_t len = sizes[i] - at < 256 ? sizes[i] - at : 256;
            ses_b(&chunks[cnt++], SES_TAG_CHUNK, SES_PARTS(SES_PART(payload + at, len)));
        }
        ses_mt(&want, chunks, cnt);
        ses_payload_root(&got, payload, sizes[i]);
        TAP_BYTES(want.bytes, got.bytes, 32);
    }
}

static void test_namespaces(void)
{
    TAP_OK(ses_ns_public_inbox(0) && ses_ns_public_inbox(-10) && ses_ns_public_inbox(30));
    TAP_OK(!ses_ns_public_inbox(SES_NS_CARD) && !ses_ns_public_inbox(3));
    TAP_OK(ses_ns_public_outbox(SES_NS_CARD) && ses_ns_public_outbox(SES_NS_TOKEN));
    TAP_OK(ses_ns_public_outbox(-41) && !ses_ns_public_outbox(-11) && !ses_ns_public_outbox(1));
}

static void test_stamp_bits(void)
{
    static const struct {
        uint32_t bytes;
        unsigned bits;
    } cases[] = {{0, 16},    {1, 16},    {1024, 16}, {1025, 17},
                 {2048, 17}, {3072, 17}, {3073, 18}, {SES_PAYLOAD_MAX, 22}};
    for (size_t i = 0; i < SES_COUNT(cases); i++) {
        TAP_EQ(cases[i].bits, ses_stamp_bits(cases[i].bytes));
    }
}

static void test_stamp(void)
{
    const struct ses_hash id = model_name("stamp", 1);
    uint64_t nonce = 0;
    TAP_ERR(SES_OK, ses_stamp_find(&nonce, &id, 9, 1000, 100000));
    TAP_OK(ses_stamp_check(&id, nonce, 9));
    for (uint64_t n = 1000; n < nonce; n++) {
        TAP_OK(!ses_stamp_check(&id, n, 9)); /* the least */
    }
    TAP_OK(ses_stamp_check(&id, 0, 0) && !ses_stamp_check(&id, 0, 257));
    uint64_t same = 0;
    TAP_ERR(SES_OK, ses_stamp_find(&same, &id, 9, nonce, 1));
    TAP_EQ(nonce, same);
    TAP_ERR(SES_ERR_AGAIN, ses_stamp_find(&same, &id, 256, 0, 100));
    TAP_ERR(SES_ERR_AGAIN, ses_stamp_find(&same, &id, 256, UINT64_MAX - 20, UINT64_MAX));
    TAP_ERR(nonce > 1000 ? SES_ERR_AGAIN : SES_OK,
            ses_stamp_find(&same, &id, 9, 1000, nonce - 1000));
}

/* An owned record that passes, and one change of each thing that is signed. */
static void test_owned(void)
{
    static const uint8_t seed[32] = {1};
    static uint8_t owned[SES_OWNED_PREFIX_BYTES + 3];
    struct ses_identity *owner = NULL;
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record_header h = {.ns = SES_NS_CARD, .ttl_class = 4, .ts_ms = 1000};
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_record_ids ids;
    struct ses_record record = {header, owned, sizeof owned};
    TAP_MUST(ses_identity_new(&owner, seed) == SES_OK);
    memcpy(h.inbox.bytes, owner->id.bytes + 1, 32);
    ses_record_header_encode(header, &h);
    TAP_ERR(SES_OK, ses_record_sign_owned(owned, header, &chain_id, owner, (const uint8_t *)"abc",
                                          3, tap_random()));
    TAP_ERR(SES_OK, ses_record_identify(&ids, &record));
    TAP_ERR(SES_OK, ses_record_check_owner(&record, &ids, &chain_id));
    owned[sizeof owned - 1] ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_record_check_owner(&record, &ids, &chain_id));
    owned[sizeof owned - 1] ^= 1;
    chain_id.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_SIGNATURE, ses_record_check_owner(&record, &ids, &chain_id));
    chain_id.bytes[0] ^= 1;
    owned[0] ^= 1; /* other keys, other inbox */
    TAP_ERR(SES_ERR_UNAUTHORISED, ses_record_check_owner(&record, &ids, &chain_id));
    owned[0] ^= 1;
    record.payload_bytes = SES_OWNED_PREFIX_BYTES - 1;
    TAP_ERR(SES_ERR_MALFORMED, ses_record_check_owner(&record, &ids, &chain_id));
    ids.header.ns = SES_NS_INBOX; /* a public inbox has no owner's signature */
    TAP_ERR(SES_OK, ses_record_check_owner(&record, &ids, &chain_id));
    TAP_ERR(SES_ERR_TOO_LARGE,
            ses_record_sign_owned(owned, header, &chain_id, owner, payload,
                                  SES_PAYLOAD_MAX - SES_OWNED_PREFIX_BYTES + 1, tap_random()));
    ses_identity_free(owner);
}

int main(void)
{
    TAP_RUN(test_records_of_the_model);
    TAP_RUN(test_inbox_digest_of_the_model);
    TAP_RUN(test_admission_of_the_model);
    TAP_RUN(test_admission_is_the_least);
    TAP_RUN(test_epoch_at);
    TAP_RUN(test_header_rejects);
    TAP_RUN(test_payload_limit);
    TAP_RUN(test_payload_root);
    TAP_RUN(test_namespaces);
    TAP_RUN(test_stamp_bits);
    TAP_RUN(test_stamp);
    TAP_RUN(test_owned);
    return tap_done();
}
