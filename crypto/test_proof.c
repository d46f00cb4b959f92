#include "crypto/proof_walk.h"
#include "crypto/test_forest.h"

#define SWARM 5u
#define EPOCH 77u

static struct ses_leaf leaves[SET_MAX];

/* ---- the model's proofs ---- */

/* One entry of the vectors. */
struct entry {
    uint32_t swarm;
    uint64_t epoch;
    struct ses_hash root;
    struct ses_forest_range range;
    uint64_t position;
    struct ses_forest_question question;
    uint8_t *proof;
    size_t len;
    const json_t *json;
    const char *text; /* of the question */
    struct world world;
    size_t leaf_cnt;
};

static const json_t *set_named(const json_t *vectors, const char *name)
{
    const json_t *sets = json_object_get(json_object_get(vectors, "forest"), "sets");
    size_t i;
    const json_t *set;
    json_array_foreach(sets, i, set)
    {
        if (strcmp(member_text(set, "set"), name) == 0) {
            return set;
        }
    }
    return NULL;
}

static void entry_question(struct entry *e)
{
    struct ses_segment_id segment;
    struct ses_leaf_key key;
    struct ses_hash slot;
    member_fixed(e->json, "segment", segment.bytes, sizeof segment);
    if (strcmp(e->text, "position") == 0) {
        e->position = member_number(e->json, "position");
        e->question.positions = &e->position;
        e->question.position_cnt = 1;
        return;
    }
    if (strcmp(e->text, "completeness") == 0) {
        member_fixed(e->json, "slot", slot.bytes, sizeof slot);
        ses_forest_range_slot(&e->range, &segment, &slot);
    } else {
        member_fixed(e->json, "key", key.bytes, sizeof key);
        ses_forest_range_key(&e->range, &segment, &key);
    }
    e->question.ranges = &e->range;
    e->question.range_cnt = 1;
}

static void entry_open(struct entry *e, const json_t *vectors, const json_t *json)
{
    memset(e, 0, sizeof *e);
    const json_t *set = set_named(vectors, member_text(json, "set"));
    const json_t *forest = json_object_get(vectors, "forest");
    TAP_MUST(set != NULL);
    e->json = json;
    e->text = member_text(json, "question");
    e->swarm = (uint32_t)member_number(forest, "swarm");
    e->epoch = member_number(forest, "epoch");
    e->leaf_cnt = model_set(leaves, vectors, set);
    e->proof = member_bytes(json, "proof", &e->len);
    member_fixed(json, "root", e->root.bytes, sizeof e->root);
    entry_question(e);
    world_open(&e->world);
    world_put(&e->world, leaves, e->leaf_cnt);
}

static void entry_close(struct entry *e)
{
    ses_free(e->proof);
    world_close(&e->world);
}

/* What a checked proof answers, as the vectors write it down. */
struct answer {
    struct ses_leaf leaves[SET_MAX];
    struct ses_segment_id segment;
    size_t cnt;
};

static enum ses_err answer(struct answer *a, const struct entry *e, const uint8_t *proof,
                           size_t len)
{
    struct ses_opened opened;
    a->cnt = 1;
    SES_TRY(ses_forest_check(&opened, &e->root, e->swarm, e->epoch, proof, len));
    if (e->question.position_cnt == 1) {
        return ses_opened_at(&opened, e->position, &a->segment, &a->leaves[0]);
    }
    a->segment = e->range.segment;
    a->cnt = SET_MAX;
    return ses_opened_range(&opened, &e->range, a->leaves, &a->cnt);
}

static void check_answer(const struct entry *e, const struct answer *a)
{
    uint8_t bytes[SES_LEAF_BYTES];
    uint8_t want[SES_LEAF_BYTES];
    if (strcmp(e->text, "completeness") == 0) {
        const json_t *ids = json_object_get(e->json, "ids");
        TAP_MUST(json_array_size(ids) == a->cnt);
        for (size_t i = 0; i < a->cnt; i++) {
            TAP_MUST(ses_hex_decode(want, 32, json_string_value(json_array_get(ids, i))) == SES_OK);
            TAP_BYTES(want, a->leaves[i].key.bytes + 32, 32);
        }
    } else if (strcmp(e->text, "position") == 0) {
        member_fixed(e->json, "leaf", want, sizeof want);
        ses_leaf_encode(bytes, &a->leaves[0]);
        TAP_BYTES(want, bytes, sizeof want);
        member_fixed(e->json, "segment", want, SES_SEGMENT_ID_BYTES);
        TAP_BYTES(want, a->segment.bytes, SES_SEGMENT_ID_BYTES);
    } else {
        TAP_EQ(strcmp(e->text, "membership") == 0, a->cnt);
        TAP_OK(a->cnt == 0 || ses_leaf_key_compare(&a->leaves[0].key, &e->range.low) == 0);
    }
}

static void check_entry(const struct entry *e)
{
    static struct answer a;
    struct ses_buf made = {0};
    TAP_ERR(SES_OK, ses_forest_prove(e->world.forest, &made, &e->question, NULL));
    TAP_MUST(made.len == e->len);
    TAP_BYTES(e->proof, made.bytes, e->len);
    ses_buf_free(&made);
    TAP_ERR(SES_OK, answer(&a, e, e->proof, e->len));
    check_answer(e, &a);
    TAP_EQ(member_number(e->json, "proof_bytes"), e->len);
}

static void each_entry(void (*check)(const struct entry *e))
{
    json_t *vectors = model_load();
    size_t i;
    json_t *json;
    if (vectors == NULL) {
        return;
    }
    json_array_foreach(json_object_get(vectors, "proofs"), i, json)
    {
        struct entry e;
        entry_open(&e, vectors, json);
        check(&e);
        entry_close(&e);
    }
    printf("# %zu proofs\n", i);
    TAP_OK(i > 0);
    json_decref(vectors);
}

static void test_model(void)
{
    each_entry(check_entry);
}

/* Every flipped bit, every cut and every added byte is refused; the number of segments in the
 * first two bytes is a hint, not a claim, and harmless. */
static void check_tampering(const struct entry *e)
{
    static struct answer a;
    static struct answer good;
    uint8_t *bad = ses_alloc(e->len + 1, 1);
    TAP_MUST(bad != NULL && answer(&good, e, e->proof, e->len) == SES_OK);
    memcpy(bad, e->proof, e->len);
    for (size_t bit = 0; bit < 8 * e->len; bit++) {
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (answer(&a, e, bad, e->len) == SES_OK) {
            TAP_MUST(bit < 16 && a.cnt == good.cnt);
            for (size_t i = 0; i < a.cnt; i++) {
                TAP_MUST(same_leaf(&a.leaves[i], &good.leaves[i]));
            }
        }
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < e->len; len++) {
        TAP_MUST(answer(&a, e, bad, len) != SES_OK);
    }
    TAP_ERR(SES_ERR_MALFORMED, answer(&a, e, bad, e->len + 1));
    ses_free(bad);
}

static void test_tampering(void)
{
    each_entry(check_tampering);
}

static void check_elsewhere(const struct entry *e)
{
    struct ses_opened opened;
    struct ses_hash root = e->root;
    TAP_ERR(SES_ERR_CHECKSUM,
            ses_forest_check(&opened, &root, e->swarm + 1, e->epoch, e->proof, e->len));
    TAP_ERR(SES_ERR_CHECKSUM,
            ses_forest_check(&opened, &root, e->swarm, e->epoch + 1, e->proof, e->len));
    root.bytes[31] ^= 1;
    TAP_ERR(SES_ERR_CHECKSUM,
            ses_forest_check(&opened, &root, e->swarm, e->epoch, e->proof, e->len));
    TAP_OK(opened.proof == NULL);
}

static void test_elsewhere(void)
{
    each_entry(check_elsewhere);
}

/* ---- random sets ---- */

struct fixture {
    struct world world;
    size_t cnt;
    struct ses_hash root;
};

static void fixture_open(struct fixture *f, size_t cnt, unsigned hours)
{
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        random_leaf(&leaves[i], hours);
    }
    leaves_sort(leaves, cnt);
    for (size_t i = 0; i < cnt; i++) {
        if (kept == 0 || leaf_order(&leaves[kept - 1], &leaves[i]) != 0) {
            leaves[kept++] = leaves[i];
        }
    }
    f->cnt = kept;
    world_open(&f->world);
    world_put(&f->world, leaves, kept);
    ses_forest_root(f->world.forest, &f->root, SWARM, EPOCH);
}

/* A range of keys of a segment that is there, or may be there: one key, a prefix, or anything. */
static void random_range(struct ses_forest_range *r, const struct fixture *f, unsigned hours)
{
    struct ses_leaf some;
    random_leaf(&some, hours + 2);
    const struct ses_leaf *near = f->cnt > 0 && below(2) == 0 ? &leaves[below(f->cnt)] : &some;
    ses_leaf_segment(&r->segment, below(3) == 0 ? &some : near);
    switch (below(3)) {
    case 0:
        r->low = r->high = near->key;
        break;
    case 1:
        ses_leaf_prefix_range(&r->low, &r->high, &near->key, (unsigned)below(129));
        break;
    default:
        r->low = near->key;
        r->high = some.key;
        if (ses_leaf_key_compare(&r->low, &r->high) > 0) {
            r->low = some.key;
            r->high = near->key;
        }
        break;
    }
}

static bool in_range(const struct ses_forest_range *r, const struct ses_leaf *leaf)
{
    struct ses_segment_id segment;
    ses_leaf_segment(&segment, leaf);
    return memcmp(&segment, &r->segment, sizeof segment) == 0 &&
           ses_leaf_key_compare(&r->low, &leaf->key) <= 0 &&
           ses_leaf_key_compare(&leaf->key, &r->high) <= 0;
}

/* SES_OK with exactly the leaves of the set; anything else fails the test. */
static void check_range(const struct fixture *f, const struct ses_opened *opened,
                        const struct ses_forest_range *r)
{
    static struct ses_leaf got[SET_MAX];
    size_t cnt = SET_MAX;
    size_t at = 0;
    TAP_MUST(ses_opened_range(opened, r, got, &cnt) == SES_OK);
    for (size_t i = 0; i < f->cnt; i++) {
        if (in_range(r, &leaves[i])) {
            TAP_MUST(at < cnt && same_leaf(&got[at], &leaves[i]));
            at++;
        }
    }
    TAP_MUST(at == cnt);
    if (cnt > 1) {
        size_t few = 1;
        TAP_MUST(ses_opened_range(opened, r, got, &few) == SES_ERR_FULL && few == cnt);
    }
}

/* Whatever a proof was not made for it either refuses or answers truly. */
static void check_others(const struct fixture *f, const struct ses_opened *opened, unsigned hours)
{
    static struct ses_leaf got[SET_MAX];
    struct ses_forest_range r;
    struct ses_segment_id segment;
    for (unsigned i = 0; i < 5; i++) {
        size_t cnt = SET_MAX;
        random_range(&r, f, hours);
        const enum ses_err err = ses_opened_range(opened, &r, got, &cnt);
        TAP_MUST(err == SES_OK || err == SES_ERR_CLOSED);
        if (err == SES_OK) {
            check_range(f, opened, &r);
        }
        const uint64_t at = below(f->cnt + 2);
        const enum ses_err at_err = ses_opened_at(opened, at, &segment, got);
        TAP_MUST(at_err == (at >= f->cnt ? SES_ERR_NOT_FOUND : at_err));
        TAP_MUST(at_err == SES_ERR_CLOSED || at_err == SES_ERR_NOT_FOUND ||
                 (at_err == SES_OK && same_leaf(&got[0], &leaves[at])));
    }
}

#define RANGES_MAX 4u
#define POSITIONS_MAX 6u

/* Joint proofs: several ranges and positions at once, each answered. */
static void check_joint(const struct fixture *f, unsigned hours)
{
    struct ses_forest_range ranges[RANGES_MAX];
    uint64_t positions[POSITIONS_MAX];
    struct ses_forest_question q = {.ranges = ranges, .positions = positions};
    struct ses_buf proof = {0};
    struct ses_opened opened;
    for (size_t n = below(RANGES_MAX + 1); q.range_cnt < n; q.range_cnt++) {
        random_range(&ranges[q.range_cnt], f, hours);
    }
    uint64_t next = 0;
    for (size_t n = below(POSITIONS_MAX + 1); q.position_cnt < n && next < f->cnt;) {
        positions[q.position_cnt] = next + below(f->cnt - next);
        next = positions[q.position_cnt++] + 1;
    }
    TAP_MUST(ses_forest_prove(f->world.forest, &proof, &q, NULL) == SES_OK);
    TAP_MUST(ses_forest_check(&opened, &f->root, SWARM, EPOCH, proof.bytes, proof.len) == SES_OK);
    TAP_MUST(opened.count == f->cnt);
    for (size_t i = 0; i < q.range_cnt; i++) {
        check_range(f, &opened, &ranges[i]);
    }
    for (size_t i = 0; i < q.position_cnt; i++) {
        struct ses_leaf got;
        struct ses_segment_id segment;
        TAP_MUST(ses_opened_at(&opened, positions[i], &segment, &got) == SES_OK);
        TAP_MUST(same_leaf(&got, &leaves[positions[i]]));
    }
    check_others(f, &opened, hours);
    ses_buf_free(&proof);
}

static void test_random(void)
{
    static const size_t cnts[] = {0, 1, 2, 16, 17, 50, 300, 1000};
    for (size_t c = 0; c < SES_COUNT(cnts); c++) {
        for (unsigned hours = 1; hours < 40; hours = 2 * hours + 1) {
            struct fixture f;
            fixture_open(&f, cnts[c], hours);
            for (unsigned i = 0; i < 60; i++) {
                check_joint(&f, hours);
            }
            world_close(&f.world);
        }
    }
}

/* Bytes changed at random in proofs of random sets: what is still accepted is still true. */
static void test_random_damage(void)
{
    struct fixture f;
    struct ses_opened opened;
    unsigned accepted = 0;
    fixture_open(&f, 400, 5);
    for (unsigned i = 0; i < 4000; i++) {
        struct ses_forest_range r;
        struct ses_buf proof = {0};
        const struct ses_forest_question q = {.ranges = &r, .range_cnt = 1};
        random_range(&r, &f, 5);
        TAP_MUST(ses_forest_prove(f.world.forest, &proof, &q, NULL) == SES_OK);
        for (size_t n = 1 + below(3); n > 0; n--) {
            /* the first bytes and the tags are the interesting ones */
            const size_t at = below(4) == 0 ? below(2) : below(proof.len);
            proof.bytes[at] = (uint8_t)(below(2) == 0 ? below(4) : below(256));
        }
        if (ses_forest_check(&opened, &f.root, SWARM, EPOCH, proof.bytes, proof.len) == SES_OK) {
            check_others(&f, &opened, 5);
            accepted++;
        }
        ses_buf_free(&proof);
    }
    printf("# %u of 4000 still accepted\n", accepted);
    world_close(&f.world);
}

/* ---- segments of which only the sum is here ---- */

static void test_sealed(void)
{
    struct fixture f;
    struct ses_buf proof = {0};
    struct ses_forest_range r;
    struct ses_segment_id missing;
    struct ses_opened opened;
    struct ses_leaf leaf;
    struct ses_segment_id segment;
    bool present = true;
    fixture_open(&f, 300, 5);
    TAP_MUST(ses_forest_segment_cnt(f.world.forest) == 5);
    ses_leaf_segment(&segment, &leaves[0]);
    ses_forest_range_key(&r, &segment, &leaves[0].key);
    const struct ses_forest_question q = {.ranges = &r, .range_cnt = 1};
    ses_forest_seal(f.world.forest, &segment);
    TAP_MUST(ses_buf_append(&proof, "xyz", 3) == SES_OK);
    TAP_ERR(SES_ERR_AGAIN, ses_forest_prove(f.world.forest, &proof, &q, &missing));
    TAP_BYTES(segment.bytes, missing.bytes, sizeof segment);
    TAP_EQ(3, proof.len);
    /* other segments still answer, with this one closed to its sum */
    ses_leaf_segment(&r.segment, &leaves[f.cnt - 1]);
    r.low = r.high = leaves[f.cnt - 1].key;
    TAP_ERR(SES_OK, ses_forest_prove(f.world.forest, &proof, &q, &missing));
    TAP_BYTES("xyz", proof.bytes, 3);
    TAP_ERR(SES_OK,
            ses_forest_check(&opened, &f.root, SWARM, EPOCH, proof.bytes + 3, proof.len - 3));
    TAP_ERR(SES_OK, ses_opened_key(&opened, &r.segment, &r.low, &present, &leaf));
    TAP_OK(present && same_leaf(&leaf, &leaves[f.cnt - 1]));
    TAP_ERR(SES_ERR_CLOSED, ses_opened_key(&opened, &segment, &leaves[0].key, &present, &leaf));
    TAP_OK(!present);
    ses_buf_free(&proof);
    world_close(&f.world);
}

static void test_bad_questions(void)
{
    struct fixture f;
    struct ses_buf proof = {0};
    fixture_open(&f, 100, 1);
    const uint64_t twice[2] = {4, 4};
    const uint64_t beyond = f.cnt;
    struct ses_forest_range r;
    ses_leaf_segment(&r.segment, &leaves[0]);
    r.low = leaves[1].key;
    r.high = leaves[0].key;
    struct ses_forest_question q = {.positions = twice, .position_cnt = 2};
    TAP_ERR(SES_ERR_INVALID, ses_forest_prove(f.world.forest, &proof, &q, NULL));
    q = (struct ses_forest_question){.positions = &beyond, .position_cnt = 1};
    TAP_ERR(SES_ERR_NOT_FOUND, ses_forest_prove(f.world.forest, &proof, &q, NULL));
    q = (struct ses_forest_question){.ranges = &r, .range_cnt = 1};
    TAP_ERR(SES_ERR_INVALID, ses_forest_prove(f.world.forest, &proof, &q, NULL));
    TAP_EQ(0, proof.len);
    ses_buf_free(&proof);
    world_close(&f.world);
}

/* No memory on the way: what was in the buffer before is all that is in it. */
static void test_allocation_failures(void)
{
    struct fixture f;
    enum ses_err err = SES_ERR_MEMORY;
    unsigned n = 0;
    fixture_open(&f, 600, 3);
    const uint64_t positions[3] = {1, f.cnt / 2, f.cnt - 1};
    const struct ses_forest_question q = {.positions = positions, .position_cnt = 3};
    while (err == SES_ERR_MEMORY && n < 100) {
        struct ses_buf proof = {0};
        TAP_MUST(ses_buf_append(&proof, "xyz", 3) == SES_OK);
        ses_alloc_fail_at(++n);
        err = ses_forest_prove(f.world.forest, &proof, &q, NULL);
        ses_alloc_fail_at(0);
        TAP_OK(memcmp(proof.bytes, "xyz", 3) == 0 && (err == SES_OK) == (proof.len > 3));
        ses_buf_free(&proof);
    }
    TAP_ERR(SES_OK, err);
    TAP_OK(n > 2);
    world_close(&f.world);
}

/* ---- forests that no honest member commits to ----
 * A liar chooses the root, too: it is computed here by the checker's own walk. */

static struct ses_opened forced(struct ses_hash *root, const struct ses_writer *w)
{
    static struct walk walk;
    struct ses_opened opened;
    enum walk_event event;
    TAP_MUST(ses_writer_done(w) == SES_OK);
    walk_begin(&walk, w->bytes, w->len, true);
    do {
        TAP_MUST(walk_next(&walk, &event) == SES_OK);
    } while (event != WALK_END);
    ses_forest_root_of(root, SWARM, EPOCH, &walk.sums[0]);
    TAP_MUST(ses_forest_check(&opened, root, SWARM, EPOCH, w->bytes, w->len) == SES_OK);
    return opened;
}

static void write_leaf(struct ses_writer *w, const struct ses_leaf *leaf)
{
    ses_leaf_encode(ses_write_space(w, SES_LEAF_BYTES), leaf);
}

static void write_segment(struct ses_writer *w, const struct ses_leaf *of)
{
    struct ses_segment_id id;
    ses_leaf_segment(&id, of);
    ses_write_bytes(w, id.bytes, sizeof id.bytes);
}

/* A leaf under another segment than its own: it counts for neither. */
static void test_misplaced_segment(void)
{
    uint8_t bytes[256];
    struct ses_writer w;
    struct ses_hash root;
    struct ses_leaf leaf;
    struct ses_leaf other;
    struct ses_segment_id segment;
    struct ses_leaf got;
    bool present;
    random_leaf(&leaf, 1);
    other = leaf;
    other.ts_ms += 3600000;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\0\1\1", 3);
    write_segment(&w, &other);
    ses_write_bytes(&w, "\2\1\1", 3);
    write_leaf(&w, &leaf);
    const struct ses_opened opened = forced(&root, &w);
    TAP_ERR(SES_ERR_MALFORMED, ses_opened_at(&opened, 0, &segment, &got));
    ses_leaf_segment(&segment, &other);
    TAP_ERR(SES_ERR_MALFORMED, ses_opened_key(&opened, &segment, &leaf.key, &present, &got));
    TAP_OK(!present);
    ses_leaf_segment(&segment, &leaf);
    TAP_ERR(SES_OK, ses_opened_key(&opened, &segment, &leaf.key, &present, &got));
    TAP_OK(!present);
}

/* Leaves out of order, or twice: no answer about that bucket. */
static void test_unordered(void)
{
    uint8_t bytes[512];
    struct ses_writer w;
    struct ses_hash root;
    struct ses_leaf leaf;
    struct ses_leaf got;
    struct ses_segment_id segment;
    bool present;
    random_leaf(&leaf, 1);
    ses_leaf_segment(&segment, &leaf);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\0\1\1", 3);
    write_segment(&w, &leaf);
    ses_write_bytes(&w, "\2\2\1\1", 4);
    write_leaf(&w, &leaf);
    ses_write_u8(&w, 1);
    write_leaf(&w, &leaf);
    const struct ses_opened opened = forced(&root, &w);
    TAP_EQ(2, opened.count);
    TAP_ERR(SES_ERR_MALFORMED, ses_opened_key(&opened, &segment, &leaf.key, &present, &got));
}

static void refused(enum ses_err want, const struct ses_writer *w)
{
    struct ses_opened opened;
    const struct ses_hash root = {{0}};
    TAP_MUST(ses_writer_done(w) == SES_OK);
    TAP_ERR(want, ses_forest_check(&opened, &root, SWARM, EPOCH, w->bytes, w->len));
}

/* Starts a proof of one segment whose trie is to follow. */
static void begin_one(struct ses_writer *w, uint8_t *bytes, size_t cap)
{
    ses_writer_init(w, bytes, cap);
    ses_write_bytes(w, "\0\1\1\3\0\7\xa1\x20", 8);
}

static void write_sum(struct ses_writer *w, uint64_t count, uint64_t size)
{
    static const uint8_t hash[32] = {1};
    ses_write_u8(w, 0);
    ses_write_bytes(w, hash, sizeof hash);
    ses_write_u64(w, count);
    ses_write_u64(w, size);
}

static void test_bad_shapes(void)
{
    static uint8_t bytes[65536];
    struct ses_writer w;
    begin_one(&w, bytes, sizeof bytes); /* bucket of none, of too many, of another number */
    ses_write_bytes(&w, "\2\0", 2);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\2\x11", 2);
    write_sum(&w, 17, 5);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\2\2", 2);
    write_sum(&w, 3, 5);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes); /* branch of so few leaves, of one child, of none */
    ses_write_bytes(&w, "\1\0\0\3", 4);
    write_sum(&w, 16, 5);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\1\0\0\1", 4);
    write_sum(&w, 17, 5);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\1\0\0\0", 4);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes); /* odd skip with something in the low half */
    ses_write_bytes(&w, "\1\1\x11\0\3", 5);
    write_sum(&w, 17, 5);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes); /* unknown tags */
    ses_write_u8(&w, 3);
    refused(SES_ERR_MALFORMED, &w);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\0\1\2", 3);
    refused(SES_ERR_MALFORMED, &w);
}

static void test_overflow(void)
{
    static uint8_t bytes[1024];
    struct ses_writer w;
    for (unsigned which = 0; which < 2; which++) {
        begin_one(&w, bytes, sizeof bytes);
        ses_write_bytes(&w, "\1\0\0\3\1", 5);
        for (unsigned i = 0; i < 2; i++) {
            ses_write_u8(&w, 1);
            write_sum(&w, which == 0 ? UINT64_MAX / 2 + 1 : 20, which == 1 ? UINT64_MAX : 0);
        }
        refused(SES_ERR_MALFORMED, &w);
    }
}

static void test_segment_order(void)
{
    uint8_t bytes[512];
    struct ses_writer w;
    for (unsigned second = 0; second < 2; second++) {
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_write_bytes(&w, "\0\2\1\1\3\0\0\0\1", 9);
        write_sum(&w, 1, 1);
        ses_write_bytes(&w, second == 0 ? "\1\3\0\0\0\1" : "\1\2\0\0\0\7", 6);
        write_sum(&w, 1, 1);
        refused(SES_ERR_MALFORMED, &w);
    }
}

/* As deep as keys go, and one deeper: every step of the way shows a branch of two children. */
static void deep_proof(struct ses_writer *w, uint8_t *bytes, size_t cap, unsigned depth)
{
    begin_one(w, bytes, cap);
    for (unsigned i = 0; i < depth; i++) {
        ses_write_bytes(w, "\1\0\0\3\1\1", 6); /* nibbles 0 and 1; the first is shown ... */
    }
    write_sum(w, 1, 1);
    for (unsigned i = 0; i < depth; i++) {
        write_sum(w, 20, 1); /* ... the second closed */
    }
}

static void test_depth(void)
{
    static uint8_t bytes[65536];
    struct ses_writer w;
    struct ses_hash root;
    struct ses_leaf got;
    struct ses_segment_id segment = {{3, 0, 7, 0xa1, 0x20}};
    struct ses_leaf_key key = {{0}};
    bool present;
    deep_proof(&w, bytes, sizeof bytes, SES_LEAF_NIBBLES);
    const struct ses_opened opened = forced(&root, &w);
    TAP_ERR(SES_ERR_CLOSED, ses_opened_key(&opened, &segment, &key, &present, &got));
    TAP_ERR(SES_ERR_CLOSED, ses_opened_at(&opened, 5, &segment, &got));
    key.bytes[0] = 0x20; /* a nibble that the root's bitmap lacks */
    segment = (struct ses_segment_id){{3, 0, 7, 0xa1, 0x20}};
    TAP_ERR(SES_OK, ses_opened_key(&opened, &segment, &key, &present, &got));
    TAP_OK(!present);
    deep_proof(&w, bytes, sizeof bytes, SES_LEAF_NIBBLES + 1);
    refused(SES_ERR_MALFORMED, &w);
    begin_one(&w, bytes, sizeof bytes); /* one skip beyond the end */
    ses_write_bytes(&w, "\1\x80", 2);
    memset(ses_write_space(&w, 64), 0, 64);
    ses_write_bytes(&w, "\0\3", 2);
    write_sum(&w, 20, 1);
    refused(SES_ERR_MALFORMED, &w);
}

/* The most segments that a proof can name, opened to the left only. */
static void test_many_segments(void)
{
    uint8_t bytes[2048];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_bytes(&w, "\xff\xff", 2);
    for (unsigned i = 0; i < 16; i++) {
        ses_write_u8(&w, 1);
    }
    ses_write_bytes(&w, "\1\3\0\0\0\1", 6);
    write_sum(&w, 2, 1);
    for (unsigned i = 0; i < 16; i++) {
        write_sum(&w, 1, 1);
    }
    struct ses_hash root;
    const struct ses_opened opened = forced(&root, &w);
    TAP_EQ(18, opened.count);
    w.len -= 1;
    refused(SES_ERR_TRUNCATED, &w);
}

int main(void)
{
    TAP_RUN(test_model);
    TAP_RUN(test_tampering);
    TAP_RUN(test_elsewhere);
    TAP_RUN(test_random);
    TAP_RUN(test_random_damage);
    TAP_RUN(test_sealed);
    TAP_RUN(test_bad_questions);
    TAP_RUN(test_allocation_failures);
    TAP_RUN(test_misplaced_segment);
    TAP_RUN(test_unordered);
    TAP_RUN(test_bad_shapes);
    TAP_RUN(test_overflow);
    TAP_RUN(test_segment_order);
    TAP_RUN(test_depth);
    TAP_RUN(test_many_segments);
    return tap_done();
}
