#include "broker/auth/identity.h"

#include "broker/codec/utf8.h"

/* Why a name may not be used, or NULL. */
static const char *name_fault(struct str name)
{
    static const char metacharacters[] = "+#/$\\";

    if (name.len == 0)
        return "it is empty";
    if (name.len > IDENTITY_NAME_MAX)
        return "it is longer than 64 bytes";
    if (!utf8_valid(name))
        return "it is not UTF-8";
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = (uint8_t)name.at[i];

        if (byte <= 0x20 || byte == 0x7f)
            return "it holds a space or a control character";
        if (byte == 0xc2 && (uint8_t)name.at[i + 1] < 0xa0) /* U+0080 to U+009F */
            return "it holds a control character";
        if (memchr(metacharacters, byte, sizeof metacharacters - 1))
            return "it holds one of + # / $ \\";
    }
    if (str_equal(name, STR_LITERAL(".")) || str_equal(name, STR_LITERAL("..")))
        return "it is a folder's name";
    return NULL;
}

bool identity_name_valid(struct str name)
{
    return name_fault(name) == NULL;
}

int identity_from_certificate(struct str common_name, struct str unit, struct identity *out,
                              struct err_detail *detail)
{
    const char *fault = name_fault(common_name);

    if (fault)
        return err_set(detail, ERR_DENIED, "the certificate's CN cannot be an identity: %s", fault);
    out->kind = str_equal(unit, STR_LITERAL("service")) ? IDENTITY_SERVICE : IDENTITY_BIKE;
    out->name_len = (uint8_t)common_name.len;
    memcpy(out->name, common_name.at, common_name.len);
    out->name[common_name.len] = '\0';
    return 0;
}
