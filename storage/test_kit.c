#include "storage/test_kit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void join(char out[512], const char *a, const char *b)
{
    const int len = snprintf(out, 512, "%s/%s", a, b);
    SES_ASSERT(len > 0 && len < 512);
}

/* Depth is fixed: a store has directories below directories, no deeper. */
void kit_remove_tree(const char *path)
{
    static const char *const dirs[] = {"seg/0", "seg/1", "seg/2", "seg/3",
                                       "seg/4", "seg",   "idx",   ""};
    for (size_t i = 0; i < SES_COUNT(dirs); i++) {
        char dir[512];
        char name[512];
        join(dir, path, dirs[i]);
        DIR *d = opendir(dir);
        if (d == NULL) {
            continue;
        }
        for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                join(name, dir, e->d_name);
                (void)unlink(name);
            }
        }
        (void)closedir(d);
        (void)rmdir(dir);
    }
}

void kit_copy_dir(const char *from, const char *to)
{
    DIR *d = opendir(from);
    SES_ASSERT(d != NULL);
    (void)mkdir(to, 0700);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char a[512];
        char b[512];
        uint8_t bytes[65536];
        if (e->d_name[0] == '.') {
            continue;
        }
        join(a, from, e->d_name);
        join(b, to, e->d_name);
        FILE *in = fopen(a, "rb");
        FILE *out = fopen(b, "wb");
        SES_ASSERT(in != NULL && out != NULL);
        for (size_t len = fread(bytes, 1, sizeof bytes, in); len > 0;
             len = fread(bytes, 1, sizeof bytes, in)) {
            SES_ASSERT(fwrite(bytes, 1, len, out) == len);
        }
        SES_ASSERT(fclose(in) == 0 && fclose(out) == 0);
    }
    (void)closedir(d);
}

static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    struct kit *kit = cookie;
    (void)err;
    (void)what;
    kit->fatal_cnt++;
}

void kit_root(struct kit *kit)
{
    const char *tmp = getenv("TMPDIR");
    memset(kit, 0, sizeof *kit);
    if (tmp == NULL && access("/dev/shm", W_OK) == 0) {
        tmp = "/dev/shm"; /* syncing costs nothing there, and no machine loses power here */
    }
    const int len =
        snprintf(kit->root, sizeof kit->root, "%s/ses-storage-XXXXXX", tmp != NULL ? tmp : "/tmp");
    SES_ASSERT(len > 0 && (size_t)len < sizeof kit->root);
    SES_ASSERT(mkdtemp(kit->root) != NULL);
}

void kit_init(struct kit *kit, struct test_loop *loop, const struct ses_disk *disk)
{
    struct ses_dsa_seed seed = {{7}};
    kit->loop = loop;
    kit->disk = disk;
    SES_ASSERT(ses_dsa_private_new(&kit->key, &seed) == SES_OK);
    ses_dsa_private_pk(kit->key, &kit->pk);
    kit->params = (struct ses_store_params){
        .disk = disk,
        .loop = loop != NULL ? test_loop_door(loop) : NULL,
        .random = ses_random_system(),
        .times = {.genesis_s = KIT_GENESIS_S,
                  .epoch_s = KIT_EPOCH_S,
                  .settle_s = 300,
                  .freeze_s = 120},
        .key = kit->key,
        .inbox_quota_bytes = 1u << 30,
        .on_fatal = on_fatal,
        .cookie = kit,
    };
    memset(kit->params.chain_id.bytes, 0x11, 32);
    ses_node_id_of(&kit->params.node_id, &kit->pk);
}

void kit_free(struct kit *kit)
{
    ses_dsa_private_free(kit->key);
    kit_remove_tree(kit->root);
}

enum ses_err kit_open(struct kit *kit)
{
    kit->closed = false;
    const enum ses_err err = ses_store_open(&kit->store, &kit->params, &kit->note);
    if (err == SES_OK) {
        const struct ses_store_seat seat = {.swarm = 0, .num_swarms = 1, .from_epoch = 90};
        ses_store_set_seat(kit->store, &seat);
    }
    if (err == SES_OK && ses_store_sealed(kit->store) < 0) { /* as the chain's first word does */
        const uint64_t now_s = ses_now_ms(&kit->params.loop->clock) / 1000;
        return ses_store_seal(kit->store, (int64_t)ses_epoch_at(&kit->params.times, now_s));
    }
    return err;
}

static void on_closed(void *cookie)
{
    struct kit *kit = cookie;
    kit->closed = true;
}

void kit_close(struct kit *kit)
{
    ses_store_close(kit->store, on_closed, kit);
    SES_ASSERT(test_loop_run(kit->loop, &kit->closed));
    ses_store_free(kit->store);
    kit->store = NULL;
}

void kit_abandon(struct kit *kit)
{
    SES_ASSERT(test_loop_run(kit->loop, NULL));
    ses_store_free(kit->store);
    kit->store = NULL;
}

/* ---- records ---- */
void kit_inbox(struct ses_hash *out, uint64_t n)
{
    uint8_t bytes[8];
    ses_put_u64(bytes, n);
    ses_blake3_hash(out, bytes, sizeof bytes);
}

void kit_record(struct kit_record *out, const struct kit_spec *spec)
{
    struct ses_record_header header = {.kind = SES_RECORD_MESSAGE,
                                       .ns = spec->ns,
                                       .ttl_class = spec->ttl_class,
                                       .ts_ms = spec->ts_ms / 1000 * 1000};
    kit_inbox(&header.inbox, spec->inbox);
    ses_record_header_encode(out->header, &header);
    out->payload = ses_alloc(1, spec->payload_bytes);
    SES_ASSERT(out->payload != NULL);
    uint8_t seed[8];
    struct ses_blake3 b;
    ses_put_u64(seed, spec->n);
    ses_blake3_init(&b);
    ses_blake3_update(&b, seed, sizeof seed);
    ses_blake3_final_xof(&b, out->payload, spec->payload_bytes);
    out->record = (struct ses_record){
        .header = out->header, .payload = out->payload, .payload_bytes = spec->payload_bytes};
    SES_ASSERT(ses_record_identify(&out->ids, &out->record) == SES_OK);
}

void kit_record_free(struct kit_record *record)
{
    ses_free(record->payload);
    record->payload = NULL;
}

/* ---- put ---- */
static void on_put(void *cookie, const struct ses_put_result *result)
{
    struct kit_put *put = cookie;
    SES_ASSERT(!put->done); /* exactly once */
    put->result = *result;
    put->err = result->err;
    put->done = true;
}

static void start_put(struct kit *kit, struct kit_put *put, struct ses_put *p)
{
    memset(put, 0, sizeof *put);
    p->on_done = on_put;
    p->cookie = put;
    put->err = ses_store_put(kit->store, p);
    SES_ASSERT(!put->done); /* not from inside the call */
    put->done = put->err != SES_OK;
}

void kit_put_start(struct kit *kit, struct kit_put *put, const struct kit_record *record,
                   enum kit_how how)
{
    struct ses_put p = {.record = record->record,
                        .ids = &record->ids,
                        .entry = how != KIT_REPLICA,
                        .stranger = how == KIT_STRANGER};
    start_put(kit, put, &p);
}

void kit_put_start_as(struct kit *kit, struct kit_put *put, const struct kit_record *statement,
                      const struct ses_deletion *targets, uint8_t target_cnt, enum kit_how how)
{
    struct ses_put p = {.record = statement->record,
                        .ids = &statement->ids,
                        .entry = how != KIT_REPLICA,
                        .targets = targets,
                        .target_cnt = target_cnt};
    start_put(kit, put, &p);
}

static void check_receipt(const struct kit *kit, const struct kit_record *record,
                          const struct ses_receipt *receipt)
{
    TAP_ERR(SES_OK, ses_receipt_verify(receipt, &kit->params.chain_id, &kit->pk));
    TAP_BYTES(record->ids.id.bytes, receipt->leaf.id.bytes, 32);
    TAP_BYTES(record->ids.digest.bytes, receipt->leaf.digest.bytes, 32);
    TAP_EQ(record->ids.segment.hour, receipt->leaf.segment.hour);
    TAP_EQ(0, receipt->leaf.swarm);
    TAP_EQ(90, receipt->leaf.swarm_from_epoch);
}

enum ses_err kit_put(struct kit *kit, const struct kit_spec *spec, enum kit_how how,
                     struct ses_receipt *receipt)
{
    struct kit_put put;
    struct kit_record record;
    kit_record(&record, spec);
    kit_put_start(kit, &put, &record, how);
    SES_ASSERT(test_loop_run(kit->loop, &put.done));
    if (put.err == SES_OK) {
        check_receipt(kit, &record, &put.result.receipt);
    }
    if (receipt != NULL) {
        *receipt = put.result.receipt;
    }
    kit_record_free(&record);
    return put.err;
}

/* ---- read ---- */
struct page_wait {
    struct kit_box *box;
    bool done;
    bool more;
};

static void on_page(void *cookie, const struct ses_page_result *result)
{
    struct page_wait *wait = cookie;
    struct kit_box *box = wait->box;
    wait->done = true;
    box->err = result->err;
    if (result->err != SES_OK) {
        return;
    }
    struct ses_reader r;
    struct ses_page page;
    struct ses_refusal refusal;
    bool ok = false;
    SES_ASSERT(ses_response_begin(&r, result->frame, result->len, &ok, &refusal) == SES_OK && ok);
    ses_page_read(&r, &page);
    TAP_EQ(result->record_cnt, page.record_cnt);
    TAP_OK(result->more == ((page.flags & SES_PAGE_MORE) != 0));
    TAP_BYTES(result->next.bytes, page.next.bytes, SES_CURSOR_BYTES);
    for (uint16_t i = 0; i < page.record_cnt; i++) {
        struct ses_record record;
        struct ses_record_ids ids;
        ses_record_read(&r, &record);
        SES_ASSERT(r.err == SES_OK && ses_record_identify(&ids, &record) == SES_OK);
        SES_ASSERT(box->cnt < SES_COUNT(box->ids));
        box->payload_bytes[box->cnt] = record.payload_bytes;
        box->ids[box->cnt++] = ids.id;
    }
    TAP_ERR(SES_OK, ses_reader_done(&r));
    box->next = page.next;
    wait->more = result->more;
}

void kit_read(struct kit *kit, struct kit_box *out, uint64_t inbox, int16_t ns,
              const struct ses_cursor *after, uint16_t record_max, uint32_t bytes_max)
{
    struct ses_retrieve ask = {.ns = ns, .record_max = record_max, .bytes_max = bytes_max};
    struct page_wait wait = {.box = out, .more = true};
    kit_inbox(&ask.inbox, inbox);
    memset(out, 0, sizeof *out);
    if (after != NULL) {
        ask.after = *after;
    }
    while (wait.more && out->err == SES_OK) {
        wait.done = false;
        wait.more = false;
        out->err = ses_store_page(kit->store, &ask, on_page, &wait);
        if (out->err == SES_OK) {
            SES_ASSERT(!wait.done);
            SES_ASSERT(test_loop_run(kit->loop, &wait.done));
            ask.after = out->next;
            out->page_cnt++;
        }
    }
}

bool kit_box_has(const struct kit_box *box, const struct ses_hash *id)
{
    for (uint32_t i = 0; i < box->cnt; i++) {
        if (memcmp(box->ids[i].bytes, id->bytes, 32) == 0) {
            return true;
        }
    }
    return false;
}
