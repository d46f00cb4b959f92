/* Text for people, checked once at the border so that nothing behind it has to. */
#include <string.h>

#include "messaging/messaging.h"

/* Bytes that follow a lead byte, and the least code point that needs them (RFC 3629). */
static int following(uint8_t lead, uint32_t *least, uint32_t *bits)
{
    *least = 0;
    *bits = lead;
    if (lead < 0x80) {
        return 0;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        *least = 0x80;
        *bits = lead & 0x1Fu;
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *least = 0x800;
        *bits = lead & 0x0Fu;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *least = 0x10000;
        *bits = lead & 0x07u;
        return 3;
    }
    return -1;
}

bool ses_utf8_valid(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len;) {
        uint32_t least;
        uint32_t code;
        const int more = following(at[i], &least, &code);
        if (more < 0 || (size_t)more >= len - i) {
            return false;
        }
        for (int k = 1; k <= more; k++) {
            if ((at[i + (size_t)k] & 0xC0u) != 0x80u) {
                return false;
            }
            code = code << 6 | (at[i + (size_t)k] & 0x3Fu);
        }
        if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return false;
        }
        i += (size_t)more + 1;
    }
    return true;
}

/* C0 and C1 control characters: they could fake the screen of whoever reads a name. */
static bool has_control(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len; i++) {
        const bool c1 = at[i] == 0xC2 && i + 1 < len && at[i + 1] < 0xA0;
        if (at[i] < 0x20 || at[i] == 0x7F || c1) {
            return true;
        }
    }
    return false;
}

bool ses_name_valid(const char *name)
{
    const size_t len = strnlen(name, SES_NAME_MAX + 1);
    return len <= SES_NAME_MAX && ses_utf8_valid(name, len) && !has_control(name, len);
}

bool ses_file_name_valid(const char *name)
{
    const size_t len = strnlen(name, 256);
    if (len == 0 || len > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    return strchr(name, '/') == NULL && ses_utf8_valid(name, len) && !has_control(name, len);
}
