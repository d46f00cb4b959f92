#include "daemon/test_post.h"

#include <string.h>

#include "base/tap.h"

void post_inbox(struct world *w, struct ses_hash *out, uint32_t num_swarms, uint32_t swarm)
{
    struct ses_hash digest;
    do {
        ses_random_fill(w->random, out->bytes, sizeof out->bytes);
        ses_inbox_digest(&digest, out);
    } while (ses_swarm_of(&digest, num_swarms) != swarm);
}

void post_inbox_of(struct ses_hash *out, const struct ses_identity *person)
{
    memcpy(out->bytes, person->id.bytes + 1, sizeof out->bytes);
}

struct ses_identity *post_person(struct world *w, uint32_t num_swarms, uint32_t swarm)
{
    for (;;) {
        struct ses_identity *person = NULL;
        struct ses_hash inbox, digest;
        SES_ASSERT(ses_identity_generate(&person, w->random) == SES_OK);
        post_inbox_of(&inbox, person);
        ses_inbox_digest(&digest, &inbox);
        if (ses_swarm_of(&digest, num_swarms) == swarm) {
            return person;
        }
        ses_identity_free(person);
    }
}

void post_identify(struct post *p)
{
    SES_ASSERT(ses_record_identify(&p->ids, &p->put.record) == SES_OK);
}

static void prepare(struct post *p, struct world *w, const struct ses_hash *inbox, int16_t ns,
                    uint32_t bytes, uint64_t ts_ms)
{
    memset(p, 0, sizeof *p);
    const struct ses_record_header header = {.kind = SES_RECORD_MESSAGE,
                                             .ns = ns,
                                             .ttl_class = 2,
                                             .ts_ms = ts_ms / 1000 * 1000,
                                             .inbox = *inbox};
    ses_record_header_encode(p->header, &header);
    p->payload = ses_alloc((size_t)bytes + 1, 1);
    SES_ASSERT(p->payload != NULL);
    ses_random_fill(w->random, p->payload, bytes);
    p->put.record =
        (struct ses_record){.header = p->header, .payload = p->payload, .payload_bytes = bytes};
    post_identify(p);
}

void post_stranger(struct post *p, struct world *w, const struct ses_hash *inbox, uint32_t bytes,
                   uint64_t ts_ms)
{
    prepare(p, w, inbox, SES_NS_INBOX, bytes, ts_ms);
    p->put.entry = SES_ENTRY_STAMP;
    SES_ASSERT(ses_stamp_find(&p->put.stamp, &p->ids.id, ses_stamp_bits(bytes), 0,
                              (uint64_t)1 << 32) == SES_OK);
}

void post_token(struct post *p, struct world *w, const struct ses_hash *inbox,
                const struct ses_hash *token, uint32_t bytes)
{
    prepare(p, w, inbox, SES_NS_INBOX, bytes, world_unix_ms(w));
    p->put.entry = SES_ENTRY_TOKEN;
    p->put.token = *token;
}

void post_owned(struct post *p, struct world *w, const struct ses_identity *owner, int16_t ns,
                const uint8_t *body, uint32_t len)
{
    struct ses_hash inbox;
    post_inbox_of(&inbox, owner);
    prepare(p, w, &inbox, ns, SES_OWNED_PREFIX_BYTES + len, world_unix_ms(w));
    SES_ASSERT(ses_record_sign_owned(p->payload, p->header, &w->chain_params.chain_id, owner, body,
                                     len, w->random) == SES_OK);
    p->put.entry = SES_ENTRY_OWNER;
    post_identify(p);
}

void post_free(struct post *p)
{
    ses_free(p->payload);
    p->payload = NULL;
}

void post_start(struct world *w, struct world_net *from, uint32_t node, const struct post *p,
                uint32_t wait_ms, const struct ses_identity *login, struct world_reply *reply)
{
    const size_t cap = SES_PAYLOAD_MAX + 256;
    uint8_t *body = ses_alloc(cap, 1);
    struct ses_store_put put = p->put;
    struct ses_writer writer;
    put.wait_ms = wait_ms;
    ses_writer_init(&writer, body, cap);
    ses_store_put_write(&writer, &put);
    SES_ASSERT(ses_writer_done(&writer) == SES_OK);
    world_ask(w, from, node, SES_PROTO_STORE, login, body, writer.len, reply);
    ses_free(body);
}

void post_finish(struct world *w, struct world_reply *reply, struct post_answer *out)
{
    struct ses_reader r;
    memset(out, 0, sizeof *out);
    const bool answered = world_wait(w, reply, 120000);
    SES_ASSERT(answered);
    out->err = reply->err;
    if (reply->err == SES_OK) {
        out->err =
            ses_response_begin(&r, reply->body.bytes, reply->body.len, &out->ok, &out->refusal);
        if (out->err == SES_OK && out->ok) {
            out->err = ses_stored_read(&out->stored, &r);
        }
    }
    ses_buf_free(&reply->body);
}

void post_send(struct world *w, struct world_net *from, uint32_t node, const struct post *p,
               uint32_t wait_ms, const struct ses_identity *login, struct post_answer *out)
{
    struct world_reply reply;
    post_start(w, from, node, p, wait_ms, login, &reply);
    post_finish(w, &reply, out);
}

bool post_at(struct world *w, uint32_t node, const struct post *p)
{
    return w->nodes[node].store != NULL && ses_store_has(w->nodes[node].store, &p->ids);
}

uint32_t post_copies(struct world *w, const struct post *p, uint32_t cnt)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        copies += post_at(w, i, p) ? 1 : 0;
    }
    return copies;
}

int post_read(struct world *w, struct world_net *from, uint32_t node,
              const struct ses_identity *login, const struct ses_hash *inbox, int16_t ns,
              struct ses_cursor *cursor, uint16_t record_max, struct ses_refusal *refusal)
{
    uint8_t body[128];
    struct ses_writer writer;
    const struct ses_retrieve ask = {
        .inbox = *inbox, .ns = ns, .after = *cursor, .record_max = record_max, .bytes_max = 500000};
    ses_writer_init(&writer, body, sizeof body);
    ses_retrieve_write(&writer, &ask);
    SES_ASSERT(ses_writer_done(&writer) == SES_OK);
    struct world_reply reply;
    world_ask(w, from, node, SES_PROTO_RETRIEVE, login, body, writer.len, &reply);
    struct ses_reader r;
    struct ses_page page = {0};
    bool ok = false;
    int cnt = -1;
    SES_ASSERT(world_wait(w, &reply, 120000));
    if (reply.err == SES_OK &&
        ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, refusal) == SES_OK && ok) {
        ses_page_read(&r, &page);
        *cursor = page.next;
        cnt = page.record_cnt;
        for (int i = 0; i < cnt; i++) {
            struct ses_record record;
            ses_record_read(&r, &record);
        }
        cnt = ses_reader_done(&r) == SES_OK ? cnt : -2;
    }
    ses_buf_free(&reply.body);
    return cnt;
}
