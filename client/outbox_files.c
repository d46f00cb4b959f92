/* The outbox on disk: one file for each message, named by its uuid. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "client/client_internal.h"

#define OUTBOX_MAGIC "sesoutb\x01"
#define OUTBOX_FILE_MAX 262144u

static enum ses_err item_path(const struct ses_client *c, const uint8_t uuid[16],
                              char out[SES_PATH_MAX], struct ses_note *note)
{
    char name[8 + 33] = "outbox/";
    ses_hex_encode(name + 7, uuid, 16);
    return ses_client_path(c, name, out, note);
}

enum ses_err ses_outbox_save(struct ses_client *c, struct ses_outbox_item *item,
                             uint64_t lease_until_ms, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    const uint64_t next_ms = item->next_ms;
    SES_TRY(item_path(c, item->uuid, path, note));
    /* on disk the item is not due before the lease is over: other processes leave it alone */
    item->next_ms = next_ms > lease_until_ms ? next_ms : lease_until_ms;
    enum ses_err err = ses_outbox_encode(&bytes, item);
    item->next_ms = next_ms;
    if (err == SES_OK) {
        err = ses_file_save(path, OUTBOX_MAGIC, &bytes, note);
    }
    if (bytes.bytes != NULL) {
        ses_wipe(bytes.bytes, bytes.cap);
    }
    ses_buf_free(&bytes);
    return err;
}

enum ses_err ses_outbox_load(struct ses_client *c, const uint8_t uuid[16],
                             struct ses_outbox_item *out, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    memset(out, 0, sizeof *out);
    SES_TRY(item_path(c, uuid, path, note));
    enum ses_err err = ses_file_load(path, OUTBOX_MAGIC, OUTBOX_FILE_MAX, &bytes, note);
    if (err == SES_OK) {
        err = ses_outbox_decode(out, bytes.bytes, bytes.len);
    }
    if (err == SES_OK && memcmp(out->uuid, uuid, 16) != 0) {
        ses_outbox_free(out);
        err = SES_ERR_MALFORMED;
    }
    if (bytes.bytes != NULL) {
        ses_wipe(bytes.bytes, bytes.cap);
    }
    ses_buf_free(&bytes);
    return err;
}

enum ses_err ses_outbox_list(struct ses_client *c, struct ses_uuid *out, uint32_t max,
                             uint32_t *cnt, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    *cnt = 0;
    SES_TRY(ses_client_path(c, "outbox", path, note));
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return ses_errno_note(note, errno, "open the folder", path);
    }
    for (const struct dirent *e = readdir(dir); e != NULL && *cnt < max; e = readdir(dir)) {
        if (ses_hex_decode(out[*cnt].bytes, sizeof out[*cnt].bytes, e->d_name) == SES_OK) {
            (*cnt)++;
        }
    }
    (void)closedir(dir);
    return SES_OK;
}

static enum ses_err remove_item(struct ses_client *c, const uint8_t uuid[16], struct ses_note *note)
{
    char path[SES_PATH_MAX];
    SES_TRY(item_path(c, uuid, path, note));
    return ses_file_remove(path, note);
}

static enum ses_err claim(struct ses_client *c, bool now, struct ses_outbox_item *item,
                          struct ses_note *note)
{
    const uint64_t now_ms = ses_client_now(c);
    if (item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_FAILED) {
        if (now_ms > item->next_ms && now_ms - item->next_ms > SES_OUTBOX_KEEP_MS) {
            SES_TRY(remove_item(c, item->uuid, note));
        }
        return SES_ERR_AGAIN;
    }
    if (now && item->next_ms > now_ms) { /* a new round, all members in turn */
        item->next_ms = now_ms;
        item->tried = 0;
    }
    if (item->next_ms > now_ms) {
        return SES_ERR_AGAIN;
    }
    return ses_outbox_save(c, item, now_ms + SES_CLIENT_LEASE_MS, note);
}

enum ses_err ses_outbox_claim(struct ses_client *c, const uint8_t uuid[16], bool now,
                              struct ses_outbox_item *out, struct ses_note *note)
{
    SES_TRY(ses_client_begin(c, note));
    enum ses_err err = ses_outbox_load(c, uuid, out, note);
    if (err == SES_OK) {
        err = claim(c, now, out, note);
        if (err != SES_OK) {
            ses_outbox_free(out);
        }
    }
    ses_client_abort(c); /* the item's own file is saved already */
    return err;
}
