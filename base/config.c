#include "base/config.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/sys.h"

#define FILE_BYTES_MAX (1u << 20)
#define NAME_MAX_CHARS 64u

struct ses_config {
    const struct ses_config_key *keys;
    size_t key_cnt;
    char **values; /* NULL where not given */
};

static size_t key_count(const struct ses_config_key *keys)
{
    size_t cnt = 0;
    while (keys[cnt].name != NULL) {
        cnt++;
    }
    return cnt;
}

enum ses_err ses_config_new(struct ses_config **out, const struct ses_config_key *keys)
{
    *out = NULL;
    struct ses_config *c = ses_alloc(1, sizeof *c);
    SES_REQUIRE(c != NULL, SES_ERR_MEMORY);
    c->keys = keys;
    c->key_cnt = key_count(keys);
    c->values = ses_alloc(c->key_cnt, sizeof *c->values);
    if (c->values == NULL) {
        ses_config_free(c);
        return SES_ERR_MEMORY;
    }
    *out = c;
    return SES_OK;
}

void ses_config_free(struct ses_config *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; c->values != NULL && i < c->key_cnt; i++) {
        ses_free(c->values[i]);
    }
    ses_free(c->values);
    ses_free(c);
}

/* key_cnt if there is no such key. */
static size_t key_find(const struct ses_config *c, const char *name, size_t len)
{
    size_t i = 0;
    while (i < c->key_cnt &&
           (strlen(c->keys[i].name) != len || memcmp(c->keys[i].name, name, len) != 0)) {
        i++;
    }
    return i;
}

/* A caller asks for keys of its own table only. */
static size_t key_own(const struct ses_config *c, const char *name)
{
    const size_t i = key_find(c, name, strlen(name));
    SES_ASSERT(i < c->key_cnt);
    return i;
}

static enum ses_err value_set(struct ses_config *c, size_t key, const char *value, size_t len,
                              const char *where, struct ses_note *note)
{
    const bool truth =
        (len == 4 && memcmp(value, "true", 4) == 0) || (len == 5 && memcmp(value, "false", 5) == 0);
    if (c->keys[key].flag && !truth) {
        ses_note_set(note, "%s: %s is a switch: give true or false", where, c->keys[key].name);
        return SES_ERR_CONFIG;
    }
    char *copy = ses_alloc(len + 1, 1);
    SES_REQUIRE(copy != NULL, SES_ERR_MEMORY);
    if (len > 0) {
        memcpy(copy, value, len);
    }
    ses_free(c->values[key]);
    c->values[key] = copy;
    return SES_OK;
}

/* ---- file ---- */

struct slice {
    const char *at;
    size_t len;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && is_space(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

/* A # opens a comment at the start of a line and after a space; elsewhere it belongs to the
 * value, as in a URL. */
static struct slice without_comment(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.at[i] == '#' && (i == 0 || is_space(line.at[i - 1]))) {
            line.len = i;
        }
    }
    return trim(line);
}

/* The start of a name that may be anything, for messages. */
static void name_show(char out[NAME_MAX_CHARS], struct slice name)
{
    const size_t len = name.len < NAME_MAX_CHARS - 1 ? name.len : NAME_MAX_CHARS - 1;
    for (size_t i = 0; i < len; i++) {
        out[i] = name.at[i] >= 0x20 && name.at[i] < 0x7f ? name.at[i] : '?';
    }
    out[len] = 0;
}

static enum ses_err read_pair(struct ses_config *c, struct slice line, bool *seen,
                              const char *where, struct ses_note *note)
{
    const char *equals = memchr(line.at, '=', line.len);
    if (equals == NULL || memchr(line.at, 0, line.len) != NULL) {
        ses_note_set(note, "%s: expected \"key = value\"; a comment starts with #", where);
        return SES_ERR_CONFIG;
    }
    const size_t before = (size_t)(equals - line.at);
    const struct slice name = trim((struct slice){line.at, before});
    const struct slice value = trim((struct slice){equals + 1, line.len - before - 1});
    const size_t key = key_find(c, name.at, name.len);
    char shown[NAME_MAX_CHARS];
    name_show(shown, name);
    if (key == c->key_cnt) {
        ses_note_set(note, "%s: unknown key \"%s\"; --help lists the known ones", where, shown);
        return SES_ERR_CONFIG;
    }
    if (seen[key]) {
        ses_note_set(note, "%s: %s is given twice; keep one of the lines", where, shown);
        return SES_ERR_CONFIG;
    }
    seen[key] = true;
    return value_set(c, key, value.at, value.len, where, note);
}

static enum ses_err read_lines(struct ses_config *c, const char *name, struct slice text,
                               bool *seen, struct ses_note *note)
{
    for (unsigned number = 1; text.len > 0; number++) {
        const char *end = memchr(text.at, '\n', text.len);
        const size_t len = end == NULL ? text.len : (size_t)(end - text.at);
        const struct slice line = without_comment((struct slice){text.at, len});
        const size_t taken = len + (end != NULL);
        text.at += taken;
        text.len -= taken;
        if (line.len == 0) {
            continue;
        }
        char where[300];
        SES_REQUIRE(snprintf(where, sizeof where, "%.250s:%u", name, number) > 0, SES_ERR_IO);
        SES_TRY(read_pair(c, line, seen, where, note));
    }
    return SES_OK;
}

enum ses_err ses_config_read_text(struct ses_config *c, const char *where, const char *text,
                                  size_t len, struct ses_note *note)
{
    bool *seen = ses_alloc(c->key_cnt, sizeof *seen);
    SES_REQUIRE(seen != NULL, SES_ERR_MEMORY);
    const enum ses_err err = read_lines(c, where, (struct slice){text, len}, seen, note);
    ses_free(seen);
    return err;
}

enum ses_err ses_config_read_file(struct ses_config *c, const char *path, struct ses_note *note)
{
    struct ses_buf text = {0};
    struct ses_note why = {0};
    enum ses_err err = ses_file_read(path, FILE_BYTES_MAX, &text, &why);
    if (err != SES_OK) {
        ses_note_set(note, "the configuration file: %.350s", why.text);
        return err;
    }
    err = ses_config_read_text(c, path, (const char *)text.bytes, text.len, note);
    ses_buf_free(&text);
    return err;
}

/* ---- environment ---- */

static void env_name(char *out, size_t cap, const char *prefix, const char *key)
{
    const int len = snprintf(out, cap, "%s_%s", prefix, key);
    SES_ASSERT(len > 0 && (size_t)len < cap);
    for (char *at = out; *at != 0; at++) {
        if (*at == '-') {
            *at = '_';
        } else if (*at >= 'a' && *at <= 'z') {
            *at = (char)(*at - 'a' + 'A');
        }
    }
}

enum ses_err ses_config_read_env(struct ses_config *c, const char *prefix, struct ses_note *note)
{
    for (size_t i = 0; i < c->key_cnt; i++) {
        char name[200];
        env_name(name, sizeof name, prefix, c->keys[i].name);
        const char *value = getenv(name);
        if (value != NULL) {
            SES_TRY(value_set(c, i, value, strlen(value), name, note));
        }
    }
    return SES_OK;
}

/* ---- options ---- */

/* Reads argv[at] and, where its value stands apart, argv[at + 1]; *taken counts them. */
static enum ses_err read_option(struct ses_config *c, int argc, char **argv, int at, int *taken,
                                struct ses_note *note)
{
    const char *name = argv[at] + 2;
    const size_t len = strcspn(name, "=");
    const size_t key = key_find(c, name, len);
    *taken = 1;
    if (key == c->key_cnt) {
        ses_note_set(note, "unknown option --%.100s; --help lists the known ones", name);
        return SES_ERR_CONFIG;
    }
    if (name[len] == '=') {
        return value_set(c, key, name + len + 1, strlen(name + len + 1), argv[at], note);
    }
    if (c->keys[key].flag) {
        return value_set(c, key, "true", 4, argv[at], note);
    }
    if (at + 1 >= argc) {
        ses_note_set(note, "--%s needs a value: --%s VALUE", c->keys[key].name, c->keys[key].name);
        return SES_ERR_CONFIG;
    }
    *taken = 2;
    return value_set(c, key, argv[at + 1], strlen(argv[at + 1]), argv[at], note);
}

enum ses_err ses_config_read_args(struct ses_config *c, int *argc, char **argv,
                                  struct ses_note *note)
{
    int kept = *argc > 0;
    int at = kept;
    while (at < *argc) {
        if (strncmp(argv[at], "--", 2) != 0) {
            argv[kept++] = argv[at++];
            continue;
        }
        if (argv[at][2] == 0) { /* "--": the rest are arguments, whatever they look like */
            at++;
            break;
        }
        int taken = 0;
        SES_TRY(read_option(c, *argc, argv, at, &taken, note));
        at += taken;
    }
    while (at < *argc) {
        argv[kept++] = argv[at++];
    }
    *argc = kept;
    return SES_OK;
}

/* ---- values ---- */

const char *ses_config_get(const struct ses_config *c, const char *name)
{
    const size_t key = key_own(c, name);
    return c->values[key] != NULL ? c->values[key] : c->keys[key].initial;
}

bool ses_config_flag(const struct ses_config *c, const char *name)
{
    const char *value = ses_config_get(c, name);
    return value != NULL && strcmp(value, "true") == 0;
}

enum ses_err ses_config_u64(const struct ses_config *c, const char *name, unsigned long long min,
                            unsigned long long max, unsigned long long *out, struct ses_note *note)
{
    const char *value = ses_config_get(c, name);
    char *end = NULL;
    *out = 0;
    errno = 0;
    /* strtoull takes signs and spaces; a number here begins with a digit */
    const bool digit = value != NULL && value[0] >= '0' && value[0] <= '9';
    const unsigned long long number = digit ? strtoull(value, &end, 10) : 0;
    if (!digit || *end != 0 || errno != 0 || number < min || number > max) {
        ses_note_set(note, "%s must be a whole number from %llu to %llu, but is \"%.50s\"", name,
                     min, max, value != NULL ? value : "");
        return SES_ERR_CONFIG;
    }
    *out = number;
    return SES_OK;
}

void ses_config_help(const struct ses_config_key *keys)
{
    for (; keys->name != NULL; keys++) {
        const char *value = keys->flag ? "" : " VALUE";
        printf(
            "  --%s%s%*s %s", keys->name, value,
            (int)(24 - (strlen(keys->name) + strlen(value) < 24 ? strlen(keys->name) + strlen(value)
                                                                : 24)),
            "", keys->help != NULL ? keys->help : "");
        if (keys->initial != NULL && !keys->flag) {
            printf(" (default %s)", keys->initial);
        }
        printf("\n");
    }
}
