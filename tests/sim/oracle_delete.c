/* What was deleted stays deleted. A statement is watched like any stored record (D1, D2, D3);
 * beside that, who holds the statement must not hold or hand out what it deletes, whatever happened
 * since.
 */
#include "tests/sim/sim.h"

#define SETTLED_MS 60000u /* pages that were made before are on their way so long at most */
#define LOOK_EVERY_MIN 5u

struct sim_tomb {
    struct ses_hash id;
    uint64_t expires_ms;
    uint32_t statement; /* its message */
};

static struct sim_tomb *find_tomb(struct sim *s, const struct ses_hash *id)
{
    for (uint32_t i = 0; i < s->oracle.tomb_cnt; i++) {
        if (ses_equal(&s->oracle.tombs[i].id, id, sizeof *id)) {
            return &s->oracle.tombs[i];
        }
    }
    return NULL;
}

bool oracle_is_deleted(struct sim *s, const struct ses_hash *id)
{
    return find_tomb(s, id) != NULL;
}

const struct sim_msg *oracle_deleted_by(struct sim *s, const struct ses_hash *id, uint32_t *at)
{
    while (*at < s->oracle.tomb_cnt) {
        const struct sim_tomb *tomb = &s->oracle.tombs[(*at)++];
        if (ses_equal(&tomb->id, id, sizeof *id)) {
            return sim_msg_at(s, tomb->statement);
        }
    }
    return NULL;
}

static void add_tomb(struct sim *s, const struct ses_delete_target *target, uint32_t statement)
{
    struct oracle *o = &s->oracle;
    for (uint32_t i = 0; i < o->cnt; i++) {
        o->msgs[i].deleted |= ses_equal(&o->msgs[i].ids.id, &target->id, sizeof target->id);
    }
    if (o->tomb_cnt == o->tomb_cap) {
        o->tomb_cap = o->tomb_cap != 0 ? 2 * o->tomb_cap : 64;
        o->tombs = ses_realloc(o->tombs, o->tomb_cap, sizeof *o->tombs);
        SES_ASSERT(o->tombs != NULL);
    }
    o->tombs[o->tomb_cnt++] =
        (struct sim_tomb){.id = target->id,
                          .expires_ms = ses_segment_expires_ms(&target->segment),
                          .statement = statement};
}

uint32_t oracle_delete_tried(struct sim *s, struct sim_person *p, const uint8_t *payload,
                             size_t len)
{
    struct ses_record_header header;
    uint8_t bytes[SES_RECORD_HEADER_BYTES];
    const struct ses_record record = {bytes, payload, (uint32_t)len};
    struct ses_delete *d = ses_alloc(1, sizeof *d);
    struct sim_msg *m = sim_msg_new(s);
    const uint32_t number = m->number;
    SES_ASSERT(d != NULL && ses_delete_read(d, payload, len) == SES_OK);
    ses_delete_header(&header, d);
    ses_record_header_encode(bytes, &header);
    SES_ASSERT(ses_record_identify(&m->ids, &record) == SES_OK);
    SES_ASSERT(ses_buf_append(&m->head, bytes, sizeof bytes) == SES_OK &&
               ses_buf_append(&m->head, payload, len < 208 ? len : 208) == SES_OK);
    m->from = m->to = p->index;
    m->statement = true;
    for (unsigned i = 0; i < d->target_cnt; i++) {
        add_tomb(s, &d->targets[i], number);
    }
    sim_tell(s, "person %u deletes %u messages by statement %u", p->index, d->target_cnt, number);
    ses_free(d);
    return number;
}

/* ---- nobody who knows of the deletion has the record ---- */
static void on_copy(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    (void)cookie; /* the run has ended before */
    (void)err;
    (void)record;
}

static void look_at(struct sim *s, struct sim_node *node, const struct sim_tomb *t)
{
    const struct sim_msg *statement = sim_msg_at(s, t->statement);
    if (node->byz == NULL && t->expires_ms > sim_unix_ms(s) &&
        ses_store_has(node->store, &statement->ids) &&
        ses_store_get(node->store, &t->id, on_copy, NULL) == SES_OK) {
        sim_broken(s, "delete", "node %u has statement %u and still holds a record that it deletes",
                   node->index, t->statement);
    }
}

void oracle_deletes_node(struct sim *s, struct sim_node *node)
{
    for (uint32_t i = 0; i < s->oracle.tomb_cnt && !s->verdict.failed; i++) {
        look_at(s, node, &s->oracle.tombs[i]);
    }
}

void oracle_deletes_check(struct sim *s)
{
    if (s->now_ms / SIM_MINUTE_MS % LOOK_EVERY_MIN != 0) {
        return;
    }
    for (uint32_t i = 0; i < s->node_cnt && !s->verdict.failed; i++) {
        if (sim_node_up(&s->nodes[i])) {
            oracle_deletes_node(s, &s->nodes[i]);
        }
    }
}

/* Once every member had the statement, no member may hand out what it deletes. Who came to the
 * swarm since, and may have held the record in an older seat, says "partial" until it has the
 * statement. Who lost its disk may get the record from a liar while the statement is withheld. */
void oracle_delete_page(struct sim *s, uint32_t node, const struct ses_page *page,
                        const struct ses_hash *id)
{
    const struct sim_tomb *t = find_tomb(s, id);
    const struct sim_msg *m = t != NULL ? sim_msg_at(s, t->statement) : NULL;
    const bool partial = (page->flags & SES_PAGE_PARTIAL) != 0;
    if (m != NULL && !partial && m->spread && m->spread_ms + SETTLED_MS < s->now_ms &&
        oracle_is_whole(s, &s->nodes[node], m) && !oracle_withheld(s, &s->nodes[node], m)) {
        sim_broken(s, "delete",
                   "node %u hands out a record that statement %u deleted %" PRIu64 " s ago", node,
                   m->number, (s->now_ms - m->stored_ms) / 1000);
    }
}

void oracle_list(struct sim *s, uint32_t node, const uint8_t *body, size_t len)
{
    struct ses_reader r;
    struct ses_refusal refusal;
    struct ses_page page;
    bool ok = false;
    if (ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK || !ok) {
        return;
    }
    ses_list_page_read(&r, &page);
    for (uint16_t i = 0; i < page.record_cnt && r.err == SES_OK; i++) {
        struct ses_delete_target target;
        ses_delete_target_read(&r, &target);
        oracle_delete_page(s, node, &page, &target.id);
    }
}
