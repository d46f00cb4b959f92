/* The wire fingerprint: one hash over all golden encodings, so that no change of bytes goes
 * unnoticed. */
#include <stdio.h>
#include <string.h>

#include "base/tap.h"
#include "protocol/test_golden.h"

#define PINNED "protocol/wire.fingerprint"

static void fingerprint(struct ses_hash *out)
{
    static uint8_t bytes[GOLDEN_BYTES_MAX];
    struct ses_blake3 hash;
    ses_blake3_init(&hash);
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        uint8_t len[4];
        struct ses_writer w;
        ses_writer_init(&w, bytes, sizeof bytes);
        goldens[i].write(&w);
        TAP_ERR(SES_OK, ses_writer_done(&w));
        ses_put_u32(len, (uint32_t)w.len);
        ses_blake3_update(&hash, goldens[i].name, strlen(goldens[i].name) + 1);
        ses_blake3_update(&hash, len, sizeof len);
        ses_blake3_update(&hash, bytes, w.len);
    }
    ses_blake3_final(&hash, out);
}

static void test_fingerprint(void)
{
    struct ses_hash digest;
    char got[2 * 32 + 1];
    char want[80] = "";
    fingerprint(&digest);
    ses_hex_encode(got, digest.bytes, 32);
    FILE *file = fopen(PINNED, "r");
    TAP_MUST(file != NULL);
    if (fgets(want, sizeof want, file) != NULL) {
        want[strcspn(want, "\n")] = '\0';
    }
    fclose(file);
    if (!TAP_TEXT(want, got)) {
        printf("# An encoding has changed. If that is meant, add a line to CHANGELOG.md under\n"
               "# \"Wire\" that says what changes for peers, and put the new value into " PINNED
               ".\n");
    }
}

int main(void)
{
    TAP_RUN(test_fingerprint);
    return tap_done();
}
