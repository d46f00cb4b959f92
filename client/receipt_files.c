/* <profile>/receipts/<record id>: receipts one after the other, each checked before it was kept, of
 * distinct nodes; gone when the record has expired. */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "client/client_internal.h"

#define FOLDER "receipts"
#define FILE_MAX ((size_t)SES_MEMBERS_MAX * SES_RECEIPT_BYTES_MAX)

static enum ses_err path_of(const struct ses_client *c, const struct ses_hash *id,
                            char out[SES_PATH_MAX], struct ses_note *note)
{
    char name[sizeof FOLDER + 65] = FOLDER "/";
    ses_hex_encode(name + sizeof FOLDER, id->bytes, 32);
    return ses_client_path(c, name, out, note);
}

enum ses_err ses_receipts_parse(const uint8_t *bytes, size_t len, ses_receipt_fn *fn, void *cookie)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    for (unsigned i = 0; i < SES_MEMBERS_MAX && r.left > 0; i++) {
        struct ses_receipt receipt;
        ses_receipt_read(&r, &receipt);
        SES_REQUIRE(r.err == SES_OK, SES_ERR_MALFORMED);
        SES_TRY(fn(cookie, &receipt));
    }
    return ses_reader_done(&r) == SES_OK ? SES_OK : SES_ERR_MALFORMED;
}

enum ses_err ses_receipts_read(const struct ses_client *c, const struct ses_hash *id,
                               ses_receipt_fn *fn, void *cookie, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    SES_TRY(path_of(c, id, path, note));
    enum ses_err err = ses_file_read(path, FILE_MAX, &bytes, note);
    if (err == SES_OK) {
        err = ses_receipts_parse(bytes.bytes, bytes.len, fn, cookie);
        if (err == SES_ERR_MALFORMED) {
            ses_note_set(note, "%.300s is damaged: these are no receipts", path);
        }
    }
    ses_buf_free(&bytes);
    return err;
}

bool ses_receipts_have(const struct ses_client *c, const struct ses_hash *id)
{
    char path[SES_PATH_MAX];
    return path_of(c, id, path, NULL) == SES_OK && access(path, R_OK) == 0;
}

/* ---- writing ---- */
struct merging {
    struct ses_buf *out;
    struct ses_node_id nodes[SES_MEMBERS_MAX];
    uint32_t cnt;
};

static enum ses_err merge_one(void *cookie, const struct ses_receipt *receipt)
{
    struct merging *m = cookie;
    uint8_t bytes[SES_RECEIPT_BYTES_MAX];
    struct ses_writer w;
    for (uint32_t i = 0; i < m->cnt; i++) {
        if (memcmp(m->nodes[i].bytes, receipt->node_id.bytes, sizeof m->nodes[i].bytes) == 0) {
            return SES_OK;
        }
    }
    if (m->cnt == SES_MEMBERS_MAX) {
        return SES_OK;
    }
    m->nodes[m->cnt++] = receipt->node_id;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_receipt_write(&w, receipt);
    SES_TRY(ses_writer_done(&w));
    return ses_buf_append(m->out, bytes, w.len);
}

enum ses_err ses_receipts_keep(struct ses_client *c, const struct ses_hash *id,
                               const struct ses_buf *raw, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf all = {0};
    struct ses_note ignored = {0};
    struct merging m = {.out = &all};
    SES_TRY(path_of(c, id, path, note));
    enum ses_err err = ses_receipts_parse(raw->bytes, raw->len, merge_one, &m);
    if (err == SES_OK) {
        /* a damaged file is replaced */
        const enum ses_err old = ses_receipts_read(c, id, merge_one, &m, &ignored);
        err = old == SES_ERR_MEMORY ? old : SES_OK;
    }
    if (err == SES_OK) {
        err = ses_file_write(path, all.bytes, all.len, 0600, note);
    }
    ses_buf_free(&all);
    if (err == SES_OK && id->bytes[0] % 16 == 0) { /* now and then */
        ses_receipts_prune(c);
    }
    return err;
}

/* ---- all of them ---- */
enum ses_err ses_receipts_each(struct ses_client *c, ses_receipt_fn *fn, void *cookie,
                               struct ses_note *note)
{
    char path[SES_PATH_MAX];
    enum ses_err err = SES_OK;
    SES_TRY(ses_client_path(c, FOLDER, path, note));
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return SES_OK; /* nothing was kept */
    }
    for (const struct dirent *e = readdir(dir); e != NULL && err == SES_OK; e = readdir(dir)) {
        struct ses_hash id;
        struct ses_note ignored = {0};
        if (ses_hex_decode(id.bytes, sizeof id.bytes, e->d_name) == SES_OK) {
            err = ses_receipts_read(c, &id, fn, cookie, &ignored);
            err = err == SES_ERR_MALFORMED || err == SES_ERR_NOT_FOUND ? SES_OK : err;
        }
    }
    (void)closedir(dir);
    return err;
}

struct pruning {
    struct ses_client *client;
    uint64_t now_ms;
};

static enum ses_err prune_one(void *cookie, const struct ses_receipt *receipt)
{
    const struct pruning *p = cookie;
    char path[SES_PATH_MAX];
    if (ses_segment_expires_ms(&receipt->leaf.segment) <= p->now_ms) {
        SES_TRY(path_of(p->client, &receipt->leaf.id, path, NULL));
        (void)unlink(path);
    }
    return SES_OK;
}

void ses_receipts_prune(struct ses_client *c)
{
    struct ses_note ignored = {0};
    struct pruning p = {.client = c, .now_ms = ses_client_now(c)};
    (void)!ses_receipts_each(c, prune_one, &p, &ignored);
}
