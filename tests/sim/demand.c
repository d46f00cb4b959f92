/* Receipts are bonds: the sender fetches them once a message is stored, keeps them, and now and
 * then demands on the chain that a signer show the record. What the chain makes of it is judged
 * against what the signer held (S2). */
#include "tests/sim/sim.h"

#define ASK_MS 4000u
#define FEE 1000000u
#define PICKS 24u /* messages looked at for one demand */
#define BPS 10000u

/* ---- receipts ---- */
struct gathering {
    struct sim_person *person;
    uint32_t life, msg, at;
};

static bool has_receipt_of(const struct sim_msg *m, const struct ses_node_id *node)
{
    for (uint32_t i = 0; i < m->receipt_cnt; i++) {
        if (ses_equal(&m->receipts[i].node_id, node, sizeof *node)) {
            return true;
        }
    }
    return false;
}

static uint32_t node_at(const struct sim *s, const struct ses_node_id *id)
{
    uint32_t i = 0;
    while (i < s->node_cnt && !ses_equal(&s->nodes[i].node_id, id, sizeof *id)) {
        i++;
    }
    return i;
}

/* Those that are good; liars make up others. What they sign themselves binds nobody honest. */
static void keep_receipt(const struct sim *s, struct sim_msg *m, const struct ses_receipt *receipt)
{
    const uint32_t at = node_at(s, &receipt->node_id);
    if (at == s->node_cnt || s->nodes[at].byz != NULL ||
        ses_receipt_verify(receipt, &s->chain.params.chain_id, &s->nodes[at].keys.public_key) !=
            SES_OK) {
        return;
    }
    if (m->receipt_cnt == SES_MEMBERS_MAX || has_receipt_of(m, &receipt->node_id) ||
        !ses_equal(&receipt->leaf.id, &m->id, sizeof m->id)) {
        return;
    }
    m->receipts = ses_realloc(m->receipts, m->receipt_cnt + 1u, sizeof *m->receipts);
    SES_ASSERT(m->receipts != NULL);
    m->receipts[m->receipt_cnt++] = *receipt;
}

static void gather_next(struct gathering *g);

static void on_receipts(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct gathering *g = cookie;
    struct sim *s = g->person->sim;
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    if (err == SES_OK && ses_response_begin(&r, body, len, &ok, &refusal) == SES_OK && ok) {
        const uint16_t cnt = ses_read_u16(&r);
        for (uint16_t i = 0; i < cnt && r.err == SES_OK; i++) {
            struct ses_receipt receipt;
            ses_receipt_read(&r, &receipt);
            if (r.err == SES_OK) {
                keep_receipt(s, sim_msg_at(s, g->msg), &receipt);
            }
        }
    }
    g->at++;
    gather_next(g);
}

static enum ses_err ask(struct gathering *g)
{
    uint8_t body[64];
    struct ses_writer w;
    struct sim_person *p = g->person;
    const struct sim_msg *m = sim_msg_at(p->sim, g->msg);
    const struct sim_node *node = &p->sim->nodes[m->nodes[g->at]];
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    target->node_id = node->node_id;
    target->public_key = node->keys.public_key;
    target->endpoint = node->endpoint;
    ses_writer_init(&w, body, sizeof body);
    ses_store_receipts_write(&w, &m->id);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    const struct ses_request request = {.target = target,
                                        .proto = SES_PROTO_STORE,
                                        .body = body,
                                        .len = w.len,
                                        .deadline_ms = ASK_MS,
                                        .on_reply = on_receipts,
                                        .cookie = g};
    const enum ses_err err = ses_net_request(&p->net.net, &request);
    ses_free(target);
    return err;
}

/* Those that were named, one after the other, until as many have signed. */
static void gather_next(struct gathering *g)
{
    struct sim_person *p = g->person;
    struct sim_msg *m = sim_msg_at(p->sim, g->msg);
    while (p->life == g->life && !p->net.down && !p->sim->ending && g->at < m->node_cnt &&
           m->receipt_cnt < m->node_cnt) {
        if (ask(g) == SES_OK) {
            return;
        }
        g->at++;
    }
    m->gathering = false;
    ses_free(g);
}

void sim_receipts_gather(struct sim_person *p, uint32_t msg)
{
    struct sim_msg *m = sim_msg_at(p->sim, msg);
    if (m->stored_ms == 0 || m->gathering || m->receipt_cnt >= m->node_cnt) {
        return;
    }
    struct gathering *g = ses_alloc(1, sizeof *g);
    SES_ASSERT(g != NULL);
    *g = (struct gathering){.person = p, .life = p->life, .msg = msg};
    m->gathering = true;
    gather_next(g);
}

/* ---- what the rules say of a demand now ---- */
struct sim_demand {
    uint32_t node, msg;
    struct ses_leaf_key key;
    uint64_t from_epoch; /* of the seat */
    uint64_t made_epoch, made_ms;
    uint64_t owed_epoch; /* 0: not on the chain yet */
    uint8_t index;       /* among what is owed */
    bool has_root, held, responded, shown, over;
};

static uint64_t epoch_ms(const struct sim *s)
{
    return s->chain.params.params.epoch_seconds * 1000;
}

static uint64_t head_epoch(const struct sim *s)
{
    struct ses_vm_head head;
    ses_vm_head(s->chain.machines[0].vm, &head);
    return head.epoch;
}

static void key_of(struct ses_leaf_key *out, const struct ses_receipt_leaf *leaf)
{
    memcpy(out->bytes, leaf->digest.bytes, 32);
    memcpy(out->bytes + 32, leaf->id.bytes, 32);
}

static enum ses_err rule_seat(const struct sim *s, const struct ses_receipt *receipt)
{
    struct ses_node node;
    struct ses_epoch epoch;
    struct ses_map_node *keys = ses_alloc(1, sizeof *keys);
    SES_ASSERT(keys != NULL);
    const enum ses_err err = ses_vm_node(s->chain.machines[0].vm, &receipt->node_id, keys, &node);
    ses_free(keys);
    SES_TRY(err);
    SES_REQUIRE(node.status != SES_NODE_RETIRED, SES_ERR_STATUS);
    SES_REQUIRE(node.swarm == receipt->leaf.swarm &&
                    node.swarm_from_epoch == receipt->leaf.swarm_from_epoch,
                SES_ERR_SEAT);
    sim_chain_epoch(s, 0, &epoch);
    SES_REQUIRE(ses_swarm_of(&receipt->leaf.digest, epoch.num_swarms) == receipt->leaf.swarm,
                SES_ERR_WRONG_SWARM);
    return SES_OK;
}

static enum ses_err rule(const struct sim *s, const struct ses_receipt *receipt)
{
    struct ses_duty duty;
    struct ses_leaf_key key;
    const struct ses_receipt_leaf *leaf = &receipt->leaf;
    const uint64_t epoch = head_epoch(s);
    SES_TRY(rule_seat(s, receipt));
    SES_REQUIRE(leaf->admit_epoch <= epoch, SES_ERR_EPOCH);
    SES_REQUIRE(ses_segment_expires_ms(&leaf->segment) >= SIM_START_MS + (epoch + 2) * epoch_ms(s),
                SES_ERR_EPOCH);
    SES_TRY(ses_vm_duty(s->chain.machines[0].vm, &receipt->node_id, &duty));
    key_of(&key, leaf);
    for (uint32_t i = 0; i < duty.demanded_cnt; i++) {
        SES_REQUIRE(!ses_equal(&duty.demanded[i].key, &key, sizeof key), SES_ERR_EXISTS);
    }
    return duty.demanded_cnt < SES_DEMANDS_MAX ? SES_OK : SES_ERR_FULL;
}

/* ---- demanding ---- */
static enum ses_err submit(struct sim *s, const struct sim_person *p,
                           const struct ses_receipt *receipt, struct ses_note *note)
{
    uint8_t bytes[SES_TX_BYTES_MAX];
    struct ses_writer w;
    struct ses_hash id;
    struct ses_vm_account account;
    struct ses_vm *vm = s->chain.machines[0].vm;
    struct ses_tx *tx = ses_alloc(1, sizeof *tx);
    SES_ASSERT(tx != NULL && ses_vm_account(vm, &p->identity->account, &account) == SES_OK);
    tx->type = SES_TX_DEMAND;
    tx->body.demand =
        (struct ses_tx_demand){.receipt = *receipt, .nonce = account.pending_nonce + 1, .fee = FEE};
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, tx);
    ses_free(tx);
    SES_ASSERT(ses_tx_sign(&w, &s->chain.params.chain_id, bytes, w.len,
                           account.has_key ? SES_AUTH_KNOWN : SES_AUTH_FIRST, p->identity->dsa,
                           &s->chain.demand_dice.random) == SES_OK);
    return ses_vm_submit(vm, bytes, w.len, &id, note);
}

static struct sim_demand *demand_new(struct sim *s)
{
    struct oracle *o = &s->oracle;
    if (o->demand_cnt == o->demand_cap) {
        o->demand_cap = o->demand_cap != 0 ? 2 * o->demand_cap : 64;
        o->demands = ses_realloc(o->demands, o->demand_cap, sizeof *o->demands);
        SES_ASSERT(o->demands != NULL);
    }
    return &o->demands[o->demand_cnt++];
}

static void demand(struct sim *s, uint32_t msg, const struct ses_receipt *receipt)
{
    struct ses_note note = {{0}};
    const struct sim_msg *m = sim_msg_at(s, msg);
    const enum ses_err want = rule(s, receipt);
    const enum ses_err err = submit(s, &s->people[m->from], receipt, &note);
    const uint32_t node = node_at(s, &receipt->node_id);
    sim_tell(s, "person %u demands message %u of node %u: %s", m->from, msg, node,
             ses_err_name(err));
    if (err != want) {
        sim_broken(s, "S2",
                   "message %u, stored and signed for by node %u, is demanded: the chain says "
                   "%s, the rules say %s: %.90s",
                   msg, node, ses_err_name(err), ses_err_name(want), note.text);
    } else if (err == SES_OK) {
        struct sim_demand *d = demand_new(s);
        *d = (struct sim_demand){.node = node,
                                 .msg = msg,
                                 .from_epoch = receipt->leaf.swarm_from_epoch,
                                 .made_epoch = head_epoch(s),
                                 .made_ms = s->now_ms};
        key_of(&d->key, &receipt->leaf);
    }
}

static bool pending_of(const struct sim *s, uint32_t node, const struct sim_person *p)
{
    for (uint32_t i = 0; i < s->oracle.demand_cnt; i++) {
        const struct sim_demand *d = &s->oracle.demands[i];
        const bool same = d->node == node || sim_msg_at((struct sim *)s, d->msg)->from == p->index;
        if (same && !d->over && d->owed_epoch == 0 &&
            (d->made_ms + SIM_MINUTE_MS > s->now_ms || s->chain.stalled_until_ms > d->made_ms ||
             s->chain.empty_until_ms > d->made_ms)) {
            return true;
        }
    }
    return false;
}

/* Of `node` (SIM_HOSTS_MAX: of any) one that the rules allow; `odd`: as it comes. */
static bool pick(struct sim *s, struct dice *dice, uint32_t node, bool odd)
{
    for (uint32_t i = 0; i < PICKS && s->oracle.cnt > 0; i++) {
        const uint32_t at = (uint32_t)dice_below(dice, s->oracle.cnt);
        const struct sim_msg *m = sim_msg_at(s, at);
        const struct sim_person *p = &s->people[m->from];
        if (m->receipt_cnt == 0 || p->net.down || s->chain.cut_until_ms[p->host] > s->now_ms) {
            continue;
        }
        const uint32_t first = (uint32_t)dice_below(dice, m->receipt_cnt);
        for (uint32_t n = 0; n < m->receipt_cnt; n++) {
            const struct ses_receipt *r = &m->receipts[(first + n) % m->receipt_cnt];
            const uint32_t signer = node_at(s, &r->node_id);
            if ((node == SIM_HOSTS_MAX || node == signer) && !pending_of(s, signer, p) &&
                (odd || rule(s, r) == SES_OK)) {
                demand(s, at, r);
                return true;
            }
        }
    }
    return false;
}

/* Who lost a disk in this epoch is asked first. */
static uint32_t suspect(const struct sim *s)
{
    const uint64_t from_ms = head_epoch(s) * epoch_ms(s);
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const struct sim_node *node = &s->nodes[i];
        bool asked = !node->spoiled || node->spoiled_ms < from_ms;
        for (uint32_t d = 0; d < s->oracle.demand_cnt && !asked; d++) {
            asked =
                s->oracle.demands[d].node == i && s->oracle.demands[d].made_ms > node->spoiled_ms;
        }
        if (!asked) {
            return i;
        }
    }
    return SIM_HOSTS_MAX;
}

static void tick(void *cookie)
{
    struct sim *s = cookie;
    struct dice *dice = &s->chain.demand_dice;
    if (s->ending || s->verdict.failed) {
        return;
    }
    for (uint32_t i = 0; i < s->oracle.cnt; i++) { /* what a crash left behind */
        const struct sim_msg *m = sim_msg_at(s, i);
        if (m->stored_ms > 0 && m->stored_ms + SIM_HOUR_MS > s->now_ms) {
            sim_receipts_gather(&s->people[m->from], i);
        }
    }
    const uint32_t node = suspect(s);
    if (node == SIM_HOSTS_MAX || !pick(s, dice, node, false)) {
        (void)pick(s, dice, SIM_HOSTS_MAX, dice_chance(dice, 100));
    }
    const uint64_t pace = s->end_ms > 8 * SIM_HOUR_MS ? 30 : 12; /* long days are quieter */
    sim_after(s, dice_between(dice, 3, pace) * SIM_MINUTE_MS, tick, s);
}

void sim_demands_start(struct sim *s)
{
    dice_init(&s->chain.demand_dice, s->seed, "demand", 0);
    sim_after(s, 20 * SIM_MINUTE_MS, tick, s);
}

/* ---- what became of them ---- */
static bool held_by(struct sim *s, const struct sim_demand *d)
{
    const struct sim_node *node = &s->nodes[d->node];
    return node->store != NULL && ses_store_has(node->store, &sim_msg_at(s, d->msg)->ids);
}

static bool in_seat(const struct sim *s, const struct sim_demand *d)
{
    struct ses_node node;
    struct ses_map_node *keys = ses_alloc(1, sizeof *keys);
    SES_ASSERT(keys != NULL);
    const enum ses_err err =
        ses_vm_node(s->chain.machines[0].vm, &s->nodes[d->node].node_id, keys, &node);
    ses_free(keys);
    return err == SES_OK && node.swarm != SES_SWARM_NONE && node.swarm_from_epoch == d->from_epoch;
}

static void look_for(struct sim *s, struct sim_demand *d, const struct ses_duty *duty)
{
    for (uint32_t i = 0; i < duty->owed_cnt; i++) {
        if (duty->owed[i].kind == SES_OWED_DEMAND &&
            ses_equal(&duty->owed[i].key, &d->key, sizeof d->key)) {
            d->owed_epoch = duty->epoch;
            d->index = (uint8_t)i;
            d->has_root = duty->has_root;
            d->held = held_by(s, d);
            d->over = !in_seat(s, d); /* it moved with the epoch: it owes no openings */
            s->oracle.owed_cnt++;
        }
    }
    if (d->owed_epoch == 0 && duty->epoch > d->made_epoch + 1) {
        /* for the block that begins an epoch, what was fine in the last one may be too late */
        const bool late = d->made_ms / epoch_ms(s) != d->made_epoch;
        d->over = true;
        if (s->chain.trouble_until_ms < d->made_ms && !s->churn && !late) {
            sim_broken(s, "S2", "a demand of message %u of node %u was taken and never owed",
                       d->msg, d->node);
        }
    }
}

struct finding {
    const struct sim *s;
    const struct ses_node_id *node_id;
    struct ses_judgement judgement;
    uint32_t miss_cnt;
    bool found;
};

static bool find(void *cookie, const struct ses_judgement *j)
{
    struct finding *f = cookie;
    f->miss_cnt += j->causes != 0;
    if (ses_equal(&j->node_id, f->node_id, sizeof j->node_id)) {
        f->judgement = *j;
        f->found = true;
    }
    return true;
}

/* Its disk was gone after the commitment that the demand is about, and before the answer. */
static bool lost(const struct sim *s, const struct sim_demand *d)
{
    const struct sim_node *node = &s->nodes[d->node];
    const uint64_t from_ms = (d->owed_epoch - 1) * epoch_ms(s);
    return node->wiped_ms >= from_ms && node->wiped_ms > 0 &&
           node->wiped_ms < from_ms + epoch_ms(s) * 7 / 5;
}

/* What a miss costs, unless so many missed that it is forgiven. */
static void check_price(struct sim *s, const struct sim_demand *d, const struct finding *f)
{
    struct ses_node node;
    const struct ses_params *params = &s->chain.params.params;
    struct ses_map_node *keys = ses_alloc(1, sizeof *keys);
    SES_ASSERT(keys != NULL);
    SES_ASSERT(ses_vm_node(s->chain.machines[0].vm, f->node_id, keys, &node) == SES_OK);
    ses_free(keys);
    uint32_t judged = 0;
    for (uint32_t i = 0; i < s->chain.map->node_cnt; i++) {
        judged += s->chain.map->nodes[i].row.status != SES_NODE_RETIRED;
    }
    const bool outage = f->miss_cnt * BPS > params->outage_bps * judged;
    const uint64_t price = node.principal * params->miss_bps / BPS;
    s->oracle.paid_cnt += f->judgement.slashed > 0;
    if (!s->churn && !outage && f->judgement.slashed != price) {
        sim_broken(s, "S2", "node %u did not show message %u and pays %" PRIu64 ", not %" PRIu64,
                   d->node, d->msg, f->judgement.slashed, price);
    }
}

static void judge(struct sim *s, struct sim_demand *d, uint64_t now_epoch)
{
    const struct sim_node *node = &s->nodes[d->node];
    struct finding f = {.s = s, .node_id = &node->node_id};
    d->over = true;
    if (now_epoch != d->owed_epoch + 1 || d->owed_epoch < d->from_epoch + 2 ||
        ses_vm_judgements(s->chain.machines[0].vm, d->owed_epoch, find, &f) != SES_OK) {
        return; /* not judged, or too new in its seat to owe openings */
    }
    const bool lacks = f.found && (f.judgement.causes & SES_CAUSE_OPENING) != 0 &&
                       (f.judgement.lacking >> d->index & 1) != 0;
    const bool silent = f.found && (f.judgement.causes & SES_CAUSE_RESPONSE) != 0;
    const bool could_not = lost(s, d) || (!d->held && !held_by(s, d) && sim_node_up(node));
    sim_tell(s, "node %u, asked for message %u in epoch %" PRIu64 ": %s", d->node, d->msg,
             d->owed_epoch,
             silent  ? "no response"
             : lacks ? "not shown"
                     : "shown");
    s->oracle.shown_cnt += !lacks && !silent;
    if (could_not && !lacks && !silent) {
        sim_broken(s, "S2",
                   "node %u lost message %u, was asked for it in epoch %" PRIu64
                   " and pays nothing",
                   d->node, d->msg, d->owed_epoch);
    } else if (d->responded && d->shown != !lacks) {
        sim_broken(s, "S2", "node %u %s message %u in epoch %" PRIu64 " and is judged otherwise",
                   d->node, d->shown ? "showed" : "did not show", d->msg, d->owed_epoch);
    } else if (lacks || silent) {
        check_price(s, d, &f);
        const bool whole = !node->spoiled || oracle_lost_ms(node) < sim_msg_at(s, d->msg)->born_ms;
        if (whole && d->held && d->has_root && oracle_undisturbed(s, d->owed_epoch)) {
            sim_broken(s, "S2",
                       "node %u holds message %u, nothing disturbed it, and it pays because it "
                       "did not show it in epoch %" PRIu64,
                       d->node, d->msg, d->owed_epoch);
        }
    }
}

void oracle_demands(struct sim *s)
{
    const uint64_t epoch = head_epoch(s);
    for (uint32_t i = 0; i < s->oracle.demand_cnt && !s->verdict.failed; i++) {
        struct sim_demand *d = &s->oracle.demands[i];
        struct ses_duty duty;
        if (d->over) {
            continue;
        }
        if (d->owed_epoch > 0 && epoch > d->owed_epoch) {
            judge(s, d, epoch);
        } else if (epoch > d->made_epoch &&
                   ses_vm_duty(s->chain.machines[0].vm, &s->nodes[d->node].node_id, &duty) ==
                       SES_OK) {
            if (d->owed_epoch == 0) {
                look_for(s, d, &duty);
            }
            d->responded = duty.responded;
            d->shown = (duty.shown >> d->index & 1) != 0;
        }
    }
}

/* A restored node committed before it had everything back: what is demanded of it may lack. */
bool oracle_demanded(const struct sim *s, uint32_t node, uint64_t epoch)
{
    for (uint32_t i = 0; i < s->oracle.demand_cnt; i++) {
        if (s->oracle.demands[i].node == node && s->oracle.demands[i].owed_epoch == epoch) {
            return true;
        }
    }
    return false;
}
