/* Follows the chain: head every blockSeconds, registry once an epoch. An unreachable chain never
 * stops the node: it goes on with the last map that it verified, and says so. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"

#define BACKOFF_MAX_MS 30000u

struct build {
    struct ses_daemon *d;
    struct ses_chain_registry delta;
    const struct ses_map *old; /* stays while asking: only we replace it */
    const struct ses_node_id *node_id;
    const struct ses_chain_params *chain;
    struct ses_map *map;
    struct ses_plan *plan;
    enum ses_err err;
};

static void ask_head(void *cookie);

static void again(struct ses_daemon *d)
{
    struct follow *f = &d->follow;
    f->asking = false;
    if (d->closing) {
        return;
    }
    const uint64_t block_ms = d->p.chain_params.params.block_seconds * 1000;
    uint64_t delay_ms = block_ms > 0 ? block_ms : 1000;
    for (uint64_t i = 1; i < f->failures && delay_ms < BACKOFF_MAX_MS; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : delay_ms;
    if (d->p.loop->timer_start(d->p.loop->ctx, &f->timer, delay_ms, ask_head, d) != SES_OK) {
        ses_logf(d->p.log, SES_LOG_ERROR, MODULE, "no timer to follow the chain: out of memory");
    }
}

static void failed(struct ses_daemon *d, enum ses_err err, const struct ses_note *note)
{
    struct follow *f = &d->follow;
    const bool news = f->ok || f->failures == 0;
    f->ok = false;
    f->failures++;
    ses_note_set(&f->note, "%s: %s", ses_err_text(err),
                 note != NULL && note->text[0] != '\0' ? note->text : "no details");
    if (news) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE,
                 "the chain cannot be followed (serving with the last verified map): %s",
                 f->note.text);
    }
    again(d);
}

static void succeeded(struct ses_daemon *d)
{
    struct follow *f = &d->follow;
    if (!f->ok) {
        ses_logf(d->p.log, SES_LOG_INFO, MODULE,
                 "following the chain height=%" PRIu64 " epoch=%" PRIu64, f->head.height,
                 f->head.epoch);
    }
    f->ok = true;
    f->ever_ok = true;
    f->failures = 0;
    ses_epochs_seal(d); /* a new store takes nothing before */
    again(d);
}

static void build_run(void *cookie)
{
    struct build *b = cookie;
    b->err = ses_atlas_build(&b->map, b->old, &b->delta, &b->chain->chain_id);
    if (b->err == SES_OK) {
        b->err = ses_plan_make(b->plan, b->map, b->node_id, b->chain);
    }
}

static void build_done(void *cookie)
{
    struct build *b = cookie;
    struct ses_daemon *d = b->d;
    struct ses_note note;
    ses_note_set(&note, "the registry of epoch %" PRIu64 " does not match its root",
                 b->delta.header.epoch);
    if (b->err == SES_OK && !d->closing) {
        d->follow.refetch = false;
        ses_daemon_install(d, b->map, b->plan);
        b->map = NULL;
        b->plan = NULL;
        succeeded(d);
    } else {
        d->follow.refetch = true;
        failed(d, b->err, &note);
    }
    ses_atlas_free(b->map);
    ses_free(b->plan);
    ses_free(b->delta.rows);
    ses_free(b);
    ses_daemon_release(d);
}

static void start_build(struct ses_daemon *d, struct ses_chain_registry *registry, bool full)
{
    struct build *b = ses_alloc(1, sizeof *b);
    struct ses_plan *plan = ses_alloc(1, sizeof *plan);
    if (b == NULL || plan == NULL) {
        ses_free(b);
        ses_free(plan);
        failed(d, SES_ERR_MEMORY, NULL);
        return;
    }
    b->d = d;
    b->delta = *registry;
    registry->rows = NULL;
    b->old = full ? NULL : d->map;
    b->plan = plan;
    b->node_id = &d->p.node_id;
    b->chain = &d->p.chain_params;
    const enum ses_err err = ses_daemon_work(d, build_run, build_done, b);
    if (err != SES_OK) {
        ses_free(b->delta.rows);
        ses_free(b->plan);
        ses_free(b);
        failed(d, err, NULL);
    }
}

static bool wants_full(const struct ses_daemon *d)
{
    return d->map == NULL || d->follow.refetch;
}

static void on_registry(void *cookie, enum ses_err err, struct ses_chain_registry *registry,
                        const struct ses_note *note)
{
    struct ses_daemon *d = cookie;
    struct ses_note own;
    const bool older = err == SES_OK && d->map != NULL && registry->header.epoch < d->map->epoch;
    if (older && !SES_MUTANT(OLD_MAP_TAKEN)) {
        ses_note_set(&own, "the chain shows epoch %" PRIu64 ", older than ours (%" PRIu64 ")",
                     registry->header.epoch, d->map->epoch);
        failed(d, SES_ERR_PEER, &own);
    } else if (err != SES_OK) {
        failed(d, err, note);
    } else {
        start_build(d, registry, wants_full(d));
    }
    if (registry != NULL) {
        ses_free(registry->rows);
        registry->rows = NULL;
    }
    ses_daemon_release(d);
}

static bool head_usable(struct ses_daemon *d, const struct ses_chain_head *head)
{
    if (ses_equal(&head->chain_id, &d->p.chain_params.chain_id, sizeof head->chain_id)) {
        return true;
    }
    char theirs[65];
    struct ses_note note;
    ses_hex_encode(theirs, head->chain_id.bytes, 32);
    ses_note_set(&note,
                 "the chain URL answers for another chain (%.16s...): correct `chain` in the "
                 "configuration",
                 theirs);
    failed(d, SES_ERR_PEER, &note);
    return false;
}

/* One of several machines behind the URL lags: its word is worth nothing now. */
static bool head_older(struct ses_daemon *d, const struct ses_chain_head *head)
{
    struct ses_note note;
    if (d->map == NULL || head->epoch >= d->map->epoch) {
        return false;
    }
    ses_note_set(&note, "the chain shows epoch %" PRIu64 ", older than ours (%" PRIu64 ")",
                 head->epoch, d->map->epoch);
    failed(d, SES_ERR_PEER, &note);
    return true;
}

static void on_head(void *cookie, enum ses_err err, const struct ses_chain_head *head,
                    const struct ses_note *note)
{
    struct ses_daemon *d = cookie;
    if (err != SES_OK) {
        failed(d, err, note);
    } else if (d->closing) {
        d->follow.asking = false;
    } else if (head_usable(d, head) && !head_older(d, head)) {
        d->follow.head = *head;
        if (d->map != NULL && d->map->epoch == head->epoch) {
            succeeded(d);
        } else {
            ses_daemon_hold(d);
            const uint64_t since = wants_full(d) ? UINT64_MAX : d->map->epoch;
            const enum ses_err asked = d->p.chain.registry(d->p.chain.ctx, since, on_registry, d);
            if (asked != SES_OK) {
                failed(d, asked, NULL);
                ses_daemon_release(d);
            }
        }
    }
    ses_daemon_release(d);
}

static void ask_head(void *cookie)
{
    struct ses_daemon *d = cookie;
    d->follow.timer = NULL;
    d->follow.asking = true;
    ses_daemon_hold(d);
    const enum ses_err err = d->p.chain.head(d->p.chain.ctx, on_head, d);
    if (err != SES_OK) {
        failed(d, err, NULL);
        ses_daemon_release(d);
    }
}

void ses_follow_start(struct ses_daemon *d)
{
    ses_note_set(&d->follow.note, "not asked yet");
    if (d->p.loop->timer_start(d->p.loop->ctx, &d->follow.timer, 0, ask_head, d) != SES_OK) {
        failed(d, SES_ERR_MEMORY, NULL);
    }
}

void ses_follow_stop(struct ses_daemon *d)
{
    d->p.loop->timer_stop(d->p.loop->ctx, d->follow.timer);
    d->follow.timer = NULL;
}
