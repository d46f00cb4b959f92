/* C3: reads an inbox at one node by small pages, and compares with what the node held before. */
#include "tests/sim/sim.h"

#define STEPS_MAX 4096u

struct walk {
    struct sim *sim;
    uint32_t node, person, step_cnt;
    uint32_t life;
    uint32_t start_cnt; /* of the node */
    struct ses_cursor cursor;
    uint32_t *expected; /* messages that the node held at the beginning */
    uint8_t *seen;
    uint32_t expected_cnt;
    uint32_t sizes; /* of pages, bits of the dice */
};

static void walk_free(struct walk *w)
{
    ses_free(w->expected);
    ses_free(w->seen);
    ses_free(w);
}

static bool undisturbed(const struct walk *w)
{
    const struct sim_node *node = &w->sim->nodes[w->node];
    const struct sim_person *p = &w->sim->people[w->person];
    return sim_node_up(node) && node->start_cnt == w->start_cnt && !node->spoiled &&
           p->life == w->life && !w->sim->ending;
}

static void finish(struct walk *w)
{
    struct sim *s = w->sim;
    s->oracle.walk_cnt++;
    for (uint32_t i = 0; i < w->expected_cnt; i++) {
        const struct sim_msg *m = sim_msg_at(s, w->expected[i]);
        if (!w->seen[i] && !m->deleted && m->expires_ms > sim_unix_ms(s) + SIM_HOUR_MS) {
            sim_broken(s, "C3", "paging through person %u's inbox at node %u skips message %u",
                       w->person, w->node, m->number);
            break;
        }
    }
}

static void note_record(struct walk *w, const struct ses_record_ids *ids)
{
    for (uint32_t i = 0; i < w->expected_cnt; i++) {
        if (ses_equal(&sim_msg_at(w->sim, w->expected[i])->id, &ids->id, sizeof ids->id)) {
            if (w->seen[i]++ > 0) {
                sim_broken(w->sim, "C3", "node %u pages message %u twice", w->node, w->expected[i]);
            }
        }
    }
}

/* False when there is nothing more, or the node refused. */
static bool take_page(struct walk *w, const uint8_t *body, size_t len, bool *done)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_page page;
    bool ok = false;
    *done = false;
    if (ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK || !ok) {
        return false;
    }
    ses_page_read(&r, &page);
    for (uint16_t i = 0; i < page.record_cnt && r.err == SES_OK; i++) {
        struct ses_record record;
        struct ses_record_ids ids;
        ses_record_read(&r, &record);
        if (r.err == SES_OK && ses_record_identify(&ids, &record) == SES_OK) {
            note_record(w, &ids);
        }
    }
    w->cursor = page.next;
    *done = (page.flags & SES_PAGE_MORE) == 0;
    return !*done;
}

static bool ask(struct walk *w);

static void on_page(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct walk *w = cookie;
    bool done = false;
    const bool more = err == SES_OK && undisturbed(w) && take_page(w, body, len, &done);
    if (more && w->step_cnt < STEPS_MAX && ask(w)) {
        return;
    }
    if (done) {
        finish(w);
    } else if (w->step_cnt >= STEPS_MAX) {
        sim_broken(w->sim, "C3", "node %u pages for ever", w->node);
    }
    walk_free(w);
}

static bool ask(struct walk *w)
{
    uint8_t body[256];
    struct ses_writer writer;
    struct sim_person *p = &w->sim->people[w->person];
    const struct sim_node *node = &w->sim->nodes[w->node];
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    const struct ses_retrieve retrieve = {.inbox = p->inbox,
                                          .ns = SES_NS_INBOX,
                                          .after = w->cursor,
                                          .record_max =
                                              (uint16_t)(1 + (w->sizes >> w->step_cnt % 30 & 3)),
                                          .bytes_max = 65536};
    w->step_cnt++;
    target->node_id = node->node_id;
    target->public_key = node->keys.public_key;
    target->endpoint = node->endpoint;
    ses_writer_init(&writer, body, sizeof body);
    ses_retrieve_write(&writer, &retrieve);
    SES_ASSERT(ses_writer_done(&writer) == SES_OK);
    const struct ses_request request = {.target = target,
                                        .proto = SES_PROTO_RETRIEVE,
                                        .login = p->identity,
                                        .body = body,
                                        .len = writer.len,
                                        .on_reply = on_page,
                                        .cookie = w};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    ses_free(target);
    return err == SES_OK;
}

void oracle_walk(struct sim *s, uint32_t node, uint32_t person)
{
    struct sim_node *n = &s->nodes[node];
    struct sim_person *p = &s->people[person];
    if (!sim_node_up(n) || n->byz != NULL || p->net.down) {
        return;
    }
    struct walk *w = ses_alloc(1, sizeof *w);
    SES_ASSERT(w != NULL);
    *w = (struct walk){.sim = s,
                       .node = node,
                       .person = person,
                       .life = p->life,
                       .start_cnt = n->start_cnt,
                       .sizes = (uint32_t)dice_u64(&p->dice)};
    w->expected = ses_alloc(s->oracle.cnt + 1u, sizeof *w->expected);
    w->seen = ses_alloc(s->oracle.cnt + 1u, 1);
    SES_ASSERT(w->expected != NULL && w->seen != NULL);
    for (uint32_t i = 0; i < s->oracle.cnt; i++) {
        const struct sim_msg *m = &s->oracle.msgs[i];
        if (m->to == person && m->stored_ms > 0 && !m->statement && !m->deleted &&
            ses_store_has(n->store, &m->ids)) {
            w->expected[w->expected_cnt++] = i;
        }
    }
    if (!ask(w)) {
        walk_free(w);
    }
}
