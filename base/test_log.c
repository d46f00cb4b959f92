#include <string.h>
#include <unistd.h>

#include "base/tap.h"

#define CAPTURE_MAX 65536u

/* Runs one line through a writer with standard error turned into a file. */
static void capture(char out[CAPTURE_MAX], const struct ses_log *log, const char *module,
                    const char *text)
{
    FILE *file = tmpfile();
    TAP_MUST(file != NULL);
    fflush(stderr);
    const int saved = dup(STDERR_FILENO);
    TAP_MUST(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    ses_logf(log, SES_LOG_INFO, module, "%s", text);
    TAP_MUST(dup2(saved, STDERR_FILENO) >= 0 && close(saved) == 0);
    rewind(file);
    out[fread(out, 1, CAPTURE_MAX - 1, file)] = 0;
    fclose(file);
}

static bool is_time(const char *t)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; shape[i] != 0; i++) {
        const bool fits = shape[i] == 'd' ? t[i] >= '0' && t[i] <= '9' : t[i] == shape[i];
        if (!fits) {
            return false;
        }
    }
    return true;
}

static void test_stderr_line(void)
{
    static char line[CAPTURE_MAX];
    capture(line, ses_log_stderr(), "net", "peer=\"x\"\n\x1b[31m t\xc3\xa4 \xff\xc2\x85 \\");
    TAP_OK(strncmp(line, "info ", 5) == 0);
    TAP_OK(is_time(line + 5));
    TAP_TEXT(" net peer=\"x\"\\x0a\\x1b[31m t\xc3\xa4 \\xff\\xc2\\x85 \\\n", line + 5 + 24);
}

static void test_json_line(void)
{
    static char line[CAPTURE_MAX];
    capture(line, ses_log_json(), "n\"et", "a \"b\" \\ \n\t\x7f \xe2\x82\xac \xed\xa0\x80");
    TAP_OK(strncmp(line, "{\"time\":\"", 9) == 0);
    TAP_OK(is_time(line + 9));
    TAP_TEXT("\",\"level\":\"info\",\"module\":\"n\\\"et\",\"text\":\"a \\\"b\\\" \\\\ "
             "\\u000a\\u0009\\u007f \xe2\x82\xac \\u00ed\\u00a0\\u0080\"}\n",
             line + 9 + 24);
}

static void test_long_text(void)
{
    static char line[CAPTURE_MAX];
    static char text[50000];
    for (unsigned byte = 1; byte < 256; byte += 63) {
        memset(text, (int)byte, sizeof text - 1);
        memcpy(text, "KEY: ", 5);
        capture(line, ses_log_stderr(), text, text);
        TAP_TEXT("...\n", line + strlen(line) - 4);
        TAP_OK(strlen(line) < 14000);
        capture(line, ses_log_json(), text, text);
        TAP_TEXT("...\"}\n", line + strlen(line) - 6);
    }
}

struct seen {
    unsigned cnt;
    char text[100];
};

static void keep(void *ctx, enum ses_log_level level, const char *module, const char *text)
{
    struct seen *seen = ctx;
    seen->cnt++;
    TAP_MUST(snprintf(seen->text, sizeof seen->text, "%d %s %s", (int)level, module, text) > 0);
}

static void test_levels(void)
{
    struct seen seen = {0};
    struct ses_log log = {.ctx = &seen, .level = SES_LOG_WARN, .write = keep};
    ses_logf(&log, SES_LOG_INFO, "m", "no");
    TAP_EQ(0, seen.cnt);
    ses_logf(&log, SES_LOG_WARN, "m", "n=%d", 5);
    TAP_EQ(1, seen.cnt);
    TAP_TEXT("1 m n=5", seen.text);
    log.level = SES_LOG_DEBUG;
    ses_logf(&log, SES_LOG_DEBUG, "m", "yes");
    TAP_EQ(2, seen.cnt);
    ses_logf(NULL, SES_LOG_ERROR, "m", "nobody listens");
    enum ses_log_level level;
    TAP_ERR(SES_OK, ses_log_level_parse(&level, "debug"));
    TAP_EQ(SES_LOG_DEBUG, level);
    TAP_ERR(SES_ERR_INVALID, ses_log_level_parse(&level, "DEBUG"));
    TAP_ERR(SES_ERR_INVALID, ses_log_level_parse(&level, ""));
}

int main(void)
{
    TAP_RUN(test_stderr_line);
    TAP_RUN(test_json_line);
    TAP_RUN(test_long_text);
    TAP_RUN(test_levels);
    return tap_done();
}
