/* A record whose bytes on disk do not match its id any more is fetched from another member: from
 * one after the other, at each turn of the wheel, until somebody has it or it has expired. What was
 * tried longest ago is tried first: what nobody has keeps nothing else waiting. */
#include "daemon/daemon_internal.h"

#define HEALS_MAX 4096u
#define HEALS_BUSY_MAX 4u
#define REFUSED_TURNS 60u   /* five minutes: there may be space again */
#define HEALS_TURN_MAX 128u /* steps of one turn: members have others to answer, too */
#define PAGE_LEAVES 4096u

struct heal {
    struct heal *next;
    struct ses_daemon *d;
    struct ses_hash id;
    struct ses_segment segment;
    bool busy, found, done;
    uint64_t turn; /* in which it was tried last; 0: it goes on at once */
    struct ses_leaf leaf;
    struct ses_leaf_key from; /* where to look for the leaf */
};

bool ses_heal_damage(void *cookie, const struct ses_hash *id, const struct ses_segment *segment)
{
    struct ses_daemon *d = cookie;
    char text[65];
    struct heal *heal = d->sync.heal_cnt < HEALS_MAX ? ses_alloc(1, sizeof *heal) : NULL;
    if (heal == NULL) {
        d->stats.limits_hit++;
        return false;
    }
    ses_hex_encode(text, id->bytes, 32);
    ses_logf(d->p.log, SES_LOG_WARN, MODULE, "a record is damaged on disk id=%s", text);
    heal->d = d;
    heal->id = *id;
    heal->segment = *segment;
    heal->next = d->sync.heals;
    d->sync.heals = heal;
    d->sync.heal_cnt++;
    return true;
}

static void pump(struct ses_daemon *d);

static void idle(struct heal *heal)
{
    heal->busy = false;
    heal->d->sync.heal_busy--;
}

static void rest(struct heal *heal, bool done)
{
    struct ses_daemon *d = heal->d;
    heal->done = done;
    idle(heal);
    pump(d);
    ses_daemon_release(d);
}

static void on_fetched(void *cookie, const struct sync_result *result)
{
    struct heal *heal = cookie;
    struct ses_daemon *d = heal->d;
    const bool healed = result->err == SES_OK && result->undelivered == 0 && result->refused == 0;
    d->stats.healed += healed ? 1 : 0;
    if (healed) {
        ses_logf(d->p.log, SES_LOG_INFO, MODULE, "a damaged record was fetched again");
    }
    heal->turn += result->refused > 0 ? REFUSED_TURNS : 0;
    rest(heal, healed);
}

static enum ses_err fetch(struct heal *heal)
{
    struct ses_daemon *d = heal->d;
    uint32_t partners[SES_MEMBERS_MAX];
    struct reconcile_params params = {.set = d->sync.seat};
    struct ses_sync_place place = {.segment = heal->segment, .nibble_cnt = SES_SYNC_DEPTH_MAX};
    const uint32_t cnt = ses_sync_partners(d, partners, SES_MEMBERS_MAX);
    SES_REQUIRE(cnt > 0 && params.set.num_swarms != 0, SES_ERR_AGAIN);
    ses_random_fill(d->p.random, params.nonce.bytes, sizeof params.nonce.bytes);
    memcpy(place.prefix.bytes, heal->leaf.key.bytes, SES_SYNC_DEPTH_MAX / 2);
    enum ses_err err = SES_ERR_EXISTS;
    for (uint32_t i = 0; i < cnt && err == SES_ERR_EXISTS; i++) { /* it gives another one now */
        err = ses_sync_fetch_one(d, &d->map->nodes[partners[i]].row.node_id, &params, &place,
                                 ses_sync_leaf_short(&params.nonce, &heal->leaf), on_fetched, heal);
    }
    return err;
}

/* The key of the record: only its id is known. */
static void on_leaves(void *cookie, enum ses_err err, const struct ses_leaf *leaves,
                      size_t leaf_cnt)
{
    struct heal *heal = cookie;
    bool gone = err == SES_OK && leaf_cnt < PAGE_LEAVES;
    for (size_t i = 0; err == SES_OK && i < leaf_cnt && !heal->found; i++) {
        if (ses_equal(leaves[i].key.bytes + 32, heal->id.bytes, 32)) {
            heal->leaf = leaves[i];
            heal->found = true;
        }
    }
    if (err == SES_OK && leaf_cnt > 0 && !heal->found) {
        heal->from = leaves[leaf_cnt - 1].key;
        gone |= !ses_leaf_key_next(&heal->from);
    }
    heal->turn = err == SES_OK ? 0 : heal->turn;
    rest(heal, gone && !heal->found);
}

static enum ses_err look(struct heal *heal)
{
    struct ses_forest_range range = {.low = heal->from};
    reconcile_segment_id(&range.segment, &heal->segment);
    memset(range.high.bytes, 0xFF, sizeof range.high.bytes);
    return ses_store_leaves(heal->d->p.store, NULL, &range, PAGE_LEAVES, on_leaves, heal);
}

/* ERR_EXISTS, ERR_FULL: not now. */
static enum ses_err start(struct heal *heal)
{
    struct ses_daemon *d = heal->d;
    const uint64_t before = heal->turn;
    heal->turn = d->sync.turn;
    heal->busy = true;
    d->sync.heal_busy++;
    ses_daemon_hold(d);
    const enum ses_err err = heal->found ? fetch(heal) : look(heal);
    if (err != SES_OK) {
        heal->turn = err == SES_ERR_EXISTS || err == SES_ERR_FULL ? before : heal->turn;
        idle(heal);
        ses_daemon_release(d);
    }
    return err;
}

/* The one that waits longest; each once a turn. */
static struct heal *choose(const struct ses_daemon *d)
{
    struct heal *next = NULL;
    for (struct heal *heal = d->sync.heals; heal != NULL; heal = heal->next) {
        if (!heal->busy && !heal->done && heal->turn < d->sync.turn &&
            (next == NULL || heal->turn < next->turn)) {
            next = heal;
        }
    }
    return next;
}

static void pump(struct ses_daemon *d)
{
    enum ses_err err = SES_OK;
    struct heal *heal = NULL;
    while (err != SES_ERR_EXISTS && err != SES_ERR_FULL && !d->closing && !d->draining &&
           d->sync.heal_left > 0 && d->sync.heal_busy < HEALS_BUSY_MAX &&
           (heal = choose(d)) != NULL) {
        d->sync.heal_left--;
        err = start(heal);
    }
}

void ses_heal_turn(struct ses_daemon *d)
{
    const uint64_t now_ms = ses_daemon_now(d);
    for (struct heal **at = &d->sync.heals; *at != NULL;) {
        struct heal *heal = *at;
        if (!heal->busy && (heal->done || ses_segment_expires_ms(&heal->segment) <= now_ms)) {
            *at = heal->next;
            d->sync.heal_cnt--;
            ses_free(heal);
        } else {
            at = &heal->next;
        }
    }
    d->sync.heal_left = HEALS_TURN_MAX;
    pump(d);
}

void ses_heal_free(struct ses_daemon *d)
{
    while (d->sync.heals != NULL) {
        struct heal *heal = d->sync.heals;
        SES_ASSERT(!heal->busy);
        d->sync.heals = heal->next;
        ses_free(heal);
    }
}
