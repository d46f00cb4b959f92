/* The chain: two machines that run the real vm. One builds blocks, the other follows; hosts ask one
 * of them. What both accept must give the same root (B2). */
#include <jansson.h>

#include "tests/sim/memory.h"

#define FEE 1000000u
#define STAKE 100000000000ull
#define RICH 100000000000000ull

/* ---- genesis ---- */
static json_t *hex_json(const void *bytes, size_t len)
{
    char *text = ses_alloc(2 * len + 1, 1);
    SES_ASSERT(text != NULL);
    ses_hex_encode(text, bytes, len);
    json_t *json = json_string(text);
    ses_free(text);
    return json;
}

static json_t *account_json(const struct sim_node *node)
{
    char text[SES_ID_TEXT_MAX];
    struct ses_account account;
    ses_account_of(&account, &node->keys.public_key);
    ses_account_text(text, &account);
    return json_string(text);
}

static json_t *node_json(const struct sim_node *node)
{
    char id[SES_ID_TEXT_MAX];
    const struct ses_endpoint *e = &node->endpoint;
    ses_node_id_text(id, &node->node_id);
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:I, s:I, s:{s:o, s:[o]}}", "owner", account_json(node), "nodeId", id,
        "publicKey", hex_json(node->keys.public_key.bytes, SES_DSA_PK_BYTES), "encryptionKey",
        hex_json(node->keys.encryption_key.bytes, SES_KEM_PK_BYTES), "stake", (json_int_t)STAKE,
        "capacity", (json_int_t)1 << 40, "endpoint", "peerKey", hex_json(e->peer_key.bytes, 32),
        "addrs", hex_json(e->addrs[0].bytes, e->addrs[0].len));
}

static json_t *params_json(const struct ses_params *p)
{
    json_t *json = json_object();
#define SES_X(field, key, value) json_object_set_new(json, key, json_integer((json_int_t)p->field));
    SES_PARAMS(SES_X)
#undef SES_X
    return json;
}

static char *genesis_text(struct sim *s)
{
    json_t *allocations = json_array();
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        json_array_append_new(allocations,
                              json_pack("{s:o, s:I}", "account", account_json(&s->nodes[i]),
                                        "amount", (json_int_t)RICH));
        if (s->nodes[i].phase != NODE_ABSENT) {
            json_array_append_new(nodes, node_json(&s->nodes[i]));
        }
    }
    for (uint32_t i = 0; i < s->person_cnt; i++) {
        char text[SES_ID_TEXT_MAX];
        ses_account_text(text, &s->people[i].identity->account);
        json_array_append_new(allocations,
                              json_pack("{s:s, s:I}", "account", text, "amount", (json_int_t)RICH));
    }
    json_t *json = json_pack("{s:s, s:I, s:o, s:o, s:o}", "networkName", "sim", "timestamp",
                             (json_int_t)s->chain.params.genesis_timestamp, "params",
                             params_json(&s->chain.params.params), "allocations", allocations,
                             "serviceNodes", nodes);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    SES_ASSERT(text != NULL);
    return text;
}

/* ---- machines ---- */
/* The follower's clock is ahead by some seconds: it must not matter. */
static uint64_t producer_now(void *ctx)
{
    return sim_unix_ms(((const struct sim_chain *)ctx)->sim);
}

static uint64_t follower_now(void *ctx)
{
    return sim_unix_ms(((const struct sim_chain *)ctx)->sim) + 7000;
}

static void open_machine(struct sim_chain *c, uint32_t machine)
{
    struct ses_note note = {{0}};
    struct sim_vm *m = &c->machines[machine];
    const struct ses_vm_params params = {.genesis = (const uint8_t *)c->genesis,
                                         .genesis_len = strlen(c->genesis),
                                         .kv = ses_kv_memory_kv(m->kv),
                                         .clock = &c->clocks[machine]};
    const enum ses_err err = ses_vm_new(&m->vm, &params, &note);
    if (err != SES_OK) {
        sim_broken(c->sim, "B2", "machine %u of the chain does not open its state: %s: %s", machine,
                   ses_err_text(err), note.text);
    }
}

void sim_chain_restart(struct sim *s, uint32_t machine)
{
    struct ses_vm_head before, after;
    struct sim_vm *m = &s->chain.machines[machine];
    ses_vm_head(m->vm, &before);
    ses_vm_free(m->vm);
    open_machine(&s->chain, machine);
    if (s->verdict.failed) {
        return;
    }
    ses_vm_head(m->vm, &after);
    if (!ses_equal(&before.state_root, &after.state_root, sizeof before.state_root) ||
        before.height != after.height) {
        sim_broken(s, "B2", "machine %u restarts at height %" PRIu64 " with another state", machine,
                   after.height);
    }
}

/* ---- members that move ---- */
#define MOVED_MS 1200000u /* they fetch what is new to them */

static bool same_seats(const struct ses_map *a, const struct ses_map *b)
{
    bool same = a->num_swarms == b->num_swarms && a->node_cnt == b->node_cnt;
    for (uint32_t i = 0; same && i < a->node_cnt; i++) {
        const struct ses_registry_row *x = &a->nodes[i].row;
        const struct ses_registry_row *y = &b->nodes[i].row;
        same = ses_equal(&x->node_id, &y->node_id, sizeof x->node_id) && x->swarm == y->swarm &&
               x->status == y->status;
    }
    return same;
}

static void look_for_moves(struct sim *s, uint64_t epoch)
{
    struct sim_chain *c = &s->chain;
    if (c->map != NULL && c->map->epoch == epoch) {
        return;
    }
    struct ses_map *map = sim_chain_map(s, 0);
    if (c->map != NULL && !same_seats(c->map, map)) {
        sim_tell(s, "members move: %u nodes, %u swarms", map->node_cnt, map->num_swarms);
        sim_see(s, map->num_swarms > c->map->num_swarms   ? SEEN_SPLIT
                   : map->num_swarms < c->map->num_swarms ? SEEN_MERGE
                                                          : SEEN_OTHER_SEATS);
        s->moved_ms = s->now_ms;
        sim_storm(s, MOVED_MS);
    }
    sim_map_free(c->map);
    c->map = map;
}

/* The other machine takes over what it lacks. */
static void follow(struct sim *s, uint32_t leader)
{
    struct ses_vm_head to, at;
    struct ses_vm *from = s->chain.machines[leader].vm;
    struct ses_vm *vm = s->chain.machines[1 - leader].vm;
    ses_vm_head(from, &to);
    ses_vm_head(vm, &at);
    while (at.height < to.height && !s->verdict.failed) {
        struct ses_buf bytes = {0};
        struct ses_hash id, parsed;
        struct ses_note note = {{0}};
        SES_ASSERT(ses_vm_block_id_at(from, at.height + 1, &id) == SES_OK);
        SES_ASSERT(ses_vm_block(from, &id, &bytes) == SES_OK);
        enum ses_err err = ses_vm_parse(vm, bytes.bytes, bytes.len, &parsed);
        err = err != SES_OK ? err : ses_vm_verify(vm, &parsed, &note);
        err = err != SES_OK ? err : ses_vm_accept(vm, &parsed);
        ses_buf_free(&bytes);
        if (err != SES_OK) {
            sim_broken(s, "B2", "block %" PRIu64 " is refused by the other machine: %s: %s",
                       at.height + 1, ses_err_text(err), note.text);
        }
        ses_vm_head(vm, &at);
    }
    if (at.height == to.height && !ses_equal(&at.state_root, &to.state_root, 32)) {
        sim_broken(s, "B2", "two states at height %" PRIu64, at.height);
    }
}

static void produce(struct sim *s, uint32_t leader)
{
    uint64_t next_ms;
    struct ses_hash id;
    struct ses_vm_head head;
    struct ses_vm *vm = s->chain.machines[leader].vm;
    if (!ses_vm_wants_block(vm, &next_ms) || ses_vm_build(vm, &id) != SES_OK) {
        return;
    }
    if (ses_vm_accept(vm, &id) != SES_OK) {
        sim_broken(s, "B2", "the chain does not accept its own block");
        return;
    }
    if (leader == 1) {
        sim_see(s, SEEN_EMPTY_BLOCK);
    }
    ses_vm_head(vm, &head);
    sim_tell(s, "block %" PRIu64 " epoch %" PRIu64 " root %08x", head.height, head.epoch,
             ses_get_u32(head.state_root.bytes));
    look_for_moves(s, head.epoch);
}

static void tick(void *cookie)
{
    struct sim *s = cookie;
    const bool lags = s->now_ms < s->chain.lag_until_ms;
    /* all transactions go to the first machine: the second one's blocks are empty */
    const uint32_t leader = s->now_ms < s->chain.empty_until_ms && !lags ? 1 : 0;
    if (leader == 1) {
        follow(s, 0); /* it may have lagged until now */
    }
    if (s->now_ms >= s->chain.stalled_until_ms) {
        produce(s, leader);
    }
    if (!lags) {
        follow(s, leader);
    }
    if (!s->ending && !s->verdict.failed) {
        sim_after(s, s->chain.params.params.block_seconds * 1000, tick, s);
    }
}

void sim_chain_start(struct sim *s)
{
    struct sim_chain *c = &s->chain;
    c->sim = s;
    c->clocks[0] = (struct ses_clock){.ctx = c, .now_ms = producer_now};
    c->clocks[1] = (struct ses_clock){.ctx = c, .now_ms = follower_now};
    c->genesis = genesis_text(s);
    for (uint32_t i = 0; i < 2; i++) {
        SES_ASSERT(ses_kv_memory_new(&c->machines[i].kv) == SES_OK);
        open_machine(c, i);
    }
    if (s->verdict.failed) {
        return;
    }
    ses_vm_chain_id(c->machines[0].vm, &c->params.chain_id);
    c->map = sim_chain_map(s, 0); /* also if no block comes before members move */
    sim_after(s, 0, tick, s);
}

void sim_chain_free(struct sim *s)
{
    sim_map_free(s->chain.map);
    for (uint32_t i = 0; i < 2; i++) {
        ses_vm_free(s->chain.machines[i].vm);
        ses_kv_memory_free(s->chain.machines[i].kv);
    }
    free(s->chain.genesis); /* jansson's own */
}

/* ---- the registry ---- */
#define CANONICAL_MAX 64u

void sim_chain_epoch(const struct sim *s, uint32_t machine, struct ses_epoch *out)
{
    struct ses_canonical_root canonical[CANONICAL_MAX];
    struct ses_buf bytes = {0};
    struct ses_reader r;
    SES_ASSERT(ses_vm_epoch(s->chain.machines[machine].vm, UINT64_MAX, &bytes) == SES_OK);
    ses_reader_init(&r, bytes.bytes, bytes.len);
    ses_epoch_read(&r, out, canonical, CANONICAL_MAX);
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    out->canonical = NULL;
    ses_buf_free(&bytes);
}

struct rows {
    struct ses_map_node *list;
    uint32_t cnt, cap;
};

static bool take_row(void *cookie, const struct ses_map_node *node)
{
    struct rows *rows = cookie;
    SES_ASSERT(rows->cnt < rows->cap);
    rows->list[rows->cnt++] = *node;
    return true;
}

static void read_rows(struct sim *s, uint32_t machine, uint64_t since, struct rows *rows)
{
    rows->cnt = 0;
    rows->cap = s->node_cnt;
    rows->list = ses_alloc(s->node_cnt, sizeof *rows->list);
    SES_ASSERT(rows->list != NULL);
    SES_ASSERT(ses_vm_registry(s->chain.machines[machine].vm, since, take_row, rows) == SES_OK);
}

struct ses_map *sim_chain_map(struct sim *s, uint32_t machine)
{
    struct ses_epoch epoch;
    struct rows rows;
    struct ses_map *map = ses_alloc(1, sizeof *map);
    SES_ASSERT(map != NULL);
    sim_chain_epoch(s, machine, &epoch);
    read_rows(s, machine, UINT64_MAX, &rows);
    *map = (struct ses_map){.epoch = epoch.epoch,
                            .seed = epoch.seed,
                            .registry_root = epoch.registry_root,
                            .num_swarms = epoch.num_swarms,
                            .node_cnt = rows.cnt,
                            .nodes = rows.list};
    return map;
}

void sim_map_free(struct ses_map *map)
{
    if (map != NULL) {
        ses_free(map->nodes);
        ses_free(map);
    }
}

/* ---- what hosts ask ---- */
struct ask {
    struct sim *sim;
    uint32_t host, machine;
    uint64_t since;
    ses_chain_head_fn *on_head;
    ses_chain_registry_fn *on_registry;
    ses_chain_standing_fn *on_standing;
    ses_chain_submit_fn *on_submit;
    struct ses_node_id node_id;
    uint32_t epochs;
    struct ses_buf tx;
    void *cookie;
};
struct face {
    struct sim *sim;
    uint32_t host;
};

static enum ses_err reachable(const struct ask *a)
{
    const bool cut = a->sim->chain.cut_until_ms[a->host] > a->sim->now_ms;
    return cut || a->sim->verdict.failed ? SES_ERR_UNREACHABLE : SES_OK;
}

static void head_answer(void *cookie)
{
    struct ask *a = cookie;
    struct sim *s = a->sim;
    struct ses_note note;
    struct ses_vm_head head;
    ses_note_set(&note, "cut off");
    ses_vm_head(s->chain.machines[a->machine].vm, &head);
    const struct ses_chain_head out = {.chain_id = s->chain.params.chain_id,
                                       .block_id = head.id,
                                       .state_root = head.state_root,
                                       .height = head.height,
                                       .timestamp = head.timestamp,
                                       .epoch = head.epoch};
    SIM_AS(sim_owner_of(s, a->host));
    a->on_head(a->cookie, reachable(a), &out, &note);
    ses_free(a);
}

static void map_taken(void *cookie)
{
    struct ask *a = cookie;
    if (a->host < a->sim->node_cnt) {
        oracle_map(a->sim, &a->sim->nodes[a->host]);
    }
    ses_free(a);
}

static void registry_answer(void *cookie)
{
    struct ask *a = cookie;
    struct sim *s = a->sim;
    struct ses_note note;
    struct ses_epoch epoch;
    struct rows rows;
    ses_note_set(&note, "cut off");
    sim_chain_epoch(s, a->machine, &epoch);
    read_rows(s, a->machine, a->since, &rows);
    struct ses_chain_registry r = {.header = {.epoch = epoch.epoch,
                                              .seed = epoch.seed,
                                              .root = epoch.registry_root,
                                              .num_swarms = epoch.num_swarms},
                                   .rows = rows.list,
                                   .row_cnt = rows.cnt};
    sim_mark(s, 6, a->host, epoch.epoch << 32 | rows.cnt);
    SIM_AS(sim_owner_of(s, a->host));
    a->on_registry(a->cookie, reachable(a), &r, &note);
    ses_free(r.rows);
    sim_after(s, 100, map_taken, a);
}

static struct ask *ask_new(void *ctx, void *cookie)
{
    SIM_AS(SIM_WORLD);
    const struct face *face = ctx;
    struct ask *a = ses_alloc(1, sizeof *a);
    SES_ASSERT(a != NULL);
    a->sim = face->sim;
    a->host = face->host;
    a->machine = (uint32_t)dice_below(&face->sim->net_dice, 2); /* whoever takes the call */
    a->cookie = cookie;
    return a;
}

static uint64_t delay_ms(struct sim *s)
{
    return dice_between(&s->net_dice, 2, 40);
}

static enum ses_err face_head(void *ctx, ses_chain_head_fn *done, void *cookie)
{
    struct ask *a = ask_new(ctx, cookie);
    a->on_head = done;
    sim_after(a->sim, delay_ms(a->sim), head_answer, a);
    return SES_OK;
}

static enum ses_err face_registry(void *ctx, uint64_t since, ses_chain_registry_fn *done,
                                  void *cookie)
{
    struct ask *a = ask_new(ctx, cookie);
    a->on_registry = done;
    a->since = since;
    sim_after(a->sim, delay_ms(a->sim), registry_answer, a);
    return SES_OK;
}

/* ---- duties ---- */
struct search {
    const struct ses_node_id *node_id;
    struct ses_chain_challenges *into;
};

static bool find_judgement(void *cookie, const struct ses_judgement *j)
{
    struct search *search = cookie;
    if (ses_equal(&j->node_id, search->node_id, sizeof j->node_id)) {
        search->into->history[search->into->history_cnt++] = *j;
    }
    return true;
}

static bool count_commitment(void *cookie, const struct ses_committed *c)
{
    (void)c;
    ++*(uint32_t *)cookie;
    return true;
}

/* As rpc's getChallenges, getServiceNode and getCommitments put it together. */
static enum ses_err standing_of(const struct ask *a, struct ses_chain_standing *out)
{
    const struct ses_vm *vm = a->sim->chain.machines[a->machine].vm;
    struct search search = {.node_id = &a->node_id, .into = &out->challenges};
    SES_TRY(reachable(a));
    SES_TRY(ses_vm_duty(vm, &a->node_id, &out->challenges.duty));
    struct ses_map_node *keys = ses_alloc(1, sizeof *keys);
    SES_ASSERT(keys != NULL);
    const enum ses_err found = ses_vm_node(vm, &a->node_id, keys, &out->node);
    ses_free(keys);
    SES_TRY(found);
    const uint64_t epoch = out->challenges.duty.epoch;
    for (uint64_t back = 1; back <= a->epochs && back <= epoch; back++) {
        const enum ses_err err = ses_vm_judgements(vm, epoch - back, find_judgement, &search);
        SES_REQUIRE(err == SES_OK || err == SES_ERR_NOT_FOUND, err);
    }
    if (out->node.swarm != SES_SWARM_NONE && epoch > 0) {
        SES_TRY(ses_vm_commitments(vm, out->node.swarm, epoch - 1, count_commitment,
                                   &out->swarm_commitments));
    }
    return SES_OK;
}

static void standing_answer(void *cookie)
{
    struct ask *a = cookie;
    struct ses_note note;
    struct ses_chain_standing *out = ses_alloc(1, sizeof *out);
    SES_ASSERT(out != NULL);
    ses_note_set(&note, "cut off, or not known");
    const enum ses_err err = standing_of(a, out);
    SIM_AS(sim_owner_of(a->sim, a->host));
    a->on_standing(a->cookie, err, out, &note);
    ses_free(out);
    ses_free(a);
}

static void submit_answer(void *cookie)
{
    struct ask *a = cookie;
    struct ses_note note = {{0}};
    struct ses_hash id;
    enum ses_err err = reachable(a);
    if (a->sim->nodes[a->host].byz != NULL) {
        byz_submit(&a->sim->nodes[a->host], &a->tx);
    }
    if (err == SES_OK) {
        err = ses_vm_submit(a->sim->chain.machines[0].vm, a->tx.bytes, a->tx.len, &id, &note);
    }
    sim_mark(a->sim, 7, a->host, (uint64_t)err << 32 | a->tx.len);
    SIM_AS(sim_owner_of(a->sim, a->host));
    a->on_submit(a->cookie, err, &note);
    ses_buf_free(&a->tx);
    ses_free(a);
}

static enum ses_err face_standing(void *ctx, const struct ses_node_id *node_id, uint32_t epochs,
                                  ses_chain_standing_fn *done, void *cookie)
{
    struct ask *a = ask_new(ctx, cookie);
    a->on_standing = done;
    a->node_id = *node_id;
    a->epochs = epochs;
    sim_after(a->sim, delay_ms(a->sim), standing_answer, a);
    return SES_OK;
}

static enum ses_err face_submit(void *ctx, const uint8_t *tx, size_t len, ses_chain_submit_fn *done,
                                void *cookie)
{
    SIM_AS(SIM_WORLD);
    struct ask *a = ask_new(ctx, cookie);
    a->on_submit = done;
    SES_ASSERT(ses_buf_append(&a->tx, tx, len) == SES_OK);
    sim_after(a->sim, delay_ms(a->sim), submit_answer, a);
    return SES_OK;
}

struct ses_chain sim_chain_face(struct sim *s, uint32_t host)
{
    static struct face faces[SIM_HOSTS_MAX]; /* one world in a process at a time */
    faces[host] = (struct face){.sim = s, .host = host};
    return (struct ses_chain){.ctx = &faces[host],
                              .head = face_head,
                              .registry = face_registry,
                              .standing = face_standing,
                              .submit = face_submit};
}

/* ---- owners: a node's own key owns it here ---- */
static void sign_and_submit(struct sim *s, uint32_t node, struct ses_tx *tx)
{
    uint8_t bytes[SES_TX_BYTES_MAX];
    struct ses_writer w;
    struct ses_hash id;
    struct ses_note note = {{0}};
    struct sim_node *n = &s->nodes[node];
    const enum ses_auth_kind kind = s->chain.nonces[node] == 1 ? SES_AUTH_FIRST : SES_AUTH_KNOWN;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, tx);
    const size_t body = w.len;
    SES_ASSERT(ses_tx_sign(&w, &s->chain.params.chain_id, bytes, body, kind, n->key,
                           &n->dice.random) == SES_OK);
    if (tx->type == SES_TX_REGISTER) {
        SES_ASSERT(ses_tx_sign(&w, &s->chain.params.chain_id, bytes, body, SES_AUTH_NODE, n->key,
                               &n->dice.random) == SES_OK);
    }
    const enum ses_err err = ses_vm_submit(s->chain.machines[0].vm, bytes, w.len, &id, &note);
    sim_tell(s, "node %u: transaction %s: %s %.60s", node, ses_tx_type_text(tx->type),
             ses_err_name(err), note.text);
}

void sim_chain_register(struct sim *s, uint32_t node)
{
    struct sim_node *n = &s->nodes[node];
    struct ses_tx *tx = ses_alloc(1, sizeof *tx);
    SES_ASSERT(tx != NULL);
    if (n->phase == NODE_ABSENT) {
        n->phase = NODE_DOWN;
        sim_node_start(n);
        tx->type = SES_TX_REGISTER;
        tx->body.reg = (struct ses_tx_register){.node_id = n->node_id,
                                                .public_key = n->keys.public_key,
                                                .encryption_key = n->keys.encryption_key,
                                                .stake = STAKE,
                                                .capacity = (uint64_t)1 << 40,
                                                .endpoint = n->endpoint,
                                                .nonce = ++s->chain.nonces[node],
                                                .fee = FEE};
        ses_account_of(&tx->body.reg.owner, &n->keys.public_key);
        sign_and_submit(s, node, tx);
    }
    ses_free(tx);
}

void sim_chain_leave(struct sim *s, uint32_t node)
{
    struct sim_node *n = &s->nodes[node];
    struct ses_tx *tx = ses_alloc(1, sizeof *tx);
    SES_ASSERT(tx != NULL);
    if (n->phase != NODE_ABSENT) {
        tx->type = SES_TX_DECOMMISSION;
        tx->body.decommission = (struct ses_tx_decommission){
            .node_id = n->node_id, .nonce = ++s->chain.nonces[node], .fee = FEE};
        sign_and_submit(s, node, tx);
    }
    ses_free(tx);
}
