/* Delete statements: what is signed, what follows from it, what is refused. */
#include <string.h>

#include "base/tap.h"
#include "protocol/protocol.h"

#define TIME_MS 1800000000000u
#define HOUR_MS 3600000u
#define DAY_MS (24u * HOUR_MS)

static struct ses_identity *owner, *stranger;
static const struct ses_hash chain_id = {{0xC0}};

static void people(void)
{
    const uint8_t one[32] = {1};
    const uint8_t two[32] = {2};
    TAP_MUST(ses_identity_new(&owner, one) == SES_OK);
    TAP_MUST(ses_identity_new(&stranger, two) == SES_OK);
}

static void inbox_of(struct ses_hash *out, const struct ses_identity *of)
{
    struct ses_session_id id;
    ses_session_id_of(&id, &of->kem_pk, &of->dsa_pk);
    memcpy(out->bytes, id.bytes + 1, 32);
}

/* A record of the owner's inbox, and its target. */
static void target_make(struct ses_delete_target *out, uint8_t ttl_class, uint64_t ts_ms,
                        uint32_t salt)
{
    struct ses_record_header h = {.ttl_class = ttl_class, .ts_ms = ts_ms};
    uint8_t header[SES_RECORD_HEADER_BYTES];
    uint8_t payload[300] = {0};
    struct ses_record_ids ids;
    inbox_of(&h.inbox, owner);
    ses_record_header_encode(header, &h);
    ses_put_u32(payload, salt);
    const struct ses_record record = {header, payload, sizeof payload};
    TAP_MUST(ses_record_identify(&ids, &record) == SES_OK);
    ses_delete_target_of(out, &ids, sizeof payload);
}

static void targets_make(struct ses_delete_target *out, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        target_make(&out[i], (uint8_t)(i % 4), TIME_MS - i * HOUR_MS, (uint32_t)i);
    }
}

static struct ses_delete_target targets[SES_DELETE_TARGETS_MAX + 1];
static uint8_t payload[SES_DELETE_BYTES_MAX];
static size_t payload_len;

static enum ses_err sign(size_t cnt, uint64_t time_ms)
{
    return ses_delete_sign(payload, &payload_len, targets, cnt, time_ms, &chain_id, owner,
                           tap_random());
}

static bool has_target(const struct ses_delete *m, const struct ses_delete_target *want)
{
    for (unsigned i = 0; i < m->target_cnt; i++) {
        const struct ses_delete_target *t = &m->targets[i];
        if (memcmp(t->id.bytes, want->id.bytes, 32) == 0) {
            return t->header.ts_ms == want->header.ts_ms && t->size == want->size &&
                   t->header.ttl_class == want->header.ttl_class &&
                   t->segment.hour == want->segment.hour &&
                   t->segment.ttl_class == want->segment.ttl_class;
        }
    }
    return false;
}

static void test_signed_and_read(void)
{
    static const size_t cnts[] = {1, 2, SES_DELETE_TARGETS_MAX};
    struct ses_delete m;
    targets_make(targets, SES_DELETE_TARGETS_MAX);
    for (size_t c = 0; c < SES_COUNT(cnts); c++) {
        TAP_ERR(SES_OK, sign(cnts[c], TIME_MS));
        TAP_EQ(SES_DELETE_SIGNED_BYTES(cnts[c]) + SES_DSA_SIG_BYTES, payload_len);
        TAP_ERR(SES_OK, ses_delete_read(&m, payload, payload_len));
        TAP_EQ(cnts[c], m.target_cnt);
        TAP_EQ(TIME_MS, m.time_ms);
        for (size_t i = 0; i < cnts[c]; i++) {
            TAP_OK(has_target(&m, &targets[i]));
        }
        TAP_ERR(SES_OK, ses_delete_verify(&m, &chain_id));
        const struct ses_hash other = {{0xC1}};
        TAP_ERR(SES_ERR_SIGNATURE, ses_delete_verify(&m, &other));
    }
}

/* Every byte of the statement is covered: by its rules, the owner's keys or the signature. */
static void test_every_byte_counts(void)
{
    struct ses_delete m;
    targets_make(targets, 2);
    TAP_ERR(SES_OK, sign(2, TIME_MS));
    for (size_t i = 0; i < payload_len; i += 1 + (size_t)ses_random_below(tap_random(), 40)) {
        payload[i] ^= 0x10;
        enum ses_err err = ses_delete_read(&m, payload, payload_len);
        err = err == SES_OK ? ses_delete_verify(&m, &chain_id) : err;
        if (!TAP_OK(err != SES_OK)) {
            printf("#   byte %zu\n", i);
        }
        payload[i] ^= 0x10;
    }
}

static void test_sign_refuses(void)
{
    targets_make(targets, SES_COUNT(targets));
    TAP_ERR(SES_ERR_INVALID, sign(0, TIME_MS));
    TAP_ERR(SES_ERR_INVALID, sign(SES_DELETE_TARGETS_MAX + 1, TIME_MS));
    TAP_ERR(SES_ERR_INVALID, sign(2, TIME_MS + 1));
    TAP_ERR(SES_ERR_INVALID, sign(2, TIME_MS - 1000)); /* the first is younger */
    TAP_EQ(0, payload_len);
    targets[1] = targets[0];
    TAP_ERR(SES_ERR_INVALID, sign(2, TIME_MS));
    targets_make(targets, 2);
    targets[1].header.inbox.bytes[0] ^= 1;
    TAP_ERR(SES_ERR_INVALID, sign(2, TIME_MS));
    targets_make(targets, 2);
    targets[1].header.kind = SES_RECORD_TOMBSTONE; /* nothing takes a delete back */
    TAP_ERR(SES_ERR_INVALID, sign(2, TIME_MS));
    targets_make(targets, 1);
    TAP_ERR(SES_ERR_INVALID, ses_delete_sign(payload, &payload_len, targets, 1, TIME_MS, &chain_id,
                                             stranger, tap_random()));
}

/* Well-formed, but somebody else's, or out of order. */
static void test_read_refuses(void)
{
    struct ses_delete m;
    uint8_t swap[SES_DELETE_TARGET_BYTES];
    targets_make(targets, 2);
    TAP_ERR(SES_OK, sign(2, TIME_MS));
    memcpy(payload + SES_DELETE_SIGNED_BYTES(2) - SES_DSA_PK_BYTES, stranger->dsa_pk.bytes,
           SES_DSA_PK_BYTES);
    TAP_ERR(SES_ERR_UNAUTHORISED, ses_delete_read(&m, payload, payload_len));
    TAP_EQ(0, m.target_cnt);
    TAP_ERR(SES_OK, sign(2, TIME_MS));
    memcpy(swap, payload + 2, sizeof swap);
    memmove(payload + 2, payload + 2 + sizeof swap, sizeof swap);
    memcpy(payload + 2 + sizeof swap, swap, sizeof swap);
    TAP_ERR(SES_ERR_MALFORMED, ses_delete_read(&m, payload, payload_len));
    ses_put_u16(payload, 0);
    TAP_ERR(SES_ERR_MALFORMED, ses_delete_read(&m, payload, payload_len));
    ses_put_u16(payload, SES_DELETE_TARGETS_MAX + 1);
    TAP_ERR(SES_ERR_MALFORMED, ses_delete_read(&m, payload, payload_len));
    ses_put_u16(payload, SES_DELETE_TARGETS_MAX);
    TAP_ERR(SES_ERR_TRUNCATED, ses_delete_read(&m, payload, payload_len - SES_DSA_PK_BYTES));
}

/* The tombstones must not go before what they bury, nor stay much longer than they have to. */
static void test_outlives(void)
{
    static const struct {
        uint8_t ttl_class; /* of the target */
        uint64_t age_ms;
        uint8_t want; /* of the statement */
    } cases[] = {
        {0, 0, 0},
        {0, HOUR_MS, 0},
        {1, 0, 1},
        {1, 23 * HOUR_MS, 0},
        {1, 22 * HOUR_MS, 1},
        {2, 0, 2},
        {2, 6 * DAY_MS, 1},
        {3, 0, 3},
        {3, 7 * DAY_MS, 2},
        {4, 0, 4},
        {4, 29 * DAY_MS, 1},
        {4, 60ull * DAY_MS, 0},
        {4, 16 * DAY_MS, 3},
    };
    for (size_t i = 0; i < SES_COUNT(cases); i++) {
        struct ses_delete m;
        struct ses_record_header h;
        struct ses_segment own;
        target_make(&targets[0], cases[i].ttl_class, TIME_MS - cases[i].age_ms, 7);
        TAP_ERR(SES_OK, sign(1, TIME_MS));
        TAP_ERR(SES_OK, ses_delete_read(&m, payload, payload_len));
        ses_delete_header(&h, &m);
        ses_segment_of(&own, h.ttl_class, h.ts_ms);
        if (!TAP_EQ(cases[i].want, h.ttl_class)) {
            printf("#   case %zu\n", i);
        }
        TAP_OK(ses_segment_expires_ms(&own) >= ses_segment_expires_ms(&m.targets[0].segment));
    }
}

/* One statement, one record: any other header is refused. */
static void test_record(void)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record_header h;
    struct ses_record_ids ids;
    struct ses_delete m;
    targets_make(targets, 3);
    TAP_ERR(SES_OK, sign(3, TIME_MS));
    TAP_ERR(SES_OK, ses_delete_read(&m, payload, payload_len));
    ses_delete_header(&h, &m);
    TAP_OK(h.kind == SES_RECORD_TOMBSTONE && h.ns == SES_NS_DELETE && h.ts_ms == TIME_MS);
    TAP_OK(!ses_ns_public_inbox(h.ns) && !ses_ns_public_outbox(h.ns));
    ses_record_header_encode(header, &h);
    const struct ses_record record = {header, payload, (uint32_t)payload_len};
    TAP_MUST(ses_record_identify(&ids, &record) == SES_OK);
    TAP_ERR(SES_OK, ses_record_check_owner(&record, &ids, &chain_id));
    static const size_t ats[] = {3 /* namespace */, 4 /* class */, 14 /* ts */, 20 /* inbox */};
    for (size_t i = 0; i < SES_COUNT(ats); i++) {
        header[ats[i]] ^= 1;
        TAP_OK(ses_record_identify(&ids, &record) != SES_OK ||
               ses_record_check_owner(&record, &ids, &chain_id) == SES_ERR_MALFORMED);
        TAP_OK(ses_delete_of_record(&m, &record) != SES_OK);
        header[ats[i]] ^= 1;
    }
    payload[payload_len - 1] ^= 1;
    TAP_MUST(ses_record_identify(&ids, &record) == SES_OK);
    TAP_ERR(SES_OK, ses_delete_of_record(&m, &record));
    TAP_ERR(SES_ERR_SIGNATURE, ses_record_check_owner(&record, &ids, &chain_id));
}

int main(void)
{
    TAP_MUST(ses_crypto_init() == SES_OK);
    people();
    TAP_RUN(test_signed_and_read);
    TAP_RUN(test_every_byte_counts);
    TAP_RUN(test_sign_refuses);
    TAP_RUN(test_read_refuses);
    TAP_RUN(test_outlives);
    TAP_RUN(test_record);
    ses_identity_free(owner);
    ses_identity_free(stranger);
    return tap_done();
}
