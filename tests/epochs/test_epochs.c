/* Many epochs of several daemons on a real chain: honest nodes never miss, others miss for the
 * reason that is theirs, and no node ever commits twice to one epoch. */
#include <ftw.h>
#include <inttypes.h>
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"
#include "tests/epochs/ledger.h"

#define ADVICE_MAX 200u

static const char *copied_from; /* nftw has no cookie */

static struct ses_params params_of(uint64_t epoch_s, uint64_t block_s)
{
    struct ses_params p;
    ses_params_defaults(&p);
    p.epoch_seconds = epoch_s;
    p.block_seconds = block_s;
    p.settle_seconds = epoch_s / 6;
    p.freeze_seconds = epoch_s / 12 > 0 ? epoch_s / 12 : 1;
    p.min_free_bytes = 0;
    p.min_free_bps = 0;
    p.rotate_per_swarm_epochs = 0;
    return p;
}

/* A stranger's record at the first node that takes it. */
static void write_one(struct world *w, struct world_net *from, uint32_t bytes, struct post *p)
{
    struct ses_hash inbox;
    struct post_answer a;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(p, w, &inbox, bytes, world_unix_ms(w));
    for (uint32_t i = 0; i < w->node_cnt; i++) {
        if (w->nodes[i].daemon == NULL) {
            continue;
        }
        post_send(w, from, i, p, 5000, NULL, &a);
        if (a.ok) {
            return;
        }
    }
    TAP_OK(false);
}

static void write_some(struct world *w, struct world_net *from, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        struct post p;
        write_one(w, from, i % 5 == 0 ? 0 : 100 + 700 * i, &p);
        post_free(&p);
    }
}

static void end(struct ledger *l)
{
    ledger_stop(l);
    world_free(l->world);
    ledger_free(l);
}

static const struct ses_report *report_of(struct world *w, uint32_t node, uint64_t epoch)
{
    uint32_t cnt = 0;
    const struct ses_report *reports = ses_daemon_reports(w->nodes[node].daemon, &cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        if (reports[i].epoch == epoch) {
            return &reports[i];
        }
    }
    return NULL;
}

static uint64_t canonical_count(const struct ledger *l, uint64_t epoch)
{
    struct ses_canonical_root roots[8];
    struct ses_epoch record;
    struct ses_buf bytes = {0};
    struct ses_reader r;
    TAP_MUST(ses_vm_epoch(l->vm, epoch, &bytes) == SES_OK);
    ses_reader_init(&r, bytes.bytes, bytes.len);
    ses_epoch_read(&r, &record, roots, SES_COUNT(roots));
    TAP_MUST(ses_reader_done(&r) == SES_OK);
    ses_buf_free(&bytes);
    uint64_t count = 0;
    for (uint32_t i = 0; i < record.canonical_cnt; i++) {
        count += roots[i].count;
    }
    return count;
}

/* ---- honest nodes ---- */
static void check_honest_report(struct world *w, uint32_t node, uint64_t epoch)
{
    const struct ses_report *r = report_of(w, node, epoch);
    TAP_MUST(r != NULL);
    TAP_OK(r->owes_commitment && r->committed && r->commitment_sent_ms > 0);
    TAP_OK(r->owes_response && r->responded && r->response_sent_ms > 0);
    TAP_OK(r->judged && r->judgement.causes == 0);
    TAP_EQ(r->owed_cnt, r->opened_cnt);
    TAP_EQ(r->target_cnt, r->reached_cnt);
    TAP_TEXT("", r->commitment_why);
    TAP_TEXT("", r->response_why);
}

static void honest(uint32_t node_cnt, uint64_t epoch_s, uint64_t block_s, uint64_t epochs)
{
    struct ledger l;
    const struct ses_params params = params_of(epoch_s, block_s);
    struct world *w = ledger_world(&l, node_cnt, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    uint64_t owed = 0;
    for (uint64_t epoch = 1; epoch <= epochs; epoch++) {
        write_some(w, client, 3);
        ledger_run_to(&l, epoch);
    }
    world_run(w, epoch_s * 1000 / 10);
    TAP_EQ(0, ledger_missed(&l, 0, epochs - 1));
    TAP_EQ(0, l.twice);
    TAP_OK(canonical_count(&l, epochs) > 0);
    for (uint32_t i = 0; i < node_cnt; i++) {
        for (uint64_t epoch = epochs - 3; epoch < epochs; epoch++) {
            check_honest_report(w, i, epoch);
            owed += report_of(w, i, epoch)->owed_cnt;
        }
    }
    TAP_OK(owed >= 3 * node_cnt); /* and it was no empty game */
    end(&l);
}

static void test_honest_hours(void)
{
    honest(6, 3600, 2, 8);
}

static void test_honest_short_epochs(void)
{
    honest(6, 20, 1, 30);
}

/* As `session devnet` runs it. */
static void test_honest_eight_seconds(void)
{
    honest(4, 8, 1, 40);
}

static void test_honest_two_swarms(void)
{
    struct ledger l;
    struct ses_params params = params_of(120, 2);
    params.swarm_target = 4;
    struct world *w = ledger_world(&l, 8, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    for (uint64_t epoch = 1; epoch <= 8; epoch++) {
        write_some(w, client, 2);
        ledger_run_to(&l, epoch);
    }
    TAP_EQ(0, ledger_missed(&l, 0, 7));
    TAP_EQ(0, l.twice);
    end(&l);
}

/* Clocks a little off, each its way. */
static void test_honest_skewed(void)
{
    struct ledger l;
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    for (uint32_t i = 0; i < 6; i++) {
        w->nodes[i].skew_ms = ((int64_t)i - 3) * 1500;
    }
    for (uint64_t epoch = 1; epoch <= 10; epoch++) {
        write_some(w, client, 2);
        ledger_run_to(&l, epoch);
    }
    TAP_EQ(0, ledger_missed(&l, 0, 9));
    end(&l);
}

/* ---- nodes that miss ---- */
static void test_killed_node_misses(void)
{
    struct ledger l;
    struct ses_judgement j;
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 6);
    ledger_run_to(&l, 4);
    world_crash(w, 5);
    ledger_run_to(&l, 7);
    world_start(w, 5);
    ledger_run_to(&l, 9);
    world_run(w, 30000);
    TAP_EQ(1u << 5, ledger_missed(&l, 4, 6)); /* and nobody else */
    TAP_EQ(0, ledger_missed(&l, 0, 3));
    for (uint64_t epoch = 4; epoch < 7; epoch++) {
        ledger_judgement(&l, 5, epoch, &j);
        TAP_OK((j.causes & SES_CAUSE_COMMITMENT) != 0 && (j.causes & SES_CAUSE_RESPONSE) != 0);
        const struct ses_report *r = report_of(w, 5, epoch);
        TAP_MUST(r != NULL);
        TAP_OK(r->judged && r->judgement.causes == j.causes);
        TAP_OK(r->commitment_why[0] != '\0' || epoch == 4);
    }
    const struct ses_report kept = *report_of(w, 5, 5);
    struct ses_daemon_status *status = ses_alloc(1, sizeof *status);
    TAP_MUST(status != NULL);
    ses_daemon_status(w->nodes[5].daemon, status);
    TAP_TEXT("", status->advice); /* the last judged epoch passed */
    ses_free(status);
    world_stop(w, 5, 0); /* what it could tell it can tell after a restart */
    world_start(w, 5);
    TAP_MUST(report_of(w, 5, 5) != NULL);
    TAP_OK(report_of(w, 5, 5)->judgement.causes == kept.judgement.causes);
    TAP_EQ(kept.judgement.slashed, report_of(w, 5, 5)->judgement.slashed);
    TAP_TEXT(kept.commitment_why, report_of(w, 5, 5)->commitment_why);
    json_t *json = ses_reports_json(report_of(w, 5, 5), 1);
    TAP_TEXT("missed", json_string_value(json_object_get(json_array_get(json, 0), "outcome")));
    TAP_EQ(3, json_array_size(json_object_get(json_array_get(json, 0), "causes")));
    json_decref(json);
    /* it is back: what it could not commit to in 6 cannot be opened in 7, and that is no miss */
    ledger_judgement(&l, 5, 7, &j);
    TAP_EQ(0, j.causes);
    ledger_judgement(&l, 5, 8, &j);
    TAP_EQ(0, j.causes);
    end(&l);
}

static int unlink_log(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    const size_t len = strlen(path);
    return kind == FTW_F && len > 4 && strcmp(path + len - 4, ".log") == 0 ? remove(path) : 0;
}

/* Its data is gone, its promises are not. */
static void test_lost_data_misses(void)
{
    struct ledger l;
    struct ses_judgement j;
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 20);
    ledger_run_to(&l, 4);
    world_run(w, 250000); /* committed, not yet responded */
    TAP_OK(report_of(w, 2, 4)->committed);
    ledger_run_to(&l, 5);
    world_stop(w, 2, 0);
    TAP_OK(nftw(w->nodes[2].dir, unlink_log, 16, FTW_PHYS) == 0);
    world_start(w, 2);
    ledger_run_to(&l, 6);
    world_run(w, 30000);
    ledger_judgement(&l, 2, 5, &j);
    TAP_OK((j.causes & SES_CAUSE_OPENING) != 0);  /* root(4) */
    TAP_OK((j.causes & SES_CAUSE_RESPONSE) == 0); /* it did answer */
    const struct ses_report *r = report_of(w, 2, 5);
    TAP_OK(r->response_why[0] != '\0' && r->opened_cnt < r->owed_cnt);
    TAP_EQ(0, ledger_missed(&l, 0, 4));
    end(&l);
}

/* The receipt of one node for a record that is stored. */
static void receipt_of(struct world *w, struct world_net *client, const struct post *p,
                       uint32_t node, struct ses_receipt *out)
{
    uint8_t ask[64];
    struct ses_writer writer;
    struct world_reply reply;
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok = false;
    ses_writer_init(&writer, ask, sizeof ask);
    ses_store_receipts_write(&writer, &p->ids.id);
    world_ask(w, client, node, SES_PROTO_STORE, NULL, ask, writer.len, &reply);
    TAP_MUST(world_wait(w, &reply, 10000) && reply.err == SES_OK);
    TAP_MUST(ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal) == SES_OK);
    TAP_MUST(ok && ses_read_u16(&r) > 0);
    ses_receipt_read(&r, out); /* its own comes first */
    TAP_MUST(r.err == SES_OK);
    ses_buf_free(&reply.body);
}

/* Whoever holds a receipt makes its signer show the record, and an honest one can. */
static void test_demands(void)
{
    struct ledger l;
    struct ses_receipt receipts[2];
    struct post p[2];
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 10);
    write_one(w, client, 3000, &p[0]);
    write_one(w, client, 0, &p[1]);
    world_run(w, 2000);
    receipt_of(w, client, &p[0], 3, &receipts[0]);
    receipt_of(w, client, &p[1], 3, &receipts[1]);
    ledger_run_to(&l, 4);
    ledger_demand(&l, &receipts[0]);
    ledger_demand(&l, &receipts[1]);
    ledger_run_to(&l, 6);
    world_run(w, 30000);
    const struct ses_report *r = report_of(w, 3, 5);
    TAP_MUST(r != NULL);
    TAP_OK(r->owed_cnt >= 3); /* the chain's draws and the two demands */
    check_honest_report(w, 3, 5);
    TAP_EQ(0, ledger_missed(&l, 0, 5));
    post_free(&p[0]);
    post_free(&p[1]);
    end(&l);
}

static void advice_of(const struct world *w, uint32_t node, char out[ADVICE_MAX])
{
    struct ses_daemon_status *status = ses_alloc(1, sizeof *status);
    TAP_MUST(status != NULL);
    ses_daemon_status(w->nodes[node].daemon, status);
    snprintf(out, ADVICE_MAX, "%s", status->advice);
    ses_free(status);
}

/* Away for so long that the seat is lost; it serves again once it answered for an epoch. */
static void test_seat_lost_and_found(void)
{
    struct ledger l;
    struct ses_node node;
    char advice[ADVICE_MAX];
    const struct ses_params params = params_of(120, 2);
    struct world *w = ledger_world(&l, 8, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 4);
    ledger_run_to(&l, 3);
    world_crash(w, 7);
    ledger_run_to(&l, 11);
    ledger_node(&l, 7, &node);
    TAP_EQ(SES_SWARM_NONE, node.swarm);
    world_start(w, 7);
    world_run(w, 10000);
    advice_of(w, 7, advice);
    TAP_OK(strstr(advice, "the seat was lost") != NULL);
    ledger_run_to(&l, 14);
    advice_of(w, 7, advice);
    TAP_OK(strstr(advice, "seat") == NULL);
    ledger_node(&l, 7, &node);
    TAP_EQ(0, node.swarm);
    TAP_EQ(SES_NODE_ACTIVE, node.status);
    TAP_EQ(0, ledger_missed(&l, 12, 13));
    ledger_run_to(&l, 17);
    world_run(w, 12000);
    TAP_EQ(0, ledger_missed(&l, 14, 16));
    TAP_OK(report_of(w, 7, 16)->committed);
    end(&l);
}

/* ---- crashes ---- */
/* Killed and started again, over and over, wherever it stands. */
static void test_never_twice(void)
{
    struct ledger l;
    const struct ses_params params = params_of(120, 2);
    struct world *w = ledger_world(&l, 4, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    uint64_t dice = 0;
    write_some(w, client, 6);
    ledger_run_to(&l, 2);
    for (uint32_t i = 0; i < 150; i++) {
        ses_random_fill(tap_random(), &dice, sizeof dice);
        world_crash(w, 1);
        l.deaf = (dice >> 40) % 4 == 0;
        world_run(w, dice % 3000);
        world_start(w, 1);
        world_run(w, (dice >> 20) % 9000);
    }
    l.deaf = false;
    TAP_EQ(0, l.twice);
    TAP_OK(l.sent_txs[SES_TX_COMMITMENT] > 10);
    end(&l);
}

static int copy_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    char to[512], bytes[65536];
    (void)st;
    (void)ftw;
    snprintf(to, sizeof to, "%s.kept%s", copied_from, path + strlen(copied_from));
    if (kind == FTW_D) {
        return mkdir(to, 0700);
    }
    FILE *in = fopen(path, "rb");
    FILE *out = fopen(to, "wb");
    TAP_MUST(in != NULL && out != NULL);
    for (size_t len; (len = fread(bytes, 1, sizeof bytes, in)) > 0;) {
        TAP_MUST(fwrite(bytes, 1, len, out) == len);
    }
    fclose(in);
    return fclose(out);
}

/* A backup is put back in the place of the data directory, in epoch 5 or before the node runs again
 * in 6. It commits to nothing in an epoch for which it may have signed something that it does not
 * remember, and to the next one. */
static void restored_store(bool in_six)
{
    struct ledger l;
    struct ses_judgement j;
    char kept[256], gone[256];
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 6);
    ledger_run_to(&l, 3);
    world_stop(w, 2, 0);
    copied_from = w->nodes[2].dir;
    TAP_MUST(nftw(copied_from, copy_one, 16, FTW_PHYS) == 0);
    world_start(w, 2);
    ledger_run_to(&l, 5);
    world_run(w, 300000); /* it has committed to 5 */
    TAP_OK(report_of(w, 2, 5)->committed);
    world_stop(w, 2, 0);
    snprintf(kept, sizeof kept, "%s.kept", copied_from);
    snprintf(gone, sizeof gone, "%s.gone", copied_from);
    TAP_MUST(rename(copied_from, gone) == 0 && rename(kept, copied_from) == 0);
    if (in_six) {
        ledger_run_to(&l, 6);
    }
    world_start(w, 2);
    ledger_run_to(&l, 9);
    world_run(w, 30000);
    TAP_EQ(0, l.twice);
    ledger_judgement(&l, 2, 6, &j); /* it cannot show what it does not have */
    TAP_OK((j.causes & SES_CAUSE_OPENING) != 0 && (j.causes & SES_CAUSE_RESPONSE) == 0);
    TAP_EQ(in_six, (j.causes & SES_CAUSE_COMMITMENT) != 0);
    TAP_EQ(in_six, strstr(report_of(w, 2, 6)->commitment_why, "restored") != NULL);
    for (uint64_t epoch = 7; epoch <= 8; epoch++) { /* and goes on */
        ledger_judgement(&l, 2, epoch, &j);
        TAP_EQ(0, j.causes);
    }
    TAP_EQ(1u << 2, ledger_missed(&l, 0, 8));
    end(&l);
}

static void test_restored_store(void)
{
    restored_store(false);
}

static void test_restored_between_epochs(void)
{
    restored_store(true);
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    return ftw->level > 0 ? remove(path) : 0;
}

static uint64_t records(const struct world *w, uint32_t node)
{
    struct ses_store_stats stats;
    ses_store_stats(w->nodes[node].store, &stats);
    return stats.record_cnt;
}

/* The disk is new. The node fetches everything from the others, what its audit draws once its
 * response is in a block, and only then commits. */
static void test_emptied_store(void)
{
    struct ledger l;
    struct ses_judgement j;
    struct post p;
    const struct ses_params params = params_of(600, 2);
    struct world *w = ledger_world(&l, 6, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 20);
    write_one(w, client, 2000, &p);
    ledger_run_to(&l, 4);
    world_run(w, 250000);
    world_stop(w, 2, 0);
    TAP_MUST(nftw(w->nodes[2].dir, unlink_one, 16, FTW_PHYS | FTW_DEPTH) == 0);
    world_start(w, 2);
    world_run(w, 300000);
    TAP_OK(!report_of(w, 2, 4)->responded);
    TAP_OK(records(w, 2) > 0 && records(w, 2) < records(w, 0));
    world_run(w, 42000); /* it tries for 570 s, and responds without openings */
    TAP_EQ(4, ledger_epoch(&l));
    TAP_OK(report_of(w, 2, 4)->responded);
    TAP_EQ(records(w, 0), records(w, 2));
    ledger_run_to(&l, 9);
    world_run(w, 30000);
    TAP_EQ(0, l.twice);
    TAP_OK(post_at(w, 2, &p));
    ledger_judgement(&l, 2, 5, &j); /* what it had committed to in 4 is not what it has */
    TAP_OK((j.causes & SES_CAUSE_OPENING) != 0 && (j.causes & SES_CAUSE_RESPONSE) == 0);
    for (uint64_t epoch = 7; epoch <= 8; epoch++) {
        ledger_judgement(&l, 2, epoch, &j);
        TAP_EQ(0, j.causes);
    }
    TAP_EQ(0, ledger_missed(&l, 0, 8) & ~(1ull << 2));
    post_free(&p);
    end(&l);
}

static void test_chain_stands_still(void)
{
    struct ledger l;
    const struct ses_params params = params_of(120, 2);
    struct world *w = ledger_world(&l, 4, &params);
    struct world_net *client = world_client(w, "192.0.2.1:1");
    write_some(w, client, 4);
    ledger_run_to(&l, 4);
    l.stalled = true;
    world_run(w, 300000); /* two and a half epochs without a block */
    l.stalled = false;
    const uint64_t back = ledger_epoch(&l) + 3;
    ledger_run_to(&l, back + 4);
    TAP_EQ(0, ledger_missed(&l, back + 1, back + 3));
    TAP_EQ(0, l.twice);
    end(&l);
}

/* ---- keys and addresses ---- */
static void test_keys_rotate(void)
{
    struct ledger l;
    const struct ses_params params = params_of(120, 2);
    struct world *w = ledger_world(&l, 3, &params);
    struct ses_target target;
    struct ses_map_node first, now;
    struct ses_node node;
    struct ses_kem_seed seed;
    struct ses_kem_private *private = NULL;
    struct ses_kem_pk pk;
    world_target(w, 1, &target);
    TAP_MUST(ses_vm_node(l.vm, &target.node_id, &first, &node) == SES_OK);
    world_stop(w, 1, 0);
    w->nodes[1].rotate_seconds = 300;
    world_start(w, 1);
    ledger_run_to(&l, 5);
    TAP_MUST(ses_vm_node(l.vm, &target.node_id, &now, &node) == SES_OK);
    TAP_OK(memcmp(first.keys.encryption_key.bytes, now.keys.encryption_key.bytes,
                  SES_KEM_PK_BYTES) != 0);
    world_stop(w, 1, 0);
    world_start(w, 1); /* the seed is kept */
    TAP_ERR(SES_OK, ses_daemon_kem_seed(w->nodes[1].daemon, &now.keys.encryption_key, &seed));
    TAP_ERR(SES_OK, ses_kem_private_new(&private, &seed));
    ses_kem_private_pk(private, &pk);
    TAP_BYTES(now.keys.encryption_key.bytes, pk.bytes, SES_KEM_PK_BYTES);
    ses_kem_private_free(private);
    ledger_run_to(&l, 12); /* replaced twice since, and its seed erased with its listing */
    world_run(w, 60000);
    TAP_ERR(SES_ERR_NOT_FOUND,
            ses_daemon_kem_seed(w->nodes[1].daemon, &now.keys.encryption_key, &seed));
    TAP_OK(l.sent_txs[SES_TX_ROTATE_KEY] >= 3 && l.sent_txs[SES_TX_ROTATE_KEY] < 8);
    end(&l);
}

static void test_address_changes(void)
{
    struct ledger l;
    const struct ses_params params = params_of(120, 2);
    struct world *w = ledger_world(&l, 3, &params);
    static struct ses_endpoint endpoint;
    struct ses_target target;
    struct ses_map_node keys;
    struct ses_node node;
    static const uint8_t addr[] = {4, 10, 0, 0, 9, 6, 0x0F, 0xA1};
    world_target(w, 1, &target);
    endpoint = target.endpoint;
    endpoint.addr_cnt = 1;
    endpoint.addrs[0].len = sizeof addr;
    memcpy(endpoint.addrs[0].bytes, addr, sizeof addr);
    ledger_run_to(&l, 1);
    world_stop(w, 1, 0);
    w->nodes[1].endpoint = &endpoint;
    world_start(w, 1);
    ledger_run_to(&l, 5);
    TAP_MUST(ses_vm_node(l.vm, &target.node_id, &keys, &node) == SES_OK);
    TAP_EQ(sizeof addr, keys.endpoint.addrs[0].len);
    TAP_BYTES(addr, keys.endpoint.addrs[0].bytes, sizeof addr);
    TAP_OK(l.sent_txs[SES_TX_ENDPOINT] >= 1 && l.sent_txs[SES_TX_ENDPOINT] <= 2);
    end(&l);
}

int main(void)
{
    TAP_RUN(test_honest_hours);
    TAP_RUN(test_honest_short_epochs);
    TAP_RUN(test_honest_eight_seconds);
    TAP_RUN(test_honest_two_swarms);
    TAP_RUN(test_honest_skewed);
    TAP_RUN(test_killed_node_misses);
    TAP_RUN(test_lost_data_misses);
    TAP_RUN(test_demands);
    TAP_RUN(test_seat_lost_and_found);
    TAP_RUN(test_never_twice);
    TAP_RUN(test_restored_store);
    TAP_RUN(test_restored_between_epochs);
    TAP_RUN(test_emptied_store);
    TAP_RUN(test_chain_stands_still);
    TAP_RUN(test_keys_rotate);
    TAP_RUN(test_address_changes);
    return tap_done();
}
