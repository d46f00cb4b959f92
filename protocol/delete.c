#include "protocol/delete.h"

#include "protocol/protocol_internal.h"
#include "protocol/record_internal.h"

_Static_assert(SES_DELETE_TARGET_BYTES == 84, "target of a delete statement (storage page)");
_Static_assert(SES_DELETE_BYTES_MAX <= SES_PAYLOAD_MAX, "a statement is a payload");

/* ---- targets ---- */
void ses_delete_target_of(struct ses_delete_target *out, const struct ses_record_ids *ids,
                          uint32_t payload_bytes)
{
    out->header = ids->header;
    out->size = payload_bytes;
    out->payload_root = ids->payload_root;
    out->segment = ids->segment;
    out->id = ids->id;
}

static bool target_ok(const struct ses_delete_target *target)
{
    return target->header.kind == SES_RECORD_MESSAGE && target->size <= SES_PAYLOAD_MAX;
}

void ses_delete_target_write(struct ses_writer *w, const struct ses_delete_target *target)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    ses_writer_check(w, target_ok(target));
    ses_record_header_encode(header, &target->header);
    ses_write_bytes(w, header, sizeof header);
    ses_write_u32(w, target->size);
    ses_write_bytes(w, target->payload_root.bytes, sizeof target->payload_root.bytes);
}

void ses_delete_target_read(struct ses_reader *r, struct ses_delete_target *target)
{
    memset(target, 0, sizeof *target);
    const uint8_t *header = ses_read_view(r, SES_RECORD_HEADER_BYTES);
    target->size = ses_read_u32(r);
    ses_read_bytes(r, target->payload_root.bytes, sizeof target->payload_root.bytes);
    if (r->err == SES_OK) {
        const enum ses_err err = ses_record_header_decode(&target->header, header);
        ses_reader_check(r, err == SES_OK && target_ok(target), SES_ERR_MALFORMED);
    }
    if (r->err != SES_OK) {
        memset(target, 0, sizeof *target);
        return;
    }
    struct ses_hash header_hash;
    ses_record_header_hash(&header_hash, header);
    ses_record_id_of(&target->id, &header_hash, target->size, &target->payload_root);
    ses_segment_of(&target->segment, target->header.ttl_class, target->header.ts_ms);
}

/* ---- the statement ---- */
static bool time_ok(uint64_t time_ms)
{
    return time_ms % 1000 == 0 && time_ms <= SES_TS_MAX_MS;
}

/* Of one inbox, none younger than the statement, each once. */
static bool targets_ok(const struct ses_delete *m)
{
    for (unsigned i = 0; i < m->target_cnt; i++) {
        const struct ses_delete_target *t = &m->targets[i];
        if (t->header.ts_ms > m->time_ms ||
            memcmp(t->header.inbox.bytes, m->targets[0].header.inbox.bytes, 32) != 0 ||
            (i > 0 && memcmp(m->targets[i - 1].id.bytes, t->id.bytes, 32) >= 0)) {
            return false;
        }
    }
    return true;
}

static void read_targets(struct ses_delete *m, struct ses_reader *r)
{
    m->target_cnt = ses_read_u16(r);
    ses_reader_check(r, m->target_cnt >= 1 && m->target_cnt <= SES_DELETE_TARGETS_MAX,
                     SES_ERR_MALFORMED);
    ses_read_prove(r, m->target_cnt, SES_DELETE_TARGET_BYTES);
    for (unsigned i = 0; r->err == SES_OK && i < m->target_cnt; i++) {
        ses_delete_target_read(r, &m->targets[i]);
    }
    m->time_ms = ses_read_u64(r);
    ses_reader_check(r, r->err == SES_OK && time_ok(m->time_ms) && targets_ok(m),
                     SES_ERR_MALFORMED);
}

static bool owner_ok(const struct ses_delete *m)
{
    struct ses_kem_pk kem;
    struct ses_dsa_pk dsa;
    struct ses_session_id owner;
    memcpy(kem.bytes, m->kem_pk, sizeof kem.bytes);
    memcpy(dsa.bytes, m->dsa_pk, sizeof dsa.bytes);
    ses_session_id_of(&owner, &kem, &dsa);
    return memcmp(owner.bytes + 1, m->targets[0].header.inbox.bytes, 32) == 0;
}

enum ses_err ses_delete_read(struct ses_delete *m, const uint8_t *payload, size_t len)
{
    struct ses_reader r;
    memset(m, 0, sizeof *m);
    ses_reader_init(&r, payload, len);
    m->bytes = payload;
    read_targets(m, &r);
    m->kem_pk = ses_read_view(&r, SES_KEM_PK_BYTES);
    m->dsa_pk = ses_read_view(&r, SES_DSA_PK_BYTES);
    m->signature = ses_read_view(&r, SES_DSA_SIG_BYTES);
    SES_TRY(ses_read_end(&r, m, sizeof *m));
    if (!owner_ok(m)) {
        memset(m, 0, sizeof *m);
        return SES_ERR_UNAUTHORISED;
    }
    return SES_OK;
}

/* chain_id || the payload up to the signature; how long that is. */
static size_t signed_message(uint8_t out[32 + SES_DELETE_SIGNED_BYTES(SES_DELETE_TARGETS_MAX)],
                             const uint8_t *payload, size_t target_cnt,
                             const struct ses_hash *chain_id)
{
    const size_t len = SES_DELETE_SIGNED_BYTES(target_cnt);
    memcpy(out, chain_id->bytes, 32);
    memcpy(out + 32, payload, len);
    return 32 + len;
}

enum ses_err ses_delete_verify(const struct ses_delete *m, const struct ses_hash *chain_id)
{
    uint8_t message[32 + SES_DELETE_SIGNED_BYTES(SES_DELETE_TARGETS_MAX)];
    struct ses_dsa_pk pk;
    struct ses_dsa_sig signature;
    const size_t len = signed_message(message, m->bytes, m->target_cnt, chain_id);
    memcpy(pk.bytes, m->dsa_pk, sizeof pk.bytes);
    memcpy(signature.bytes, m->signature, sizeof signature.bytes);
    return ses_verify(&pk, SES_DOMAIN_DELETE, message, len, &signature);
}

/* ---- the record ---- */
static uint64_t last_expiry_ms(const struct ses_delete *m)
{
    uint64_t last_ms = 0;
    for (unsigned i = 0; i < m->target_cnt; i++) {
        const uint64_t ms = ses_segment_expires_ms(&m->targets[i].segment);
        last_ms = ms > last_ms ? ms : last_ms;
    }
    return last_ms;
}

/* The longest class always outlives targets that are not younger. */
static uint8_t outliving_class(const struct ses_delete *m)
{
    const uint64_t last_ms = last_expiry_ms(m);
    struct ses_segment segment;
    uint8_t ttl_class = 0;
    ses_segment_of(&segment, ttl_class, m->time_ms);
    while (ttl_class + 1u < SES_TTL_CLASS_CNT && ses_segment_expires_ms(&segment) < last_ms) {
        ttl_class++;
        ses_segment_of(&segment, ttl_class, m->time_ms);
    }
    SES_ASSERT(ses_segment_expires_ms(&segment) >= last_ms);
    return ttl_class;
}

void ses_delete_header(struct ses_record_header *out, const struct ses_delete *m)
{
    *out = (struct ses_record_header){.kind = SES_RECORD_TOMBSTONE,
                                      .ns = SES_NS_DELETE,
                                      .ttl_class = outliving_class(m),
                                      .ts_ms = m->time_ms,
                                      .inbox = m->targets[0].header.inbox};
}

enum ses_err ses_delete_of_record(struct ses_delete *m, const struct ses_record *record)
{
    uint8_t header[SES_RECORD_HEADER_BYTES];
    struct ses_record_header want;
    SES_TRY(ses_delete_read(m, record->payload, record->payload_bytes));
    ses_delete_header(&want, m);
    ses_record_header_encode(header, &want);
    if (memcmp(header, record->header, sizeof header) != 0) {
        memset(m, 0, sizeof *m);
        return SES_ERR_MALFORMED;
    }
    return SES_OK;
}

/* ---- signing ---- */
/* By id; `cnt` is at most 64. */
static void sort_in(struct ses_delete *m, const struct ses_delete_target *targets, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        size_t at = i;
        while (at > 0 && memcmp(m->targets[at - 1].id.bytes, targets[i].id.bytes, 32) > 0) {
            m->targets[at] = m->targets[at - 1];
            at--;
        }
        m->targets[at] = targets[i];
    }
    m->target_cnt = (uint16_t)cnt;
}

enum ses_err ses_delete_sign(uint8_t *out, size_t *len, const struct ses_delete_target *targets,
                             size_t cnt, uint64_t time_ms, const struct ses_hash *chain_id,
                             const struct ses_identity *owner, const struct ses_random *random)
{
    struct ses_delete m = {.time_ms = time_ms};
    uint8_t message[32 + SES_DELETE_SIGNED_BYTES(SES_DELETE_TARGETS_MAX)];
    struct ses_dsa_sig signature;
    struct ses_writer w;
    *len = 0;
    SES_REQUIRE(cnt >= 1 && cnt <= SES_DELETE_TARGETS_MAX && time_ok(time_ms), SES_ERR_INVALID);
    sort_in(&m, targets, cnt);
    m.kem_pk = owner->kem_pk.bytes;
    m.dsa_pk = owner->dsa_pk.bytes;
    SES_REQUIRE(targets_ok(&m) && owner_ok(&m), SES_ERR_INVALID);
    ses_writer_init(&w, out, SES_DELETE_BYTES_MAX);
    ses_write_u16(&w, m.target_cnt);
    for (unsigned i = 0; i < m.target_cnt; i++) {
        ses_delete_target_write(&w, &m.targets[i]);
    }
    ses_write_u64(&w, time_ms);
    ses_write_bytes(&w, m.kem_pk, SES_KEM_PK_BYTES);
    ses_write_bytes(&w, m.dsa_pk, SES_DSA_PK_BYTES);
    SES_TRY(ses_writer_done(&w));
    const size_t message_len = signed_message(message, out, cnt, chain_id);
    SES_TRY(ses_sign(&signature, owner->dsa, SES_DOMAIN_DELETE, message, message_len, random));
    ses_write_bytes(&w, signature.bytes, sizeof signature.bytes);
    SES_TRY(ses_writer_done(&w));
    *len = w.len;
    return SES_OK;
}
