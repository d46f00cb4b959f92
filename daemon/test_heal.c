/* Records whose bytes were damaged on disk, and what other members give back. Daemons, stores and
 * the core are the real ones. */
#include <stdio.h>
#include <string.h>

#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_crop.h"

/* Changes one byte of the only log file with records of a node; true if it was found. */
static bool damage_log(const struct world_node *node, const struct post *p)
{
    char path[512];
    uint8_t *bytes = NULL;
    bool found = false;
    snprintf(path, sizeof path, "%s/seg/%u/%u.log", node->dir, p->ids.segment.ttl_class,
             p->ids.segment.hour);
    FILE *file = fopen(path, "r+b");
    if (file == NULL) {
        printf("# no %s\n", path);
        return false;
    }
    SES_ASSERT(fseek(file, 0, SEEK_END) == 0);
    const size_t len = (size_t)ftell(file);
    rewind(file);
    bytes = ses_alloc(len, 1);
    SES_ASSERT(bytes != NULL && fread(bytes, 1, len, file) == len);
    for (size_t i = 0; i + p->put.record.payload_bytes <= len && !found; i++) {
        found = memcmp(bytes + i, p->put.record.payload, p->put.record.payload_bytes) == 0;
        if (found) {
            SES_ASSERT(fseek(file, (long)i, SEEK_SET) == 0);
            SES_ASSERT(fputc(bytes[i] ^ 1, file) != EOF);
        }
    }
    SES_ASSERT(fclose(file) == 0);
    ses_free(bytes);
    return found;
}

static void test_damage_heals(void)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_identity *owner = post_person(w, 1, 0);
    struct ses_hash inbox;
    struct post p;
    struct post_answer a;
    struct ses_cursor cursor = {{0}};
    struct ses_refusal refusal;
    post_inbox_of(&inbox, owner);
    post_stranger(&p, w, &inbox, 3000, world_unix_ms(w));
    post_send(w, client, 0, &p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    world_run(w, 10000);
    TAP_OK(damage_log(&w->nodes[2], &p));
    TAP_OK(post_read(w, client, 2, owner, &inbox, 0, &cursor, 10, &refusal) == 0);
    world_run(w, 30000);
    TAP_EQ(1, stats(w, 2)->healed);
    memset(&cursor, 0, sizeof cursor);
    TAP_OK(post_read(w, client, 2, owner, &inbox, 0, &cursor, 10, &refusal) == 1);
    ses_identity_free(owner);
    post_free(&p);
    world_free(w);
}

static bool damage_all(const struct world_node *node, const struct crop *crop)
{
    bool all = true;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        all &= damage_log(node, &crop->posts[i]);
    }
    return all;
}

static void ignore_record(void *cookie, enum ses_err err, const struct ses_record_copy *record)
{
    (void)err;
    (void)record;
    ++*(uint32_t *)cookie;
}

static void read_all(struct world *w, uint32_t node, const struct crop *crop)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < crop->cnt; i++) {
        TAP_ERR(SES_OK,
                ses_store_get(w->nodes[node].store, &crop->posts[i].ids.id, ignore_record, &done));
    }
    world_run(w, 10);
    TAP_MUST(done == crop->cnt);
}

static enum ses_err no_space(void *ctx, uint64_t *free_bytes)
{
    (void)ctx;
    *free_bytes = 0;
    return SES_OK;
}

/* The copy comes, and there is no space for it: it is asked for again, later. */
static void test_damage_on_a_full_disk(void)
{
    struct world *w = world_new(4, 1);
    struct crop crop;
    world_run(w, 10000);
    crop_make(&crop, w, 1, 1, 0, world_unix_ms(w));
    for (uint32_t i = 0; i < 4; i++) {
        plant(w, i, &crop);
    }
    TAP_OK(damage_all(&w->nodes[2], &crop));
    struct ses_disk *disk = &w->nodes[2].disk;
    enum ses_err (*const space)(void *ctx, uint64_t *free_bytes) = disk->space;
    disk->space = no_space;
    read_all(w, 2, &crop);
    world_run(w, 60000);
    TAP_EQ(0, stats(w, 2)->healed);
    TAP_EQ(1, w->nodes[2].daemon->sync.heal_cnt);
    uint64_t served = 0;
    for (uint32_t i = 0; i < 4; i++) {
        served += stats(w, i)->sync_served;
    }
    TAP_EQ(1, served); /* not at every turn */
    disk->space = space;
    world_run(w, 600000);
    TAP_EQ(1, stats(w, 2)->healed);
    TAP_EQ(0, w->nodes[2].daemon->sync.heal_cnt);
    struct ses_store_stats store;
    ses_store_stats(w->nodes[2].store, &store);
    TAP_EQ(1, store.repaired);
    crop_free(&crop);
    world_free(w);
}

/* Four members that have one record. */
static struct world *with_record(struct post *p)
{
    struct world *w = world_new(4, 1);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    struct ses_hash inbox;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(p, w, &inbox, 3000, world_unix_ms(w));
    post_send(w, client, 0, p, 5000, NULL, &a);
    TAP_EQ(SES_STORED, a.stored.state);
    world_run(w, 10000);
    return w;
}

/* Nobody reads the record; the scrub finds it, and another member has it. */
static void test_rot_heals(void)
{
    struct post p;
    struct world *w = with_record(&p);
    world_crash(w, 2);
    w->scrub_rate = 1u << 20;
    world_start(w, 2);
    TAP_OK(damage_log(&w->nodes[2], &p));
    const uint64_t epoch_ms = w->chain_params.params.epoch_seconds * 1000;
    world_run(w, epoch_ms + 60000);
    struct ses_store_stats store;
    ses_store_stats(w->nodes[2].store, &store);
    TAP_EQ(1, store.scrub_damaged);
    TAP_EQ(1, store.repaired);
    TAP_EQ(1, stats(w, 2)->healed);
    world_run(w, 2 * epoch_ms);
    ses_store_stats(w->nodes[2].store, &store);
    TAP_EQ(1, store.scrub_damaged); /* the new copy is sound */
    TAP_OK(store.scrub_records >= 2);
    post_free(&p);
    world_free(w);
}

/* What nobody else has keeps nothing waiting that somebody has. */
static void test_hopeless_damage(void)
{
    struct world *w = world_new(4, 1);
    struct crop shared, lost;
    world_run(w, 10000);
    crop_make(&shared, w, 40, 1, 0, world_unix_ms(w));
    crop_make(&lost, w, 50, 1, 0, world_unix_ms(w));
    for (uint32_t i = 0; i < 4; i++) {
        plant(w, i, &shared);
    }
    world_cut(w, 2, true);
    plant(w, 2, &lost);
    TAP_OK(damage_all(&w->nodes[2], &shared) && damage_all(&w->nodes[2], &lost));
    read_all(w, 2, &shared);
    read_all(w, 2, &lost); /* last told of, and first in line */
    TAP_EQ(90, w->nodes[2].daemon->sync.heal_cnt);
    world_cut(w, 2, false);
    world_run(w, 60000);
    TAP_EQ(40, stats(w, 2)->healed);
    TAP_EQ(50, w->nodes[2].daemon->sync.heal_cnt);
    TAP_EQ(0, held(w, 0, &lost));
    crop_free(&shared);
    crop_free(&lost);
    world_free(w);
}

/* More at once than there is room for is not taken, and taken when there is room. */
static void test_much_damage(void)
{
    struct world *w = world_new(1, 1);
    struct ses_daemon *d = w->nodes[0].daemon;
    struct ses_segment segment;
    uint32_t cnt = 0;
    ses_segment_of(&segment, 2, world_unix_ms(w));
    for (struct ses_hash id; cnt < 10000; cnt++) {
        ses_random_fill(tap_random(), &id, sizeof id);
        if (!ses_heal_damage(d, &id, &segment)) {
            break;
        }
    }
    TAP_OK(cnt > 0 && cnt < 10000);
    TAP_EQ(cnt, d->sync.heal_cnt);
    world_run(w, 60000); /* no leaf has these ids */
    const struct ses_hash id = {{1}};
    TAP_OK(d->sync.heal_cnt < cnt && ses_heal_damage(d, &id, &segment));
    world_free(w);
}

/* Nobody is there to help: what is still to be healed goes with the node. */
static void test_rot_without_help(void)
{
    struct post p;
    struct world *w = with_record(&p);
    for (uint32_t i = 0; i < 4; i++) {
        world_crash(w, i);
    }
    w->scrub_rate = 1u << 20;
    world_start(w, 2);
    TAP_OK(damage_log(&w->nodes[2], &p));
    world_run(w, w->chain_params.params.epoch_seconds * 1000 + 60000);
    TAP_EQ(0, stats(w, 2)->healed);
    TAP_EQ(1, w->nodes[2].daemon->sync.heal_cnt);
    post_free(&p);
    world_free(w);
}

int main(void)
{
    TAP_RUN(test_damage_heals);
    TAP_RUN(test_damage_on_a_full_disk);
    TAP_RUN(test_rot_heals);
    TAP_RUN(test_hopeless_damage);
    TAP_RUN(test_much_damage);
    TAP_RUN(test_rot_without_help);
    return tap_done();
}
