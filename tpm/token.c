#include "tpm/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tpm/session.h"

#define TOKEN_FILE "token"
#define ROOT_LEN   32

enum kv_code kv_tpm_enter(struct kv_tpm_token *token, struct kv_err *err)
{
    bool alone;
    enum kv_code code = kv_tpm_turn_take(&token->turn, &alone, err);
    if (code == KV_OK && alone && !token->lost) {
        return KV_OK;
    }
    token->loaded = ESYS_TR_NONE;
    token->loaded_handle = 0;
    if (code == KV_OK) {
        code = kv_tpm_chip_again(&token->chip, err);
        if (code != KV_OK) {
            kv_tpm_leave(token);
        }
    }
    token->lost = code != KV_OK;
    return code;
}

void kv_tpm_leave(struct kv_tpm_token *token)
{
    kv_tpm_turn_give(&token->turn);
}

void kv_tpm_close(struct kv_token *base)
{
    struct kv_tpm_token *token = kv_tpm_token(base);
    bool alone = false;
    /* after another's turn, what is in the chip is his */
    if (token->chip.esys != NULL &&
        (token->lost || kv_tpm_turn_last(&token->turn, &alone, NULL) != KV_OK || !alone)) {
        token->chip.primary = token->chip.session = token->loaded = ESYS_TR_NONE;
    }
    kv_tpm_make_room(token);
    kv_tpm_chip_clear(&token->chip);
    for (size_t i = 0; i < token->key_count; i++) {
        free(token->keys[i]);
    }
    free(token->keys);
    kv_secret_free(token->root);
    kv_close_fdp(&token->turn.fd); /* and ends the turn */
    kv_buf_clear(&token->certificates);
    kv_close_fdp(&token->dir);
    kv_close_fdp(&token->lock);
    free(token);
}

static struct kv_tpm_token *new_token(struct kv_err *err)
{
    struct kv_tpm_token *token = calloc(1, sizeof *token);
    if (token == NULL) {
        enum kv_code code = KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a token");
        assert(code == KV_E_NO_MEMORY);
        return NULL;
    }
    token->base.ops = &kv_tpm_ops;
    token->dir = token->lock = token->turn.fd = -1;
    token->loaded = ESYS_TR_NONE;
    token->next_handle = 1;
    kv_buf_init(&token->certificates, KV_EVIDENCE_MAX / 2); /* base64 makes a third more of it */
    token->chip = (struct kv_tpm_chip){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE};
    return token;
}

/* ---- the folder ---- */

/* The file that says whose folder it is. */
enum {
    T_LABEL,
    T_PRIMARY,
    T_CHIP,
    T_MANUFACTURER,
    T_MODEL,
    T_SOFTWARE,
    T_PUBLIC,
    T_PRIVATE,
    T_COUNT
};

static enum kv_code open_folder(const char *folder, int *dir, struct kv_err *err)
{
    *dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*dir < 0 && errno == ENOENT) {
        return KV_REFUSE(err, KV_E_TOKEN_ABSENT,
                         "the slot has no keys yet: initialise it (`ksefvault slot init`)");
    }
    return *dir < 0 ? KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %.120s", folder) : KV_OK;
}

/* One process for a folder, and so for a login. A chip that is shared with other programs needs a
 * resource manager: /dev/tpmrm0 has one. */
static enum kv_code lock_folder(int dir, int *lock, struct kv_err *err)
{
    *lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (*lock < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the lock of the slot's folder");
    }
    if (flock(*lock, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? KV_REFUSE(err, KV_E_TOKEN_IN_USE, "another process uses this slot")
                   : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot lock the slot's folder");
    }
    return KV_OK;
}

static void copy_text(struct kv_bytes from, char *out, size_t size)
{
    size_t len = from.len < size ? from.len : size - 1;
    for (size_t i = 0; i < len; i++) {
        out[i] = from.ptr[i] >= ' ' && from.ptr[i] <= '~' ? (char)from.ptr[i] : '?';
    }
    out[len] = '\0';
}

static void tell_custody(bool software, struct kv_token_info *out)
{
    out->custody = software ? KV_CUSTODY_SOFTWARE : KV_CUSTODY_CLAIMED;
    int n = software ? snprintf(out->custody_why, sizeof out->custody_why,
                                "A TPM in software (%s %s): its state is a file.",
                                out->manufacturer, out->model)
                     : snprintf(out->custody_why, sizeof out->custody_why,
                                "The TPM says that it is %s %s; nothing proves it.",
                                out->manufacturer, out->model);
    assert(n > 0);
}

static void tell(const struct kv_bytes part[static T_COUNT], struct kv_token_info *out)
{
    char hex[KV_HEX_LEN(8)] = "";
    copy_text(part[T_LABEL], out->label, sizeof out->label);
    copy_text(part[T_MANUFACTURER], out->manufacturer, sizeof out->manufacturer);
    copy_text(part[T_MODEL], out->model, sizeof out->model);
    /* a name begins with the number of its hash */
    struct kv_bytes name = part[T_CHIP].len > 10 ? part[T_CHIP] : part[T_PRIMARY];
    if (name.len > 10) {
        kv_hex_encode(kv_bytes(name.ptr + 2, 8), hex);
    }
    memcpy(out->serial, hex, sizeof hex);
    tell_custody(part[T_SOFTWARE].len == 1 && part[T_SOFTWARE].ptr[0] == 'y', out);
}
_Static_assert(sizeof((struct kv_token_info *)0)->serial == KV_HEX_LEN(8), "64 bits of a name");

static enum kv_code read_token(int dir, struct kv_buf *file, struct kv_bytes part[static T_COUNT],
                               struct kv_err *err)
{
    enum kv_code code =
        kv_tpm_file_read(dir, TOKEN_FILE, file, part, T_COUNT, KV_E_TOKEN_ABSENT, err);
    return code == KV_OK || err == NULL ? code : kv_wrap(err, "the slot's folder");
}

enum kv_code kv_tpm_read_info(const char *folder, struct kv_token_info *out, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int dir = -1;
    struct kv_buf file;
    struct kv_bytes part[T_COUNT];
    enum kv_code code = open_folder(folder, &dir, err);
    if (code != KV_OK) {
        return code;
    }
    code = read_token(dir, &file, part, err);
    if (code == KV_OK) {
        tell(part, out);
    }
    kv_buf_clear(&file);
    return code;
}

enum kv_code kv_tpm_folder_hold(const char *folder, int *lock, TPM2B_NAME *primary,
                                struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int dir = -1;
    struct kv_buf file;
    struct kv_bytes part[T_COUNT];
    primary->size = 0;
    enum kv_code code = open_folder(folder, &dir, err);
    if (code != KV_OK) {
        return code == KV_E_TOKEN_ABSENT ? KV_OK : code;
    }
    code = lock_folder(dir, lock, err);
    if (code != KV_OK) {
        return code;
    }
    code = read_token(dir, &file, part, err);
    if (code == KV_OK && part[T_PRIMARY].len <= sizeof primary->name) {
        primary->size = (UINT16)part[T_PRIMARY].len;
        memcpy(primary->name, part[T_PRIMARY].ptr, part[T_PRIMARY].len);
    }
    kv_buf_clear(&file);
    return code == KV_E_TOKEN_ABSENT ? KV_OK : code;
}

/* ---- login ---- */

static void pin_auth(const struct kv_secret *pin, TPM2B_AUTH *out)
{
    struct kv_hash hash =
        kv_hash3(kv_bytes_str("ksefvault-tpm-1 login\n"), kv_secret_bytes(pin), KV_BYTES_NULL);
    out->size = KV_HASH_LEN;
    memcpy(out->buffer, hash.b, KV_HASH_LEN);
    kv_wipe(&hash, sizeof hash);
}

/* The first turn at the chip begins; the caller ends it. */
static enum kv_code open_chip(struct kv_tpm_token *token, const char *tcti, struct kv_err *err)
{
    bool alone;
    enum kv_code code =
        kv_tpm_way_managed(tcti) ? KV_OK : kv_tpm_turn_open(token->dir, "..", &token->turn, err);
    if (code == KV_OK) {
        code = kv_tpm_turn_take(&token->turn, &alone, err);
    }
    return code == KV_OK ? kv_tpm_chip_open(tcti, &token->chip, err) : code;
}

/* Another storage key: the chip's own name tells whether it is another chip. */
static enum kv_code check_chip(struct kv_tpm_token *token,
                               const struct kv_bytes part[static T_COUNT], struct kv_err *err)
{
    const TPM2B_NAME *name = &token->chip.primary_name;
    TPM2B_NAME own;
    if (kv_bytes_equal(part[T_PRIMARY], kv_bytes(name->name, name->size))) {
        return KV_OK;
    }
    kv_tpm_chip_identity(&token->chip, &own);
    if (own.size == 0 || part[T_CHIP].len == 0) {
        return KV_REFUSE(err, KV_E_TOKEN_FOREIGN, "the TPM is another one, or it was cleared");
    }
    return kv_bytes_equal(part[T_CHIP], kv_bytes(own.name, own.size))
               ? KV_REFUSE(err, KV_E_TOKEN_FOREIGN,
                           "the TPM was cleared: the keys of this slot are lost")
               : KV_REFUSE(err, KV_E_TOKEN_FOREIGN,
                           "this is another TPM than the one that made the slot's keys");
}

static enum kv_code log_in(struct kv_tpm_token *token, const struct kv_bytes part[static T_COUNT],
                           const struct kv_secret *pin, struct kv_err *err)
{
    struct kv_tpm_blob blob;
    TPM2B_DIGEST bound;
    TPM2B_AUTH auth;
    enum kv_code code = kv_tpm_blob_parse(part[T_PUBLIC], part[T_PRIVATE], &blob, err);
    if (code != KV_OK) {
        return code;
    }
    kv_tpm_bind(KV_TPM_LOGIN, token->base.info.label, &bound);
    const TPM2B_DIGEST *policy = &blob.public.publicArea.authPolicy;
    if (!kv_tpm_sealed_good(&blob.public) || !kv_bytes_equal(kv_bytes(policy->buffer, policy->size),
                                                             kv_bytes(bound.buffer, bound.size))) {
        return KV_REFUSE(err, KV_E_TOKEN_KEY_DAMAGED, "the slot's login is not what was made");
    }
    pin_auth(pin, &auth);
    code = kv_tpm_chip_unseal(&token->chip, &blob, &auth, &token->root, err);
    kv_wipe(&auth, sizeof auth);
    if (code == KV_E_TOKEN_PIN) {
        return KV_REFUSE(err, KV_E_TOKEN_PIN, "the TPM refused the PIN of the slot");
    }
    return code;
}

static enum kv_code open_slot(struct kv_tpm_token *token, const struct kv_tpm_profile *profile,
                              const struct kv_secret *pin, struct kv_err *err)
{
    struct kv_buf file;
    struct kv_bytes part[T_COUNT];
    enum kv_code code = open_folder(profile->folder, &token->dir, err);
    if (code == KV_OK) {
        code = lock_folder(token->dir, &token->lock, err);
    }
    if (code != KV_OK) {
        return code;
    }
    code = read_token(token->dir, &file, part, err);
    if (code == KV_OK) {
        tell(part, &token->base.info);
        code = open_chip(token, profile->tcti, err);
    }
    if (code == KV_OK) {
        code = check_chip(token, part, err);
    }
    if (code == KV_OK) {
        code = log_in(token, part, pin, err);
    }
    kv_buf_clear(&file);
    if (code == KV_OK &&
        token->chip.software) { /* the file may be of a version that did not see it */
        tell_custody(true, &token->base.info);
    }
    return code == KV_OK && profile->roots != NULL ? kv_tpm_endorse(token, profile->roots, err)
                                                   : code;
}

enum kv_code kv_tpm_open(const struct kv_tpm_profile *profile, const struct kv_secret *pin,
                         struct kv_token **out, struct kv_err *err)
{
    struct kv_tpm_token *token = new_token(err);
    if (token == NULL) {
        return KV_E_NO_MEMORY;
    }
    enum kv_code code = open_slot(token, profile, pin, err);
    if (code != KV_OK) {
        kv_tpm_close(&token->base);
        return code;
    }
    kv_tpm_leave(token);
    *out = &token->base;
    return KV_OK;
}

/* ---- init ---- */

static enum kv_code check_pin(const struct kv_secret *pin, struct kv_err *err)
{
    return kv_secret_len(pin) >= KV_TPM_PIN_MIN
               ? KV_OK
               : KV_REFUSE(err, KV_E_LIMIT,
                           "the PIN of a TPM's slot has at least %d characters: the TPM does not "
                           "count wrong ones",
                           KV_TPM_PIN_MIN);
}

static enum kv_code check_init(const char *label, const struct kv_secret *pin, struct kv_err *err)
{
    size_t len = strnlen(label, sizeof((struct kv_token_info *)0)->label);
    bool valid = len > 0 && len < sizeof((struct kv_token_info *)0)->label;
    for (size_t i = 0; valid && i < len; i++) {
        valid = label[i] > ' ' && label[i] <= '~';
    }
    if (!valid) {
        return KV_REFUSE(err, KV_E_LIMIT, "a token's label has 1 to 32 visible ASCII characters");
    }
    return check_pin(pin, err);
}

/* A folder that another, cut short, left empty is taken; the one above it is made, too. */
static enum kv_code make_folder(const char *folder, int *dir, int *lock, struct kv_err *err)
{
    const char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder) {
        return KV_REFUSE(err, KV_E_CONFIG, "'%.100s' is no absolute path", folder);
    }
    KV_CLEANUP(kv_freep) char *above = strndup(folder, (size_t)(slash - folder));
    if (above == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a path");
    }
    if ((mkdir(above, 0700) != 0 && errno != EEXIST) ||
        (mkdir(folder, 0700) != 0 && errno != EEXIST)) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make the folder %.120s", folder);
    }
    enum kv_code code = open_folder(folder, dir, err);
    if (code == KV_OK) {
        code = lock_folder(*dir, lock, err);
    }
    if (code != KV_OK) {
        return code;
    }
    if (faccessat(*dir, TOKEN_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return KV_REFUSE(err, KV_E_TOKEN_INITIALISED, "the slot has its keys in %.100s", folder);
    }
    return KV_OK;
}

/* What the login opens: from it follow the passwords of all keys. */
static enum kv_code make_root(struct kv_tpm_token *token, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *root = NULL;
    enum kv_code code = kv_secret_new(ROOT_LEN, &root, err);
    if (code == KV_OK) {
        code = kv_tpm_chip_random(&token->chip, kv_secret_data(root), ROOT_LEN, err);
    }
    if (code == KV_OK) {
        token->root = root;
        root = NULL; /* handed over */
    }
    return code;
}

static enum kv_code make_login(struct kv_tpm_token *token, const char *label,
                               const struct kv_secret *pin, struct kv_tpm_halves *out,
                               struct kv_err *err)
{
    TPM2B_PUBLIC wanted;
    TPM2B_AUTH auth;
    struct kv_tpm_blob blob;
    kv_tpm_sealed_template(KV_TPM_LOGIN, label, &wanted);
    pin_auth(pin, &auth);
    enum kv_code code = kv_tpm_chip_create(&token->chip, &wanted, &auth, token->root, &blob, err);
    kv_wipe(&auth, sizeof auth);
    return code == KV_OK ? kv_tpm_blob_print(&blob, out, err) : code;
}

static enum kv_code init_slot(struct kv_tpm_token *token, const struct kv_tpm_profile *profile,
                              const char *label, const struct kv_secret *pin, struct kv_err *err)
{
    struct kv_tpm_halves halves;
    TPM2B_NAME own;
    char model[sizeof token->chip.vendor + sizeof token->chip.firmware];
    const struct kv_tpm_chip *chip = &token->chip;
    enum kv_code code = make_folder(profile->folder, &token->dir, &token->lock, err);
    if (code == KV_OK) {
        code = open_chip(token, profile->tcti, err);
    }
    if (code == KV_OK) {
        code = make_root(token, err);
    }
    if (code == KV_OK) {
        code = make_login(token, label, pin, &halves, err);
    }
    if (code != KV_OK) {
        return code;
    }
    kv_tpm_chip_identity(&token->chip, &own);
    int n = snprintf(model, sizeof model, "%s %s", chip->vendor, chip->firmware);
    assert(n > 0 && (size_t)n < sizeof model);
    const struct kv_bytes part[T_COUNT] = {
        [T_LABEL] = kv_bytes_str(label),
        [T_PRIMARY] = kv_bytes(chip->primary_name.name, chip->primary_name.size),
        [T_CHIP] = kv_bytes(own.name, own.size),
        [T_MANUFACTURER] = kv_bytes_str(chip->manufacturer),
        [T_MODEL] = kv_bytes_str(model),
        [T_SOFTWARE] = kv_bytes_str(chip->software ? "y" : "n"),
        [T_PUBLIC] = kv_bytes(halves.public, halves.public_len),
        [T_PRIVATE] = kv_bytes(halves.private, halves.private_len)};
    return kv_tpm_file_write(token->dir, TOKEN_FILE, part, T_COUNT, KV_E_TOKEN_INITIALISED, err);
}

enum kv_code kv_tpm_init(const struct kv_tpm_profile *profile, const char *label,
                         const struct kv_secret *pin, struct kv_err *err)
{
    enum kv_code code = check_init(label, pin, err);
    struct kv_tpm_token *token = code == KV_OK ? new_token(err) : NULL;
    if (token == NULL) {
        return code == KV_OK ? KV_E_NO_MEMORY : code;
    }
    code = init_slot(token, profile, label, pin, err);
    kv_tpm_close(&token->base);
    return code;
}

static enum kv_code change_pin(struct kv_tpm_token *token, const struct kv_secret *pin,
                               struct kv_err *err)
{
    struct kv_tpm_halves halves;
    struct kv_buf file;
    struct kv_bytes part[T_COUNT];
    enum kv_code code = read_token(token->dir, &file, part, err);
    if (code == KV_OK) {
        code = kv_tpm_enter(token, err);
    }
    if (code == KV_OK) {
        code = make_login(token, token->base.info.label, pin, &halves, err);
        kv_tpm_leave(token);
    }
    if (code == KV_OK) {
        part[T_PUBLIC] = kv_bytes(halves.public, halves.public_len);
        part[T_PRIVATE] = kv_bytes(halves.private, halves.private_len);
        code = kv_tpm_file_write(token->dir, TOKEN_FILE, part, T_COUNT, KV_OK, err);
    }
    kv_buf_clear(&file);
    return code;
}

enum kv_code kv_tpm_change_pin(const struct kv_tpm_profile *profile, const struct kv_secret *pin,
                               const struct kv_secret *fresh, struct kv_err *err)
{
    struct kv_token *token = NULL;
    enum kv_code code = check_pin(fresh, err);
    if (code == KV_OK) {
        code = kv_tpm_open(profile, pin, &token, err);
    }
    if (code == KV_OK) {
        code = change_pin(kv_tpm_token(token), fresh, err);
    }
    kv_token_close(token);
    return code;
}
