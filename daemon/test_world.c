#include "daemon/test_world_internal.h"

#include <ftw.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/tap.h"

/* ---- events ---- */

static bool before(const struct ses_timer *a, const struct ses_timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void heap_place(struct world *w, size_t i, struct ses_timer *t)
{
    w->heap[i] = t;
    t->place = i;
}

static void heap_up(struct world *w, size_t i)
{
    struct ses_timer *t = w->heap[i];
    while (i > 0 && before(t, w->heap[(i - 1) / 2])) {
        heap_place(w, i, w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(w, i, t);
}

static void heap_down(struct world *w, size_t i)
{
    struct ses_timer *t = w->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < w->heap_cnt && before(w->heap[child + 1], w->heap[child])) {
            child++;
        }
        if (child >= w->heap_cnt || !before(w->heap[child], t)) {
            break;
        }
        heap_place(w, i, w->heap[child]);
        i = child;
    }
    heap_place(w, i, t);
}

static void heap_remove(struct world *w, struct ses_timer *t)
{
    const size_t i = t->place;
    w->heap_cnt--;
    if (i < w->heap_cnt) {
        heap_place(w, i, w->heap[w->heap_cnt]);
        heap_down(w, i);
        heap_up(w, i);
    }
}

struct ses_timer *world_after(struct world *w, uint64_t delay_ms, void (*fire)(void *cookie),
                              void *cookie)
{
    struct ses_timer *t = ses_alloc(1, sizeof *t);
    if (w->heap_cnt == w->heap_cap) {
        w->heap_cap = w->heap_cap != 0 ? 2 * w->heap_cap : 256;
        w->heap = ses_realloc(w->heap, w->heap_cap, sizeof(struct ses_timer *));
    }
    SES_ASSERT(t != NULL && w->heap != NULL);
    t->at_ms = w->now_ms + delay_ms;
    t->order = w->order++;
    t->fire = fire;
    t->cookie = cookie;
    heap_place(w, w->heap_cnt++, t);
    heap_up(w, t->place);
    return t;
}

static bool step(struct world *w, uint64_t until_ms)
{
    if (w->heap_cnt == 0 || w->heap[0]->at_ms > until_ms) {
        w->now_ms = until_ms;
        return false;
    }
    struct ses_timer *t = w->heap[0];
    heap_remove(w, t);
    w->now_ms = t->at_ms;
    if (t->run != NULL) {
        t->run(t->cookie);
    }
    t->fire(t->cookie);
    ses_free(t);
    return true;
}

void world_run(struct world *w, uint64_t ms)
{
    const uint64_t until_ms = w->now_ms + ms;
    while (step(w, until_ms)) {
    }
}

bool world_until(struct world *w, bool (*cond)(void *cookie), void *cookie, uint64_t max_ms)
{
    const uint64_t until_ms = w->now_ms + max_ms;
    while (!cond(cookie)) {
        if (!step(w, until_ms)) {
            return cond(cookie);
        }
    }
    return true;
}

uint64_t world_unix_ms(const struct world *w)
{
    return WORLD_START_MS + w->now_ms;
}

/* ---- loops ---- */
static uint64_t loop_mono(void *ctx)
{
    return ((const struct world *)ctx)->now_ms;
}

static uint64_t world_clock(void *ctx)
{
    return world_unix_ms(ctx);
}

static uint64_t node_clock(void *ctx)
{
    const struct world_node *node = ctx;
    return (uint64_t)((int64_t)world_unix_ms(node->world) + node->skew_ms);
}

static enum ses_err loop_timer(void *ctx, struct ses_timer **out, uint64_t delay_ms,
                               void (*fire)(void *cookie), void *cookie)
{
    *out = world_after(ctx, delay_ms, fire, cookie);
    return SES_OK;
}

void world_timer_stop(void *ctx, struct ses_timer *timer)
{
    if (timer != NULL) {
        heap_remove(ctx, timer);
        ses_free(timer);
    }
}

static enum ses_err loop_work(void *ctx, void (*run)(void *cookie), void (*done)(void *cookie),
                              void *cookie)
{
    struct ses_timer *t = world_after(ctx, 1, done, cookie);
    t->run = run;
    return SES_OK;
}

static void loop_init(struct ses_loop *loop, struct world *w)
{
    loop->ctx = w;
    loop->mono_ms = loop_mono;
    loop->timer_start = loop_timer;
    loop->timer_stop = world_timer_stop;
    loop->work = loop_work;
}

/* ---- chain ---- */
struct chain_call {
    struct world *world;
    uint64_t since;
    ses_chain_head_fn *on_head;
    ses_chain_registry_fn *on_registry;
    ses_chain_standing_fn *on_standing;
    struct ses_node_id node_id;
    void *cookie;
};

static void head_answer(void *cookie)
{
    struct chain_call *c = cookie;
    struct world *w = c->world;
    struct ses_note note;
    const struct ses_chain_head head = {.chain_id = w->chain_params.chain_id,
                                        .height = w->height,
                                        .timestamp = world_unix_ms(w) / 1000,
                                        .epoch = w->map.epoch};
    ses_note_set(&note, "the test switched the chain off");
    c->on_head(c->cookie, w->chain_down ? SES_ERR_UNREACHABLE : SES_OK, &head, &note);
    ses_free(c);
}

static void registry_answer(void *cookie)
{
    struct chain_call *c = cookie;
    struct world *w = c->world;
    struct ses_note note;
    struct ses_chain_registry r = {.header = {.epoch = w->map.epoch,
                                              .seed = w->map.seed,
                                              .root = w->map.registry_root,
                                              .num_swarms = w->map.num_swarms}};
    ses_note_set(&note, "the test switched the chain off");
    r.rows = ses_alloc((size_t)w->map.node_cnt + 1, sizeof *r.rows);
    SES_ASSERT(r.rows != NULL);
    for (uint32_t i = 0; i < w->map.node_cnt; i++) {
        if (c->since == UINT64_MAX || w->changed[i] > c->since) {
            r.rows[r.row_cnt++] = w->map.nodes[i];
        }
    }
    c->on_registry(c->cookie, w->chain_down ? SES_ERR_UNREACHABLE : SES_OK, &r, &note);
    ses_free(r.rows);
    ses_free(c);
}

static void standing_answer(void *cookie)
{
    struct chain_call *c = cookie;
    struct world *w = c->world;
    struct ses_note note;
    struct ses_chain_standing *standing = ses_alloc(1, sizeof *standing);
    struct ses_duty *duty = &standing->challenges.duty;
    SES_ASSERT(standing != NULL);
    ses_note_set(&note, "the test switched the chain off");
    duty->node_id = c->node_id;
    duty->epoch = w->map.epoch;
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        duty->responded |=
            w->nodes[i].responded && ses_equal(&w->nodes[i].net->self.node_id, &c->node_id, 20);
    }
    c->on_standing(c->cookie, w->standing_down ? SES_ERR_UNREACHABLE : SES_OK, standing, &note);
    ses_free(standing);
    ses_free(c);
}

static struct chain_call *chain_call(struct world *w, void *cookie)
{
    struct chain_call *c = ses_alloc(1, sizeof *c);
    SES_ASSERT(c != NULL);
    c->world = w;
    c->cookie = cookie;
    return c;
}

static enum ses_err chain_head(void *ctx, ses_chain_head_fn *done, void *cookie)
{
    struct chain_call *c = chain_call(ctx, cookie);
    c->on_head = done;
    world_after(ctx, 3, head_answer, c);
    return SES_OK;
}

static enum ses_err chain_registry(void *ctx, uint64_t since, ses_chain_registry_fn *done,
                                   void *cookie)
{
    struct chain_call *c = chain_call(ctx, cookie);
    c->on_registry = done;
    c->since = since;
    world_after(ctx, 3, registry_answer, c);
    return SES_OK;
}

static enum ses_err chain_standing(void *ctx, const struct ses_node_id *node_id, uint32_t epochs,
                                   ses_chain_standing_fn *done, void *cookie)
{
    struct world *w = ctx;
    struct chain_call *c = chain_call(w, cookie);
    (void)epochs; /* nobody was judged here */
    c->on_standing = done;
    c->node_id = *node_id;
    w->standings_asked++;
    world_after(w, 3, standing_answer, c);
    return SES_OK;
}

static void map_seal(struct world *w)
{
    struct ses_hash hashes[WORLD_NODES_MAX];
    for (uint32_t i = 0; i < w->map.node_cnt; i++) {
        struct ses_map_node *node = &w->map.nodes[i];
        ses_node_keys_hash(&node->row.keys_hash, &node->keys, &node->endpoint);
        ses_registry_row_hash(&hashes[i], &node->row);
    }
    ses_registry_root(&w->map.registry_root, &w->chain_params.chain_id, w->map.epoch, &w->map.seed,
                      w->map.num_swarms, hashes, w->map.node_cnt);
}

static struct ses_map_node *map_node(struct world *w, uint32_t node)
{
    const struct ses_node_id *id = &w->nodes[node].net->self.node_id;
    for (uint32_t i = 0; i < w->map.node_cnt; i++) {
        if (ses_equal(&w->map.nodes[i].row.node_id, id, sizeof *id)) {
            w->changed[i] = w->map.epoch + 1;
            return &w->map.nodes[i];
        }
    }
    SES_ASSERT(false);
}

struct ses_registry_row *world_row(struct world *w, uint32_t node)
{
    return &map_node(w, node)->row;
}

void world_advance_epoch(struct world *w)
{
    w->map.epoch++;
    w->height++;
    for (uint32_t i = 0; i < w->map.node_cnt; i++) {
        struct ses_registry_row *row = &w->map.nodes[i].row;
        w->changed[i] = row->prev_swarm != w->swarms[i] ? w->map.epoch : w->changed[i];
        row->prev_swarm = w->swarms[i];
        w->swarms[i] = row->swarm;
    }
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        w->nodes[i].responded = false;
    }
    map_seal(w);
}

void world_target(struct world *w, uint32_t node, struct ses_target *out)
{
    const struct ses_node_id *id = &w->nodes[node].net->self.node_id;
    const struct ses_map_node *found = ses_map_find(&w->map, id);
    SES_ASSERT(found != NULL);
    out->node_id = *id;
    out->public_key = found->keys.public_key;
    out->endpoint = found->endpoint;
}

/* ---- nodes ---- */
static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    struct world_node *node = cookie;
    node->fatal = true;
    printf("# node %u: the store failed: %s: %s\n", node->index, what, ses_err_text(err));
}

static void open_store(struct world *w, struct world_node *node)
{
    struct ses_note note = {{0}};
    const struct ses_params *p = &w->chain_params.params;
    enum ses_err err = ses_disk_open(&node->disk, node->dir, &note);
    const struct ses_store_params params = {
        .disk = &node->disk,
        .loop = &node->loop,
        .random = w->random,
        .log = w->log,
        .times = {.genesis_s = w->chain_params.genesis_timestamp,
                  .epoch_s = p->epoch_seconds,
                  .settle_s = p->settle_seconds,
                  .freeze_s = p->freeze_seconds},
        .chain_id = w->chain_params.chain_id,
        .node_id = node->net->self.node_id,
        .key = node->key,
        .inbox_quota_bytes = node->quota_bytes != 0 ? node->quota_bytes : p->inbox_quota_bytes,
        .scrub_rate = w->scrub_rate,
        .on_fatal = on_fatal,
        .cookie = node,
    };
    if (err == SES_OK) {
        err = ses_store_open(&node->store, &params, &note);
    }
    if (err != SES_OK) {
        printf("# node %u: no store: %s: %s\n", node->index, ses_err_text(err), note.text);
    }
    SES_ASSERT(err == SES_OK);
}

void world_start(struct world *w, uint32_t index)
{
    struct world_node *node = &w->nodes[index];
    struct ses_note note = {{0}};
    SES_ASSERT(node->daemon == NULL);
    open_store(w, node);
    world_net_down(node->net, false);
    const struct ses_daemon_params params = {
        .loop = &node->loop,
        .net = &node->net->net,
        .store = node->store,
        .random = w->random,
        .log = w->log,
        .chain = w->chain,
        .chain_params = w->chain_params,
        .node_id = node->net->self.node_id,
        .key = node->key,
        .secrets = w->chain.submit != NULL ? &node->secrets : NULL, /* duties end in a block */
        .endpoint = node->endpoint,
        .rotate_seconds = node->rotate_seconds,
        .capacity_bytes = node->capacity_bytes != 0 ? node->capacity_bytes : (uint64_t)1 << 40,
        .agent = "sessiond/test",
        .limits = node->limits,
    };
    const enum ses_err err = ses_daemon_new(&node->daemon, &params, &note);
    if (err != SES_OK) {
        printf("# node %u: %s: %s\n", index, ses_err_text(err), note.text);
    }
    SES_ASSERT(err == SES_OK);
}

static void set_done(void *cookie)
{
    ((struct world_node *)cookie)->done = true;
}

static bool is_done(void *cookie)
{
    return ((const struct world_node *)cookie)->done;
}

void world_stop(struct world *w, uint32_t index, uint64_t wait_ms)
{
    struct world_node *node = &w->nodes[index];
    SES_ASSERT(node->daemon != NULL);
    node->done = false;
    ses_daemon_drain(node->daemon, wait_ms, set_done, node);
    const bool drained = world_until(w, is_done, node, wait_ms + 60000);
    SES_ASSERT(drained);
    node->done = false;
    ses_store_close(node->store, set_done, node);
    const bool closed = world_until(w, is_done, node, 60000);
    SES_ASSERT(closed);
    world_run(w, 2 * WORLD_LINK_MS); /* what was answered reaches the clients */
    world_net_down(node->net, true);
    memset(node->net->protos, 0, sizeof node->net->protos);
    ses_daemon_free(node->daemon);
    ses_store_free(node->store);
    ses_disk_close(&node->disk);
    node->daemon = NULL;
    node->store = NULL;
}

void world_crash(struct world *w, uint32_t index)
{
    world_net_down(w->nodes[index].net, true);
    world_stop(w, index, 0);
}

static void node_keys(struct world *w, struct world_node *node, struct ses_map_node *row)
{
    struct ses_dsa_seed dsa_seed;
    struct ses_kem_seed kem_seed;
    struct ses_kem_private *kem = NULL;
    char address[64];
    ses_random_fill(w->random, dsa_seed.bytes, sizeof dsa_seed.bytes);
    ses_random_fill(w->random, kem_seed.bytes, sizeof kem_seed.bytes);
    ses_random_fill(w->random, &node->secrets, sizeof node->secrets);
    SES_ASSERT(ses_dsa_private_new(&node->key, &dsa_seed) == SES_OK);
    SES_ASSERT(ses_kem_private_new(&kem, &kem_seed) == SES_OK);
    ses_dsa_private_pk(node->key, &row->keys.public_key);
    ses_kem_private_pk(kem, &row->keys.encryption_key);
    ses_kem_private_free(kem);
    snprintf(address, sizeof address, "10.0.0.%u:4000", node->index + 1);
    node->net = world_net_new(w, address);
    node->net->self.is_node = true;
    ses_node_id_of(&node->net->self.node_id, &row->keys.public_key);
    row->row.node_id = node->net->self.node_id;
    ses_random_fill(w->random, row->row.owner.bytes, sizeof row->row.owner.bytes);
    row->row.status = SES_NODE_ACTIVE;
    row->row.swarm = node->index % w->map.num_swarms;
    row->row.prev_swarm = SES_SWARM_NONE;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct ses_map_node *)a)->row.node_id.bytes,
                  ((const struct ses_map_node *)b)->row.node_id.bytes, 20);
}

static void nodes_make(struct world *w, uint32_t node_cnt)
{
    w->map.nodes = ses_alloc(node_cnt + 1, sizeof *w->map.nodes);
    w->changed = ses_alloc(node_cnt + 1, sizeof *w->changed);
    w->swarms = ses_alloc(node_cnt + 1, sizeof *w->swarms);
    SES_ASSERT(w->map.nodes != NULL && w->changed != NULL && w->swarms != NULL);
    for (uint32_t i = 0; i < node_cnt; i++) {
        struct world_node *node = &w->nodes[i];
        node->world = w;
        node->index = i;
        loop_init(&node->loop, w);
        node->loop.clock = (struct ses_clock){.ctx = node, .now_ms = node_clock};
        snprintf(node->dir, sizeof node->dir, "%s/%u", w->dir, i);
        node_keys(w, node, &w->map.nodes[i]);
        w->node_cnt++;
    }
    w->map.node_cnt = node_cnt;
    qsort(w->map.nodes, node_cnt, sizeof *w->map.nodes, by_id);
    for (uint32_t i = 0; i < node_cnt; i++) {
        w->swarms[i] = w->map.nodes[i].row.swarm;
    }
    map_seal(w);
}

static bool connected(void *cookie)
{
    struct world *w = cookie;
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    bool all = true;
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        if (w->nodes[i].daemon != NULL) {
            ses_daemon_status(w->nodes[i].daemon, s);
            all &= s->has_map && s->registered;
        }
        for (uint32_t j = 0; all && j < s->link_cnt; j++) {
            all &= s->links[j].open;
        }
    }
    ses_free(s);
    return all;
}

static void quiet(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    (void)ctx;
    if (level <= SES_LOG_WARN && getenv("SES_TEST_LOG") != NULL) {
        printf("# %s: %s\n", module, text);
    }
}

/* The map itself is the chain. */
static void found_map(void *cookie, struct world *w)
{
    (void)cookie;
    w->chain = (struct ses_chain){
        .ctx = w, .head = chain_head, .registry = chain_registry, .standing = chain_standing};
}

struct world *world_new(uint32_t node_cnt, uint32_t num_swarms)
{
    return world_new_upon(node_cnt, num_swarms, found_map, NULL);
}

struct world *world_new_upon(uint32_t node_cnt, uint32_t num_swarms,
                             void (*found)(void *cookie, struct world *w), void *cookie)
{
    static const struct ses_log log = {.level = SES_LOG_INFO, .write = quiet};
    struct world *w = ses_alloc(1, sizeof *w);
    SES_ASSERT(w != NULL && node_cnt <= WORLD_NODES_MAX);
    w->random = tap_random();
    w->log = &log;
    loop_init(&w->loop, w);
    w->loop.clock = (struct ses_clock){.ctx = w, .now_ms = world_clock};
    /* memory, where there is such a disk: these tests are about rules, not about fsync */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(w->dir, sizeof w->dir, "%s/ses-world-XXXXXX", base);
    SES_ASSERT(mkdtemp(w->dir) != NULL);
    ses_params_defaults(&w->chain_params.params);
    w->chain_params.genesis_timestamp = WORLD_START_MS / 1000 - 5 * 3600;
    ses_random_fill(w->random, w->chain_params.chain_id.bytes, 32);
    w->map.epoch = 5;
    w->map.num_swarms = num_swarms;
    w->height = 1000;
    ses_random_fill(w->random, w->map.seed.bytes, 32);
    nodes_make(w, node_cnt);
    found(cookie, w);
    for (uint32_t i = 0; i < node_cnt; i++) {
        world_start(w, i);
    }
    const bool ready = world_until(w, connected, w, 30000);
    SES_ASSERT(ready);
    return w;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        if (w->nodes[i].daemon != NULL) {
            world_stop(w, i, 0);
        }
    }
    for (struct world_net *net = w->nets; net != NULL; net = net->next) {
        world_net_down(net, true);
    }
    world_run(w, 120000); /* what is on its way arrives */
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        ses_dsa_private_free(w->nodes[i].key);
    }
    while (w->nets != NULL) {
        struct world_net *net = w->nets;
        w->nets = net->next;
        ses_free(net);
    }
    nftw(w->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    ses_free(w->map.nodes);
    ses_free(w->changed);
    ses_free(w->swarms);
    ses_free(w->heap);
    ses_free(w);
}

/* ---- clients ---- */
static void on_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct world_reply *reply = cookie;
    reply->done = true;
    reply->err = err;
    if (err == SES_OK) {
        SES_ASSERT(ses_buf_append(&reply->body, body, len) == SES_OK);
    }
}

void world_ask(struct world *w, struct world_net *from, uint32_t node, enum ses_proto proto,
               const struct ses_identity *login, const uint8_t *body, size_t len,
               struct world_reply *reply)
{
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    world_target(w, node, target);
    memset(reply, 0, sizeof *reply);
    const struct ses_request request = {.target = target,
                                        .proto = proto,
                                        .login = login,
                                        .body = body,
                                        .len = len,
                                        .on_reply = on_reply,
                                        .cookie = reply};
    SES_ASSERT(ses_net_request(&from->net, &request) == SES_OK);
    ses_free(target);
}

static bool reply_done(void *cookie)
{
    return ((const struct world_reply *)cookie)->done;
}

bool world_wait(struct world *w, struct world_reply *reply, uint64_t max_ms)
{
    return world_until(w, reply_done, reply, max_ms);
}

static void flow_on_open(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    ((struct world_flow *)cookie)->open = true;
}

static void flow_on_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    (void)flow;
    struct world_flow *f = cookie;
    f->frame_cnt++;
    f->last.len = 0;
    SES_ASSERT(ses_buf_append(&f->last, body, len) == SES_OK);
}

static void flow_on_writable(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    ((struct world_flow *)cookie)->writable = true;
}

static void flow_on_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)flow;
    (void)why;
    struct world_flow *f = cookie;
    f->closed = true;
    f->flow = NULL;
}

void world_open(struct world *w, struct world_net *from, uint32_t node, enum ses_proto proto,
                const struct ses_identity *login, struct world_flow *out)
{
    static const struct ses_flow_events events = {.on_open = flow_on_open,
                                                  .on_frame = flow_on_frame,
                                                  .on_writable = flow_on_writable,
                                                  .on_close = flow_on_close};
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    world_target(w, node, target);
    memset(out, 0, sizeof *out);
    SES_ASSERT(ses_net_open(&from->net, &out->flow, target, proto, login, &events, out) == SES_OK);
    ses_free(target);
}
