/* The outbox on disk: one file for each message, named by its uuid. What is finished moves from
 * outbox/ to done/, so that a call looks at what it has to work on and at nothing else. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client_internal.h"

#define OUTBOX_MAGIC "sesoutb\x01"
#define OUTBOX_FILE_MAX 262144u

#define SWEEP_EVERY_MS 3600000u

static const char *const folders[] = {
    [SES_OUTBOX_PENDING] = "outbox", [SES_OUTBOX_DONE] = "done", [SES_OUTBOX_OWED] = "owed"};

static enum ses_err item_path(const struct ses_client *c, enum ses_outbox_folder folder,
                              const uint8_t uuid[16], char out[SES_PATH_MAX], struct ses_note *note)
{
    char hex[33];
    char name[48];
    ses_hex_encode(hex, uuid, 16);
    SES_ASSERT(snprintf(name, sizeof name, "%s/%s", folders[folder], hex) < (int)sizeof name);
    return ses_client_path(c, name, out, note);
}

static bool finished(const struct ses_outbox_item *item)
{
    return item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_FAILED;
}

/* Its receipts are to be fetched: an empty file says so, until ses_outbox_settle. */
static enum ses_err mark_owed(struct ses_client *c, const uint8_t uuid[16], struct ses_note *note)
{
    char path[SES_PATH_MAX];
    SES_TRY(item_path(c, SES_OUTBOX_OWED, uuid, path, note));
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ses_errno_note(note, errno, "create", path);
    }
    (void)close(fd);
    return SES_OK;
}

void ses_outbox_settle(struct ses_client *c, const uint8_t uuid[16])
{
    char path[SES_PATH_MAX];
    if (item_path(c, SES_OUTBOX_OWED, uuid, path, NULL) == SES_OK) {
        (void)unlink(path);
    }
}

/* A crash before this leaves a finished item in outbox/: the next one who looks moves it. */
static enum ses_err move_done(struct ses_client *c, const uint8_t uuid[16], struct ses_note *note)
{
    char from[SES_PATH_MAX];
    char to[SES_PATH_MAX];
    SES_TRY(item_path(c, SES_OUTBOX_PENDING, uuid, from, note));
    SES_TRY(item_path(c, SES_OUTBOX_DONE, uuid, to, note));
    return rename(from, to) == 0 ? SES_OK : ses_errno_note(note, errno, "move", from);
}

enum ses_err ses_outbox_save(struct ses_client *c, struct ses_outbox_item *item,
                             uint64_t lease_until_ms, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    const uint64_t next_ms = item->next_ms;
    SES_TRY(item_path(c, SES_OUTBOX_PENDING, item->uuid, path, note));
    /* on disk the item is not due before the lease is over: other processes leave it alone */
    item->next_ms = next_ms > lease_until_ms ? next_ms : lease_until_ms;
    enum ses_err err = ses_outbox_encode(&bytes, item);
    item->next_ms = next_ms;
    if (err == SES_OK) {
        err = ses_file_save(path, OUTBOX_MAGIC, &bytes, note);
    }
    if (err == SES_OK && item->state == SES_OUTBOX_STORED) {
        err = mark_owed(c, item->uuid, note);
    }
    if (err == SES_OK && finished(item)) {
        err = move_done(c, item->uuid, note);
    }
    if (bytes.bytes != NULL) {
        ses_wipe(bytes.bytes, bytes.cap);
    }
    ses_buf_free(&bytes);
    return err;
}

enum ses_err ses_outbox_load(struct ses_client *c, enum ses_outbox_folder folder,
                             const uint8_t uuid[16], struct ses_outbox_item *out,
                             struct ses_note *note)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    memset(out, 0, sizeof *out);
    SES_TRY(item_path(c, folder, uuid, path, note));
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

static enum ses_err open_folder(const struct ses_client *c, enum ses_outbox_folder folder,
                                DIR **out, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    SES_TRY(ses_client_path(c, folders[folder], path, note));
    *out = opendir(path);
    return *out != NULL ? SES_OK : ses_errno_note(note, errno, "open the folder", path);
}

enum ses_err ses_outbox_list(struct ses_client *c, enum ses_outbox_folder folder,
                             struct ses_buf *out, struct ses_note *note)
{
    DIR *dir;
    enum ses_err err = SES_OK;
    SES_TRY(open_folder(c, folder, &dir, note));
    for (const struct dirent *e = readdir(dir); e != NULL && err == SES_OK; e = readdir(dir)) {
        uint8_t uuid[16];
        if (ses_hex_decode(uuid, sizeof uuid, e->d_name) == SES_OK) {
            err = ses_buf_append(out, uuid, sizeof uuid);
        }
    }
    (void)closedir(dir);
    return err;
}

void ses_outbox_sweep(struct ses_client *c)
{
    DIR *dir;
    const uint64_t now_ms = ses_client_now(c);
    if (c->swept_ms != 0 && now_ms - c->swept_ms < SWEEP_EVERY_MS) {
        return;
    }
    c->swept_ms = now_ms;
    if (open_folder(c, SES_OUTBOX_DONE, &dir, NULL) != SES_OK) {
        return;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat info;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &info, 0) != 0) {
            continue;
        }
        const uint64_t then_ms = (uint64_t)info.st_mtim.tv_sec * 1000;
        if (now_ms > then_ms && now_ms - then_ms > SES_OUTBOX_KEEP_MS) {
            (void)unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    (void)closedir(dir);
}

static enum ses_err claim(struct ses_client *c, bool now, struct ses_outbox_item *item,
                          struct ses_note *note)
{
    const uint64_t now_ms = ses_client_now(c);
    if (finished(item)) {
        SES_TRY(move_done(c, item->uuid, note));
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
    enum ses_err err = ses_outbox_load(c, SES_OUTBOX_PENDING, uuid, out, note);
    if (err == SES_OK) {
        err = claim(c, now, out, note);
        if (err != SES_OK) {
            ses_outbox_free(out);
        }
    }
    ses_client_abort(c); /* the item's own file is saved already */
    return err;
}
