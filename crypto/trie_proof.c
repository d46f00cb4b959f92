/* Proofs of the state trie: the nodes on the way of one key, everything else closed to its hash.
 *
 *   proof    = nothing                       the trie is empty (root of 32 zero bytes)
 *            | step* end
 *   step     = 0x01 shape siblings           the key goes on in the child of its next nibble
 *   end      = 0x02 shape hash               absent: the key leaves the skip, or has no child;
 *                                            hash = MT over the children
 *            | 0x03 u8 n, n x (key 32, value 32)    the bucket, 1 <= n <= 16, keys ascending
 *   shape    = u8 skip_len, skip, u16 bitmap    as they are hashed
 *   siblings = audit path of the child among the children, from the leaf up; how many there are
 *              follows from the bitmap
 *
 * The checker reads forwards and then hashes backwards to the root. Lengths are bounded by the 64
 * nibbles of a key; a trie has one proof for a key. */
#include <string.h>

#include "crypto/trie_internal.h"

enum { STEP = 1, END_ABSENT = 2, END_BUCKET = 3 };

#define PATH_MAX_OF_16 4u

/* ---- prover ---- */

static enum ses_err write_shape(struct ses_buf *out, uint8_t tag, const struct trie_branch *branch,
                                uint16_t bitmap)
{
    uint8_t bytes[2 + 32 + 2];
    struct ses_writer w;
    uint8_t skip[32];
    const unsigned skip_bytes =
        trie_skip_pack(skip, &branch->key, branch->node.depth, branch->node.end);
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u8(&w, tag);
    ses_write_u8(&w, (uint8_t)(branch->node.end - branch->node.depth));
    ses_write_bytes(&w, skip, skip_bytes);
    ses_write_u16(&w, bitmap);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return ses_buf_append(out, bytes, w.len);
}

/* Children with a lower nibble: the position of the nibble's child among the children. */
static unsigned position(uint16_t bitmap, unsigned nibble)
{
    return (unsigned)__builtin_popcount(bitmap & ((1u << nibble) - 1));
}

static enum ses_err write_step(struct ses_buf *out, const struct trie_branch *branch,
                               unsigned nibble)
{
    struct ses_hash hashes[16];
    struct ses_hash path[SES_MT_PATH_MAX];
    uint16_t bitmap;
    size_t path_cnt = 0;
    const unsigned cnt = trie_children(hashes, &bitmap, branch);
    ses_mt_path(path, &path_cnt, hashes, cnt, position(bitmap, nibble));
    SES_TRY(write_shape(out, STEP, branch, bitmap));
    return ses_buf_append(out, path, path_cnt * sizeof path[0]);
}

static enum ses_err write_absent(struct ses_buf *out, const struct trie_branch *branch)
{
    struct ses_hash hashes[16];
    struct ses_hash root;
    uint16_t bitmap;
    ses_mt(&root, hashes, trie_children(hashes, &bitmap, branch));
    SES_TRY(write_shape(out, END_ABSENT, branch, bitmap));
    return ses_buf_append(out, root.bytes, sizeof root.bytes);
}

static enum ses_err write_bucket(struct ses_buf *out, const struct trie_bucket *bucket)
{
    const uint8_t head[2] = {END_BUCKET, bucket->node.leaf_cnt};
    SES_TRY(ses_buf_append(out, head, sizeof head));
    return ses_buf_append(out, bucket->leaves, bucket->node.leaf_cnt * sizeof bucket->leaves[0]);
}

enum ses_err ses_trie_prove(const struct ses_trie *trie, const struct ses_hash *key,
                            struct ses_buf *out)
{
    while (trie != NULL && trie_is_branch(trie)) {
        const struct trie_branch *branch = trie_as_branch(trie);
        const bool within = trie_differ(&branch->key, key, trie->depth, trie->end) == trie->end;
        const unsigned nibble = trie_nibble(key, trie->end);
        if (!within || branch->children[nibble] == NULL) {
            return write_absent(out, branch);
        }
        SES_TRY(write_step(out, branch, nibble));
        trie = branch->children[nibble];
    }
    return trie == NULL ? SES_OK : write_bucket(out, trie_as_bucket(trie));
}

/* ---- checker ---- */

/* A shape that was read: the skipped nibbles stand in `key` at [depth, end). */
struct shape {
    struct ses_hash key;
    uint8_t depth;
    uint8_t end;
    uint16_t bitmap;
    bool room; /* for the key that is asked about: it passes the skip and has a child */
};

/* A step: the shape again, smaller, since on a step the skip is the key's own. */
struct step {
    const uint8_t *siblings;
    uint8_t sibling_cnt;
    uint8_t depth;
    uint8_t end;
    uint16_t bitmap;
};

static void read_shape(struct shape *s, struct ses_reader *r, const struct ses_hash *key,
                       unsigned depth)
{
    *s = (struct shape){.depth = (uint8_t)depth};
    const unsigned skip_len = ses_read_u8(r);
    ses_reader_check(r, depth + skip_len < TRIE_NIBBLES, SES_ERR_MALFORMED);
    const unsigned skip_bytes = (skip_len + 1) / 2;
    const uint8_t *skip = ses_read_view(r, skip_bytes);
    s->bitmap = ses_read_u16(r);
    if (r->err != SES_OK) {
        return;
    }
    s->end = (uint8_t)(depth + skip_len);
    for (unsigned i = 0; i < skip_len; i++) {
        const unsigned nibble = skip[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
        const unsigned at = depth + i;
        s->key.bytes[at / 2] |= (uint8_t)(nibble << (at % 2 == 0 ? 4 : 0));
    }
    ses_reader_check(r, skip_len % 2 == 0 || (skip[skip_bytes - 1] & 15) == 0, SES_ERR_MALFORMED);
    ses_reader_check(r, __builtin_popcount(s->bitmap) >= 2, SES_ERR_MALFORMED);
    s->room = trie_differ(&s->key, key, depth, s->end) == s->end &&
              (s->bitmap >> trie_nibble(key, s->end) & 1) != 0;
}

/* Length of the audit path of element `index` of `cnt`. */
static unsigned path_len(unsigned index, unsigned cnt)
{
    unsigned len = 0;
    for (unsigned last = cnt - 1; last > 0; last /= 2) {
        len += index % 2 == 1 || index < last;
        index /= 2;
    }
    return len;
}

static void read_step(struct step *step, struct ses_reader *r, const struct ses_hash *key,
                      unsigned depth)
{
    struct shape s;
    read_shape(&s, r, key, depth);
    ses_reader_check(r, s.room, SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        return;
    }
    const unsigned cnt = (unsigned)__builtin_popcount(s.bitmap);
    const unsigned sibling_cnt = path_len(position(s.bitmap, trie_nibble(key, s.end)), cnt);
    *step = (struct step){.siblings = ses_read_view(r, 32 * (size_t)sibling_cnt),
                          .sibling_cnt = (uint8_t)sibling_cnt,
                          .depth = s.depth,
                          .end = s.end,
                          .bitmap = s.bitmap};
}

static void read_absent(struct ses_hash *hash, struct ses_reader *r, const struct ses_hash *key,
                        unsigned depth)
{
    struct shape s;
    struct ses_hash children_root;
    read_shape(&s, r, key, depth);
    ses_read_bytes(r, children_root.bytes, sizeof children_root.bytes);
    ses_reader_check(r, !s.room, SES_ERR_MALFORMED);
    if (r->err == SES_OK) {
        trie_branch_hash(hash, &s.key, s.depth, s.end, s.bitmap, &children_root);
    }
}

struct answer {
    bool present;
    struct ses_hash value;
};

static void read_bucket(struct ses_hash *hash, struct answer *answer, struct ses_reader *r,
                        const struct ses_hash *key, unsigned depth)
{
    struct trie_leaf leaves[TRIE_BUCKET_MAX];
    struct ses_hash leaves_root;
    const unsigned cnt = ses_read_u8(r);
    ses_reader_check(r, cnt >= 1 && cnt <= TRIE_BUCKET_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; i < cnt && r->err == SES_OK; i++) {
        ses_read_bytes(r, &leaves[i], sizeof leaves[i]);
        const bool ascends = i == 0 || memcmp(&leaves[i - 1].key, &leaves[i].key, 32) < 0;
        const bool placed = trie_differ(&leaves[i].key, key, 0, depth) == depth;
        ses_reader_check(r, ascends && placed, SES_ERR_MALFORMED);
        if (memcmp(&leaves[i].key, key, 32) == 0) {
            answer->present = true;
            answer->value = leaves[i].value;
        }
    }
    if (r->err == SES_OK) {
        trie_leaves_root(&leaves_root, leaves, cnt);
        trie_bucket_hash(hash, cnt, &leaves_root);
    }
}

/* From the hash of the child to that of its branch. */
static enum ses_err climb(struct ses_hash *hash, const struct step *step,
                          const struct ses_hash *key)
{
    struct ses_hash path[PATH_MAX_OF_16];
    struct ses_hash children_root;
    const unsigned cnt = (unsigned)__builtin_popcount(step->bitmap);
    const unsigned index = position(step->bitmap, trie_nibble(key, step->end));
    SES_ASSERT(step->sibling_cnt <= PATH_MAX_OF_16);
    memcpy(path, step->siblings, 32 * (size_t)step->sibling_cnt);
    SES_TRY(ses_mt_root_of_path(&children_root, hash, index, cnt, path, step->sibling_cnt));
    trie_branch_hash(hash, key, step->depth, step->end, step->bitmap, &children_root);
    return SES_OK;
}

/* Reads all of the proof and gives the root that it leads to. */
static enum ses_err proof_root(struct ses_hash *hash, struct answer *answer,
                               const struct ses_hash *key, struct ses_reader *r)
{
    struct step steps[TRIE_NIBBLES];
    unsigned step_cnt = 0;
    unsigned depth = 0;
    unsigned tag = ses_read_u8(r);
    while (tag == STEP && r->err == SES_OK && depth < TRIE_NIBBLES) {
        read_step(&steps[step_cnt], r, key, depth);
        SES_TRY(r->err);
        depth = steps[step_cnt++].end + 1u;
        tag = ses_read_u8(r);
    }
    if (tag == END_ABSENT) {
        read_absent(hash, r, key, depth);
    } else if (tag == END_BUCKET) {
        read_bucket(hash, answer, r, key, depth);
    } else {
        ses_reader_check(r, false, SES_ERR_MALFORMED);
    }
    SES_TRY(ses_reader_done(r));
    while (step_cnt > 0) {
        SES_TRY(climb(hash, &steps[--step_cnt], key));
    }
    return SES_OK;
}

enum ses_err ses_trie_check(const struct ses_hash *root, const struct ses_hash *key,
                            const uint8_t *proof, size_t proof_len, bool *present,
                            struct ses_hash *value)
{
    struct ses_hash hash = {0};
    struct answer answer = {0};
    struct ses_reader r;
    *present = false;
    *value = (struct ses_hash){0};
    ses_reader_init(&r, proof, proof_len);
    if (proof_len > 0) {
        SES_TRY(proof_root(&hash, &answer, key, &r));
    }
    SES_REQUIRE(memcmp(&hash, root, sizeof hash) == 0, SES_ERR_CHECKSUM);
    *present = answer.present;
    *value = answer.value;
    return SES_OK;
}
