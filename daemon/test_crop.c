#include "daemon/test_crop.h"

static void planted(void *cookie, const struct ses_put_result *result)
{
    SES_ASSERT(result->err == SES_OK);
    ++*(uint32_t *)cookie;
}

void crop_make(struct crop *crop, struct world *w, uint32_t cnt, uint32_t num_swarms,
               uint32_t swarm, uint64_t ts_ms)
{
    crop->posts = ses_alloc(cnt, sizeof *crop->posts);
    crop->cnt = cnt;
    SES_ASSERT(crop->posts != NULL);
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_hash inbox, token = {{0}};
        struct post *p = &crop->posts[i];
        post_inbox(w, &inbox, num_swarms, swarm);
        post_token(p, w, &inbox, &token, 100 + i % 400);
        ses_put_u64(p->header + 8, ts_ms / 1000 * 1000);
        post_identify(p);
    }
}

void crop_free(struct crop *crop)
{
    for (uint32_t i = 0; i < crop->cnt; i++) {
        post_free(&crop->posts[i]);
    }
    ses_free(crop->posts);
}

void plant(struct world *w, uint32_t node, const struct crop *crop)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        const struct ses_put put = {.record = crop->posts[i].put.record,
                                    .ids = &crop->posts[i].ids,
                                    .on_done = planted,
                                    .cookie = &done};
        SES_ASSERT(ses_store_put(w->nodes[node].store, &put) == SES_OK);
        if (i % 200 == 199) {
            world_run(w, 200);
        }
    }
    world_run(w, 500);
    SES_ASSERT(done == crop->cnt);
}

uint32_t held(struct world *w, uint32_t node, const struct crop *crop)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        cnt += post_at(w, node, &crop->posts[i]) ? 1 : 0;
    }
    return cnt;
}

const struct ses_daemon_stats *stats(const struct world *w, uint32_t node)
{
    return ses_daemon_stats(w->nodes[node].daemon);
}

bool is_partial(const struct world *w, uint32_t node)
{
    struct ses_daemon_status *s = ses_alloc(1, sizeof *s);
    SES_ASSERT(s != NULL);
    ses_daemon_status(w->nodes[node].daemon, s);
    const bool partial = s->partial;
    ses_free(s);
    return partial;
}

void move(struct world *w, uint32_t node, uint32_t swarm)
{
    struct ses_registry_row *row = world_row(w, node);
    row->swarm = swarm;
    row->swarm_from_epoch = w->map.epoch + 1;
}

void next_epoch(struct world *w)
{
    world_run(w, CROP_EPOCH_MS);
    world_advance_epoch(w);
    world_run(w, 10000);
}
