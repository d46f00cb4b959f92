/* Sending: the steps of client/send.c on messaging's outbox, one event each. The item is saved
 * after every step, and a crash may come between any two. */
#include "client/client_internal.h"
#include "tests/sim/sim.h"

#define WAIT_MS 5000u
#define SPARE_MS 3000u /* client/send.c: for dialling and the way */
#define ASK_MS 4000u   /* client/receipts.c: of one member */

struct sim_item {
    struct sim_item *next;
    struct sim_person *person;
    struct ses_outbox_item item;
    bool loaded; /* `item` is there; after a crash only what was saved is */
    struct ses_buf saved;
    uint32_t msg;
    bool no_token; /* it was not taken */
    struct ses_timer *timer;
    uint32_t turn; /* grows with each question: answers to former ones are dropped */
    /* of a CHECK under way */
    uint32_t members[SES_MEMBERS_MAX];
    uint32_t member_cnt, active_cnt, asking;
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    uint32_t node_cnt;
    bool asked;
};
struct question {
    struct sim_item *item;
    uint32_t turn;
};

static void work(struct sim_item *it);

static void save(struct sim_item *it)
{
    it->saved.len = 0;
    SES_ASSERT(ses_outbox_encode(&it->saved, &it->item) == SES_OK);
}

static void on_timer(void *cookie)
{
    struct sim_item *it = cookie;
    it->timer = NULL;
    work(it);
}

static void work_later(struct sim_item *it, uint64_t delay_ms)
{
    if (it->timer == NULL && !it->person->sim->ending) {
        it->timer = sim_after(it->person->sim, delay_ms, on_timer, it);
    }
}

/* ---- asking ---- */
static enum ses_err ask(struct sim_item *it, uint32_t node, const struct ses_buf *body,
                        uint64_t deadline_ms, ses_reply_fn *on_reply)
{
    struct sim_person *p = it->person;
    struct ses_target *target = ses_alloc(1, sizeof *target);
    struct question *q = ses_alloc(1, sizeof *q);
    SES_ASSERT(target != NULL && q != NULL);
    sim_target_of(target, &p->map->nodes[node]);
    *q = (struct question){.item = it, .turn = ++it->turn};
    const struct ses_request request = {.target = target,
                                        .proto = SES_PROTO_STORE,
                                        .body = body->bytes,
                                        .len = body->len,
                                        .deadline_ms = deadline_ms,
                                        .on_reply = on_reply,
                                        .cookie = q};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    if (err != SES_OK) {
        ses_free(q);
    }
    ses_free(target);
    return err;
}

/* The item that still waits for this answer; NULL. */
static struct sim_item *asked_by(void *cookie)
{
    struct question *q = cookie;
    struct sim_item *it = q->item;
    const bool waits = it->loaded && q->turn == it->turn && !it->person->net.down;
    ses_free(q);
    return waits ? it : NULL;
}

/* ---- SEAL ---- */
static uint64_t stamp(struct sim_item *it, const struct ses_record_ids *ids, uint32_t bytes)
{
    uint64_t nonce = 0;
    unsigned bits = ses_stamp_bits(bytes);
    bits = it->item.work_bits > bits ? it->item.work_bits : bits;
    SES_ASSERT(ses_stamp_find(&nonce, &ids->id, bits, dice_u64(&it->person->dice) >> 2,
                              (uint64_t)1 << (bits + 6)) == SES_OK);
    return nonce;
}

/* Most people know each other's tokens; a stranger's proof of work is what costs time here. */
static void seal(struct sim_item *it)
{
    struct sim_person *p = it->person;
    const struct sim_person *to = &p->sim->people[sim_msg_at(p->sim, it->msg)->to];
    struct ses_buf record = {0};
    struct ses_record_ids ids;
    struct ses_seal1 message = {.from = p->identity,
                                .to = &to->card,
                                .ns = SES_NS_INBOX,
                                .ttl_class = it->item.ttl_class,
                                .type = it->item.type,
                                .with_keys = it->item.with_keys,
                                .body = it->item.body.bytes,
                                .body_bytes = it->item.body.len};
    memcpy(message.uuid, it->item.uuid, sizeof message.uuid);
    SES_ASSERT(ses_seal1(&record, &message, sim_person_now(p), &p->dice.random) == SES_OK);
    const struct ses_record view = {record.bytes, record.bytes + SES_RECORD_HEADER_BYTES,
                                    (uint32_t)(record.len - SES_RECORD_HEADER_BYTES)};
    SES_ASSERT(ses_record_identify(&ids, &view) == SES_OK);
    const bool token = to->has_token && !it->no_token && !dice_chance(&p->dice, 20);
    const uint64_t nonce = token ? 0 : stamp(it, &ids, view.payload_bytes);
    ses_outbox_sealed(&it->item, &record, &ids, token ? SES_ENTRY_TOKEN : SES_ENTRY_STAMP,
                      &to->token, nonce);
}

/* ---- OFFER ---- */
static void note_stored(struct sim_item *it, const struct ses_buf *record)
{
    struct sim_person *p = it->person;
    struct sim_msg *m = sim_msg_at(p->sim, it->msg);
    struct ses_stored stored = {.state = SES_STORED,
                                .id = it->item.id,
                                .quorum = it->item.quorum,
                                .node_cnt = it->item.node_cnt};
    memcpy(stored.nodes, it->item.nodes, it->item.node_cnt * sizeof stored.nodes[0]);
    if (record != NULL && record->len > 0) {
        const size_t len = record->len < 256 ? record->len : 256;
        const struct ses_record view = {record->bytes, record->bytes + SES_RECORD_HEADER_BYTES,
                                        (uint32_t)(record->len - SES_RECORD_HEADER_BYTES)};
        m->head.len = 0;
        SES_ASSERT(ses_buf_append(&m->head, record->bytes, len) == SES_OK);
        SES_ASSERT(ses_record_identify(&m->ids, &view) == SES_OK);
        m->deleted = oracle_is_deleted(p->sim, &m->ids.id);
    }
    if (it->item.state == SES_OUTBOX_STORED) {
        oracle_stored(p->sim, m, &stored);
        sim_receipts_gather(p, m->number);
    }
}

static void on_offered(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sim_item *it = asked_by(cookie);
    struct ses_note note = {{0}};
    struct ses_buf record = {0};
    if (it == NULL) {
        return;
    }
    struct sim_person *p = it->person;
    SES_ASSERT(ses_buf_append(&record, it->item.record.bytes, it->item.record.len) == SES_OK);
    const enum ses_outbox_advice advice =
        ses_offer_answer(&it->item, err, body, len, it->active_cnt, sim_person_now(p), &note);
    note_stored(it, &record);
    ses_buf_free(&record);
    save(it);
    if (advice == SES_OUTBOX_REFRESH_MAP) {
        sim_person_map(p, true);
    }
    it->no_token |= advice == SES_OUTBOX_DROP_TOKEN;
    work_later(it, 0);
}

static void offer(struct sim_item *it)
{
    struct sim_person *p = it->person;
    struct ses_buf body = {0};
    const struct sim_msg *m = sim_msg_at(p->sim, it->msg);
    uint32_t members[SES_MEMBERS_MAX];
    enum ses_err err = SES_ERR_UNREACHABLE;
    (void)sim_person_members(p, &p->sim->people[m->to].inbox, members, &it->active_cnt);
    if (it->active_cnt > 0) {
        SES_ASSERT(ses_offer_body(&it->item, WAIT_MS, &body) == SES_OK);
        err = ask(it, members[ses_outbox_member(&it->item, it->active_cnt)], &body,
                  WAIT_MS + SPARE_MS, on_offered);
        ses_buf_free(&body);
    }
    if (err != SES_OK) {
        ses_outbox_lost(&it->item, err, it->active_cnt > 0 ? it->active_cnt : 1, sim_person_now(p));
        save(it);
        work_later(it, 0);
    }
}

/* ---- CHECK: receipts of one member after the other ---- */
static void check_next(struct sim_item *it);

static void take_receipts(struct sim_item *it, const uint8_t *body, size_t len)
{
    struct sim_person *p = it->person;
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    struct ses_receipt_want want = {.id = it->item.id,
                                    .inbox = p->sim->people[sim_msg_at(p->sim, it->msg)->to].inbox,
                                    .ttl_class = it->item.ttl_class,
                                    .ts_ms = it->item.ts_ms};
    if (ses_response_begin(&r, body, len, &ok, &refusal) != SES_OK) {
        return;
    }
    it->asked |= ok || refusal.status == SES_ERR_NOT_FOUND;
    const uint16_t cnt = ok ? ses_read_u16(&r) : 0;
    struct ses_receipt_memo memo = {.cnt = 0};
    for (uint16_t i = 0; i < cnt && r.err == SES_OK; i++) {
        struct ses_receipt receipt;
        bool known = false;
        ses_receipt_read(&r, &receipt);
        for (uint32_t n = 0; n < it->node_cnt; n++) {
            known |= ses_equal(&it->nodes[n], &receipt.node_id, sizeof receipt.node_id);
        }
        if (r.err == SES_OK && !known && it->node_cnt < SES_MEMBERS_MAX &&
            ses_receipt_check(&receipt, &want, p->map, &p->sim->chain.params.chain_id, &memo) ==
                SES_OK) {
            it->nodes[it->node_cnt++] = receipt.node_id;
        }
    }
}

static void on_receipts(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct sim_item *it = asked_by(cookie);
    if (it == NULL) {
        return;
    }
    if (err == SES_OK) {
        take_receipts(it, body, len);
    }
    check_next(it);
}

static void check_done(struct sim_item *it)
{
    ses_outbox_counted(&it->item, it->nodes, it->node_cnt, ses_write_quorum(it->active_cnt),
                       it->asked, sim_person_now(it->person));
    note_stored(it, NULL);
    save(it);
    work_later(it, 0);
}

static void check_next(struct sim_item *it)
{
    uint8_t bytes[64];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_store_receipts_write(&w, &it->item.id);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_buf body = {.bytes = bytes, .len = w.len};
    while (it->asking < it->member_cnt && it->node_cnt < ses_write_quorum(it->active_cnt)) {
        if (it->members[it->asking] < it->person->map->node_cnt &&
            ask(it, it->members[it->asking++], &body, ASK_MS, on_receipts) == SES_OK) {
            return;
        }
    }
    check_done(it);
}

static void check(struct sim_item *it)
{
    struct sim_person *p = it->person;
    const struct ses_hash *inbox = &p->sim->people[sim_msg_at(p->sim, it->msg)->to].inbox;
    it->member_cnt = sim_person_members(p, inbox, it->members, &it->active_cnt);
    it->asking = it->node_cnt = 0;
    it->asked = false;
    check_next(it);
}

/* ---- steps ---- */
static void work(struct sim_item *it)
{
    struct sim_person *p = it->person;
    if (p->net.down || !it->loaded || p->sim->ending) {
        return;
    }
    sim_person_map(p, false);
    const uint64_t now_ms = sim_person_now(p);
    switch (ses_outbox_step(&it->item, now_ms)) {
    case SES_OUTBOX_DO_WAIT:
        save(it);
        work_later(it, it->item.next_ms > now_ms ? it->item.next_ms - now_ms : 1);
        break;
    case SES_OUTBOX_DO_SEAL:
        seal(it);
        save(it);
        work_later(it, 1);
        break;
    case SES_OUTBOX_DO_OFFER:
        offer(it);
        break;
    case SES_OUTBOX_DO_CHECK:
        if (p->map == NULL) {
            work_later(it, 1000);
            break;
        }
        check(it);
        break;
    case SES_OUTBOX_DO_NOTHING:
        save(it);
        break;
    }
}

static void write_body(struct ses_buf *out, const struct sim_msg *m)
{
    char text[64];
    struct ses_content content = {.kind = SES_CONTENT_FILE, .data_bytes = m->bytes};
    uint8_t *data = ses_alloc(m->bytes + 1, 1);
    SES_ASSERT(data != NULL);
    memset(data, (int)(m->number & 0xff), m->bytes);
    SES_ASSERT(snprintf(text, sizeof text, "%u-%u-%u", m->number, m->from, m->to) > 0);
    content.text = text;
    content.data = data;
    SES_ASSERT(ses_content_encode(out, &content) == SES_OK);
    ses_free(data);
}

void sim_person_send(struct sim_person *p, uint32_t to, uint32_t bytes, uint8_t ttl_class)
{
    struct sim *s = p->sim;
    struct ses_buf body = {0};
    if (p->net.down) {
        return;
    }
    struct sim_item *it = ses_alloc(1, sizeof *it);
    struct sim_msg *m = sim_msg_new(s);
    SES_ASSERT(it != NULL);
    m->from = p->index;
    m->to = to;
    m->bytes = bytes;
    write_body(&body, m);
    SES_ASSERT(ses_outbox_init(&it->item, &s->people[to].identity->id, body.bytes, body.len,
                               sim_person_now(p), &p->dice.random) == SES_OK);
    ses_buf_free(&body);
    memcpy(m->uuid, it->item.uuid, sizeof m->uuid);
    it->item.ttl_class = ttl_class;
    it->item.with_keys = dice_chance(&p->dice, 200);
    it->person = p;
    it->msg = m->number;
    it->loaded = true;
    it->next = p->items;
    p->items = it;
    save(it);
    sim_tell(s, "person %u writes message %u to person %u, class %u", p->index, m->number, to,
             ttl_class);
    work_later(it, 0);
}

/* ---- crashes ---- */
void sim_items_drop(struct sim_person *p, bool saved)
{
    for (struct sim_item *it = p->items, *next; it != NULL; it = next) {
        next = it->next;
        sim_cancel(p->sim, it->timer);
        it->timer = NULL;
        if (it->loaded) {
            ses_outbox_free(&it->item);
            it->loaded = false;
        }
        if (!saved) {
            ses_buf_free(&it->saved);
            ses_free(it);
        }
    }
    p->items = saved ? p->items : NULL;
}

void sim_items_resume(struct sim_person *p)
{
    for (struct sim_item *it = p->items; it != NULL; it = it->next) {
        if (ses_outbox_decode(&it->item, it->saved.bytes, it->saved.len) != SES_OK) {
            sim_broken(p->sim, "D1", "person %u cannot read an item that it saved", p->index);
            return;
        }
        it->loaded = true;
        work_later(it, dice_between(&p->dice, 1, 2000));
    }
}
