/* Blocks on their way: parsed, verified above their parent, or orphaned by a decision. */
#include <inttypes.h>

#include "vm/vm_internal.h"

struct ses_undecided *ses_undecided_find(const struct ses_vm *vm, const struct ses_hash *id)
{
    struct ses_undecided *u = vm->undecided;
    while (u != NULL && memcmp(u->block.id.bytes, id->bytes, sizeof(id->bytes)) != 0) {
        u = u->next;
    }
    return u;
}

enum ses_err ses_undecided_new(struct ses_undecided **out)
{
    *out = ses_alloc(1, sizeof(**out));
    return *out == NULL ? SES_ERR_MEMORY : SES_OK;
}

/* Forgets what verification produced. */
static void undo(struct ses_vm *vm, struct ses_undecided *u)
{
    ses_entries_free(&u->layer.entries);
    ses_new_epoch_free(&u->epoch);
    ses_rows_unref(u->tip.rows);
    ses_tests_unref(u->tip.tests);
    ses_trie_unref(vm->trie_pool, u->tip.trie);
    u->tip = (struct ses_tip){0};
}

void ses_undecided_free(struct ses_vm *vm, struct ses_undecided *u)
{
    if (u != NULL) {
        undo(vm, u);
        ses_buf_free(&u->bytes);
        ses_buf_free(&u->tx_ids);
        ses_free(u);
    }
}

static void count(struct ses_vm *vm, enum ses_block_status status, bool more)
{
    uint32_t *cnt = status == SES_BLOCK_PARSED ? &vm->parsed_cnt : &vm->verified_cnt;
    *cnt = more ? *cnt + 1 : *cnt - 1;
}

void ses_undecided_link(struct ses_vm *vm, struct ses_undecided *u)
{
    u->next = vm->undecided;
    vm->undecided = u;
    count(vm, u->status, true);
}

void ses_undecided_drop(struct ses_vm *vm, struct ses_undecided *u)
{
    struct ses_undecided **at = &vm->undecided;
    while (*at != u) {
        SES_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = u->next;
    count(vm, u->status, false);
    if (vm->preferred == u) {
        vm->preferred = NULL;
    }
    ses_undecided_free(vm, u);
}

const struct ses_tip *ses_parent_tip(const struct ses_vm *vm, const struct ses_undecided *parent)
{
    return parent == NULL ? &vm->tip : &parent->tip;
}

/* ---- parse ---- */

struct part {
    const uint8_t *at;
    size_t len;
    struct ses_hash id;
    enum ses_err err;
};

static void decode_one(void *cookie, size_t i)
{
    struct part *part = (struct part *)cookie + i;
    struct ses_tx tx;
    part->err = ses_tx_decode(&tx, part->at, part->len);
    part->id = tx.id;
}

static void run_parallel(const struct ses_vm *vm, void (*task)(void *cookie, size_t i),
                         void *cookie, size_t cnt)
{
    if (vm->parallel != NULL && cnt > 1) {
        vm->parallel->run(vm->parallel->ctx, task, cookie, cnt);
        return;
    }
    for (size_t i = 0; i < cnt; i++) {
        task(cookie, i);
    }
}

static enum ses_err split(struct part *parts, const struct ses_undecided *u)
{
    struct ses_reader r;
    ses_reader_init(&r, u->bytes.bytes + SES_BLOCK_HEADER_BYTES,
                    u->bytes.len - SES_BLOCK_HEADER_BYTES);
    for (uint32_t i = 0; i < u->block.tx_cnt; i++) {
        parts[i].at = ses_block_next_tx(&r, &parts[i].len);
        SES_REQUIRE(parts[i].at != NULL, SES_ERR_MALFORMED);
    }
    return SES_OK;
}

/* Every transaction is well-formed; keeps their ids. */
static enum ses_err decode_all(const struct ses_vm *vm, struct ses_undecided *u)
{
    const uint32_t cnt = u->block.tx_cnt;
    struct part *parts = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*parts));
    SES_REQUIRE(parts != NULL, SES_ERR_MEMORY);
    enum ses_err err = split(parts, u);
    if (err == SES_OK) {
        run_parallel(vm, decode_one, parts, cnt);
    }
    for (uint32_t i = 0; err == SES_OK && i < cnt; i++) {
        err = parts[i].err;
        err = err != SES_OK ? err : ses_buf_append(&u->tx_ids, parts[i].id.bytes, 32);
    }
    ses_free(parts);
    return err;
}

static void drop_oldest_parsed(struct ses_vm *vm)
{
    struct ses_undecided *oldest = NULL;
    for (struct ses_undecided *u = vm->undecided; u != NULL; u = u->next) {
        oldest = u->status == SES_BLOCK_PARSED ? u : oldest;
    }
    if (oldest != NULL) {
        ses_undecided_drop(vm, oldest);
    }
}

static bool accepted(const struct ses_vm *vm, const struct ses_block *block)
{
    struct ses_hash id;
    return block->height <= vm->tip.height &&
           ses_vm_block_id_at(vm, block->height, &id) == SES_OK &&
           memcmp(id.bytes, block->id.bytes, sizeof(id.bytes)) == 0;
}

enum ses_err ses_vm_parse(struct ses_vm *vm, const uint8_t *bytes, size_t len, struct ses_hash *id)
{
    struct ses_undecided *u = NULL;
    struct ses_block block;
    memset(id, 0, sizeof(*id));
    SES_TRY(ses_block_decode(&block, bytes, len, vm->params.block_max_bytes));
    if (ses_undecided_find(vm, &block.id) != NULL || accepted(vm, &block)) {
        *id = block.id;
        return SES_OK;
    }
    SES_TRY(ses_undecided_new(&u));
    u->block = block;
    enum ses_err err = ses_buf_append(&u->bytes, bytes, len);
    if (err == SES_OK) {
        err = decode_all(vm, u);
    }
    if (err != SES_OK) {
        ses_undecided_free(vm, u);
        return err;
    }
    if (vm->parsed_cnt >= SES_VM_PARSED_MAX) {
        drop_oldest_parsed(vm);
    }
    ses_undecided_link(vm, u);
    *id = block.id;
    return SES_OK;
}

/* ---- execution, shared by verify and build ---- */

bool ses_empty_allowed(const struct ses_vm *vm, const struct ses_tip *parent, uint64_t timestamp)
{
    const uint64_t epoch = parent->epoch.epoch;
    const uint64_t settle = ses_vm_epoch_start(vm, epoch + 1) - vm->params.settle_seconds;
    return ses_vm_epoch_of(vm, timestamp) > epoch ||
           (parent->timestamp < settle && settle <= timestamp);
}

enum ses_err ses_undecided_begin(struct ses_vm *vm, struct ses_undecided *u,
                                 struct ses_undecided *parent, uint64_t timestamp)
{
    const struct ses_tip *below = ses_parent_tip(vm, parent);
    const uint64_t n = ses_vm_epoch_of(vm, timestamp);
    undo(vm, u);
    u->parent = parent;
    u->layer.parent = below->layer;
    u->layer.kv = &vm->kv;
    u->tip.layer = &u->layer;
    u->tip.height = below->height + 1;
    u->tip.timestamp = timestamp;
    u->tip.epoch = below->epoch;
    u->tip.rows = ses_rows_ref(below->rows);
    u->tip.tests = ses_tests_ref(below->tests);
    return n > below->epoch.epoch ? ses_epoch_transition(vm, &u->tip, &u->epoch, below, n) : SES_OK;
}

enum ses_err ses_layer_root(struct ses_vm *vm, struct ses_tip *tip, const struct ses_trie *base)
{
    const struct ses_entries *e = &tip->layer->entries;
    struct ses_trie_change *changes = ses_alloc(e->cnt == 0 ? 1 : e->cnt, sizeof(*changes));
    SES_REQUIRE(changes != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < e->cnt; i++) {
        const struct ses_entry *entry = &e->list[i];
        ses_blake3_hash(&changes[i].key, entry->key.bytes, entry->key.len);
        changes[i].removed = entry->removed;
        if (!entry->removed) {
            ses_blake3_hash(&changes[i].value, entry->value, entry->value_len);
        }
    }
    const enum ses_err err = ses_trie_apply(vm->trie_pool, &tip->trie, base, changes, e->cnt);
    ses_free(changes);
    SES_TRY(err);
    ses_trie_root(tip->trie, &tip->state_root);
    return SES_OK;
}

enum ses_err ses_undecided_seal(struct ses_vm *vm, struct ses_undecided *u)
{
    return ses_layer_root(vm, &u->tip, ses_parent_tip(vm, u->parent)->trie);
}

/* ---- signatures and openings of a block: all of it in parallel ---- */

struct check {
    struct ses_tx tx;
    struct ses_dsa_pk signer;
    struct ses_dsa_pk node; /* of a demand's receipt */
    bool has_signer;
    bool has_node;
    bool done; /* found among the verified */
    struct ses_response_context response;
    uint8_t shown; /* by the openings of a response */
    enum ses_err err;
};
struct checks {
    const struct ses_hash *chain_id;
    struct check *list;
    uint32_t cnt;
};

static enum ses_err check_openings(struct check *check)
{
    const struct ses_response_context *r = &check->response;
    return ses_response_check(&check->shown, &check->tx.body.response,
                              r->has_root ? &r->root : NULL, r->owed, r->owed_cnt);
}

static void check_one(void *cookie, size_t i)
{
    struct checks *c = cookie;
    struct check *check = &c->list[i];
    const struct ses_known_keys known = {.signer = check->has_signer ? &check->signer : NULL,
                                         .node = check->has_node ? &check->node : NULL};
    if (check->tx.type == SES_TX_RESPONSE) {
        check->err = check_openings(check);
    }
    if (check->err == SES_OK && !check->done) {
        check->err = ses_rules_verify(c->chain_id, &check->tx, &known);
    }
}

/* A key may have been shown by an earlier transaction of the same block. */
static bool find_account_key(const struct ses_layer *layer, const struct checks *c, uint32_t i,
                             struct ses_dsa_pk *out)
{
    const struct ses_auth *auth = &c->list[i].tx.auth[0];
    struct ses_account account;
    memcpy(account.bytes, auth->signer, sizeof(account.bytes));
    if (ses_account_key_load(layer, &account, out) == SES_OK) {
        return true;
    }
    for (uint32_t k = 0; k < i; k++) {
        const struct ses_auth *other = &c->list[k].tx.auth[0];
        if (other->kind == SES_AUTH_FIRST &&
            memcmp(other->signer, auth->signer, sizeof(auth->signer)) == 0) {
            memcpy(out->bytes, other->public_key, SES_DSA_PK_BYTES);
            return true;
        }
    }
    return false;
}

static bool find_node_key(const struct ses_layer *layer, const struct checks *c, uint32_t i,
                          struct ses_dsa_pk *out)
{
    struct ses_node_id node_id;
    SES_ASSERT(ses_tx_node(&c->list[i].tx, &node_id));
    if (ses_node_dsa_load(layer, &node_id, out) == SES_OK) {
        return true;
    }
    for (uint32_t k = 0; k < i; k++) {
        const struct ses_tx *other = &c->list[k].tx;
        if (other->type == SES_TX_REGISTER &&
            memcmp(other->body.reg.node_id.bytes, node_id.bytes, sizeof(node_id.bytes)) == 0) {
            *out = other->body.reg.public_key;
            return true;
        }
    }
    return false;
}

/* `now` stands behind the transition of the block, if it runs one: what a response owes was fixed
 * there, and no transaction of the block changes it. */
static void prepare(const struct ses_vm *vm, const struct ses_tip *now, struct checks *c,
                    uint32_t i)
{
    struct check *check = &c->list[i];
    const struct ses_tx *tx = &check->tx;
    if (tx->type == SES_TX_RESPONSE) {
        ses_response_context_of(&check->response, vm, now, &tx->body.response.node_id);
    }
    check->done = ses_verified_has(vm, &tx->id);
    if (check->done) {
        return;
    }
    if (ses_tx_by_node(tx->type)) {
        check->has_signer = find_node_key(now->layer, c, i, &check->signer);
    } else if (tx->auth[0].kind == SES_AUTH_KNOWN) {
        check->has_signer = find_account_key(now->layer, c, i, &check->signer);
    }
    if (tx->type == SES_TX_DEMAND) {
        check->has_node = find_node_key(now->layer, c, i, &check->node);
    }
}

static enum ses_err load_checks(const struct ses_vm *vm, struct checks *c,
                                const struct ses_undecided *u)
{
    struct ses_reader r;
    c->list = ses_alloc(u->block.tx_cnt == 0 ? 1 : u->block.tx_cnt, sizeof(*c->list));
    SES_REQUIRE(c->list != NULL, SES_ERR_MEMORY);
    ses_reader_init(&r, u->bytes.bytes + SES_BLOCK_HEADER_BYTES,
                    u->bytes.len - SES_BLOCK_HEADER_BYTES);
    for (c->cnt = 0; c->cnt < u->block.tx_cnt; c->cnt++) {
        size_t len = 0;
        const uint8_t *at = ses_block_next_tx(&r, &len);
        SES_REQUIRE(at != NULL, SES_ERR_MALFORMED);
        const struct ses_hash id = ses_undecided_tx_id(u, c->cnt);
        SES_TRY(ses_tx_decode_known(&c->list[c->cnt].tx, at, len, &id));
        prepare(vm, &u->tip, c, c->cnt);
    }
    return SES_OK;
}

static enum ses_err run_checks(struct ses_vm *vm, struct checks *c, struct ses_note *note)
{
    run_parallel(vm, check_one, c, c->cnt);
    for (uint32_t i = 0; i < c->cnt; i++) {
        if (c->list[i].err != SES_OK) {
            ses_note_set(note, "transaction %" PRIu32 " of the block: %s", i,
                         ses_err_text(c->list[i].err));
            return c->list[i].err == SES_ERR_NOT_FOUND ? SES_ERR_SIGNATURE : c->list[i].err;
        }
        ses_verified_add(vm, &c->list[i].tx.id);
    }
    return SES_OK;
}

/* ---- verify ---- */

static enum ses_err check_header(const struct ses_vm *vm, const struct ses_block *block,
                                 const struct ses_tip *parent, struct ses_note *note)
{
    const uint64_t now_s = ses_now_ms(vm->clock) / 1000;
    if (block->height != parent->height + 1) {
        ses_note_set(note, "height %" PRIu64 " given, %" PRIu64 " follows the parent",
                     block->height, parent->height + 1);
        return SES_ERR_PARENT;
    }
    if (block->timestamp < parent->timestamp) {
        ses_note_set(note, "time %" PRIu64 " is before the parent's %" PRIu64, block->timestamp,
                     parent->timestamp);
        return SES_ERR_TIME;
    }
    if (block->timestamp > now_s && block->timestamp - now_s > SES_VM_CLOCK_AHEAD_S) {
        ses_note_set(note,
                     "time %" PRIu64 " is more than %u s ahead of this clock (%" PRIu64
                     "); check both clocks",
                     block->timestamp, SES_VM_CLOCK_AHEAD_S, now_s);
        return SES_ERR_TIME;
    }
    if (block->tx_cnt == 0 && !ses_empty_allowed(vm, parent, block->timestamp)) {
        ses_note_set(note, "a block without transactions is allowed only at an epoch boundary or "
                           "as the first of the settling time");
        return SES_ERR_TIME;
    }
    return SES_OK;
}

static enum ses_err apply_all(struct ses_vm *vm, struct ses_undecided *u, const struct checks *c,
                              struct ses_note *note)
{
    for (uint32_t i = 0; i < c->cnt; i++) {
        struct ses_note why = {{0}};
        const enum ses_err err =
            ses_rules_apply(vm, &u->layer, &u->tip, &c->list[i].tx, &c->list[i].shown, &why);
        if (err != SES_OK) {
            ses_note_set(note, "transaction %" PRIu32 " of the block: %s", i,
                         why.text[0] != 0 ? why.text : ses_err_text(err));
            return err;
        }
    }
    SES_TRY(ses_undecided_seal(vm, u));
    if (memcmp(u->tip.state_root.bytes, u->block.state_root.bytes, 32) != 0) {
        ses_note_set(note, "the block's state root is not what its transactions lead to");
        return SES_ERR_STATE_ROOT;
    }
    return SES_OK;
}

static enum ses_err execute(struct ses_vm *vm, struct ses_undecided *u,
                            struct ses_undecided *parent, struct ses_note *note)
{
    struct checks c = {.chain_id = &vm->chain_id};
    enum ses_err err = ses_undecided_begin(vm, u, parent, u->block.timestamp);
    if (err == SES_OK) {
        err = load_checks(vm, &c, u);
    }
    if (err == SES_OK) {
        err = run_checks(vm, &c, note);
    }
    if (err == SES_OK) {
        err = apply_all(vm, u, &c, note);
    }
    ses_free(c.list);
    if (err != SES_OK) {
        undo(vm, u);
    }
    return err;
}

/* The verified block that `u` stands on; *parent NULL for the last accepted one. */
static enum ses_err find_parent(const struct ses_vm *vm, const struct ses_block *block,
                                struct ses_undecided **parent)
{
    *parent = NULL;
    if (memcmp(block->parent.bytes, vm->tip.id.bytes, sizeof(vm->tip.id.bytes)) == 0) {
        return SES_OK;
    }
    *parent = ses_undecided_find(vm, &block->parent);
    SES_REQUIRE(*parent != NULL && (*parent)->status == SES_BLOCK_VERIFIED, SES_ERR_PARENT);
    return SES_OK;
}

static bool is_accepted_id(const struct ses_vm *vm, const struct ses_hash *id)
{
    struct ses_buf bytes = {0};
    const bool found = ses_ledger_get(&vm->kv, SES_STORE_BLOCK, id->bytes, 32, &bytes) == SES_OK;
    ses_buf_free(&bytes);
    return found;
}

enum ses_err ses_vm_verify(struct ses_vm *vm, const struct ses_hash *id, struct ses_note *note)
{
    struct ses_undecided *u = ses_undecided_find(vm, id);
    struct ses_undecided *parent = NULL;
    if (u == NULL) {
        if (is_accepted_id(vm, id)) {
            return SES_OK;
        }
        ses_note_set(note, "no such block; parse it (again) before verifying it");
        return SES_ERR_NOT_FOUND;
    }
    if (u->status == SES_BLOCK_VERIFIED) {
        return SES_OK;
    }
    if (find_parent(vm, &u->block, &parent) != SES_OK || u->status == SES_BLOCK_ORPHAN) {
        ses_note_set(note, "the block's parent is neither the last accepted nor a verified block");
        return SES_ERR_PARENT;
    }
    if (vm->verified_cnt >= SES_VM_UNDECIDED_MAX) {
        ses_note_set(note, "%u verified blocks are undecided; accept or reject some",
                     SES_VM_UNDECIDED_MAX);
        return SES_ERR_FULL;
    }
    SES_TRY(check_header(vm, &u->block, ses_parent_tip(vm, parent), note));
    SES_TRY(execute(vm, u, parent, note));
    u->tip.id = u->block.id;
    count(vm, u->status, false);
    u->status = SES_BLOCK_VERIFIED;
    count(vm, u->status, true);
    return SES_OK;
}
