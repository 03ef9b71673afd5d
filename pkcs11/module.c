#include "pkcs11/module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

/* Every CK_RV that means more than "it failed". */
static const struct {
    CK_RV rv;
    enum kv_code code;
} codes[] = {
    {CKR_HOST_MEMORY, KV_E_NO_MEMORY},
    {CKR_SLOT_ID_INVALID, KV_E_TOKEN_ABSENT},
    {CKR_DEVICE_REMOVED, KV_E_TOKEN_ABSENT},
    {CKR_TOKEN_NOT_PRESENT, KV_E_TOKEN_ABSENT},
    {CKR_TOKEN_NOT_RECOGNIZED, KV_E_TOKEN_ABSENT},
    {CKR_PIN_INCORRECT, KV_E_TOKEN_PIN},
    {CKR_PIN_INVALID, KV_E_TOKEN_PIN},
    {CKR_PIN_LEN_RANGE, KV_E_TOKEN_PIN},
    {CKR_PIN_EXPIRED, KV_E_TOKEN_PIN},
    {CKR_PIN_TOO_WEAK, KV_E_TOKEN_PIN},
    {CKR_PIN_LOCKED, KV_E_TOKEN_PIN_LOCKED},
    {CKR_KEY_HANDLE_INVALID, KV_E_TOKEN_KEY_MISSING},
    {CKR_OBJECT_HANDLE_INVALID, KV_E_TOKEN_KEY_MISSING},
    {CKR_FUNCTION_NOT_SUPPORTED, KV_E_TOKEN_MECHANISM},
    {CKR_MECHANISM_INVALID, KV_E_TOKEN_MECHANISM},
    {CKR_MECHANISM_PARAM_INVALID, KV_E_TOKEN_MECHANISM},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, KV_E_TOKEN_MECHANISM},
    {CKR_KEY_SIZE_RANGE, KV_E_TOKEN_MECHANISM},
    {CKR_KEY_TYPE_INCONSISTENT, KV_E_TOKEN_MECHANISM},
    {CKR_ATTRIBUTE_READ_ONLY, KV_E_TOKEN_MECHANISM},
    {CKR_ATTRIBUTE_TYPE_INVALID, KV_E_TOKEN_MECHANISM},
    {CKR_ATTRIBUTE_VALUE_INVALID, KV_E_TOKEN_MECHANISM},
    {CKR_TEMPLATE_INCOMPLETE, KV_E_TOKEN_MECHANISM},
    {CKR_TEMPLATE_INCONSISTENT, KV_E_TOKEN_MECHANISM},
    {CKR_DOMAIN_PARAMS_INVALID, KV_E_TOKEN_MECHANISM},
    {CKR_CURVE_NOT_SUPPORTED, KV_E_TOKEN_MECHANISM},
    {CKR_LIBRARY_LOAD_FAILED, KV_E_TOKEN_MODULE},
};

enum kv_code kv_pkcs11_code(CK_RV rv)
{
    for (size_t i = 0; i < KV_COUNT(codes); i++) {
        if (codes[i].rv == rv) {
            return codes[i].code;
        }
    }
    return KV_E_TOKEN;
}

enum kv_code kv_pkcs11_fail(struct kv_err *err, CK_RV rv, const char *origin, const char *what)
{
    assert(rv != CKR_OK);
    return kv_err_set(err, kv_pkcs11_code(rv), KV_CK_RV(rv), origin, "%s: %s", what,
                      p11_kit_strerror(rv));
}

enum kv_code kv_pkcs11_module_hash(const char *path, struct kv_hash *out, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
    KV_CLEANUP(kv_freep) uint8_t *buf = malloc(65536);
    if (fd < 0 || buf == NULL) {
        return KV_FAIL(err, KV_E_TOKEN_MODULE, KV_ERRNO, "cannot open %.120s", path);
    }
    struct kv_hasher *hasher = kv_hasher_new();
    ssize_t n;
    while ((n = read(fd, buf, 65536)) > 0) {
        kv_hasher_add(hasher, kv_bytes(buf, (size_t)n));
    }
    *out = kv_hasher_finish(hasher);
    return n < 0 ? KV_FAIL(err, KV_E_TOKEN_MODULE, KV_ERRNO, "cannot read %.120s", path) : KV_OK;
}

/* The file that is compared is not yet the file that is loaded: whoever may exchange it in between
 * may also exchange this program (both belong to root). The hash finds updates, not attackers. */
static enum kv_code check_hash(const char *path, const char *sha256, struct kv_err *err)
{
    struct kv_hash want, got;
    if (!kv_hash_from_hex(kv_bytes_str(sha256), &want)) {
        return KV_REFUSE(err, KV_E_TOKEN_MODULE, "module-sha256 is not 64 lower-case hex digits");
    }
    if (kv_pkcs11_module_hash(path, &got, err) != KV_OK) {
        return err->code;
    }
    if (!kv_hash_equal(&got, &want)) {
        return KV_REFUSE(err, KV_E_TOKEN_MODULE, "%.100s is not the module that was recorded",
                         path);
    }
    return KV_OK;
}

enum kv_code kv_pkcs11_module_load(const char *path, const char *sha256, const char *init_args,
                                   struct kv_pkcs11_module *out, struct kv_err *err)
{
    /* p11-kit would look for a relative name in its own folder */
    if (path == NULL || path[0] != '/') {
        return KV_REFUSE(err, KV_E_TOKEN_MODULE, "the module must be an absolute path");
    }
    if (sha256 != NULL) {
        enum kv_code code = check_hash(path, sha256, err);
        if (code != KV_OK) {
            return code;
        }
    }
    p11_kit_be_quiet(); /* it prints to standard error; the message below says the same */
    /* Unmanaged: the module's own functions. A managed module would be finalised by p11-kit when
     * the process forks, and would get its init arguments from p11-kit's files instead of ours. */
    struct kv_pkcs11_module module = {
        .f = p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED | P11_KIT_MODULE_CRITICAL)};
    if (module.f == NULL) {
        const char *why = p11_kit_message();
        return KV_REFUSE(err, KV_E_TOKEN_MODULE, "cannot load %.80s: %.90s", path,
                         why != NULL ? why : "no PKCS#11 module");
    }
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK,
                                 .pReserved = (void *)(uintptr_t)init_args};
    CK_RV rv = module.f->C_Initialize(&args);
    if (rv == CKR_CANT_LOCK) {
        args.flags = 0; /* no thread but this one calls the module (PKCS#11 v2.40 base §5.4) */
        rv = module.f->C_Initialize(&args);
    }
    if (rv != CKR_OK) {
        p11_kit_module_release(module.f);
        return KV_FAIL(err, KV_E_TOKEN_MODULE, KV_CK_RV(rv), "cannot initialise %.80s: %s", path,
                       p11_kit_strerror(rv));
    }
    module.initialised = true;
    module.locks = args.flags != 0;
    *out = module;
    return KV_OK;
}

void kv_pkcs11_module_clear(struct kv_pkcs11_module *module)
{
    if (module->initialised) {
        (void)module->f->C_Finalize(NULL); /* nothing to do about a failure on the way out */
    }
    if (module->f != NULL) {
        p11_kit_module_release(module->f);
    }
    *module = (struct kv_pkcs11_module){.f = NULL};
}

static enum kv_code describe(const struct kv_pkcs11_module *module, struct kv_pkcs11_slot *slot,
                             struct kv_err *err)
{
    CK_RV rv = module->f->C_GetSlotInfo(slot->id, &slot->info);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_GetSlotInfo");
    }
    rv = module->f->C_GetTokenInfo(slot->id, &slot->token);
    slot->present = rv == CKR_OK;
    if (rv != CKR_OK && kv_pkcs11_code(rv) != KV_E_TOKEN_ABSENT) {
        return KV_CK_FAIL(err, rv, "C_GetTokenInfo");
    }
    return KV_OK;
}

enum kv_code kv_pkcs11_slots(const struct kv_pkcs11_module *module, struct kv_pkcs11_slot **out,
                             size_t *count, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) CK_SLOT_ID *ids = calloc(KV_CK_SLOTS_MAX, sizeof *ids);
    KV_CLEANUP(kv_freep) struct kv_pkcs11_slot *slots = calloc(KV_CK_SLOTS_MAX, sizeof *slots);
    CK_ULONG n = KV_CK_SLOTS_MAX;
    if (ids == NULL || slots == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for the list of slots");
    }
    /* some modules find new tokens only when the number is asked for (SoftHSM2 does) */
    CK_RV rv = module->f->C_GetSlotList(CK_FALSE, NULL, &n);
    if (rv == CKR_OK) {
        n = KV_CK_SLOTS_MAX;
        rv = module->f->C_GetSlotList(CK_FALSE, ids, &n);
    }
    if (rv != CKR_OK || n > KV_CK_SLOTS_MAX) {
        return KV_CK_FAIL(err, rv != CKR_OK ? rv : CKR_BUFFER_TOO_SMALL, "C_GetSlotList");
    }
    for (CK_ULONG i = 0; i < n; i++) {
        slots[i].id = ids[i];
        enum kv_code code = describe(module, &slots[i], err);
        if (code != KV_OK) {
            return code;
        }
    }
    *out = slots;
    slots = NULL; /* handed over */
    *count = n;
    return KV_OK;
}

void kv_pkcs11_text(const CK_UTF8CHAR *in, size_t len, char *out)
{
    while (len > 0 && (in[len - 1] == ' ' || in[len - 1] == '\0')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = in[i] >= ' ' && in[i] <= '~' ? (char)in[i] : '?';
    }
    out[len] = '\0';
}

/* What the library says of itself; "" if it says nothing. */
static void describe_library(const struct kv_pkcs11_module *module, char maker[static 33],
                             char text[static 33])
{
    CK_INFO library = {.flags = 0};
    maker[0] = text[0] = '\0';
    if (module->f->C_GetInfo(&library) == CKR_OK) {
        kv_pkcs11_text(library.manufacturerID, sizeof library.manufacturerID, maker);
        kv_pkcs11_text(library.libraryDescription, sizeof library.libraryDescription, text);
    }
}

bool kv_pkcs11_module_is(const struct kv_pkcs11_module *module, const char *word)
{
    char maker[33], text[33];
    describe_library(module, maker, text);
    return strcasestr(maker, word) != NULL || strcasestr(text, word) != NULL;
}

/* Words by which software tokens are known, and what they are. A token that hides them is believed:
 * "claimed" says no more than that. */
static const struct {
    const char *word, *product;
} software[] = {
    {"softhsm", "SoftHSM"},
    {"nss", "NSS"},
    {"mozilla", "NSS"},
    {"libtpms", "a TPM in software (libtpms)"},
    {"swtpm", "a TPM in software"},
    {"sw   tpm", "a TPM in software"},
};

void kv_pkcs11_info(const struct kv_pkcs11_module *module, const struct kv_pkcs11_slot *slot,
                    struct kv_token_info *out)
{
    struct kv_token_info info = {.custody = KV_CUSTODY_CLAIMED};
    char maker[33], text[33];
    kv_pkcs11_text(slot->token.label, sizeof slot->token.label, info.label);
    kv_pkcs11_text(slot->token.manufacturerID, sizeof slot->token.manufacturerID,
                   info.manufacturer);
    kv_pkcs11_text(slot->token.model, sizeof slot->token.model, info.model);
    kv_pkcs11_text(slot->token.serialNumber, sizeof slot->token.serialNumber, info.serial);
    describe_library(module, maker, text);
    const char *where[] = {info.manufacturer, info.model, maker, text};
    int n = snprintf(info.custody_why, sizeof info.custody_why,
                     "The module says that it is %s %s; no evidence was checked.",
                     info.manufacturer, info.model);
    for (size_t i = 0; i < KV_COUNT(software) * KV_COUNT(where); i++) {
        if (strcasestr(where[i % KV_COUNT(where)], software[i / KV_COUNT(where)].word) != NULL) {
            info.custody = KV_CUSTODY_SOFTWARE;
            n = snprintf(info.custody_why, sizeof info.custody_why,
                         "The token is %s: its keys are files on this machine.",
                         software[i / KV_COUNT(where)].product);
            break;
        }
    }
    assert(n > 0);
    *out = info;
}

void kv_pkcs11_token_uri(const CK_TOKEN_INFO *token, char *out, size_t size)
{
    P11KitUri *uri = p11_kit_uri_new();
    char *text = NULL;
    out[0] = '\0';
    if (uri != NULL) {
        *p11_kit_uri_get_token_info(uri) = *token;
        if (p11_kit_uri_format(uri, P11_KIT_URI_FOR_TOKEN, &text) == P11_KIT_URI_OK &&
            strlen(text) < size) {
            memcpy(out, text, strlen(text) + 1);
        }
    }
    free(text);
    p11_kit_uri_free(uri);
}
