#include "cli/cli_internal.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum ses_err cli_fail(struct cli *cli, enum ses_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(cli->note.text, sizeof cli->note.text, format, args);
    va_end(args);
    if (len < 0) {
        cli->note.text[0] = 0;
    }
    return err;
}

enum ses_err cli_print_json(struct cli *cli, json_t *result)
{
    SES_REQUIRE(result != NULL, SES_ERR_MEMORY);
    enum ses_err err = SES_OK;
    if (cli->json) {
        if (json_dumpf(result, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0 ||
            fputc('\n', stdout) == EOF || fflush(stdout) != 0) {
            err = cli_fail(cli, SES_ERR_IO, "cannot write to standard output");
        }
    }
    json_decref(result);
    return err;
}

void cli_time_text(char out[32], uint64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(out, 32, "%Y-%m-%d %H:%M", &local);
}

int cli_exit_code(enum ses_err err)
{
    static const struct {
        enum ses_err err;
        int code;
    } codes[] = {
        {SES_OK, 0},
        {SES_ERR_INVALID, 2},
        {SES_ERR_CONFIG, 2},
        {SES_ERR_NOT_FOUND, 3},
        {SES_ERR_UNREACHABLE, 5},
        {SES_ERR_TIMEOUT, 5},
        {SES_ERR_UNAUTHORISED, 4},
        {SES_ERR_PERMISSION, 4},
        {SES_ERR_PASSPHRASE, 4},
        {SES_ERR_EXISTS, 4},
        {SES_ERR_TOO_LARGE, 4},
    };
    for (size_t i = 0; i < SES_COUNT(codes); i++) {
        if (codes[i].err == err) {
            return codes[i].code;
        }
    }
    /* what a swarm or the chain refuses by its rules */
    return err >= SES_ERR_WRONG_SWARM ? 4 : 1;
}

void cli_progress(const char *format, ...)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static const char *digits_read(const char *at, uint64_t *value, unsigned *digit_cnt, bool *overflow)
{
    while (*at >= '0' && *at <= '9') {
        *overflow |= __builtin_mul_overflow(*value, 10u, value) ||
                     __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value);
        (*digit_cnt)++;
        at++;
    }
    return at;
}

enum ses_err cli_lux_parse(struct cli *cli, const char *text, uint64_t *nlux)
{
    uint64_t value = 0;
    unsigned whole = 0;
    unsigned fraction = 0;
    bool overflow = false;
    const char *at = digits_read(text, &value, &whole, &overflow);
    if (whole > 0 && strcmp(at, "nLUX") == 0 && !overflow) {
        *nlux = value;
        return SES_OK;
    }
    if (*at == '.') {
        at = digits_read(at + 1, &value, &fraction, &overflow);
    }
    const bool ends = *at == 0 || strcmp(at, "LUX") == 0;
    for (unsigned i = fraction; i < 9; i++) {
        overflow |= __builtin_mul_overflow(value, 10u, &value);
    }
    if (whole == 0 || !ends || fraction > 9 || overflow) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "\"%.60s\" is no amount: write LUX with at most 9 decimals (100.5) or nLUX "
                        "(100500000000nLUX)",
                        text);
    }
    *nlux = value;
    return SES_OK;
}

enum ses_err cli_lux_moved(struct cli *cli, const char *text, uint64_t *nlux)
{
    SES_TRY(cli_lux_parse(cli, text, nlux));
    if (*nlux == 0) {
        return cli_fail(cli, SES_ERR_INVALID,
                        "an amount of 0 moves nothing and costs a fee: nothing was sent");
    }
    return SES_OK;
}
