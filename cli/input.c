#include "cli/cli_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PASSPHRASE_MAX 1024u

enum ses_err cli_read_file(struct cli *cli, const char *path, size_t max, struct ses_buf *out)
{
    struct ses_note note = {0};
    const enum ses_err err = ses_input_read(path, max, out, &note);
    return err == SES_OK ? SES_OK : cli_fail(cli, err, "%s", note.text);
}

static enum ses_err make_dir(struct cli *cli, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return cli_fail(cli, SES_ERR_IO, "cannot make %.200s: %s", path, strerror(errno));
    }
    return SES_OK;
}

enum ses_err cli_make_dirs(struct cli *cli, const char *path)
{
    char part[1024];
    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part) {
        return cli_fail(cli, SES_ERR_INVALID, "%.200s...: this path is too long", path);
    }
    for (char *at = part + 1; *at != 0; at++) {
        if (*at == '/') {
            *at = 0;
            SES_TRY(make_dir(cli, part));
            *at = '/';
        }
    }
    return make_dir(cli, part);
}

/* A device or a pipe is written to: it must not be replaced by a file. */
static enum ses_err write_special(const char *path, const void *bytes, size_t len,
                                  struct ses_note *note)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return ses_errno_note(note, errno, "open", path);
    }
    const enum ses_err err = ses_fd_write(fd, bytes, len, path, note);
    (void)close(fd);
    return err;
}

static enum ses_err write_to(const char *path, const void *bytes, size_t len, unsigned mode,
                             struct ses_note *note)
{
    struct stat old;
    if (strcmp(path, "-") == 0) {
        return ses_fd_write(STDOUT_FILENO, bytes, len, path, note);
    }
    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode) && !S_ISDIR(old.st_mode)) {
        return write_special(path, bytes, len, note);
    }
    return ses_file_write(path, bytes, len, mode, note);
}

enum ses_err cli_write_file(struct cli *cli, const char *path, const void *bytes, size_t len,
                            unsigned mode)
{
    struct ses_note note = {0};
    const enum ses_err err = write_to(path, bytes, len, mode, &note);
    return err == SES_OK ? SES_OK : cli_fail(cli, err, "%s", note.text);
}

const char *cli_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(path, "-") == 0 ? "standard-input" : slash == NULL ? path : slash + 1;
}

/* One line from the terminal without echo. */
static enum ses_err read_line_hidden(struct cli *cli, const char *prompt, char *out, size_t cap)
{
    const int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0) {
        return cli_fail(
            cli, SES_ERR_PASSPHRASE,
            "a passphrase is needed and there is no terminal: give --passphrase-file F, "
            "or --no-passphrase for an identity stored in the clear");
    }
    struct termios before;
    const bool quiet = tcgetattr(tty, &before) == 0;
    struct termios now = before;
    now.c_lflag &= ~(tcflag_t)ECHO;
    enum ses_err err = ses_fd_write(tty, prompt, strlen(prompt), "/dev/tty", NULL);
    if (quiet) {
        tcsetattr(tty, TCSAFLUSH, &now);
    }
    size_t len = 0;
    char c = 0;
    while (err == SES_OK && len + 1 < cap && read(tty, &c, 1) == 1 && c != '\n') {
        out[len++] = c;
    }
    out[len] = 0;
    if (quiet) {
        tcsetattr(tty, TCSAFLUSH, &before);
    }
    err = err == SES_OK ? ses_fd_write(tty, "\n", 1, "/dev/tty", NULL) : err;
    close(tty);
    return err;
}

static enum ses_err passphrase_from_file(struct cli *cli, const char *path, char *out)
{
    struct ses_buf text = {0};
    if (strcmp(path, "-") != 0) {
        SES_TRY(ses_secret_file_check(path, 007, &cli->note));
    }
    enum ses_err err = cli_read_file(cli, path, PASSPHRASE_MAX - 1, &text);
    if (err == SES_OK) {
        size_t len = 0;
        while (len < text.len && text.bytes[len] != '\n' && text.bytes[len] != '\r') {
            len++;
        }
        memcpy(out, text.bytes, len);
        out[len] = 0;
        if (len == 0) {
            err = cli_fail(cli, SES_ERR_PASSPHRASE,
                           "%.200s is empty: its first line is the passphrase", path);
        }
    }
    if (text.bytes != NULL) {
        ses_wipe(text.bytes, text.cap);
    }
    ses_buf_free(&text);
    return err;
}

static enum ses_err passphrase_typed(struct cli *cli, bool confirm, char *out)
{
    SES_TRY(read_line_hidden(cli, "Passphrase: ", out, PASSPHRASE_MAX));
    if (out[0] == 0) {
        return cli_fail(cli, SES_ERR_PASSPHRASE, "the passphrase is empty");
    }
    if (!confirm) {
        return SES_OK;
    }
    char *again = ses_secret_alloc(PASSPHRASE_MAX);
    SES_REQUIRE(again != NULL, SES_ERR_MEMORY);
    enum ses_err err = read_line_hidden(cli, "Again: ", again, PASSPHRASE_MAX);
    if (err == SES_OK && strcmp(out, again) != 0) {
        err = cli_fail(cli, SES_ERR_PASSPHRASE, "the two passphrases differ; nothing was written");
    }
    ses_secret_free(again);
    return err;
}

enum ses_err cli_passphrase(struct cli *cli, bool confirm, char **out)
{
    *out = NULL;
    if (ses_config_flag(cli->config, "no-passphrase")) {
        return SES_OK;
    }
    char *passphrase = ses_secret_alloc(PASSPHRASE_MAX);
    SES_REQUIRE(passphrase != NULL, SES_ERR_MEMORY);
    const char *path = ses_config_get(cli->config, "passphrase-file");
    const enum ses_err err = path != NULL ? passphrase_from_file(cli, path, passphrase)
                                          : passphrase_typed(cli, confirm, passphrase);
    if (err != SES_OK) {
        ses_secret_free(passphrase);
        return err;
    }
    *out = passphrase;
    return SES_OK;
}

void cli_passphrase_free(char *passphrase)
{
    ses_secret_free(passphrase);
}

/* ---- times ---- */
/* "7d", "12h", "30m": so long ago. */
static bool parse_age(const char *text, uint64_t now_ms, uint64_t *out)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits] == 0 || text[digits + 1] != 0) {
        return false;
    }
    uint64_t count = 0;
    for (size_t i = 0; i < digits; i++) {
        count = count * 10 + (uint64_t)(text[i] - '0');
    }
    for (size_t i = 0; i < SES_COUNT(units); i++) {
        if (units[i].unit == text[digits] && count * units[i].ms < now_ms) {
            *out = now_ms - count * units[i].ms;
            return true;
        }
    }
    return false;
}

/* "2026-11-20", "2026-11-20 18:30": of this machine's time zone. */
static bool parse_date(const char *text, uint64_t *out)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"};
    for (size_t i = 0; i < SES_COUNT(formats); i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &tm);
        if (end != NULL && *end == 0) {
            const time_t seconds = mktime(&tm);
            *out = seconds > 0 ? (uint64_t)seconds * 1000 : 0;
            return seconds > 0;
        }
    }
    return false;
}

enum ses_err cli_time_parse(struct cli *cli, const char *option, const char *text, uint64_t *out)
{
    const uint64_t now_ms = ses_now_ms(ses_clock_system());
    if (parse_age(text, now_ms, out) || parse_date(text, out)) {
        return SES_OK;
    }
    return cli_fail(cli, SES_ERR_INVALID,
                    "--%s is an age (30m, 12h, 7d) or a time (2026-11-20, \"2026-11-20 18:30\")",
                    option);
}
