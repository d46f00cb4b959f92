/* docs/protocol.md says what the code does: examples, error numbers, contexts and parameters. */
#include <stdio.h>
#include <string.h>

#include "base/tap.h"
#include "protocol/test_golden.h"

#define DOC "docs/protocol.md"
#define DOC_BYTES_MAX 262144u

static char doc[DOC_BYTES_MAX];

static void read_doc(void)
{
    FILE *file = fopen(DOC, "rb");
    TAP_MUST(file != NULL);
    const size_t len = fread(doc, 1, sizeof doc - 1, file);
    doc[len] = '\0';
    fclose(file);
    TAP_OK(len > 0 && len < sizeof doc - 1);
}

static void wants(const char *text)
{
    if (!TAP_OK(strstr(doc, text) != NULL)) {
        printf("#   " DOC " lacks \"%.300s\"\n", text);
    }
}

static void test_examples(void)
{
    static char line[1024];
    read_doc();
    for (size_t i = 0; i < SES_COUNT(goldens); i++) {
        const struct golden *g = &goldens[i];
        const int len = snprintf(line, sizeof line, "\n%s %zu %s%s%s\n", g->name, g->len, g->head,
                                 g->hash != NULL ? "... " : "", g->hash != NULL ? g->hash : "");
        TAP_MUST(len > 0 && (size_t)len < sizeof line);
        wants(line);
    }
}

static void test_errors(void)
{
    static const enum ses_err all[] = {
#define SES_X(name, code, text) SES_##name,
        SES_ERRORS(SES_X)
#undef SES_X
    };
    char row[256];
    for (size_t i = 0; i < SES_COUNT(all); i++) {
        snprintf(row, sizeof row, "\n| %d | `%s` | %s |", (int)all[i], ses_err_name(all[i]),
                 ses_err_text(all[i]));
        wants(row);
    }
}

static void test_contexts(void)
{
    char row[128];
    for (unsigned domain = 0; domain < SES_DOMAIN_UPSTREAM; domain++) {
        snprintf(row, sizeof row, "\n| `%s` |", ses_domain_text((enum ses_domain)domain));
        wants(row);
    }
}

static void test_parameters(void)
{
    char row[128];
#define SES_X(field, key, value)                                                                   \
    snprintf(row, sizeof row, "\n| `%s` | %s |", key, #value);                                     \
    wants(row);
    SES_PARAMS(SES_X)
#undef SES_X
}

int main(void)
{
    TAP_RUN(test_examples);
    TAP_RUN(test_errors);
    TAP_RUN(test_contexts);
    TAP_RUN(test_parameters);
    return tap_done();
}
