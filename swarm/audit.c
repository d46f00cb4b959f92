/* Step 7: what a response has to open, and whether it does (registry page, Epochs). */
#include <string.h>

#include "swarm/swarm_internal.h"

struct draw {
    uint64_t position;
    uint64_t chunk;
};

static void draw_one(struct draw *out, const struct ses_hash *seed,
                     const struct ses_node_id *node_id, const struct ses_hash *root, uint32_t j)
{
    struct ses_hash h;
    uint8_t number[4];
    ses_put_u32(number, j);
    ses_h(&h, "audit",
          SES_PARTS(SES_PART(seed->bytes, 32), SES_PART(node_id->bytes, 20),
                    SES_PART(root->bytes, 32), SES_PART(number, 4)));
    out->position = ses_get_u64(h.bytes);
    out->chunk = ses_get_u64(h.bytes + 8);
}

/* A position drawn twice is opened once, with the chunk of its first draw. */
static void add_audit(struct ses_owed *out, uint32_t *cnt, uint64_t position, uint64_t chunk)
{
    for (uint32_t i = 0; i < *cnt; i++) {
        if (out[i].position == position) {
            return;
        }
    }
    out[(*cnt)++] =
        (struct ses_owed){.kind = SES_OWED_AUDIT, .position = position, .chunk_draw = chunk};
}

uint32_t ses_owed_list(struct ses_owed out[SES_OWED_MAX], const struct ses_hash *seed,
                       const struct ses_node_id *node_id, const struct ses_committed *root,
                       uint64_t audit_leaves, const struct ses_owed *demands, uint32_t demand_cnt)
{
    static const struct ses_hash none = {{0}};
    const struct ses_hash *of = root == NULL ? &none : &root->root;
    uint32_t cnt = 0;
    struct draw draw;
    SES_ASSERT(audit_leaves <= SES_AUDIT_LEAVES_MAX && demand_cnt <= SES_DEMANDS_MAX);
    for (uint32_t j = 0; root != NULL && root->count > 0 && j < audit_leaves; j++) {
        draw_one(&draw, seed, node_id, of, j);
        add_audit(out, &cnt, draw.position % root->count, draw.chunk);
    }
    for (uint32_t i = 0; i < demand_cnt; i++) {
        draw_one(&draw, seed, node_id, of, (uint32_t)audit_leaves + i);
        out[cnt] = demands[i];
        out[cnt].kind = SES_OWED_DEMAND;
        out[cnt].position = 0;
        out[cnt++].chunk_draw = draw.chunk;
    }
    return cnt;
}

/* ---- the check ---- */

/* The leaf that is owed, as the proof shows it. */
static enum ses_err find_leaf(struct ses_leaf *leaf, const struct ses_opened *opened,
                              const struct ses_owed *owed)
{
    struct ses_segment_id segment;
    bool present = false;
    if (owed->kind == SES_OWED_AUDIT) {
        SES_REQUIRE(ses_opened_at(opened, owed->position, &segment, leaf) == SES_OK,
                    SES_ERR_OPENING);
        return SES_OK;
    }
    SES_REQUIRE(ses_opened_key(opened, &owed->segment, &owed->key, &present, leaf) == SES_OK,
                SES_ERR_OPENING);
    return present ? SES_OK : SES_ERR_OPENING;
}

static enum ses_err check_opening(const struct ses_opening *o, const struct ses_owed *owed,
                                  const struct ses_opened *opened, const struct ses_committed *root)
{
    struct ses_leaf leaf;
    struct ses_hash digest;
    SES_TRY(find_leaf(&leaf, opened, owed));
    memcpy(digest.bytes, leaf.key.bytes, sizeof(digest.bytes));
    SES_REQUIRE(ses_swarm_of(&digest, root->num_swarms) == root->swarm, SES_ERR_OPENING);
    SES_REQUIRE(ses_opening_check(o, &leaf, owed->chunk_draw) == SES_OK, SES_ERR_OPENING);
    return SES_OK;
}

enum ses_err ses_response_check(uint8_t *shown, const struct ses_tx_response *response,
                                const struct ses_committed *root, const struct ses_owed *owed,
                                uint32_t owed_cnt)
{
    struct ses_opened opened;
    *shown = 0;
    if (response->proof_len == 0) {
        SES_REQUIRE(response->opening_cnt == 0, SES_ERR_OPENING);
        return SES_OK;
    }
    if (SES_MUTANT(OPENINGS_NOT_CHECKED)) {
        *shown = (uint8_t)((1u << owed_cnt) - 1);
        return SES_OK;
    }
    SES_REQUIRE(root != NULL, SES_ERR_OPENING);
    SES_REQUIRE(ses_forest_check(&opened, &root->root, root->swarm, root->epoch, response->proof,
                                 response->proof_len) == SES_OK,
                SES_ERR_OPENING);
    SES_REQUIRE(opened.count == root->count && opened.bytes == root->bytes, SES_ERR_OPENING);
    uint8_t bits = 0;
    for (uint32_t i = 0; i < response->opening_cnt; i++) {
        const struct ses_opening *o = &response->openings[i];
        SES_REQUIRE(o->index < owed_cnt, SES_ERR_OPENING);
        SES_TRY(check_opening(o, &owed[o->index], &opened, root));
        bits = (uint8_t)(bits | 1u << o->index);
    }
    *shown = bits;
    return SES_OK;
}
