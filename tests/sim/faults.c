/* What each kind of fault does, and how it ends. A fault draws from dice of its own. */
#include "tests/sim/sim.h"

#define SETTLE_MS 130000u /* redials, rescans and keepalives have come round by then */
#define DRILL_STORE_MS 90000u
#define FLOOD_CNT 100u

struct later {
    struct sim *sim;
    struct fault *fault;
    uint32_t at;
};

static void after(struct sim *s, uint64_t delay_ms, void (*fire)(void *cookie), struct fault *f,
                  uint32_t at)
{
    struct later *l = ses_alloc(1, sizeof *l);
    SES_ASSERT(l != NULL);
    *l = (struct later){.sim = s, .fault = f, .at = at};
    sim_after(s, delay_ms, fire, l);
}

/* ---- network ---- */
static void weather_clears(void *cookie)
{
    struct later *l = cookie;
    l->sim->weather =
        (struct weather){.latency_min_ms = 2, .latency_max_ms = 30, .duplicate_permille = 2};
    ses_free(l);
}

void sim_fair_weather(struct sim *s)
{
    after(s, 0, weather_clears, NULL, 0);
}

static void weather(struct sim *s, struct fault *f, struct dice *d)
{
    s->weather = (struct weather){.latency_min_ms = (uint32_t)dice_between(d, 1, 50),
                                  .latency_max_ms = (uint32_t)dice_between(d, 50, 800),
                                  .loss_permille = (uint32_t)dice_below(d, 300),
                                  .duplicate_permille = (uint32_t)dice_below(d, 100),
                                  .tail_permille = (uint32_t)dice_below(d, 50)};
    after(s, f->for_ms, weather_clears, f, 0);
}

static uint32_t host_of(const struct sim *s, uint32_t b)
{
    return b < s->node_cnt ? b : SIM_NODES_MAX + b - s->node_cnt;
}

static void cut(struct sim *s, uint32_t from, uint32_t to, uint64_t for_ms)
{
    const uint64_t until = s->now_ms + for_ms;
    if (s->lanes[from][to].cut_until_ms < until) {
        s->lanes[from][to].cut_until_ms = until;
    }
}

/* A person whose words arrive, but who hears no answer. */
static void deafen(struct sim *s, const struct fault *f)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        cut(s, i, host_of(s, f->b), f->for_ms);
    }
}

static void partition(struct sim *s, const struct fault *f, struct dice *d)
{
    if (f->b >= s->node_cnt) {
        deafen(s, f);
        return;
    }
    const bool both_ways = dice_chance(d, 700);
    const uint64_t sides = dice_u64(d);
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        for (uint32_t j = 0; j < s->node_cnt; j++) {
            const bool left = sides >> i & 1;
            const bool right = sides >> j & 1;
            if (left != right && (both_ways || left)) {
                cut(s, i, j, f->for_ms);
            }
        }
    }
}

static void clog_host(struct sim *s, const struct fault *f)
{
    for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++) {
        s->lanes[i][f->a].clog_until_ms = s->now_ms + f->for_ms;
    }
}

/* ---- clocks ---- */
static void node_clock_right(void *cookie)
{
    struct later *l = cookie;
    l->sim->nodes[l->at].skew_ms = 0;
    ses_free(l);
}

static void person_clock_right(void *cookie)
{
    struct later *l = cookie;
    l->sim->people[l->at].skew_ms = 0;
    ses_free(l);
}

static void old_clock(struct sim *s, struct fault *f, struct dice *d)
{
    struct sim_node *node = &s->nodes[f->a];
    sim_node_die(node, DEATH_POWER, dice_between(d, 1000, 20000));
    node->skew_ms = -(int64_t)dice_between(d, 1, 5 * SIM_HOUR_MS);
    after(s, f->for_ms + 20000, node_clock_right, f, f->a);
}

/* ---- disks ---- */
static void fuse_blows(void *cookie)
{
    struct later *l = cookie;
    struct sim_node *node = &l->sim->nodes[l->at];
    struct sim_disk_limits *limits = sim_disk_limits(node->disk);
    if (limits->fuse > 0) { /* not enough was written since */
        limits->fuse = 0;
        sim_node_die(node, limits->fuse_kills ? DEATH_KILL : DEATH_POWER, l->fault->for_ms);
    }
    ses_free(l);
}

/* It dies in the middle of its writes. */
static void set_fuse(struct sim *s, struct fault *f, struct dice *d, bool kills)
{
    struct sim_node *node = &s->nodes[f->a];
    if (sim_node_up(node)) {
        node->down_for_ms = f->for_ms;
        sim_disk_limits(node->disk)->fuse = (uint32_t)dice_between(d, 1, kills ? 8 : 24);
        sim_disk_limits(node->disk)->fuse_kills = kills;
        after(s, dice_between(d, 1, 120000), fuse_blows, f, f->a);
    }
}

/* At once, or while it writes; what was not synced is still in the page cache, until the power
 * goes, too. */
static void kill_node(struct sim *s, struct fault *f, struct dice *d)
{
    if (dice_chance(d, 400)) {
        sim_node_die(&s->nodes[f->a], DEATH_KILL, f->for_ms);
        return;
    }
    f->for_ms = f->for_ms < 60000 ? f->for_ms : 60000;
    set_fuse(s, f, d, true);
    s->nodes[f->a].power_after_ms = dice_chance(d, 700) ? dice_between(d, 500, 15000) : 0;
}

static void blackout(struct sim *s, struct dice *d)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        sim_node_die(&s->nodes[i], DEATH_POWER, dice_between(d, 5000, 60000));
    }
}

static void disk_fast(void *cookie)
{
    struct later *l = cookie;
    l->sim->nodes[l->at].slow_ms = 0;
    ses_free(l);
}

static void disk_emptied(void *cookie)
{
    struct later *l = cookie;
    struct sim_disk_limits *limits = sim_disk_limits(l->sim->nodes[l->at].disk);
    limits->space_bytes = SIM_DISK_BYTES;
    limits->quota = false;
    ses_free(l);
}

static void errors_over(void *cookie)
{
    struct later *l = cookie;
    struct sim_disk_limits *limits = sim_disk_limits(l->sim->nodes[l->at].disk);
    limits->fail_syncs = limits->fail_reads = limits->misdirect = 0;
    ses_free(l);
}

static void wiped(void *cookie)
{
    struct later *l = cookie;
    struct sim_node *node = &l->sim->nodes[l->at];
    if (node->phase == NODE_DYING) {
        sim_after(l->sim, 100, wiped, l);
        return;
    }
    if (node->phase == NODE_DOWN && !l->sim->ending) {
        sim_tell(l->sim, "node %u has a new, empty disk", node->index);
        sim_node_spoil(node);
        node->wiped_ms = l->sim->now_ms;
        sim_disk_wipe(node->disk);
        sim_node_start(node);
    }
    ses_free(l);
}

static void wipe(struct sim *s, struct fault *f)
{
    oracle_draw(s, &s->nodes[f->a]);
    sim_node_die(&s->nodes[f->a], DEATH_KILL, SIM_DEAD);
    after(s, f->for_ms, wiped, f, f->a);
}

/* Some bits of logs, or one of whatever is there. */
static void flip(struct sim *s, const struct fault *f)
{
    struct dice d;
    dice_init(&d, f->seed, "flip", f->a);
    const bool logs = dice_chance(&d, 700);
    const uint64_t cnt = logs ? dice_between(&d, 1, 8) : 1;
    for (uint64_t i = 0; i < cnt && sim_disk_flip(s->nodes[f->a].disk, logs); i++) {
        sim_node_spoil(&s->nodes[f->a]);
    }
}

/* ---- drills: A1 ---- */
static bool all_well(const struct sim *s)
{
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        const bool absent = s->nodes[i].phase == NODE_ABSENT;
        if (!absent && (!sim_node_up(&s->nodes[i]) || sim_node_blind(&s->nodes[i]))) {
            return false;
        }
    }
    /* who does not know where members moved is as good as down */
    const bool informed = !s->churn || s->chain.trouble_until_ms <= s->now_ms;
    /* members that lie are those that a store bears */
    return informed && s->byz_cnt == 0 && sim_calm(s, SIM_MINUTE_MS);
}

/* So many Active members of an inbox's swarm go down, the others stay. */
static void take_down(struct sim *s, const struct fault *f, struct dice *d,
                      const struct ses_map *map, uint32_t members, const uint32_t *list,
                      uint32_t cnt)
{
    const uint32_t first = (uint32_t)dice_below(d, members);
    for (uint32_t i = 0; i < cnt; i++) {
        const struct ses_map_node *row = &map->nodes[list[(first + i) % members]];
        for (uint32_t n = 0; n < s->node_cnt; n++) {
            if (ses_equal(&s->nodes[n].node_id, &row->row.node_id, sizeof row->row.node_id)) {
                sim_node_die(&s->nodes[n], DEATH_KILL, f->for_ms);
            }
        }
    }
}

static void write_judged(void *cookie)
{
    struct later *l = cookie;
    const struct sim_msg *m = sim_msg_at(l->sim, l->at);
    if (m->stored_ms == 0) {
        sim_broken(l->sim, "A1",
                   "message %u was not stored within %u s, and no more members are "
                   "down than a store bears",
                   m->number, DRILL_STORE_MS / 1000);
    }
    ses_free(l);
}

static void write_now(void *cookie)
{
    struct later *l = cookie;
    struct sim *s = l->sim;
    struct sim_person *from = &s->people[(l->at + 1) % s->person_cnt];
    const uint32_t number = s->oracle.cnt;
    sim_person_send(from, l->at, 200, 1);
    if (s->oracle.cnt > number) {
        after(s, DRILL_STORE_MS, write_judged, l->fault, number);
    }
    ses_free(l);
}

static void read_judged(void *cookie)
{
    struct later *l = cookie;
    const struct sim_person *p = &l->sim->people[l->at];
    if (!p->net.down && p->read_ms < l->fault->at_ms) {
        sim_broken(l->sim, "A1", "person %u cannot read although one member is up", l->at);
    }
    ses_free(l);
}

static void read_now(void *cookie)
{
    struct later *l = cookie;
    sim_person_read(&l->sim->people[l->at]);
    ses_free(l);
}

static void drill(struct sim *s, struct fault *f, struct dice *d)
{
    uint32_t list[SES_MEMBERS_MAX];
    uint32_t members = 0;
    if (!all_well(s)) {
        return;
    }
    struct ses_map *map = sim_chain_map(s, 0);
    (void)ses_map_members(map, ses_map_swarm_of_inbox(map, &s->people[f->b].inbox), list,
                          SES_MEMBERS_MAX, &members);
    if (members > 0) {
        const bool write = f->kind == FAULT_DOWN_WRITE;
        const uint32_t cnt = write ? members - ses_write_quorum(members) : members - 1;
        take_down(s, f, d, map, members, list, cnt);
        after(s, 2000, write ? write_now : read_now, f, f->b);
        if (!write) {
            after(s, 60000, read_judged, f, f->b);
        }
    }
    sim_map_free(map);
}

/* ---- all of them ---- */
static void disk_fault(struct sim *s, struct fault *f, struct dice *d)
{
    struct sim_disk_limits *limits = sim_disk_limits(s->nodes[f->a].disk);
    switch ((int)f->kind) {
    case FAULT_SLOW_DISK:
        s->nodes[f->a].slow_ms = dice_between(d, 20, 3000);
        after(s, f->for_ms, disk_fast, f, f->a);
        break;
    case FAULT_FULL_DISK:
        limits->space_bytes = dice_below(d, dice_chance(d, 500) ? 1u << 11 : 1u << 14);
        limits->quota = dice_chance(d, 700); /* else the store knows, and does not even try */
        f->for_ms += limits->quota ? dice_between(d, 20000, 120000) : 0; /* until it is written */
        after(s, f->for_ms, disk_emptied, f, f->a);
        break;
    case FAULT_SYNC_ERROR:
        limits->fail_syncs = 1;
        after(s, f->for_ms, errors_over, f, f->a);
        break;
    case FAULT_READ_ERROR:
        limits->fail_reads = (uint32_t)dice_between(d, 1, 3);
        after(s, f->for_ms, errors_over, f, f->a);
        break;
    case FAULT_BIT_FLIP:
        flip(s, f);
        break;
    case FAULT_MISDIRECT:
        limits->misdirect = 1;
        after(s, f->for_ms, errors_over, f, f->a);
        break;
    case FAULT_WIPE:
        wipe(s, f);
        break;
    }
}

static void chain_fault(struct sim *s, const struct fault *f)
{
    const uint64_t until_ms = s->now_ms + f->for_ms;
    if (s->chain.trouble_until_ms < until_ms + SETTLE_MS) {
        s->chain.trouble_until_ms = until_ms + SETTLE_MS;
    }
    switch ((int)f->kind) {
    case FAULT_CHAIN_STALL:
        s->chain.stalled_until_ms = until_ms;
        break;
    case FAULT_CHAIN_EMPTY:
        s->chain.empty_until_ms = until_ms;
        break;
    case FAULT_CHAIN_LAG:
        s->chain.lag_until_ms = until_ms;
        break;
    case FAULT_CHAIN_CUT:
        s->chain.cut_until_ms[host_of(s, f->b)] = until_ms;
        break;
    case FAULT_CHAIN_RESTART:
        sim_chain_restart(s, f->a % 2);
        break;
    }
}

static void person_fault(struct sim *s, struct fault *f, struct dice *d)
{
    const uint32_t at = f->b % s->person_cnt;
    if (f->kind == FAULT_PERSON_CRASH) {
        sim_person_crash(&s->people[at]);
    } else {
        s->people[at].skew_ms = (int64_t)dice_below(d, 2 * SIM_MINUTE_MS) - SIM_MINUTE_MS;
        after(s, f->for_ms, person_clock_right, f, at);
    }
}

static void node_fault(struct sim *s, struct fault *f, struct dice *d)
{
    struct sim_node *node = &s->nodes[f->a];
    switch ((int)f->kind) {
    case FAULT_HALF_OPEN:
        sim_flows_half_open(&node->net, d);
        break;
    case FAULT_SKEW:
        node->skew_ms = (int64_t)dice_below(d, 2 * SIM_MINUTE_MS) - SIM_MINUTE_MS;
        after(s, f->for_ms, node_clock_right, f, f->a);
        break;
    case FAULT_STOP:
        sim_node_die(node, DEATH_STOP, f->for_ms);
        break;
    case FAULT_KILL:
        kill_node(s, f, d);
        break;
    case FAULT_POWER:
        set_fuse(s, f, d, false);
        break;
    case FAULT_BLACKOUT:
        blackout(s, d);
        break;
    case FAULT_OLD_CLOCK:
        old_clock(s, f, d);
        break;
    }
}

/* ---- what people do meanwhile ---- */
static void write_one(void *cookie)
{
    struct later *l = cookie;
    struct sim *s = l->sim;
    struct dice d;
    dice_init(&d, l->fault->seed, "traffic", l->at);
    const uint32_t host = l->fault->b % (s->node_cnt + s->person_cnt);
    const uint32_t from =
        host >= s->node_cnt ? host - s->node_cnt : (uint32_t)dice_below(&d, s->person_cnt);
    sim_person_send(&s->people[from], (uint32_t)dice_below(&d, s->person_cnt),
                    (uint32_t)dice_between(&d, 1, 2000), (uint8_t)dice_below(&d, 3));
    ses_free(l);
}

/* So many of one hour that who lacks them fetches them in bulk. */
static void flood(struct sim *s, const struct fault *f, struct dice *d)
{
    struct sim_person *from = &s->people[f->b % s->person_cnt];
    const uint32_t to = (uint32_t)dice_below(d, s->person_cnt);
    for (uint32_t i = 0; i < FLOOD_CNT; i++) {
        sim_person_send(from, to, (uint32_t)dice_between(d, 1, 200), 0);
    }
}

/* A fault that nobody writes in finds nothing. */
static void traffic(struct sim *s, struct fault *f, struct dice *d)
{
    const bool drill = f->kind == FAULT_DOWN_READ || f->kind == FAULT_DOWN_WRITE;
    const uint32_t cnt = drill ? 0 : (uint32_t)dice_below(d, 4);
    const uint64_t span = f->for_ms < 120000 ? f->for_ms + 1 : 120000;
    for (uint32_t i = 0; i < cnt; i++) {
        after(s, dice_below(d, span), write_one, f, i);
    }
}

void fault_begin(struct sim *s, struct fault *f)
{
    struct dice d;
    dice_init(&d, f->seed, "fault", f->kind);
    switch (f->kind) {
    case FAULT_DOWN_WRITE:
    case FAULT_DOWN_READ:
        drill(s, f, &d);
        break;
    case FAULT_WEATHER:
        weather(s, f, &d);
        break;
    case FAULT_CUT:
        cut(s, f->a, host_of(s, f->b), f->for_ms);
        break;
    case FAULT_PARTITION:
        partition(s, f, &d);
        break;
    case FAULT_CLOG:
        clog_host(s, f);
        break;
    case FAULT_SLOW_DISK:
    case FAULT_FULL_DISK:
    case FAULT_SYNC_ERROR:
    case FAULT_READ_ERROR:
    case FAULT_BIT_FLIP:
    case FAULT_MISDIRECT:
    case FAULT_WIPE:
        disk_fault(s, f, &d);
        break;
    case FAULT_FLOOD:
        flood(s, f, &d);
        break;
    case FAULT_CHAIN_STALL:
    case FAULT_CHAIN_EMPTY:
    case FAULT_CHAIN_LAG:
    case FAULT_CHAIN_CUT:
    case FAULT_CHAIN_RESTART:
        chain_fault(s, f);
        return; /* who has a map goes on as before: no storm */
    case FAULT_PERSON_CRASH:
    case FAULT_PERSON_SKEW:
        person_fault(s, f, &d);
        break;
    case FAULT_JOIN:
        sim_chain_register(s, f->a);
        return;
    case FAULT_LEAVE:
        sim_chain_leave(s, f->a);
        return;
    case FAULT_GARBAGE:
        sim_garbage(s, f);
        return;
    case FAULT_HALF_OPEN:
    case FAULT_SKEW:
    case FAULT_STOP:
    case FAULT_KILL:
    case FAULT_POWER:
    case FAULT_BLACKOUT:
    case FAULT_OLD_CLOCK:
        node_fault(s, f, &d);
        break;
    case FAULT_CNT:
        break;
    }
    const uint64_t fuse_ms = f->kind == FAULT_POWER || f->kind == FAULT_KILL ? 300000 : 0;
    sim_storm(s, f->for_ms + SETTLE_MS + fuse_ms);
    traffic(s, f, &d);
}

/* ---- B1: nonsense ---- */
static void on_nothing(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    (void)cookie;
    (void)err;
    (void)body;
    (void)len;
}

void sim_garbage(struct sim *s, struct fault *f)
{
    struct dice d;
    uint8_t body[2048];
    struct ses_target *target = ses_alloc(1, sizeof *target);
    SES_ASSERT(target != NULL);
    dice_init(&d, f->seed, "garbage", 0);
    const struct sim_node *node = &s->nodes[f->a];
    target->node_id = node->node_id;
    target->public_key = node->keys.public_key;
    target->endpoint = node->endpoint;
    for (uint32_t i = 0; i < 40; i++) {
        const size_t len = dice_below(&d, sizeof body);
        ses_random_fill(&d.random, body, len);
        if (len > 2 && dice_chance(&d, 800)) {
            body[0] = SES_FRAME_VERSION;
            body[1] = (uint8_t)dice_below(&d, 4);
        }
        const struct ses_request request = {.target = target,
                                            .proto = (enum ses_proto)dice_below(&d, SES_PROTO_CNT),
                                            .body = body,
                                            .len = len,
                                            .on_reply = on_nothing};
        const enum ses_err err = ses_net_request(&s->stranger.net, &request);
        (void)err; /* whatever comes of it */
    }
    ses_free(target);
}
