#include <string.h>

#include "base/tap.h"

static const struct {
    enum ses_err err;
    const char *name; /* as in the enum, upper case */
} ALL[] = {
#define SES_X(name, code, text) {SES_##name, #name},
    SES_ERRORS(SES_X)
#undef SES_X
};

static void lower_name(char out[64], const char *name)
{
    if (strncmp(name, "ERR_", 4) == 0) {
        name += 4;
    }
    size_t i = 0;
    for (; name[i] != 0 && i < 63; i++) {
        const char c = name[i];
        out[i] = c == '_' ? '-' : (char)(c | 0x20);
    }
    out[i] = 0;
}

static void test_names(void)
{
    for (size_t i = 0; i < sizeof ALL / sizeof ALL[0]; i++) {
        char name[64];
        lower_name(name, ALL[i].name);
        TAP_TEXT(name, ses_err_name(ALL[i].err));
        TAP_OK(strlen(ses_err_text(ALL[i].err)) > 0);
        TAP_EQ(ALL[i].err, ses_err_from_code((unsigned)ALL[i].err));
    }
}

static void test_unknown(void)
{
    TAP_EQ(SES_ERR_PEER, ses_err_from_code(79));
    TAP_EQ(SES_ERR_PEER, ses_err_from_code(~0u));
    TAP_TEXT("unknown error", ses_err_text((enum ses_err)79));
    TAP_TEXT("unknown", ses_err_name((enum ses_err)79));
}

static enum ses_err try_it(enum ses_err inner)
{
    SES_TRY(inner);
    return SES_ERR_EXISTS;
}

static void test_macros(void)
{
    TAP_ERR(SES_ERR_IO, try_it(SES_ERR_IO));
    TAP_ERR(SES_ERR_EXISTS, try_it(SES_OK));
}

static void test_note(void)
{
    struct ses_note note;
    ses_note_set(&note, "%s=%d", "x", 5);
    TAP_TEXT("x=5", note.text);
    ses_note_set(NULL, "%s", "nobody asks");
    char text[1000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    ses_note_set(&note, "%s", text);
    TAP_EQ(sizeof note.text - 1, strlen(note.text));
}

int main(void)
{
    TAP_RUN(test_names);
    TAP_RUN(test_unknown);
    TAP_RUN(test_macros);
    TAP_RUN(test_note);
    return tap_done();
}
