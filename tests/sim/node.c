/* A service node's life: store and daemon as the program puts them together (daemon/run.c), dying
 * orderly, killed, or by loss of power, and coming back. A process that is dead at a certain moment
 * goes on for some events here, so that its memory can be taken back; but from that moment nothing
 * leaves it, neither to the network nor to the disk. */
#include "tests/sim/memory.h"

#define BLIND_MS 180000u /* it asks the chain again, and fetches what it lacks */
#define ANEW_MS 30000u   /* an operator who finds a broken disk replaces it */

static void restart(void *cookie)
{
    struct sim_node *node = cookie;
    if (node->phase == NODE_DOWN && !node->sim->ending) {
        sim_node_start(node);
    }
}

static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    struct sim_node *node = cookie;
    if (node->phase == NODE_UP) {
        sim_tell(node->sim, "node %u: the store stops: %s: %s", node->index, what,
                 ses_err_name(err));
        sim_node_die(node, DEATH_KILL, dice_between(&node->dice, 1000, 30000));
    }
}

/* ---- dying ---- */
static void gone(void *cookie)
{
    struct sim_node *node = cookie;
    ses_daemon_free(node->daemon);
    ses_store_free(node->store);
    node->daemon = NULL;
    node->store = NULL;
    oracle_memory_gone(node);
    node->phase = NODE_DOWN;
    sim_net_down(&node->net, true, node->power);
    sim_disk_after(node->disk, node->power);
    if (node->down_for_ms != SIM_DEAD) {
        sim_after(node->sim, node->down_for_ms, restart, node);
    }
}

static void on_closed(void *cookie)
{
    struct sim_node *node = cookie;
    sim_after(node->sim, 0, gone, node); /* the store must not be freed in its own callback */
}

static void on_drained(void *cookie)
{
    struct sim_node *node = cookie;
    ses_store_close(node->store, on_closed, node);
}

void sim_node_die(struct sim_node *node, enum node_death how, uint64_t down_ms)
{
    struct sim *s = node->sim;
    if (node->phase != NODE_UP) {
        return;
    }
    node->phase = NODE_DYING;
    node->power = how == DEATH_POWER;
    node->down_for_ms = down_ms;
    s->verdict.crash_cnt += how != DEATH_STOP;
    sim_tell(s, "node %u %s", node->index,
             how == DEATH_STOP   ? "stops"
             : how == DEATH_KILL ? "is killed"
                                 : "loses power");
    if (how != DEATH_STOP) {
        sim_net_down(&node->net, true, node->power);
        sim_disk_off(node->disk);
    }
    SIM_AS(sim_owner_of(s, node->index));
    ses_daemon_drain(node->daemon, how == DEATH_STOP ? 2000 : 0, on_drained, node);
}

static void power_goes(void *cookie)
{
    struct sim_node *node = cookie;
    sim_node_die(node, DEATH_POWER, dice_between(&node->dice, 1000, 30000));
}

/* ---- starting ---- */
static enum ses_err open_store(struct sim_node *node, struct ses_note *note)
{
    const struct sim *s = node->sim;
    const struct ses_params *p = &s->chain.params.params;
    const struct ses_store_params params = {
        .disk = sim_disk_door(node->disk),
        .loop = &node->loop,
        .random = &node->dice.random,
        .log = &node->log,
        .times = {.genesis_s = s->chain.params.genesis_timestamp,
                  .epoch_s = p->epoch_seconds,
                  .settle_s = p->settle_seconds,
                  .freeze_s = p->freeze_seconds},
        .chain_id = s->chain.params.chain_id,
        .node_id = node->node_id,
        .key = node->key,
        .inbox_quota_bytes = p->inbox_quota_bytes,
        .entry_reserve_bytes = 1u << 20,
        .hard_reserve_bytes = 1u << 19,
        .scrub_rate = 4u << 20,
        .on_fatal = on_fatal,
        .cookie = node,
    };
    SIM_AS(sim_owner_of(s, node->index));
    return ses_store_open(&node->store, &params, note);
}

static enum ses_err open_daemon(struct sim_node *node, struct ses_note *note)
{
    struct sim *s = node->sim;
    const struct ses_daemon_params params = {
        .loop = &node->loop,
        .net = &node->net.net,
        .store = node->store,
        .random = &node->dice.random,
        .log = &node->log,
        .chain = sim_chain_face(s, node->index),
        .chain_params = s->chain.params,
        .node_id = node->node_id,
        .key = node->key,
        .secrets = &node->secrets,
        .capacity_bytes = (uint64_t)1 << 40,
        .agent = "sessiond/sim",
    };
    SIM_AS(sim_owner_of(s, node->index));
    return ses_daemon_new(&node->daemon, &params, note);
}

static void close_half(void *cookie)
{
    struct sim_node *node = cookie;
    ses_store_free(node->store);
    node->store = NULL;
    oracle_memory_gone(node);
    node->phase = NODE_DOWN;
    sim_net_down(&node->net, true, node->power);
    sim_disk_after(node->disk, node->power);
    sim_after(node->sim, 1000, restart, node);
}

static void half_closed(void *cookie)
{
    sim_after(((struct sim_node *)cookie)->sim, 0, close_half, cookie);
}

static void wipe_and_start(void *cookie)
{
    struct sim_node *node = cookie;
    if (node->phase == NODE_DOWN) {
        sim_tell(node->sim, "node %u gets a new disk", node->index);
        sim_node_spoil(node);
        node->wiped_ms = node->sim->now_ms;
        sim_disk_wipe(node->disk);
        node->broken = false;
        sim_node_start(node);
    }
}

/* Where only the machine may be blamed the node is asked again; what nothing explains is our bug.
 */
static void not_started(struct sim_node *node, enum ses_err err, const struct ses_note *note)
{
    struct sim *s = node->sim;
    const struct sim_disk_limits *l = sim_disk_limits(node->disk);
    const bool again = node->power || l->fail_syncs > 0 || l->fail_reads > 0 ||
                       l->space_bytes < SIM_DISK_BYTES / 2 || err == SES_ERR_IO;
    sim_tell(s, "node %u does not start: %s: %.80s", node->index, ses_err_name(err), note->text);
    if (node->store == NULL) {
        oracle_memory_gone(node);
    }
    if (again) {
        if (node->store != NULL) {
            node->phase = NODE_DYING;
            SIM_AS(sim_owner_of(s, node->index));
            ses_store_close(node->store, half_closed, node);
        } else {
            sim_disk_after(node->disk, node->power);
            sim_after(s, 1000, restart, node);
        }
    } else if (node->spoiled) {
        node->broken = true;
        sim_after(s, ANEW_MS, wipe_and_start, node);
    } else {
        sim_broken(s, "D1", "node %u does not start after %s: %s: %s", node->index,
                   node->power ? "a loss of power" : "an end", ses_err_text(err), note->text);
    }
}

void sim_node_start(struct sim_node *node)
{
    struct ses_note note = {{0}};
    struct sim *s = node->sim;
    SES_ASSERT(node->phase == NODE_DOWN && node->store == NULL);
    node->start_cnt++;
    node->power = false;
    enum ses_err err = open_store(node, &note);
    if (err == SES_OK) {
        sim_net_down(&node->net, false, false);
        err = open_daemon(node, &note);
    }
    if (err != SES_OK) {
        sim_net_down(&node->net, true, false);
        not_started(node, err, &note);
        return;
    }
    node->phase = NODE_UP;
    node->up_ms = s->now_ms;
    if (node->reopened_ms == 0) {
        node->reopened_ms = s->now_ms;
        node->map_epoch = 0; /* the map may be among what is lost */
    }
    node->cut_off = s->chain.cut_until_ms[node->index] > s->now_ms;
    if (node->power_after_ms > 0) {
        sim_after(s, node->power_after_ms, power_goes, node);
        node->power_after_ms = 0;
    }
    sim_tell(s, "node %u is up, start %u", node->index, node->start_cnt);
    oracle_node_up(s, node);
}

bool sim_node_up(const struct sim_node *node)
{
    return node->phase == NODE_UP;
}

bool sim_node_blind(const struct sim_node *node)
{
    const struct sim *s = node->sim;
    return node->cut_off && s->chain.cut_until_ms[node->index] + BLIND_MS > s->now_ms;
}

void sim_node_spoil(struct sim_node *node)
{
    node->spoiled = true;
    node->spoiled_ms = node->sim->now_ms;
    node->reopened_ms = 0;
    node->map_epoch = 0;
}

/* ---- keys ---- */
static void make_keys(struct sim_node *node)
{
    ses_random_fill(&node->dice.random, &node->secrets, sizeof node->secrets);
    struct ses_dsa_seed dsa_seed;
    struct ses_kem_seed kem_seed;
    struct ses_kem_private *kem = NULL;
    ses_random_fill(&node->dice.random, dsa_seed.bytes, sizeof dsa_seed.bytes);
    ses_random_fill(&node->dice.random, kem_seed.bytes, sizeof kem_seed.bytes);
    SES_ASSERT(ses_dsa_private_new(&node->key, &dsa_seed) == SES_OK);
    SES_ASSERT(ses_kem_private_new(&kem, &kem_seed) == SES_OK);
    ses_dsa_private_pk(node->key, &node->keys.public_key);
    ses_kem_private_pk(kem, &node->keys.encryption_key);
    ses_kem_private_free(kem);
    ses_node_id_of(&node->node_id, &node->keys.public_key);
}

static void make_endpoint(struct sim_node *node)
{
    struct ses_multiaddr address;
    char text[64];
    const int len = snprintf(text, sizeof text, "/ip4/10.0.%u.%u/tcp/4000", node->index / 256,
                             node->index % 256);
    SES_ASSERT(len > 0 && ses_multiaddr_parse(&address, text) == SES_OK);
    ses_random_fill(&node->dice.random, node->endpoint.peer_key.bytes,
                    sizeof node->endpoint.peer_key.bytes);
    node->endpoint.addr_cnt = 1;
    node->endpoint.addrs[0].len = address.len;
    memcpy(node->endpoint.addrs[0].bytes, address.bytes, address.len);
}

static void tell_name(const struct sim_node *node)
{
    char id[SES_ID_TEXT_MAX];
    ses_node_id_text(id, &node->node_id);
    if (node->sim->trace.print) {
        printf("               node %u is %s\n", node->index, id);
    }
}

static void log_line(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    const struct sim_node *node = ctx;
    (void)level;
    if (node->sim->trace.print) {
        printf("               node %u %s: %s\n", node->index, module, text);
    }
}

void sim_node_init(struct sim *s, uint32_t index)
{
    struct sim_node *node = &s->nodes[index];
    node->sim = s;
    node->index = index;
    node->phase = NODE_DOWN;
    dice_init(&node->dice, s->seed, "node", index);
    make_keys(node);
    make_endpoint(node);
    tell_name(node);
    sim_loop_init(&node->loop, node);
    node->log = (struct ses_log){
        .ctx = node, .level = s->trace.print ? SES_LOG_INFO : SES_LOG_ERROR, .write = log_line};
    sim_net_init(&node->net, s, index);
    node->net.down = true;
    node->net.self.is_node = true;
    node->net.self.node_id = node->node_id;
    node->disk = sim_disk_new(s, index);
}

void sim_node_free(struct sim_node *node)
{
    SES_ASSERT(node->store == NULL);
    sim_net_free(&node->net);
    sim_disk_free(node->disk);
    ses_dsa_private_free(node->key);
    byz_free(node);
}
