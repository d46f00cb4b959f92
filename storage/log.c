#include "storage/log.h"

#include <stdio.h>
#include <string.h>

/* Three magics that differ in four bits pairwise: no flip of one bit turns one into another. */
#define MAGIC_0 0xA5u
#define MAGIC_1 0x53u
#define MAGIC_2 0x4Cu
#define MAGIC_REPLICATED 0x0Fu
#define MAGIC_ENTRY 0x33u
#define MAGIC_STRANGER 0x55u
#define CHECK_BYTES 16u
#define WINDOW_BYTES (1u << 20)
_Static_assert(WINDOW_BYTES > 2 * SES_LOG_RECORD_MAX, "a window holds any record");

static uint8_t magic_of(uint8_t flags)
{
    if ((flags & SES_FLAG_ENTRY) == 0) {
        return MAGIC_REPLICATED;
    }
    return (flags & SES_FLAG_STRANGER) != 0 ? MAGIC_STRANGER : MAGIC_ENTRY;
}

static uint8_t flags_of(const uint8_t magic[4])
{
    if (magic[3] == MAGIC_REPLICATED) {
        return 0;
    }
    return magic[3] == MAGIC_STRANGER ? SES_FLAG_ENTRY | SES_FLAG_STRANGER : SES_FLAG_ENTRY;
}

static void check_of(uint8_t out[CHECK_BYTES], const uint8_t times[16], const struct ses_hash *id)
{
    struct ses_hash hash;
    ses_b(&hash, SES_TAG_LOG, SES_PARTS(SES_PART(times, 16), SES_PART(id->bytes, 32)));
    memcpy(out, hash.bytes, CHECK_BYTES);
}

void ses_log_prefix_write(uint8_t out[SES_LOG_PREFIX_BYTES], const struct ses_log_stamp *stamp,
                          const struct ses_hash *id, uint32_t payload_bytes)
{
    SES_ASSERT(payload_bytes <= SES_PAYLOAD_MAX);
    out[0] = MAGIC_0;
    out[1] = MAGIC_1;
    out[2] = MAGIC_2;
    out[3] = magic_of(stamp->flags);
    ses_put_u32(out + 4, SES_RECORD_HEADER_BYTES + payload_bytes);
    ses_put_u64(out + 8, stamp->accepted_ms);
    ses_put_u64(out + 16, stamp->admit_epoch);
    check_of(out + 24, out + 8, id);
}

/* The length field, if it can be one. */
static bool plausible_len(const uint8_t *bytes, uint32_t *len)
{
    *len = ses_get_u32(bytes + 4);
    return *len >= SES_RECORD_HEADER_BYTES && *len <= SES_RECORD_HEADER_BYTES + SES_PAYLOAD_MAX;
}

bool ses_log_name_parse(const char *name, uint32_t *hour)
{
    uint64_t value = 0;
    size_t at = 0;
    for (; name[at] >= '0' && name[at] <= '9' && at < 11; at++) {
        value = value * 10 + (uint64_t)(name[at] - '0');
    }
    char again[32];
    const int len = snprintf(again, sizeof again, "%llu.log", (unsigned long long)value);
    *hour = (uint32_t)value;
    return len > 0 && value <= UINT32_MAX && strcmp(again, name) == 0;
}

enum ses_err ses_log_parse(struct ses_log_record *out, const uint8_t *bytes, size_t len)
{
    uint32_t body;
    SES_REQUIRE(len >= SES_LOG_HEAD_BYTES, SES_ERR_TRUNCATED);
    SES_REQUIRE(plausible_len(bytes, &body), SES_ERR_MALFORMED);
    SES_REQUIRE(body <= len - SES_LOG_PREFIX_BYTES, SES_ERR_TRUNCATED);
    const struct ses_record record = {.header = bytes + SES_LOG_PREFIX_BYTES,
                                      .payload = bytes + SES_LOG_HEAD_BYTES,
                                      .payload_bytes = body - SES_RECORD_HEADER_BYTES};
    SES_TRY(ses_record_identify(&out->ids, &record));
    uint8_t check[CHECK_BYTES];
    check_of(check, bytes + 8, &out->ids.id);
    SES_REQUIRE(memcmp(check, bytes + 24, CHECK_BYTES) == 0 || SES_MUTANT(TORN_RECORD_TAKEN),
                SES_ERR_CHECKSUM);
    out->offset = 0;
    out->stamp.flags = flags_of(bytes);
    out->stamp.accepted_ms = ses_get_u64(bytes + 8);
    out->stamp.admit_epoch = ses_get_u64(bytes + 16);
    out->payload_bytes = record.payload_bytes;
    return SES_OK;
}

enum ses_err ses_log_scan_init(struct ses_log_scan *scan, const struct ses_disk *disk,
                               struct ses_file *file, const struct ses_segment *segment,
                               const struct ses_hash *chain_id, uint64_t from)
{
    *scan = (struct ses_log_scan){.disk = disk,
                                  .file = file,
                                  .segment = *segment,
                                  .chain_id = chain_id,
                                  .at = from,
                                  .valid_end = from};
    SES_TRY(disk->size(disk->ctx, file, &scan->size));
    SES_REQUIRE(from <= scan->size, SES_ERR_TRUNCATED);
    scan->window = ses_alloc(WINDOW_BYTES, 1);
    SES_REQUIRE(scan->window != NULL, SES_ERR_MEMORY);
    return SES_OK;
}

void ses_log_scan_free(struct ses_log_scan *scan)
{
    ses_free(scan->window);
    scan->window = NULL;
}

/* Up to `want` bytes at `at`: as many as the file has. */
static enum ses_err view(struct ses_log_scan *scan, uint64_t at, size_t want, const uint8_t **out,
                         size_t *len)
{
    SES_ASSERT(at <= scan->size && want <= WINDOW_BYTES);
    const uint64_t left = scan->size - at;
    *len = left < want ? (size_t)left : want;
    if (at < scan->window_at || at - scan->window_at > scan->window_len ||
        *len > scan->window_len - (at - scan->window_at)) {
        const size_t fill = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        scan->window_len = 0;
        SES_TRY(scan->disk->read(scan->disk->ctx, scan->file, at, scan->window, fill));
        scan->window_at = at;
        scan->window_len = fill;
    }
    *out = scan->window + (at - scan->window_at);
    return SES_OK;
}

/* Sets *valid if a record of this segment stands at `at`; found by searching (`searched`) it could
 * have been planted in a payload, so that what only an owner may write is checked like at entry. */
static enum ses_err try_at(struct ses_log_scan *scan, uint64_t at, bool searched,
                           struct ses_log_record *out, bool *valid)
{
    const uint8_t *bytes;
    size_t len;
    *valid = false;
    SES_TRY(view(scan, at, SES_LOG_RECORD_MAX, &bytes, &len));
    if (ses_log_parse(out, bytes, len) != SES_OK) {
        return SES_OK;
    }
    const struct ses_record record = {.header = bytes + SES_LOG_PREFIX_BYTES,
                                      .payload = bytes + SES_LOG_HEAD_BYTES,
                                      .payload_bytes = out->payload_bytes};
    *valid = out->ids.segment.ttl_class == scan->segment.ttl_class &&
             out->ids.segment.hour == scan->segment.hour &&
             (!searched || ses_ns_public_inbox(out->ids.header.ns) ||
              ses_record_check_owner(&record, &out->ids, scan->chain_id) == SES_OK);
    out->offset = at;
    return SES_OK;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    return len > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Passes over a record that was erased after its deletion: prefix and header as they were, and a
 * payload of zeros. What is called only where no valid record stands. */
static enum ses_err pass_erased(struct ses_log_scan *scan, bool *passed)
{
    const uint8_t *bytes;
    size_t len;
    uint32_t body;
    struct ses_record_header header;
    *passed = false;
    SES_TRY(view(scan, scan->at, SES_LOG_RECORD_MAX, &bytes, &len));
    if (len < SES_LOG_HEAD_BYTES || bytes[0] != MAGIC_0 || bytes[1] != MAGIC_1 ||
        bytes[2] != MAGIC_2 || !plausible_len(bytes, &body) || body > len - SES_LOG_PREFIX_BYTES ||
        ses_record_header_decode(&header, bytes + SES_LOG_PREFIX_BYTES) != SES_OK) {
        return SES_OK;
    }
    struct ses_segment segment;
    ses_segment_of(&segment, header.ttl_class, header.ts_ms);
    *passed = segment.ttl_class == scan->segment.ttl_class && segment.hour == scan->segment.hour &&
              all_zero(bytes + SES_LOG_HEAD_BYTES, body - SES_RECORD_HEADER_BYTES);
    if (*passed) {
        scan->at += SES_LOG_PREFIX_BYTES + (uint64_t)body;
        scan->valid_end = scan->at;
        scan->erased_bytes += SES_LOG_PREFIX_BYTES + (uint64_t)body;
    }
    return SES_OK;
}

/* The damaged record's own length, if it leads to a valid record, saves looking into its payload.
 */
static enum ses_err try_jump(struct ses_log_scan *scan, struct ses_log_record *out, bool *valid)
{
    const uint8_t *bytes;
    size_t len;
    uint32_t body;
    *valid = false;
    SES_TRY(view(scan, scan->at, SES_LOG_HEAD_BYTES, &bytes, &len));
    if (len < SES_LOG_HEAD_BYTES || !plausible_len(bytes, &body) ||
        SES_LOG_PREFIX_BYTES + (uint64_t)body > scan->size - scan->at) {
        return SES_OK;
    }
    return try_at(scan, scan->at + SES_LOG_PREFIX_BYTES + body, false, out, valid);
}

/* The next place behind `at` where a magic stands; scan->size if there is none. */
static enum ses_err find_magic(struct ses_log_scan *scan, uint64_t *at)
{
    static const uint8_t magic[3] = {MAGIC_0, MAGIC_1, MAGIC_2};
    while (*at < scan->size) {
        const uint8_t *bytes;
        size_t len;
        SES_TRY(view(scan, *at, SES_LOG_HEAD_BYTES, &bytes, &len));
        /* all that the window has: no record is shorter than its head */
        len = scan->window_len - (size_t)(*at - scan->window_at);
        const uint8_t *hit = memmem(bytes, len, magic, sizeof magic);
        if (hit != NULL) {
            *at += (uint64_t)(hit - bytes);
            return SES_OK;
        }
        *at += len > sizeof magic ? len - (sizeof magic - 1) : len;
        if (scan->size - *at < SES_LOG_HEAD_BYTES) {
            *at = scan->size;
        }
    }
    return SES_OK;
}

static enum ses_err search(struct ses_log_scan *scan, struct ses_log_record *out, bool *valid)
{
    uint64_t at = scan->at + 1;
    *valid = false;
    while (at < scan->size && !*valid) {
        SES_TRY(find_magic(scan, &at));
        if (at < scan->size) {
            SES_TRY(try_at(scan, at, true, out, valid));
            at++;
        }
    }
    return SES_OK;
}

enum ses_err ses_log_scan_next(struct ses_log_scan *scan, struct ses_log_record *out)
{
    bool valid = false;
    bool passed = true;
    while (passed && !valid) {
        if (scan->at >= scan->size) {
            return SES_ERR_NOT_FOUND;
        }
        passed = false;
        SES_TRY(try_at(scan, scan->at, false, out, &valid));
        if (!valid) {
            SES_TRY(pass_erased(scan, &passed));
        }
    }
    if (!valid) {
        SES_TRY(try_jump(scan, out, &valid));
    }
    if (!valid) {
        SES_TRY(search(scan, out, &valid));
    }
    scan->damaged_bytes += (valid ? out->offset : scan->size) - scan->at;
    if (!valid) {
        scan->at = scan->size;
        return SES_ERR_NOT_FOUND;
    }
    scan->at = out->offset + SES_LOG_HEAD_BYTES + out->payload_bytes;
    scan->valid_end = scan->at;
    return SES_OK;
}
