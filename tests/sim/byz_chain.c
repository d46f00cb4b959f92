/* What a liar submits: its daemon's transactions, changed and signed anew, and some in the name of
 * others. */
#include "tests/sim/byz.h"

static void sign(struct byz *b, const struct ses_tx *tx, struct ses_buf *out)
{
    struct ses_writer w;
    SES_ASSERT(ses_buf_reserve(out, SES_TX_BYTES_MAX) == SES_OK);
    ses_writer_init(&w, out->bytes, SES_TX_BYTES_MAX);
    ses_tx_write_body(&w, tx);
    SES_ASSERT(ses_tx_sign(&w, &b->node->sim->chain.params.chain_id, out->bytes, w.len,
                           SES_AUTH_NODE, b->node->key, &b->dice.random) == SES_OK);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    out->len = w.len;
}

static bool change_commitment(struct byz *b, struct ses_tx_commitment *c)
{
    if (byz_does(b, BYZ_EMPTY_ROOT)) {
        const struct ses_sum none = {.count = 0};
        ses_forest_root_of(&c->root, c->swarm, c->epoch, &none);
        c->count = c->bytes = 0;
        return true;
    }
    if (byz_does(b, BYZ_OTHER_ROOT)) {
        c->root.bytes[dice_below(&b->dice, 32)] ^= 1u;
        c->count += dice_below(&b->dice, 3);
        return true;
    }
    return false;
}

/* A sibling, a sum, a length: whatever stands there, but for the number of segments, of which a
 * proof holds no more than it shows: where the last ones are closed, another number is as true. */
#define PROOF_HEAD 2u
static void forge(struct byz *b, struct ses_tx_response *m, struct ses_buf *proof)
{
    if (m->proof_len == 0) {
        return;
    }
    SES_ASSERT(ses_buf_append(proof, m->proof, m->proof_len) == SES_OK);
    const bool payload = m->opening_cnt > 0 && !m->openings[0].leaf_only; /* a tombstone has none */
    if (payload && dice_chance(&b->dice, 500)) {
        m->openings[0].payload_root.bytes[0] ^= 1u;
    } else {
        proof->bytes[dice_between(&b->dice, PROOF_HEAD, proof->len - 1)] ^= 1u;
    }
    m->proof = proof->bytes;
}

static bool change_response(struct byz *b, struct ses_tx_response *m, struct ses_buf *proof)
{
    const bool accuses = byz_does(b, BYZ_ACCUSE);
    if (accuses) {
        memset(m->verdicts, 0, sizeof m->verdicts);
    }
    if (byz_does(b, BYZ_NO_OPENINGS)) {
        m->opening_cnt = 0;
        m->proof_len = 0;
    } else if (byz_does(b, BYZ_FALSE_OPENINGS)) {
        forge(b, m, proof);
    }
    return accuses || byz_does(b, BYZ_NO_OPENINGS) || byz_does(b, BYZ_FALSE_OPENINGS);
}

/* Two roots for one epoch, of which a block may hold one. */
static void submit_first(const struct byz *b, const struct ses_buf *honest)
{
    struct sim *s = b->node->sim;
    struct ses_note note = {{0}};
    struct ses_hash id;
    const enum ses_err err =
        ses_vm_submit(s->chain.machines[0].vm, honest->bytes, honest->len, &id, &note);
    sim_tell(s, "node %u commits twice: %s", b->node->index, ses_err_name(err));
}

void byz_submit(struct sim_node *node, struct ses_buf *bytes)
{
    struct byz *b = node->byz;
    struct ses_tx *tx = ses_alloc(1, sizeof *tx);
    struct ses_buf proof = {0};
    struct ses_buf out = {0};
    SES_ASSERT(tx != NULL && ses_tx_decode(tx, bytes->bytes, bytes->len) == SES_OK);
    const bool changed = tx->type == SES_TX_COMMITMENT ? change_commitment(b, &tx->body.commitment)
                         : tx->type == SES_TX_RESPONSE
                             ? change_response(b, &tx->body.response, &proof)
                             : false;
    if (tx->type == SES_TX_RESPONSE &&
        (byz_does(b, BYZ_NO_OPENINGS) || byz_does(b, BYZ_FALSE_OPENINGS))) {
        b->bare_epoch = tx->body.response.epoch;
    }
    if (changed) {
        sim_see(node->sim, SEEN_LIE_CHAIN);
        if (tx->type == SES_TX_COMMITMENT && dice_chance(&b->dice, 500)) {
            submit_first(b, bytes);
        }
        sign(b, tx, &out);
        ses_buf_free(bytes);
        *bytes = out;
    }
    ses_buf_free(&proof);
    ses_free(tx);
}

/* ---- in the name of others ---- */
/* Signed with the liar's key, in the name of `victim`. */
static void submit_as(struct byz *b, const struct ses_tx *tx, const struct ses_node_id *victim)
{
    struct sim *s = b->node->sim;
    struct ses_buf out = {0};
    struct ses_note note = {{0}};
    struct ses_hash id;
    sign(b, tx, &out);
    memcpy(out.bytes + out.len - SES_DSA_SIG_BYTES - sizeof victim->bytes, victim->bytes,
           sizeof victim->bytes);
    const enum ses_err err = ses_vm_submit(s->chain.machines[0].vm, out.bytes, out.len, &id, &note);
    sim_tell(s, "node %u: %s in another's name: %s", b->node->index, ses_tx_type_text(tx->type),
             ses_err_name(err));
    ses_buf_free(&out);
}

static void frame(struct byz *b, const struct ses_map *map, const struct ses_map_node *victim)
{
    struct ses_tx *tx = ses_alloc(1, sizeof *tx);
    SES_ASSERT(tx != NULL);
    tx->type = SES_TX_COMMITMENT;
    tx->body.commitment = (struct ses_tx_commitment){.node_id = victim->row.node_id,
                                                     .epoch = map->epoch,
                                                     .swarm = victim->row.swarm,
                                                     .count = 1,
                                                     .bytes = 1};
    ses_random_fill(&b->dice.random, tx->body.commitment.root.bytes, 32);
    ses_random_fill(&b->dice.random, tx->body.commitment.reveal.bytes, 32);
    ses_random_fill(&b->dice.random, tx->body.commitment.next.bytes, 32);
    submit_as(b, tx, &victim->row.node_id);
    tx->type = SES_TX_RESPONSE;
    tx->body.response =
        (struct ses_tx_response){.node_id = victim->row.node_id, .epoch = map->epoch};
    const uint32_t tested = map->node_cnt - 1 < 20 ? map->node_cnt - 1 : 20;
    tx->body.response.verdict_cnt = (uint8_t)((tested + 7) / 8);
    submit_as(b, tx, &victim->row.node_id);
    ses_free(tx);
}

void byz_frame_others(struct byz *b)
{
    struct sim *s = b->node->sim;
    struct ses_map *map = sim_chain_map(s, 0);
    const uint32_t at = (uint32_t)dice_below(&b->dice, map->node_cnt);
    const struct ses_map_node *victim = &map->nodes[at];
    if (victim->row.swarm != SES_SWARM_NONE &&
        !ses_equal(&victim->row.node_id, &b->node->node_id, sizeof victim->row.node_id)) {
        frame(b, map, victim);
    }
    sim_map_free(map);
}
