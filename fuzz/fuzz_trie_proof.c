/* Proofs of the state trie: whatever the checker takes for a key is the very proof that the prover
 * makes, and says what the trie says. First byte: which key; the rest: the proof. */
#include <string.h>

#include "crypto/crypto.h"
#include "fuzz/fuzz.h"

#define KEYS 256u
#define PRESENT 200u

/* Keys of which some share long prefixes. */
static void key_at(struct ses_hash *key, unsigned i)
{
    const uint8_t number = (uint8_t)i;
    ses_blake3_hash(key, &number, 1);
    if (i % 3 == 0) {
        memset(key->bytes, 0x5a, i % 32);
    }
}

static const struct ses_trie *trie_once(struct ses_trie_pool **pool)
{
    static struct ses_trie_pool *kept;
    static const struct ses_trie *trie;
    if (kept == NULL) {
        struct ses_trie_change changes[PRESENT];
        memset(changes, 0, sizeof changes);
        for (unsigned i = 0; i < PRESENT; i++) {
            key_at(&changes[i].key, i);
            changes[i].value.bytes[0] = (uint8_t)i;
        }
        SES_ASSERT(ses_trie_pool_new(&kept) == SES_OK);
        SES_ASSERT(ses_trie_apply(kept, &trie, NULL, changes, PRESENT) == SES_OK);
    }
    *pool = kept;
    return trie;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_trie_pool *pool;
    const struct ses_trie *trie = trie_once(&pool);
    struct ses_hash root;
    struct ses_hash key;
    struct ses_hash value;
    struct ses_hash want = {0};
    bool present;
    if (size == 0) {
        return 0;
    }
    key_at(&key, data[0]);
    ses_trie_root(trie, &root);
    if (ses_trie_check(&root, &key, data + 1, size - 1, &present, &value) == SES_OK) {
        struct ses_buf proof = {0};
        SES_ASSERT(ses_trie_prove(trie, &key, &proof) == SES_OK);
        SES_ASSERT(proof.len == size - 1 && memcmp(proof.bytes, data + 1, proof.len) == 0);
        SES_ASSERT(ses_trie_get(trie, &key, &want) == present);
        SES_ASSERT(memcmp(&want, &value, sizeof value) == 0);
        ses_buf_free(&proof);
    }
    return 0;
}
