/* A person's write token: whoever knows it may write to him without proof of work. Its hash stands
 * in an owned record (namespace -21), which is offered until a member has stored it. */
#include "tests/sim/sim.h"

#define WAIT_MS 5000u
#define AGAIN_MS 30000u

static void publish_again(void *cookie)
{
    struct sim_person *p = cookie;
    if (!p->has_token && !p->sim->ending) {
        sim_person_publish(p);
    }
}

static void on_answer(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sim_person *p = cookie;
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_stored stored;
    bool ok = false;
    if (err == SES_OK && ses_response_begin(&r, body, len, &ok, &refusal) == SES_OK && ok &&
        ses_stored_read(&stored, &r) == SES_OK && stored.state == SES_STORED) {
        p->has_token = true;
        sim_tell(p->sim, "person %u has a write token", p->index);
    } else if (!p->sim->ending) {
        sim_after(p->sim, AGAIN_MS, publish_again, p);
    }
}

static enum ses_err ask(struct sim_person *p, const struct ses_map_node *node,
                        const struct ses_buf *record)
{
    uint8_t body[16384];
    struct ses_writer w;
    struct ses_target *target = ses_alloc(1, sizeof *target);
    const struct ses_store_put put = {.record = {record->bytes,
                                                 record->bytes + SES_RECORD_HEADER_BYTES,
                                                 (uint32_t)(record->len - SES_RECORD_HEADER_BYTES)},
                                      .entry = SES_ENTRY_OWNER,
                                      .wait_ms = WAIT_MS};
    SES_ASSERT(target != NULL);
    sim_target_of(target, node);
    ses_writer_init(&w, body, sizeof body);
    ses_store_put_write(&w, &put);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_request request = {.target = target,
                                        .proto = SES_PROTO_STORE,
                                        .login = p->identity,
                                        .body = body,
                                        .len = w.len,
                                        .deadline_ms = WAIT_MS + 3000,
                                        .on_reply = on_answer,
                                        .cookie = p};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    ses_free(target);
    return err;
}

void sim_person_publish(struct sim_person *p)
{
    struct ses_buf record = {0};
    struct ses_hash hash;
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t active = 0;
    enum ses_err err = SES_ERR_UNREACHABLE;
    (void)sim_person_members(p, &p->inbox, members, &active);
    ses_b(&hash, SES_TAG_TOKEN, SES_PARTS(SES_PART(p->token.bytes, 32)));
    if (active > 0 && !p->net.down) {
        SES_ASSERT(ses_owned_record(&record, SES_NS_TOKEN, 4, hash.bytes, sizeof hash.bytes,
                                    p->identity, &p->sim->chain.params.chain_id, sim_person_now(p),
                                    &p->dice.random) == SES_OK);
        err = ask(p, &p->map->nodes[members[dice_below(&p->dice, active)]], &record);
        ses_buf_free(&record);
    }
    if (err != SES_OK) {
        sim_after(p->sim, AGAIN_MS, publish_again, p);
    }
}
