#include "tests/epochs/ledger.h"

#include <string.h>

#include "base/tap.h"
#include "daemon/test_world_internal.h"

/* ---- genesis ---- */
static json_t *params_json(const struct ses_params *p)
{
    static const char *const names[] = {
#define SES_X(field, key, value) key,
        SES_PARAMS(SES_X)
#undef SES_X
    };
    uint64_t values[SES_COUNT(names)];
    json_t *json = json_object();
    memcpy(values, p, sizeof values);
    for (size_t i = 0; i < SES_COUNT(names); i++) {
        json_object_set_new(json, names[i], json_integer((json_int_t)values[i]));
    }
    return json;
}

static json_t *node_json(const struct ses_map_node *node)
{
    static const uint8_t addr[] = {4, 10, 0, 0, 1, 6, 0x0F, 0xA0};
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:I, s:I, s:{s:o, s:[o]}}", "owner",
        ses_json_account(&node->row.owner), "nodeId", ses_json_node_id(&node->row.node_id),
        "publicKey", ses_json_hex(node->keys.public_key.bytes, SES_DSA_PK_BYTES), "encryptionKey",
        ses_json_hex(node->keys.encryption_key.bytes, SES_KEM_PK_BYTES), "stake",
        (json_int_t)LEDGER_STAKE, "capacity", (json_int_t)1 << 30, "endpoint", "peerKey",
        ses_json_hex(node->endpoint.peer_key.bytes, 32), "addrs", ses_json_hex(addr, sizeof addr));
}

static char *genesis_text(const struct ledger *l, const struct world *w)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < w->map.node_cnt; i++) {
        json_array_append_new(nodes, node_json(&w->map.nodes[i]));
    }
    json_t *json =
        json_pack("{s:s, s:I, s:o, s:[{s:o, s:I}], s:o}", "networkName", "epochs", "timestamp",
                  (json_int_t)(world_unix_ms(w) / 1000), "params", params_json(&l->params),
                  "allocations", "account", ses_json_account(&l->rich->account), "amount",
                  (json_int_t)(1000 * LEDGER_LUX), "serviceNodes", nodes);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    TAP_MUST(text != NULL);
    return text;
}

/* ---- blocks ---- */
static uint64_t ledger_now(void *ctx)
{
    return world_unix_ms(((const struct ledger *)ctx)->world);
}

static void tick(void *cookie)
{
    struct ledger *l = cookie;
    uint64_t next_ms;
    struct ses_hash id;
    if (!l->stalled && ses_vm_wants_block(l->vm, &next_ms) && ses_vm_build(l->vm, &id) == SES_OK) {
        TAP_MUST(ses_vm_accept(l->vm, &id) == SES_OK);
    }
    if (!l->ending) {
        world_after(l->world, l->params.block_seconds * 1000, tick, l);
    }
}

/* ---- the daemons' view ---- */
struct asked {
    struct ledger *ledger;
    uint64_t since;
    struct ses_node_id node_id;
    uint32_t epochs;
    struct ses_buf tx;
    ses_chain_head_fn *on_head;
    ses_chain_registry_fn *on_registry;
    ses_chain_standing_fn *on_standing;
    ses_chain_submit_fn *on_submit;
    void *cookie;
    struct ses_chain_registry rows;
    uint32_t row_cap;
    struct ses_chain_standing standing;
};

static struct asked *asked_new(void *ctx, void *cookie, void (*answer)(void *cookie))
{
    struct asked *a = ses_alloc(1, sizeof *a);
    TAP_MUST(a != NULL);
    a->ledger = ctx;
    a->cookie = cookie;
    world_after(a->ledger->world, 3, answer, a);
    return a;
}

static void head_answer(void *cookie)
{
    struct asked *a = cookie;
    struct ses_vm_head head;
    struct ses_chain_head out;
    ses_vm_head(a->ledger->vm, &head);
    ses_vm_chain_id(a->ledger->vm, &out.chain_id);
    out.block_id = head.id;
    out.state_root = head.state_root;
    out.height = head.height;
    out.timestamp = head.timestamp;
    out.epoch = head.epoch;
    a->on_head(a->cookie, SES_OK, &out, NULL);
    ses_free(a);
}

static enum ses_err ask_head(void *ctx, ses_chain_head_fn *done, void *cookie)
{
    asked_new(ctx, cookie, head_answer)->on_head = done;
    return SES_OK;
}

static bool take_row(void *cookie, const struct ses_map_node *node)
{
    struct asked *a = cookie;
    if (a->rows.row_cnt == a->row_cap) {
        a->row_cap = a->row_cap != 0 ? 2 * a->row_cap : 64;
        a->rows.rows = ses_realloc(a->rows.rows, a->row_cap, sizeof *a->rows.rows);
        TAP_MUST(a->rows.rows != NULL);
    }
    a->rows.rows[a->rows.row_cnt++] = *node;
    return true;
}

static void read_epoch(const struct ledger *l, struct ses_epoch *out)
{
    static struct ses_canonical_root roots[64];
    struct ses_buf bytes = {0};
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(l->vm, UINT64_MAX, &bytes) == SES_OK);
    ses_reader_init(&r, bytes.bytes, bytes.len);
    ses_epoch_read(&r, out, roots, SES_COUNT(roots));
    TAP_MUST(ses_reader_done(&r) == SES_OK);
    ses_buf_free(&bytes);
}

static void registry_answer(void *cookie)
{
    struct asked *a = cookie;
    struct ses_epoch epoch;
    read_epoch(a->ledger, &epoch);
    a->rows.header = (struct ses_json_registry){.epoch = epoch.epoch,
                                                .seed = epoch.seed,
                                                .root = epoch.registry_root,
                                                .num_swarms = epoch.num_swarms};
    TAP_MUST(ses_vm_registry(a->ledger->vm, a->since, take_row, a) == SES_OK);
    a->on_registry(a->cookie, SES_OK, &a->rows, NULL);
    ses_free(a->rows.rows);
    ses_free(a);
}

static enum ses_err ask_registry(void *ctx, uint64_t since, ses_chain_registry_fn *done,
                                 void *cookie)
{
    struct asked *a = asked_new(ctx, cookie, registry_answer);
    a->on_registry = done;
    a->since = since;
    return SES_OK;
}

static bool take_judgement(void *cookie, const struct ses_judgement *j)
{
    struct asked *a = cookie;
    struct ses_chain_challenges *c = &a->standing.challenges;
    if (ses_equal(&j->node_id, &a->node_id, sizeof j->node_id)) {
        c->history[c->history_cnt++] = *j;
    }
    return true;
}

static bool count_commitment(void *cookie, const struct ses_committed *c)
{
    struct asked *a = cookie;
    a->standing.swarm_commitments += c->epoch > 0 ? 1 : 0;
    return true;
}

static void standing_answer(void *cookie)
{
    struct asked *a = cookie;
    struct ses_map_node keys;
    struct ses_chain_standing *s = &a->standing;
    enum ses_err err = ses_vm_duty(a->ledger->vm, &a->node_id, &s->challenges.duty);
    if (err == SES_OK) {
        err = ses_vm_node(a->ledger->vm, &a->node_id, &keys, &s->node);
    }
    const uint64_t epoch = ledger_epoch(a->ledger);
    for (uint64_t i = 1; err == SES_OK && i <= a->epochs && i <= epoch; i++) {
        const enum ses_err judged = ses_vm_judgements(a->ledger->vm, epoch - i, take_judgement, a);
        TAP_MUST(judged == SES_OK || judged == SES_ERR_NOT_FOUND);
    }
    if (err == SES_OK && s->node.swarm != SES_SWARM_NONE && epoch > 0) {
        TAP_MUST(ses_vm_commitments(a->ledger->vm, s->node.swarm, epoch - 1, count_commitment, a) ==
                 SES_OK);
    }
    a->on_standing(a->cookie, err, s, NULL);
    ses_free(a);
}

static enum ses_err ask_standing(void *ctx, const struct ses_node_id *node_id, uint32_t epochs,
                                 ses_chain_standing_fn *done, void *cookie)
{
    struct asked *a = asked_new(ctx, cookie, standing_answer);
    a->node_id = *node_id;
    a->epochs = epochs;
    a->on_standing = done;
    return SES_OK;
}

/* ---- what is sent ---- */
static void watch(struct ledger *l, const struct ses_tx *tx)
{
    l->sent_txs[tx->type % SES_COUNT(l->sent_txs)]++;
    if (tx->type != SES_TX_COMMITMENT) {
        return;
    }
    const struct ses_tx_commitment *c = &tx->body.commitment;
    for (uint32_t i = 0; i < l->sent_cnt; i++) {
        struct ledger_sent *s = &l->sent[i];
        if (s->epoch == c->epoch && ses_equal(&s->node_id, &c->node_id, sizeof c->node_id)) {
            s->times++;
            l->twice += ses_equal(&s->tx_id, &tx->id, sizeof tx->id) ? 0 : 1;
            return;
        }
    }
    if (l->sent_cnt == l->sent_cap) {
        l->sent_cap = l->sent_cap != 0 ? 2 * l->sent_cap : 256;
        l->sent = ses_realloc(l->sent, l->sent_cap, sizeof *l->sent);
        TAP_MUST(l->sent != NULL);
    }
    l->sent[l->sent_cnt++] =
        (struct ledger_sent){.node_id = c->node_id, .epoch = c->epoch, .tx_id = tx->id, .times = 1};
}

static void submit_answer(void *cookie)
{
    struct asked *a = cookie;
    struct ses_tx tx;
    struct ses_hash tx_id;
    struct ses_note note = {{0}};
    TAP_MUST(ses_tx_decode(&tx, a->tx.bytes, a->tx.len) == SES_OK);
    watch(a->ledger, &tx);
    enum ses_err err = SES_ERR_TIMEOUT;
    if (!a->ledger->deaf) {
        err = ses_vm_submit(a->ledger->vm, a->tx.bytes, a->tx.len, &tx_id, &note);
    }
    if (err != SES_OK && getenv("SES_TEST_LOG") != NULL) {
        printf("# %s refused: %s: %s\n", ses_tx_type_text(tx.type), ses_err_text(err), note.text);
    }
    a->on_submit(a->cookie, err, &note);
    ses_buf_free(&a->tx);
    ses_free(a);
}

static enum ses_err submit(void *ctx, const uint8_t *tx, size_t len, ses_chain_submit_fn *done,
                           void *cookie)
{
    struct asked *a = asked_new(ctx, cookie, submit_answer);
    TAP_MUST(ses_buf_append(&a->tx, tx, len) == SES_OK);
    a->on_submit = done;
    return SES_OK;
}

/* ---- life ---- */
static void found(void *cookie, struct world *w)
{
    struct ledger *l = cookie;
    struct ses_note note = {{0}};
    l->world = w;
    l->clock = (struct ses_clock){.ctx = l, .now_ms = ledger_now};
    TAP_MUST(ses_identity_generate(&l->rich, w->random) == SES_OK);
    l->genesis = genesis_text(l, w);
    TAP_MUST(ses_kv_memory_new(&l->kv) == SES_OK);
    const struct ses_vm_params params = {.genesis = (const uint8_t *)l->genesis,
                                         .genesis_len = strlen(l->genesis),
                                         .kv = ses_kv_memory_kv(l->kv),
                                         .clock = &l->clock};
    const enum ses_err err = ses_vm_new(&l->vm, &params, &note);
    if (err != SES_OK) {
        printf("# genesis: %s\n", note.text);
    }
    TAP_MUST(err == SES_OK);
    w->chain_params.params = l->params;
    w->chain_params.genesis_timestamp = world_unix_ms(w) / 1000;
    ses_vm_chain_id(l->vm, &w->chain_params.chain_id);
    w->chain = (struct ses_chain){.ctx = l,
                                  .head = ask_head,
                                  .registry = ask_registry,
                                  .standing = ask_standing,
                                  .submit = submit};
    world_after(w, 0, tick, l);
}

struct world *ledger_world(struct ledger *l, uint32_t node_cnt, const struct ses_params *params)
{
    memset(l, 0, sizeof *l);
    l->params = *params;
    return world_new_upon(node_cnt, 1, found, l);
}

void ledger_stop(struct ledger *l)
{
    l->ending = true;
}

void ledger_free(struct ledger *l)
{
    ses_identity_free(l->rich);
    ses_vm_free(l->vm);
    ses_kv_memory_free(l->kv);
    free(l->genesis); /* jansson's own */
    ses_free(l->sent);
}

void ledger_demand(struct ledger *l, const struct ses_receipt *receipt)
{
    static uint8_t bytes[SES_TX_BYTES_MAX];
    struct ses_tx tx = {.type = SES_TX_DEMAND};
    struct ses_writer w;
    struct ses_hash id;
    struct ses_note note = {{0}};
    tx.body.demand.receipt = *receipt;
    tx.body.demand.nonce = l->nonce + 1;
    tx.body.demand.fee = l->params.tx_fee;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, &tx);
    TAP_MUST(ses_tx_sign(&w, &l->world->chain_params.chain_id, bytes, w.len,
                         l->nonce == 0 ? SES_AUTH_FIRST : SES_AUTH_KNOWN, l->rich->dsa,
                         l->world->random) == SES_OK);
    const enum ses_err err = ses_vm_submit(l->vm, bytes, w.len, &id, &note);
    if (err != SES_OK) {
        printf("# demand: %s: %s\n", ses_err_text(err), note.text);
    }
    TAP_MUST(err == SES_OK);
    l->nonce++;
}

uint64_t ledger_epoch(const struct ledger *l)
{
    struct ses_vm_head head;
    ses_vm_head(l->vm, &head);
    return head.epoch;
}

void ledger_node(const struct ledger *l, uint32_t node, struct ses_node *out)
{
    struct ses_target target;
    struct ses_map_node keys;
    world_target(l->world, node, &target);
    TAP_MUST(ses_vm_node(l->vm, &target.node_id, &keys, out) == SES_OK);
}

struct wish {
    const struct ledger *ledger;
    uint64_t epoch;
};

static bool reached(void *cookie)
{
    const struct wish *wish = cookie;
    return ledger_epoch(wish->ledger) >= wish->epoch;
}

void ledger_run_to(struct ledger *l, uint64_t epoch)
{
    struct wish wish = {.ledger = l, .epoch = epoch};
    const uint64_t epochs = epoch - ledger_epoch(l) + 1;
    TAP_MUST(world_until(l->world, reached, &wish, epochs * l->params.epoch_seconds * 1000));
}

struct search {
    struct ses_node_id node_id;
    struct ses_judgement *out;
};

static bool match(void *cookie, const struct ses_judgement *j)
{
    const struct search *s = cookie;
    if (ses_equal(&j->node_id, &s->node_id, sizeof j->node_id)) {
        *s->out = *j;
    }
    return true;
}

void ledger_judgement(const struct ledger *l, uint32_t node, uint64_t epoch,
                      struct ses_judgement *out)
{
    struct ses_target target;
    memset(out, 0, sizeof *out);
    world_target(l->world, node, &target);
    struct search search = {.node_id = target.node_id, .out = out};
    TAP_MUST(ses_vm_judgements(l->vm, epoch, match, &search) == SES_OK);
}

uint64_t ledger_missed(const struct ledger *l, uint64_t from, uint64_t to)
{
    uint64_t bits = 0;
    for (uint32_t node = 0; node < l->world->node_cnt; node++) {
        for (uint64_t epoch = from; epoch <= to; epoch++) {
            struct ses_judgement j;
            ledger_judgement(l, node, epoch, &j);
            if (j.causes != 0) {
                bits |= 1ull << node;
                printf("# node %u missed epoch %llu: causes %02x\n", node,
                       (unsigned long long)epoch, j.causes);
            }
        }
    }
    return bits;
}
