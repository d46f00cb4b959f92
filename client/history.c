/* history.jsonl: what was said, one JSON object a line, only if the application asks for it. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "client/client_internal.h"

static const char *kind_text(enum ses_content_kind kind)
{
    switch (kind) {
    case SES_CONTENT_TEXT:
        return "text";
    case SES_CONTENT_FILE:
        return "file";
    case SES_CONTENT_UNSUPPORTED:
        break;
    }
    return "unsupported";
}

enum ses_err ses_client_history(struct ses_client *c, const char *direction, const char *peer,
                                uint64_t sent_ms, const uint8_t uuid[16],
                                const struct ses_content *content, struct ses_note *note)
{
    char path[SES_PATH_MAX];
    char hex[33];
    const char *text = content->text != NULL ? content->text : "";
    SES_TRY(ses_client_path(c, "history.jsonl", path, note));
    ses_hex_encode(hex, uuid, 16);
    json_t *line =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:I}", "direction", direction, "peer", peer,
                  "sentMs", (json_int_t)sent_ms, "uuid", hex, "kind", kind_text(content->kind),
                  content->kind == SES_CONTENT_FILE ? "name" : "text", text, "fileBytes",
                  (json_int_t)content->data_bytes);
    char *dump = line != NULL ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(line);
    SES_REQUIRE(dump != NULL, SES_ERR_MEMORY);
    const size_t len = strlen(dump);
    dump[len] = '\n'; /* in place of the NUL: one write, one line */
    const enum ses_err err = ses_file_append(path, dump, len + 1, note);
    ses_wipe(dump, len);
    free(dump);
    return err;
}
