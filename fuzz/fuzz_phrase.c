/* Recovery phrases and Session IDs: the canonical text of what was read reads the same. */
#include <string.h>

#include "crypto/crypto.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[600];
    char again[SES_PHRASE_TEXT_MAX];
    uint8_t seed[32];
    uint8_t seed_again[32];
    struct ses_session_id id;
    struct ses_note note;
    const size_t len = size < sizeof text ? size : sizeof text - 1;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = 0;
    if (ses_phrase_decode(seed, text) == SES_OK) {
        ses_phrase_encode(again, seed);
        SES_ASSERT(ses_phrase_decode(seed_again, again) == SES_OK);
        SES_ASSERT(ses_equal(seed, seed_again, sizeof seed));
    }
    if (ses_session_id_parse(&id, text, &note) == SES_OK) {
        ses_session_id_text(again, &id);
        SES_ASSERT(strncasecmp(text, again, sizeof again) == 0);
    } else {
        SES_ASSERT(memchr(note.text, 0, sizeof note.text) != NULL);
    }
    return 0;
}
