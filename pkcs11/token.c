#include "pkcs11/token.h"

#include <stdlib.h>
#include <string.h>

#include <p11-kit/uri.h>

#include "pkcs11/session.h"

static void close_token(struct kv_token *base)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    kv_pkcs11_lanes_free(token->lanes);
    if (token->session != CK_INVALID_HANDLE) {
        /* the last session of the process: this logs out and drops the copies of keys */
        (void)token->module.f->C_CloseSession(token->session);
    }
    kv_pkcs11_module_clear(&token->module);
    kv_close_fdp(&token->lock);
    free(token->keys);
    free(token);
}

static enum kv_code get_random(struct kv_token *base, uint8_t *out, size_t len, struct kv_err *err)
{
    struct kv_pkcs11_token *token = kv_pkcs11_token(base);
    CK_RV rv = token->module.f->C_GenerateRandom(token->session, out, len);
    return rv == CKR_OK ? KV_OK : KV_CK_FAIL(err, rv, "C_GenerateRandom");
}

static const struct kv_token_ops ops = {
    .close = close_token,
    .generate = kv_pkcs11_generate,
    .find = kv_pkcs11_find,
    .sign = kv_pkcs11_sign,
    .take = kv_pkcs11_take,
    .done_fd = kv_pkcs11_done_fd,
    .random = get_random,
    .destroy = kv_pkcs11_destroy,
    .count = kv_pkcs11_count,
    .destroy_prefix = kv_pkcs11_destroy_prefix,
    .rung = kv_pkcs11_rung,
    .wrap = kv_pkcs11_wrap,
    .unwrap = kv_pkcs11_unwrap,
};

static void uri_freep(P11KitUri **uri)
{
    p11_kit_uri_free(*uri); /* NULL is fine */
}

static enum kv_code parse_uri(const char *text, P11KitUri **out, struct kv_err *err)
{
    KV_CLEANUP(uri_freep) P11KitUri *uri = p11_kit_uri_new();
    if (uri == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a URI");
    }
    int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    if (result != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri)) {
        return KV_REFUSE(err, KV_E_CONFIG, "'%.100s' is not the PKCS#11 URI of a token", text);
    }
    if (p11_kit_uri_get_pin_value(uri) != NULL || p11_kit_uri_get_pin_source(uri) != NULL) {
        return KV_REFUSE(err, KV_E_CONFIG, "the slot's URI holds a PIN; use `pin:` instead");
    }
    *out = uri;
    uri = NULL; /* handed over */
    return KV_OK;
}

static bool matches(P11KitUri *uri, const struct kv_pkcs11_slot *slot)
{
    CK_SLOT_ID id = p11_kit_uri_get_slot_id(uri);
    return slot->present && (slot->token.flags & CKF_TOKEN_INITIALIZED) != 0 &&
           (id == (CK_SLOT_ID)-1 || id == slot->id) &&
           p11_kit_uri_match_token_info(uri, &slot->token) == 1 &&
           p11_kit_uri_match_slot_info(uri, &slot->info) == 1;
}

static enum kv_code find_slot(const struct kv_pkcs11_module *module, const char *uri_text,
                              struct kv_pkcs11_slot *out, struct kv_err *err)
{
    KV_CLEANUP(uri_freep) P11KitUri *uri = NULL;
    KV_CLEANUP(kv_freep) struct kv_pkcs11_slot *slots = NULL;
    size_t count = 0, found = 0;
    enum kv_code code = parse_uri(uri_text, &uri, err);
    if (code == KV_OK) {
        code = kv_pkcs11_slots(module, &slots, &count, err);
    }
    if (code != KV_OK) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        if (matches(uri, &slots[i])) {
            *out = slots[i];
            found++;
        }
    }
    if (found == 0) {
        return KV_REFUSE(err, KV_E_TOKEN_ABSENT, "no token matches %.120s", uri_text);
    }
    if (found > 1) {
        return KV_REFUSE(err, KV_E_CONFIG, "%zu tokens match %.100s; add serial=…", found,
                         uri_text);
    }
    return KV_OK;
}

/* Before a login, not after: one more wrong PIN may be the last. */
static enum kv_code check_flags(const CK_TOKEN_INFO *token, bool allow_low, bool has_pin,
                                struct kv_err *err)
{
    if (!has_pin && (token->flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0) {
        return KV_REFUSE(
            err, KV_E_TOKEN_NO_PIN,
            "the token has no pad of its own: pin must be file:/PATH or credential:NAME");
    }
    if ((token->flags & CKF_USER_PIN_LOCKED) != 0) {
        return KV_REFUSE(err, KV_E_TOKEN_PIN_LOCKED, "the token reports that its PIN is locked");
    }
    if ((token->flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        return KV_REFUSE(err, KV_E_TOKEN_PIN_LOW,
                         "the token reports that one more wrong PIN locks it; not tried");
    }
    if ((token->flags & CKF_USER_PIN_COUNT_LOW) != 0 && !allow_low) {
        return KV_REFUSE(err, KV_E_TOKEN_PIN_LOW,
                         "the token reports a wrong PIN since the last login; not tried");
    }
    if ((token->flags & CKF_USER_PIN_INITIALIZED) == 0) {
        return KV_REFUSE(err, KV_E_TOKEN, "the token has no user PIN yet; set one first");
    }
    return KV_OK;
}

static enum kv_code log_in(struct kv_pkcs11_token *token, CK_SLOT_ID slot,
                           const struct kv_secret *pin, struct kv_err *err)
{
    CK_RV rv = token->module.f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                              &token->session);
    if (rv != CKR_OK) {
        token->session = CK_INVALID_HANDLE;
        return KV_CK_FAIL(err, rv, "C_OpenSession");
    }
    struct kv_bytes view = pin == NULL ? KV_BYTES_NULL : kv_secret_bytes(pin);
    rv = token->module.f->C_Login(token->session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)view.ptr,
                                  view.len);
    return rv == CKR_OK ? KV_OK : KV_CK_FAIL(err, rv, "the login");
}

static enum kv_code open_slot(struct kv_pkcs11_token *token,
                              const struct kv_pkcs11_profile *profile, const struct kv_secret *pin,
                              struct kv_err *err)
{
    KV_CLEANUP(kv_freep) struct kv_pkcs11_slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a slot");
    }
    enum kv_code code = find_slot(&token->module, profile->uri, slot, err);
    if (code != KV_OK) {
        return code;
    }
    kv_pkcs11_info(&token->module, slot, &token->base.info);
    code = kv_token_lock(profile->lock_dir, &token->base.info, &token->lock, err);
    if (code != KV_OK) {
        return code;
    }
    kv_pkcs11_token_uri(&slot->token, token->uri, sizeof token->uri);
    token->slot = slot->id;
    code = check_flags(&slot->token, profile->allow_low, pin != NULL, err);
    return code == KV_OK ? log_in(token, slot->id, pin, err) : code;
}

static enum kv_code load(const struct kv_pkcs11_profile *profile, struct kv_pkcs11_module *module,
                         struct kv_err *err)
{
    return kv_pkcs11_module_load(profile->module, profile->module_sha256, profile->init_args,
                                 module, err);
}

enum kv_code kv_pkcs11_load(const struct kv_pkcs11_profile *profile,
                            struct kv_pkcs11_module *module, struct kv_softhsm_guard *guard,
                            struct kv_err *err)
{
    guard->count = 0;
    *module = (struct kv_pkcs11_module){.f = NULL};
    enum kv_code code = load(profile, module, err);
    if (code != KV_OK || !kv_pkcs11_module_is(module, "softhsm")) {
        return code;
    }
    /* Only the loaded library says what it is, but C_Initialize reads the tokens, which another
     * process may be writing: what it has read is thrown away, and read again under the guard. */
    kv_pkcs11_module_clear(module);
    code = kv_softhsm_guard(profile->writable, profile->writable_count, guard, err);
    return code == KV_OK ? load(profile, module, err) : code;
}

/* PKCS#11 v2.40 base §5.5: by the user, in a session that is logged in. */
static enum kv_code set_pin(struct kv_pkcs11_token *token, const struct kv_secret *pin,
                            const struct kv_secret *fresh, struct kv_err *err)
{
    struct kv_bytes old = kv_secret_bytes(pin), new = kv_secret_bytes(fresh);
    CK_RV rv = token->module.f->C_SetPIN(token->session, (CK_UTF8CHAR *)(uintptr_t)old.ptr, old.len,
                                         (CK_UTF8CHAR *)(uintptr_t) new.ptr, new.len);
    return rv == CKR_OK ? KV_OK : KV_CK_FAIL(err, rv, "the new PIN");
}

static enum kv_code open_token(const struct kv_pkcs11_profile *profile, const struct kv_secret *pin,
                               const struct kv_secret *fresh, struct kv_token **out,
                               struct kv_err *err)
{
    assert(profile->uri != NULL);
    assert(profile->lock_dir != NULL);
    struct kv_pkcs11_token *token = calloc(1, sizeof *token);
    if (token == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a token");
    }
    token->base.ops = &ops;
    token->session = CK_INVALID_HANDLE;
    token->lock = -1;
    /* held until the login has written the tokens */
    KV_CLEANUP(kv_softhsm_guard_clear) struct kv_softhsm_guard guard = {.count = 0};
    enum kv_code code = kv_pkcs11_load(profile, &token->module, &guard, err);
    if (code == KV_OK) {
        code = open_slot(token, profile, pin, err);
    }
    if (code == KV_OK && fresh != NULL) {
        code = set_pin(token, pin, fresh, err);
    }
    if (code != KV_OK) {
        close_token(&token->base);
        return code;
    }
    *out = &token->base;
    return KV_OK;
}

enum kv_code kv_pkcs11_open(const struct kv_pkcs11_profile *profile, const struct kv_secret *pin,
                            struct kv_token **out, struct kv_err *err)
{
    return open_token(profile, pin, NULL, out, err);
}

enum kv_code kv_pkcs11_change_pin(const struct kv_pkcs11_profile *profile,
                                  const struct kv_secret *pin, const struct kv_secret *fresh,
                                  struct kv_err *err)
{
    struct kv_token *token = NULL;
    enum kv_code code = open_token(profile, pin, fresh, &token, err);
    kv_token_close(token);
    return code;
}

const char *kv_pkcs11_uri(struct kv_token *base)
{
    return kv_pkcs11_token(base)->uri;
}
