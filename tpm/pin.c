#include "tpm/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <stdlib.h>
#include <string.h>

#include "core/public.h"
#include "tpm/file.h"
#include "tpm/session.h"

#define PURPOSE  "pin"
#define SPKI_LEN 91 /* of a P-256 key; the point is its end (RFC 5480 §2) */

_Static_assert(sizeof(struct kv_tpm_approval) == 96, "so it lies in the file");

/* ---- the file ---- */

enum {
    P_PURPOSE,
    P_SLOT,
    P_STORAGE,
    P_PCRS,
    P_AUTHORITY,
    P_PUBLIC,
    P_PRIVATE,
    P_APPROVALS,
    P_COUNT
};

static bool take_text(struct kv_bytes from, char *out, size_t size)
{
    if (from.len >= size || memchr(from.ptr, '\0', from.len) != NULL) {
        return false;
    }
    memcpy(out, from.ptr, from.len);
    out[from.len] = '\0';
    return true;
}

static bool take_policy(const struct kv_bytes part[static P_COUNT], struct kv_tpm_pin *out)
{
    TPML_PCR_SELECTION pcrs;
    struct kv_token_key key;
    if (!take_text(part[P_PCRS], out->pcrs, sizeof out->pcrs)) {
        return false;
    }
    if (out->pcrs[0] == '\0') {
        return part[P_AUTHORITY].len == 0 && part[P_APPROVALS].len == 0;
    }
    if (!kv_tpm_pcrs_parse(out->pcrs, &pcrs) || part[P_AUTHORITY].len != sizeof out->authority ||
        !kv_public_from_point(part[P_AUTHORITY], &key) ||
        part[P_APPROVALS].len % sizeof out->approval[0] != 0 ||
        part[P_APPROVALS].len > sizeof out->approval) {
        return false;
    }
    memcpy(out->authority, part[P_AUTHORITY].ptr, sizeof out->authority);
    memcpy(out->approval, part[P_APPROVALS].ptr, part[P_APPROVALS].len);
    out->approval_count = part[P_APPROVALS].len / sizeof out->approval[0];
    return true;
}

static enum kv_code damaged(struct kv_err *err)
{
    return KV_REFUSE(err, KV_E_PIN_DAMAGED, "the file does not hold a sealed PIN, or was changed");
}

static enum kv_code take_parts(const struct kv_bytes part[static P_COUNT], struct kv_tpm_pin *out,
                               struct kv_err *err)
{
    struct kv_tpm_pin pin = {.slot = ""};
    struct kv_err why;
    if (!kv_bytes_is(part[P_PURPOSE], PURPOSE) ||
        !take_text(part[P_SLOT], pin.slot, sizeof pin.slot) || part[P_STORAGE].len == 0 ||
        part[P_STORAGE].len > sizeof pin.storage.name || !take_policy(part, &pin) ||
        kv_tpm_blob_parse(part[P_PUBLIC], part[P_PRIVATE], &pin.blob, &why) != KV_OK) {
        return damaged(err);
    }
    pin.storage.size = (UINT16)part[P_STORAGE].len;
    memcpy(pin.storage.name, part[P_STORAGE].ptr, part[P_STORAGE].len);
    *out = pin;
    return KV_OK;
}

enum kv_code kv_tpm_pin_parse(struct kv_bytes file, struct kv_tpm_pin *out, struct kv_err *err)
{
    struct kv_bytes part[P_COUNT];
    struct kv_err why;
    return kv_tpm_file_parse(file, part, P_COUNT, &why) == KV_OK ? take_parts(part, out, err)
                                                                 : damaged(err);
}

/* Borrowed from `pin` and `halves`. */
static enum kv_code parts_of(const struct kv_tpm_pin *pin, struct kv_tpm_halves *halves,
                             struct kv_bytes part[static P_COUNT], struct kv_err *err)
{
    bool bound = pin->pcrs[0] != '\0';
    part[P_PURPOSE] = kv_bytes_str(PURPOSE);
    part[P_SLOT] = kv_bytes_str(pin->slot);
    part[P_STORAGE] = kv_bytes(pin->storage.name, pin->storage.size);
    part[P_PCRS] = kv_bytes_str(pin->pcrs);
    part[P_AUTHORITY] = kv_bytes(pin->authority, bound ? sizeof pin->authority : 0);
    part[P_APPROVALS] = kv_bytes(pin->approval, pin->approval_count * sizeof pin->approval[0]);
    enum kv_code code = kv_tpm_blob_print(&pin->blob, halves, err);
    part[P_PUBLIC] = kv_bytes(halves->public, halves->public_len);
    part[P_PRIVATE] = kv_bytes(halves->private, halves->private_len);
    return code;
}

enum kv_code kv_tpm_pin_print(const struct kv_tpm_pin *pin, struct kv_buf *out, struct kv_err *err)
{
    struct kv_tpm_halves halves;
    struct kv_bytes part[P_COUNT];
    enum kv_code code = parts_of(pin, &halves, part, err);
    if (code == KV_OK) {
        kv_tpm_file_print(part, P_COUNT, out);
    }
    return code;
}

enum kv_code kv_tpm_pin_read_fd(int fd, const char *slot, struct kv_tpm_pin *out,
                                struct kv_err *err)
{
    struct kv_tpm_pin sealed;
    struct kv_buf file;
    struct kv_bytes part[P_COUNT];
    kv_buf_init(&file, KV_TPM_FILE_MAX);
    enum kv_code code = kv_tpm_file_read_fd(fd, &file, part, P_COUNT, err);
    if (code == KV_OK) {
        code = take_parts(part, &sealed, err);
    } else if (code == KV_E_TOKEN_KEY_DAMAGED) {
        code = damaged(err);
    }
    kv_buf_clear(&file);
    if (code == KV_OK && strcmp(sealed.slot, slot) != 0) {
        code = KV_REFUSE(err, KV_E_PIN_OTHER, "the PIN is sealed for slot '%.64s'", sealed.slot);
    }
    if (code == KV_OK) {
        *out = sealed;
    }
    return code;
}

enum kv_code kv_tpm_pin_write(const char *path, const struct kv_tpm_pin *pin, bool replace,
                              struct kv_err *err)
{
    struct kv_tpm_halves halves;
    struct kv_bytes part[P_COUNT];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || slash[1] == '\0') {
        return KV_REFUSE(err, KV_E_CONFIG, "'%.100s' is no file in a folder", path);
    }
    KV_CLEANUP(kv_freep) char *folder = strndup(path, (size_t)(slash - path));
    KV_CLEANUP(kv_close_fdp)
    int dir = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the folder of %.120s", path);
    }
    enum kv_code code = parts_of(pin, &halves, part, err);
    if (code == KV_OK) {
        code = kv_tpm_file_write(dir, slash + 1, part, P_COUNT, replace ? KV_OK : KV_E_PIN_EXISTS,
                                 err);
    }
    return code == KV_OK || err == NULL ? code : kv_wrap(err, "%.100s", path);
}

/* For which TPM and slot an approval is: the policyRef. */
static void ref_of(const struct kv_tpm_pin *pin, TPM2B_DIGEST *out)
{
    kv_tpm_bind(PURPOSE, pin->slot, out);
    struct kv_hash hash = kv_hash3(kv_bytes(out->buffer, out->size),
                                   kv_bytes(pin->storage.name, pin->storage.size), KV_BYTES_NULL);
    memcpy(out->buffer, hash.b, KV_HASH_LEN);
}

/* ---- the chip ---- */

/* What the chip's failures mean for a PIN: there is another way to give it. */
static enum kv_code as_of_pin(enum kv_code code, const struct kv_err *why, struct kv_err *err)
{
    static const struct {
        enum kv_code chip, pin;
    } codes[] = {{KV_E_TOKEN_ABSENT, KV_E_PIN_TPM},
                 {KV_E_TOKEN_KEY_DAMAGED, KV_E_PIN_DAMAGED},
                 {KV_E_TOKEN_PIN, KV_E_PIN_DAMAGED}}; /* no object of ours has a password */
    for (size_t i = 0; i < KV_COUNT(codes); i++) {
        code = code == codes[i].chip ? codes[i].pin : code;
    }
    return kv_err_set(err, code, why->cause, why->origin, "%s", why->msg);
}

static enum kv_code take(const struct kv_tpm_way *way, struct kv_tpm_turn *turn,
                         struct kv_tpm_chip *chip, struct kv_err *err)
{
    bool alone; /* nothing is taken up again here */
    *turn = (struct kv_tpm_turn){.fd = -1};
    *chip = (struct kv_tpm_chip){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE};
    enum kv_code code =
        kv_tpm_way_managed(way->tcti) ? KV_OK : kv_tpm_turn_open(AT_FDCWD, way->slots, turn, err);
    if (code == KV_OK) {
        code = kv_tpm_turn_take(turn, &alone, err);
    }
    return code == KV_OK ? kv_tpm_chip_open(way->tcti, chip, err) : code;
}

static void let_go(struct kv_tpm_turn *turn, struct kv_tpm_chip *chip)
{
    kv_tpm_chip_clear(chip);
    kv_close_fdp(&turn->fd);
}

static void template_of(const struct kv_tpm_pin *pin, TPM2B_PUBLIC *out)
{
    kv_tpm_sealed_template(PURPOSE, pin->slot, out);
    if (pin->pcrs[0] != '\0') { /* the slot is in what the authority signs */
        TPM2B_DIGEST ref;
        ref_of(pin, &ref);
        kv_tpm_pcrs_policy(pin->authority, &ref, &out->publicArea.authPolicy);
        out->publicArea.objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_USERWITHAUTH;
    }
}

static enum kv_code seal(struct kv_tpm_chip *chip, const struct kv_secret *secret,
                         struct kv_tpm_pin *pin, struct kv_err *err)
{
    static const TPM2B_AUTH no_auth;
    TPM2B_PUBLIC wanted;
    struct kv_hash state;
    ESYS_TR session = ESYS_TR_NONE;
    enum kv_code code = KV_OK;
    pin->storage = chip->primary_name;
    template_of(pin, &wanted);
    if (pin->pcrs[0] != '\0') { /* that the TPM has them shows now, not at the next start */
        code = kv_tpm_pcrs_begin(chip, pin->pcrs, TPM2_SE_TRIAL, NULL, &session, &state, err);
        kv_tpm_chip_flush(chip, &session);
    }
    if (code == KV_OK) {
        code = kv_tpm_chip_create(chip, &wanted, &no_auth, secret, &pin->blob, err);
    }
    return code;
}

enum kv_code kv_tpm_pin_seal(const struct kv_tpm_way *way, const char *slot, const char *pcrs,
                             struct kv_bytes authority, const struct kv_secret *pin,
                             struct kv_tpm_pin *out, struct kv_err *err)
{
    struct kv_tpm_pin made = {.slot = ""};
    struct kv_tpm_turn turn;
    struct kv_tpm_chip chip;
    struct kv_token_key key;
    struct kv_err why = {.msg = ""};
    TPML_PCR_SELECTION selection;
    bool fits = take_text(kv_bytes_str(slot), made.slot, sizeof made.slot);
    assert(fits); /* an id */
    if (kv_secret_len(pin) > KV_TPM_PIN_LEN) {
        return KV_REFUSE(err, KV_E_LIMIT, "a PIN that a TPM seals has at most %d bytes",
                         KV_TPM_PIN_LEN);
    }
    if (pcrs != NULL) {
        if (!kv_tpm_pcrs_parse(pcrs, &selection) ||
            !take_text(kv_bytes_str(pcrs), made.pcrs, sizeof made.pcrs)) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE,
                             "PCRs are given as sha256:0,2,7, from 0 to 23 and rising");
        }
        if (authority.len != SPKI_LEN ||
            !kv_public_from_point(
                kv_bytes(authority.ptr + SPKI_LEN - KV_TPM_POINT_LEN, KV_TPM_POINT_LEN), &key) ||
            !kv_bytes_equal(authority, kv_bytes(key.spki, key.spki_len))) {
            return KV_REFUSE(err, KV_E_INPUT_VALUE, "the authority's key must be EC P-256");
        }
        memcpy(made.authority, authority.ptr + SPKI_LEN - KV_TPM_POINT_LEN, KV_TPM_POINT_LEN);
    }
    enum kv_code code = take(way, &turn, &chip, &why);
    if (code == KV_OK) {
        code = seal(&chip, pin, &made, &why);
    }
    let_go(&turn, &chip);
    if (code != KV_OK) {
        return as_of_pin(code, &why, err);
    }
    *out = made;
    return KV_OK;
}

static const struct kv_tpm_approval *approval_of(const struct kv_tpm_pin *pin,
                                                 const struct kv_hash *state)
{
    for (size_t i = 0; i < pin->approval_count; i++) {
        if (kv_bytes_equal(kv_bytes(pin->approval[i].state, KV_HASH_LEN),
                           kv_bytes(state->b, KV_HASH_LEN))) {
            return &pin->approval[i];
        }
    }
    return NULL;
}

static enum kv_code unseal_by_pcrs(struct kv_tpm_chip *chip, const struct kv_tpm_pin *pin,
                                   struct kv_secret **out, struct kv_err *err)
{
    struct kv_hash state;
    TPM2B_DIGEST ref;
    ESYS_TR session;
    ref_of(pin, &ref);
    enum kv_code code =
        kv_tpm_pcrs_begin(chip, pin->pcrs, TPM2_SE_POLICY, NULL, &session, &state, err);
    const struct kv_tpm_approval *approval = code == KV_OK ? approval_of(pin, &state) : NULL;
    if (code == KV_OK && approval == NULL) {
        code = KV_REFUSE(err, KV_E_PIN_PCRS, "the PCRs %s are in a state that nobody has approved",
                         pin->pcrs);
    }
    if (code == KV_OK) {
        code = kv_tpm_pcrs_authorise(chip, session, approval, pin->authority, &ref, err);
    }
    if (code == KV_OK) {
        code = kv_tpm_chip_unseal_by(chip, &pin->blob, session, out, err);
    }
    kv_tpm_chip_flush(chip, &session);
    return code;
}

/* The names in the file are anybody's words; the template's digest is what the chip holds to. */
static enum kv_code check_object(const struct kv_tpm_chip *chip, const struct kv_tpm_pin *pin,
                                 struct kv_err *err)
{
    const TPMT_PUBLIC *area = &pin->blob.public.publicArea;
    TPM2B_PUBLIC wanted;
    template_of(pin, &wanted);
    const TPM2B_DIGEST *policy = &wanted.publicArea.authPolicy;
    if (!kv_bytes_equal(kv_bytes(pin->storage.name, pin->storage.size),
                        kv_bytes(chip->primary_name.name, chip->primary_name.size))) {
        return KV_REFUSE(err, KV_E_PIN_FOREIGN,
                         "the PIN is sealed in another TPM, or this one was cleared since");
    }
    if (area->type != wanted.publicArea.type || area->nameAlg != wanted.publicArea.nameAlg ||
        area->objectAttributes != wanted.publicArea.objectAttributes) {
        return damaged(err);
    }
    return kv_bytes_equal(kv_bytes(area->authPolicy.buffer, area->authPolicy.size),
                          kv_bytes(policy->buffer, policy->size))
               ? KV_OK
               : KV_REFUSE(err, KV_E_PIN_OTHER,
                           "the PIN is sealed for another slot than '%s', or by another authority",
                           pin->slot);
}

enum kv_code kv_tpm_pin_unseal(const struct kv_tpm_way *way, const struct kv_tpm_pin *pin,
                               struct kv_secret **out, struct kv_err *err)
{
    struct kv_tpm_turn turn;
    struct kv_tpm_chip chip;
    struct kv_err why = {.msg = ""};
    enum kv_code code = take(way, &turn, &chip, &why);
    if (code == KV_OK) {
        code = check_object(&chip, pin, &why);
    }
    if (code == KV_OK) {
        static const TPM2B_AUTH no_auth;
        code = pin->pcrs[0] == '\0' ? kv_tpm_chip_unseal(&chip, &pin->blob, &no_auth, out, &why)
                                    : unseal_by_pcrs(&chip, pin, out, &why);
    }
    let_go(&turn, &chip);
    return code == KV_OK ? KV_OK : as_of_pin(code, &why, err);
}

/* ---- approvals ---- */

enum kv_code kv_tpm_pin_message(const struct kv_tpm_way *way, const struct kv_tpm_pin *pin,
                                const struct kv_hash *values,
                                uint8_t out[static KV_TPM_MESSAGE_LEN], struct kv_err *err)
{
    struct kv_tpm_turn turn;
    struct kv_tpm_chip chip;
    struct kv_err why = {.msg = ""};
    struct kv_hash state;
    TPM2B_DIGEST ref;
    ESYS_TR session = ESYS_TR_NONE;
    if (pin->pcrs[0] == '\0') {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "the PIN of slot '%s' is sealed to the TPM alone, not to its PCRs "
                         "(`slot seal-pin --pcr`)",
                         pin->slot);
    }
    enum kv_code code = take(way, &turn, &chip, &why);
    if (code == KV_OK) {
        code = check_object(&chip, pin, &why);
    }
    if (code == KV_OK) {
        code = kv_tpm_pcrs_begin(&chip, pin->pcrs, TPM2_SE_TRIAL, values, &session, &state, &why);
        kv_tpm_chip_flush(&chip, &session);
    }
    let_go(&turn, &chip);
    if (code != KV_OK) {
        return as_of_pin(code, &why, err);
    }
    ref_of(pin, &ref);
    memcpy(out, state.b, KV_HASH_LEN);
    memcpy(out + KV_HASH_LEN, ref.buffer, KV_HASH_LEN);
    return KV_OK;
}

/* The signature as openssl writes it, into r‖s. */
static bool take_signature(struct kv_bytes der, uint8_t out[static 64])
{
    const unsigned char *at = der.ptr;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    bool good = sig != NULL && at == der.ptr + der.len &&
                BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good;
}

enum kv_code kv_tpm_pin_approve(struct kv_tpm_pin *pin, struct kv_bytes message,
                                struct kv_bytes signature, struct kv_err *err)
{
    struct kv_tpm_approval fresh;
    struct kv_token_key key;
    TPM2B_DIGEST ref;
    ref_of(pin, &ref);
    if (pin->pcrs[0] == '\0' || message.len != KV_TPM_MESSAGE_LEN ||
        !kv_bytes_equal(kv_bytes(message.ptr + KV_HASH_LEN, KV_HASH_LEN),
                        kv_bytes(ref.buffer, ref.size))) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "that is no state of the PCRs for slot '%s', sealed in this TPM",
                         pin->slot);
    }
    struct kv_hash hash = kv_hash(message);
    if (!take_signature(signature, fresh.sig) ||
        !kv_public_from_point(kv_bytes(pin->authority, sizeof pin->authority), &key) ||
        !kv_public_verify(&key, KV_TOKEN_ECDSA, &hash, kv_bytes(fresh.sig, sizeof fresh.sig))) {
        return KV_REFUSE(err, KV_E_PIN_APPROVAL,
                         "this is no signature of that state by the authority of slot '%s'",
                         pin->slot);
    }
    memcpy(fresh.state, message.ptr, KV_HASH_LEN);
    /* one for each state, the latest last */
    size_t kept = 0;
    for (size_t i = 0; i < pin->approval_count; i++) {
        if (!kv_bytes_equal(kv_bytes(pin->approval[i].state, KV_HASH_LEN),
                            kv_bytes(fresh.state, KV_HASH_LEN))) {
            pin->approval[kept++] = pin->approval[i];
        }
    }
    if (kept == KV_TPM_APPROVALS_MAX) {
        memmove(&pin->approval[0], &pin->approval[1], --kept * sizeof pin->approval[0]);
    }
    pin->approval[kept++] = fresh;
    pin->approval_count = kept;
    return KV_OK;
}
