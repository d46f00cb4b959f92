#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/sys.h"
#include "base/text.h"

#define TEXT_MAX 2048u /* longer messages end in "..." */
#define MODULE_MAX 64u
#define LINE_MAX_BYTES (6u * (TEXT_MAX + MODULE_MAX) + 128u) /* a byte escapes to six at most */

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};

static const char *level_name(enum ses_log_level level)
{
    return (size_t)level < sizeof LEVELS / sizeof LEVELS[0] ? LEVELS[level] : "unknown";
}

/* Bytes of the printable UTF-8 character at `s`, 0 if it is a control character or not UTF-8. */
static size_t printable_bytes(const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f;
    }
    const size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool c1 = s[0] == 0xc2 && s[1] < 0xa0;
    const bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    const bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return c1 || overlong || outside ? 0 : len;
}

static void put_text(struct ses_writer *w, const char *text)
{
    ses_write_bytes(w, text, strlen(text));
}

static void put_escaped(struct ses_writer *w, const char *text, bool json)
{
    while (*text != 0) {
        const size_t len = printable_bytes(text);
        if (len == 0) {
            char hex[3];
            ses_hex_encode(hex, text, 1);
            /* JSON has no bytes: one that is not part of a character stands as U+00NN */
            put_text(w, json ? "\\u00" : "\\x");
            put_text(w, hex);
            text++;
            continue;
        }
        if (json && (*text == '"' || *text == '\\')) {
            put_text(w, "\\");
        }
        ses_write_bytes(w, text, len);
        text += len;
    }
}

static void put_time(struct ses_writer *w)
{
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm t;
    char text[64];
    if (gmtime_r(&seconds, &t) == NULL) {
        return;
    }
    const int len =
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", t.tm_year + 1900,
                 t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (unsigned)(now_ms % 1000));
    if (len > 0 && (size_t)len < sizeof text) {
        put_text(w, text);
    }
}

/* One write(2) a line, so that lines of several threads do not mix. A log that cannot be written
 * is no reason to stop. */
static void write_line(struct ses_writer *w)
{
    w->bytes[w->len++] = '\n';
    size_t done = 0;
    while (done < w->len) {
        const ssize_t got = write(STDERR_FILENO, w->bytes + done, w->len - done);
        if (got < 0 && errno != EINTR) {
            return;
        }
        done += got > 0 ? (size_t)got : 0;
    }
}

static void stderr_write(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    (void)ctx;
    uint8_t line[LINE_MAX_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, line, sizeof line - 1);
    put_text(&w, level_name(level));
    put_text(&w, " ");
    put_time(&w);
    put_text(&w, " ");
    put_escaped(&w, module, false);
    put_text(&w, " ");
    put_escaped(&w, text, false);
    write_line(&w);
}

static void json_write(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    (void)ctx;
    uint8_t line[LINE_MAX_BYTES];
    struct ses_writer w;
    ses_writer_init(&w, line, sizeof line - 1);
    put_text(&w, "{\"time\":\"");
    put_time(&w);
    put_text(&w, "\",\"level\":\"");
    put_text(&w, level_name(level));
    put_text(&w, "\",\"module\":\"");
    put_escaped(&w, module, true);
    put_text(&w, "\",\"text\":\"");
    put_escaped(&w, text, true);
    put_text(&w, "\"}");
    write_line(&w);
}

const struct ses_log *ses_log_stderr(void)
{
    static const struct ses_log log = {.level = SES_LOG_INFO, .write = stderr_write};
    return &log;
}

const struct ses_log *ses_log_json(void)
{
    static const struct ses_log log = {.level = SES_LOG_INFO, .write = json_write};
    return &log;
}

void ses_logf(const struct ses_log *log, enum ses_log_level level, const char *module,
              const char *format, ...)
{
    if (log == NULL || level > log->level) {
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    if ((size_t)len >= sizeof text) {
        static const char more[] = "...";
        memcpy(text + sizeof text - sizeof more, more, sizeof more);
    }
    char name[MODULE_MAX];
    if (snprintf(name, sizeof name, "%s", module) < 0) {
        return;
    }
    log->write(log->ctx, level, name, text);
}

enum ses_err ses_log_level_parse(enum ses_log_level *out, const char *text)
{
    for (size_t i = 0; i < sizeof LEVELS / sizeof LEVELS[0]; i++) {
        if (strcmp(text, LEVELS[i]) == 0) {
            *out = (enum ses_log_level)i;
            return SES_OK;
        }
    }
    return SES_ERR_INVALID;
}
