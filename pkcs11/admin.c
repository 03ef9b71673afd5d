#include "pkcs11/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11/child.h"
#include "pkcs11/session.h"

#define INIT_TIMEOUT_MS 120000 /* some devices format themselves */
#define LABEL_LEN       32     /* of CK_TOKEN_INFO */

#define SLOT_PRESENT     1U
#define SLOT_INITIALISED 2U
#define SLOT_USER_PIN    4U

struct list_args {
    const char *module, *init_args;
};
struct list_sink {
    void (*each)(const struct kv_slot_info *slot, void *arg);
    void *arg;
};

static void list_slot(const struct kv_pkcs11_module *module, const struct kv_pkcs11_slot *slot,
                      const struct kv_child_out *out)
{
    struct kv_token_info info = {.label = ""};
    char uri[sizeof((struct kv_slot_info *)0)->uri] = "";
    bool initialised = slot->present && (slot->token.flags & CKF_TOKEN_INITIALIZED) != 0;
    if (slot->present) {
        kv_pkcs11_info(module, slot, &info);
    }
    if (initialised) {
        kv_pkcs11_token_uri(&slot->token, uri, sizeof uri);
    }
    struct kv_buf row;
    kv_buf_init(&row, KV_CHILD_OUTPUT_MAX);
    kv_buf_add_u64(&row, slot->id);
    kv_buf_add_u32(&row,
                   (slot->present ? SLOT_PRESENT : 0) | (initialised ? SLOT_INITIALISED : 0) |
                       ((slot->token.flags & CKF_USER_PIN_INITIALIZED) != 0 ? SLOT_USER_PIN : 0));
    kv_child_add_text(&row, info.label);
    kv_child_add_text(&row, info.manufacturer);
    kv_child_add_text(&row, info.model);
    kv_child_add_text(&row, info.serial);
    kv_child_add_text(&row, uri);
    kv_child_row(out, &row);
    kv_buf_clear(&row);
}

static enum kv_code list_work(const void *arg, const struct kv_child_out *out, struct kv_err *err)
{
    const struct list_args *args = arg;
    struct kv_pkcs11_module module = {.f = NULL};
    KV_CLEANUP(kv_freep) struct kv_pkcs11_slot *slots = NULL;
    size_t count = 0;
    enum kv_code code = kv_pkcs11_module_load(args->module, NULL, args->init_args, &module, err);
    if (code == KV_OK) {
        code = kv_pkcs11_slots(&module, &slots, &count, err);
    }
    for (size_t i = 0; code == KV_OK && i < count; i++) {
        list_slot(&module, &slots[i], out);
    }
    kv_pkcs11_module_clear(&module);
    return code;
}

static bool list_row(struct kv_cursor *row, void *arg)
{
    const struct list_sink *sink = arg;
    struct kv_slot_info slot = {.id = kv_cursor_u64(row)};
    uint32_t flags = kv_cursor_u32(row);
    slot.present = (flags & SLOT_PRESENT) != 0;
    slot.initialised = (flags & SLOT_INITIALISED) != 0;
    slot.user_pin_set = (flags & SLOT_USER_PIN) != 0;
    if (!kv_child_take_text(row, slot.label, sizeof slot.label) ||
        !kv_child_take_text(row, slot.manufacturer, sizeof slot.manufacturer) ||
        !kv_child_take_text(row, slot.model, sizeof slot.model) ||
        !kv_child_take_text(row, slot.serial, sizeof slot.serial) ||
        !kv_child_take_text(row, slot.uri, sizeof slot.uri) || !kv_cursor_done(row)) {
        return false;
    }
    sink->each(&slot, sink->arg);
    return true;
}

enum kv_code kv_slot_list(const char *module, const char *init_args,
                          const struct kv_slot_account *account, int timeout_ms,
                          void (*each)(const struct kv_slot_info *slot, void *arg), void *arg,
                          struct kv_err *err)
{
    struct list_args args = {module, init_args};
    struct list_sink sink = {each, arg};
    struct kv_child_job job = {.account = account,
                               .timeout_ms = timeout_ms,
                               .work = list_work,
                               .arg = &args,
                               .row = list_row,
                               .row_arg = &sink};
    return kv_child_run(&job, err);
}

struct init_args {
    const struct kv_pkcs11_profile *profile;
    const char *label;
    const struct kv_secret *so_pin, *user_pin;
};

static CK_UTF8CHAR *pin_text(const struct kv_secret *pin)
{
    return (CK_UTF8CHAR *)(uintptr_t)kv_secret_bytes(pin).ptr; /* C_* take no const */
}

/* The first slot to initialise, unless the label is taken. */
static enum kv_code choose_slot(const struct kv_pkcs11_module *module, const char *label,
                                CK_SLOT_ID *out, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) struct kv_pkcs11_slot *slots = NULL;
    size_t count = 0;
    bool found = false;
    enum kv_code code = kv_pkcs11_slots(module, &slots, &count, err);
    if (code != KV_OK) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        char have[LABEL_LEN + 1];
        if (!slots[i].present) {
            continue;
        }
        if ((slots[i].token.flags & CKF_TOKEN_INITIALIZED) == 0) {
            *out = found ? *out : slots[i].id;
            found = true;
            continue;
        }
        kv_pkcs11_text(slots[i].token.label, sizeof slots[i].token.label, have);
        if (strcmp(have, label) == 0) {
            return KV_REFUSE(err, KV_E_TOKEN_INITIALISED, "there is a token '%s' already", label);
        }
    }
    return found ? KV_OK
                 : KV_REFUSE(err, KV_E_TOKEN_ABSENT, "the module has no uninitialised token");
}

/* As the security officer, set the user's PIN. */
static enum kv_code set_user_pin(const struct kv_pkcs11_module *module, CK_SLOT_ID slot,
                                 const struct init_args *args, struct kv_err *err)
{
    CK_FUNCTION_LIST *f = module->f;
    CK_SESSION_HANDLE session;
    CK_RV rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_OpenSession");
    }
    rv = f->C_Login(session, CKU_SO, pin_text(args->so_pin), kv_secret_len(args->so_pin));
    if (rv == CKR_PIN_INCORRECT && kv_pkcs11_module_is(module, "nss")) {
        /* it takes any PIN of a security officer and keeps none */
        rv = f->C_Login(session, CKU_SO, pin_text(args->so_pin), 0);
    }
    if (rv == CKR_OK) {
        rv = f->C_InitPIN(session, pin_text(args->user_pin), kv_secret_len(args->user_pin));
        (void)f->C_Logout(session); /* the session ends here anyway */
    }
    (void)f->C_CloseSession(session); /* as above */
    return rv == CKR_OK ? KV_OK : KV_CK_FAIL(err, rv, "setting the user PIN");
}

static enum kv_code init_token(const struct kv_pkcs11_module *module, const struct init_args *args,
                               struct kv_err *err)
{
    CK_SLOT_ID slot = 0;
    enum kv_code code = choose_slot(module, args->label, &slot, err);
    if (code != KV_OK) {
        return code;
    }
    CK_UTF8CHAR label[LABEL_LEN]; /* space-padded, no NUL (PKCS#11 v2.40 base §5.5) */
    memset(label, ' ', sizeof label);
    memcpy(label, args->label, strlen(args->label));
    CK_RV rv =
        module->f->C_InitToken(slot, pin_text(args->so_pin), kv_secret_len(args->so_pin), label);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_InitToken");
    }
    code = set_user_pin(module, slot, args, err);
    return code == KV_OK ? KV_OK
                         : kv_wrap(err, "token '%s' is initialised, but not ready", args->label);
}

static enum kv_code init_work(const void *arg, const struct kv_child_out *out, struct kv_err *err)
{
    const struct init_args *args = arg;
    (void)out; /* no rows */
    struct kv_pkcs11_module module = {.f = NULL};
    KV_CLEANUP(kv_softhsm_guard_clear) struct kv_softhsm_guard guard = {.count = 0};
    enum kv_code code = kv_pkcs11_load(args->profile, &module, &guard, err);
    if (code == KV_OK) {
        code = init_token(&module, args, err);
    }
    kv_pkcs11_module_clear(&module);
    return code;
}

enum kv_code kv_slot_init(const struct kv_pkcs11_profile *profile,
                          const struct kv_slot_account *account, const char *label,
                          const struct kv_secret *so_pin, const struct kv_secret *user_pin,
                          struct kv_err *err)
{
    size_t len = strnlen(label, LABEL_LEN + 1);
    bool valid = len > 0 && len <= LABEL_LEN;
    for (size_t i = 0; valid && i < len; i++) {
        valid = label[i] > ' ' && label[i] <= '~';
    }
    if (!valid) {
        return KV_REFUSE(err, KV_E_LIMIT, "a token's label has 1 to %d visible ASCII characters",
                         LABEL_LEN);
    }
    struct init_args args = {profile, label, so_pin, user_pin};
    struct kv_child_job job = {.account = account,
                               .timeout_ms = INIT_TIMEOUT_MS,
                               .work = init_work,
                               .arg = &args,
                               .secrets = {so_pin, user_pin}};
    return kv_child_run(&job, err);
}
