/* Who lies, and how: drawn from the seed. */
#include "tests/sim/byz.h"

#define LATE_MS 90000u  /* ahead of the freeze */
#define FRAME_MS 12000u /* into the epoch: before others have done their duty */

static const char *const texts[BYZ_LIE_CNT] = {
#define BYZ_X(name, text) [BYZ_##name] = #name ": " text,
    BYZ_LIES(BYZ_X)
#undef BYZ_X
};

/* One of the four at most: they are answers to one question. */
static uint32_t draw_root_lie(struct dice *d)
{
    static const uint8_t lies[] = {BYZ_OTHER_ROOT, BYZ_EMPTY_ROOT, BYZ_NO_OPENINGS,
                                   BYZ_FALSE_OPENINGS};
    return dice_chance(d, 500) ? 1u << lies[dice_below(d, SES_COUNT(lies))] : 0;
}

static void draw_lies(struct byz *b)
{
    struct sim *s = b->node->sim;
    b->lies = draw_root_lie(&b->dice);
    for (uint32_t lie = BYZ_ACCUSE; lie < BYZ_LIE_CNT; lie++) {
        b->lies |= dice_chance(&b->dice, 300) ? 1u << lie : 0;
    }
    b->lies |= b->lies == 0 ? 1u << BYZ_HIDE_PAGES : 0;
    b->hides = (uint8_t)dice_between(&b->dice, 1, 4);
    b->patient = dice_chance(&b->dice, 500);
    for (uint32_t lie = 0; lie < BYZ_LIE_CNT; lie++) {
        if (byz_does(b, lie)) {
            sim_tell(s, "node %u lies, %s%s", b->node->index, texts[lie],
                     b->patient && (lie == BYZ_HIDE_SYNC || lie == BYZ_SYNC_OTHER)
                         ? " (in bulk only)"
                         : "");
        }
    }
}

/* Fewer than a third; where members move, each swarm is small, and one is enough. */
void byz_draw(struct sim *s)
{
    struct dice d;
    dice_init(&d, s->seed, "byz", 0);
    const uint32_t most = s->churn ? 1 : (s->node_cnt - 1) / 3;
    if (most == 0 || !dice_chance(&d, 600)) {
        return;
    }
    const uint64_t cnt = dice_between(&d, 1, most);
    while (s->byz_cnt < cnt) {
        struct sim_node *node = &s->nodes[dice_below(&d, s->node_cnt)];
        if (node->byz == NULL) {
            node->byz = ses_alloc(1, sizeof *node->byz);
            SES_ASSERT(node->byz != NULL);
            node->byz->node = node;
            dice_init(&node->byz->dice, s->seed, "liar", node->index);
            draw_lies(node->byz);
            s->byz_cnt++;
        }
    }
}

void byz_free(struct sim_node *node)
{
    if (node->byz != NULL) {
        ses_free(node->byz->old);
        ses_free(node->byz->forged);
        ses_free(node->byz);
    }
}

/* ---- once an epoch ---- */
static void before_freeze(void *cookie)
{
    struct byz *b = cookie;
    struct sim *s = b->node->sim;
    const struct ses_params *p = &s->chain.params.params;
    if (!s->ending) {
        byz_late(b, s->now_ms / (p->epoch_seconds * 1000) + 1);
        sim_after(s, p->epoch_seconds * 1000, before_freeze, b);
    }
}

static void at_beginning(void *cookie)
{
    struct byz *b = cookie;
    struct sim *s = b->node->sim;
    if (!s->ending) {
        byz_frame_others(b);
        sim_after(s, s->chain.params.params.epoch_seconds * 1000, at_beginning, b);
    }
}

void byz_start(struct sim *s)
{
    const struct ses_params *p = &s->chain.params.params;
    for (uint32_t i = 0; i < s->node_cnt; i++) {
        struct byz *b = s->nodes[i].byz;
        if (byz_does(b, BYZ_LATE)) {
            sim_after(s, (p->epoch_seconds - p->freeze_seconds) * 1000 - LATE_MS, before_freeze, b);
        }
        if (byz_does(b, BYZ_FRAME)) {
            sim_after(s, p->epoch_seconds * 1000 + FRAME_MS, at_beginning, b);
        }
    }
}

/* ---- records ---- */
void byz_record_make(struct byz_record *out, struct byz *b, const struct ses_map *map,
                     uint32_t swarm, uint64_t ts_ms)
{
    struct ses_hash digest;
    struct ses_record_header header = {
        .kind = SES_RECORD_MESSAGE, .ns = SES_NS_INBOX, .ttl_class = 2, .ts_ms = ts_ms};
    header.ts_ms -= header.ts_ms % 1000;
    do {
        ses_random_fill(&b->dice.random, header.inbox.bytes, sizeof header.inbox.bytes);
        ses_inbox_digest(&digest, &header.inbox);
    } while (ses_swarm_of(&digest, map->num_swarms) != swarm);
    ses_record_header_encode(out->bytes, &header);
    ses_random_fill(&b->dice.random, out->bytes + SES_RECORD_HEADER_BYTES, 64);
    out->record = (struct ses_record){out->bytes, out->bytes + SES_RECORD_HEADER_BYTES, 64};
    SES_ASSERT(ses_record_identify(&out->ids, &out->record) == SES_OK);
}
