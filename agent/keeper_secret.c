/* Secrets that are no keys of the token: KSeF tokens, and refresh tokens kept to end a session
 * after a crash. They lie in the folder `wrapped`, under a key that never leaves the slot, each
 * bound to what it is for: two files that were swapped do not open. A KSeF token leaves this
 * process only encrypted to KSeF; it is opened for that, and wiped. */
#include "agent/keeper.h"

#include "ksef/allowedips.h"
#include "ksef/certificate.h"
#include "ksef/tokenlogin.h"
#include "ledger/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC       "KVW1" /* then u8 rung, then what the token made */
#define WRAPPED_MAX 16384  /* bytes of a file; a refresh token has at most 8192 */
#define NAME_LEN    128

/* What a secret is bound to. Its purpose is in the frame's op, never in a field: who may ask for
 * the one kind cannot name the other. */
struct binding {
    const char *purpose;   /* "token", "end" */
    struct kv_bytes name;  /* of the file: the credential's id; the session's reference */
    struct kv_bytes of[4]; /* environment, contexts, credential, reference */
};

enum { B_CREDENTIAL, B_REFERENCE, B_ENVIRONMENT, B_CONTEXTS, B_OWN };
#define BINDING_SPECS                                                                              \
    {"credential", KV_FIELD_STRING, KV_ID_LEN - 1, true, NULL},                                    \
        {"reference", KV_FIELD_STRING, KV_KSEF_REFERENCE_LEN - 1, true, NULL},                     \
        {"environment", KV_FIELD_STRING, 4, true, NULL},                                           \
    {                                                                                              \
        "contexts", KV_FIELD_STRING, 1024, true, NULL                                              \
    }

const struct kv_field_spec keeper_binding_specs[] = {BINDING_SPECS,
                                                     {NULL, KV_FIELD_END, 0, false, NULL}};
const struct kv_field_spec keeper_import_specs[] = {
    BINDING_SPECS,
    {"point", KV_FIELD_OCTETS, KV_SEAL_POINT_LEN, true, NULL},
    {"sealed", KV_FIELD_OCTETS, KV_SEAL_OVERHEAD + KV_KSEF_TOKEN_SECRET_MAX, true, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};
const struct kv_field_spec keeper_keep_specs[] = {BINDING_SPECS,
                                                  {"secret", KV_FIELD_OCTETS, 8192, true, NULL},
                                                  {NULL, KV_FIELD_END, 0, false, NULL}};
const struct kv_field_spec keeper_token_login_specs[] = {
    BINDING_SPECS,
    {"challenge", KV_FIELD_STRING, 36, true, NULL},
    {"context", KV_FIELD_STRING, KV_CONTEXT_LEN - 1, true, NULL},
    {"timestamp", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
    {"certificate", KV_FIELD_OCTETS, KV_CERTIFICATE_MAX, true, NULL},
    {"allowed-ips", KV_FIELD_STRING, KV_ALLOWED_IPS_LEN - 1, false, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code bind(const struct kv_field *field, const char *purpose, struct binding *out,
                         struct kv_err *err)
{
    bool token = strcmp(purpose, "token") == 0;
    struct kv_bytes credential = field[B_CREDENTIAL].value, ref = field[B_REFERENCE].value;
    bool good = kv_id_valid(credential) && (token ? ref.len == 0 || kv_ksef_reference_valid(ref)
                                                  : kv_ksef_reference_valid(ref));
    *out = (struct binding){purpose,
                            token ? credential : ref,
                            {field[B_ENVIRONMENT].value, field[B_CONTEXTS].value, credential, ref}};
    return good ? KV_OK : KV_REFUSE(err, KV_E_PROTOCOL, "credential or reference");
}

static void file_name(const struct binding *b, char out[static NAME_LEN])
{
    int n =
        snprintf(out, NAME_LEN, "%s-%.*s", b->purpose, (int)b->name.len, (const char *)b->name.ptr);
    assert(n > 0 && n < NAME_LEN);
}

static void add_part(struct kv_buf *out, struct kv_bytes part)
{
    kv_buf_add_u32(out, (uint32_t)part.len);
    kv_buf_add_bytes(out, part);
}

/* Length-prefixed, so that no two bindings have one text. */
static void aad_of(const struct keeper *k, const struct binding *b, struct kv_buf *out)
{
    kv_buf_init(out, 4096);
    add_part(out, kv_bytes_str("ksefvault/wrapped/v1"));
    add_part(out, kv_bytes_str(b->purpose));
    add_part(out, kv_bytes_str(k->vault_name));
    for (size_t i = 0; i < KV_COUNT(b->of); i++) {
        add_part(out, b->of[i]);
    }
    assert(!out->failed); /* the tables' limits */
}

/* One wrapping key for each vault on the token. */
static void wrapping_label(const struct keeper *k, char out[static KV_TOKEN_LABEL_LEN])
{
    char hex[KV_HASH_HEX_LEN];
    struct kv_hash hash =
        kv_hash3(kv_bytes_str(k->vault_name), kv_bytes_str("/"), kv_bytes_str("/wrap"));
    kv_hash_hex(&hash, hex);
    int n = snprintf(out, KV_TOKEN_LABEL_LEN, "ksefvault-wrap-%.16s", hex);
    assert(n > 0 && n < KV_TOKEN_LABEL_LEN);
}

static enum kv_code store(struct keeper *k, const struct binding *b, const struct kv_secret *plain,
                          enum kv_token_rung *rung, struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN], name[NAME_LEN];
    struct kv_buf aad, file;
    wrapping_label(k, label);
    file_name(b, name);
    if (kv_token_best_rung(k->token, rung, err) != KV_OK) {
        return err->code;
    }
    aad_of(k, b, &aad);
    kv_buf_init(&file, WRAPPED_MAX);
    kv_buf_add_str(&file, MAGIC);
    kv_buf_add_u8(&file, (uint8_t)*rung);
    enum kv_code code =
        kv_token_wrap(k->token, label, *rung, kv_buf_bytes(&aad), plain, &file, err);
    if (code == KV_OK) {
        code = kv_file_write(k->wrapped_dir, name, kv_buf_bytes(&file), 0600, true, err);
    }
    kv_buf_clear(&file);
    kv_buf_clear(&aad);
    return code;
}

static enum kv_code fetch(struct keeper *k, const struct binding *b, struct kv_secret **out,
                          struct kv_err *err)
{
    char label[KV_TOKEN_LABEL_LEN], name[NAME_LEN];
    struct kv_buf aad, file;
    const size_t head = strlen(MAGIC) + 1;
    wrapping_label(k, label);
    file_name(b, name);
    kv_buf_init(&file, WRAPPED_MAX);
    enum kv_code code = kv_file_read(k->wrapped_dir, name, WRAPPED_MAX, &file, err);
    if (code == KV_E_NOT_FOUND) {
        code = KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "there is no wrapped secret %s", name);
    }
    if (code == KV_OK && (file.len <= head || memcmp(file.data, MAGIC, head - 1) != 0 ||
                          file.data[head - 1] >= KV_TOKEN_RUNG_COUNT)) {
        code = KV_REFUSE(err, KV_E_TOKEN_WRAPPED, "the file %s is no wrapped secret", name);
    }
    if (code == KV_OK) {
        aad_of(k, b, &aad);
        code = kv_token_unwrap(k->token, label, (enum kv_token_rung)file.data[head - 1],
                               kv_buf_bytes(&aad), kv_bytes(file.data + head, file.len - head), out,
                               err);
        kv_buf_clear(&aad);
    }
    kv_buf_clear(&file);
    return code;
}

static enum kv_code drop(struct keeper *k, const struct binding *b, struct kv_err *err)
{
    char name[NAME_LEN];
    file_name(b, name);
    if (unlinkat(k->wrapped_dir, name, 0) != 0 && errno != ENOENT) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "the wrapped secret %s cannot be removed", name);
    }
    return kv_dir_sync(k->wrapped_dir, err);
}

enum kv_code keeper_secrets_open(struct keeper *k, const char *folder, struct kv_err *err)
{
    k->transport = kv_seal_key_new();
    if (k->transport == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no key for imports could be made");
    }
    char path[512];
    int n = snprintf(path, sizeof path, "%s/wrapped", folder);
    if (n < 0 || (size_t)n >= sizeof path) {
        return KV_REFUSE(err, KV_E_CONFIG, "state: the path is too long");
    }
    return kv_dir_make(AT_FDCWD, path, 0700, &k->wrapped_dir, err);
}

/* The key to which a token is sealed on its way here: gate and vault pass it on and cannot read it.
 * It lives as long as this process. */
enum kv_code keeper_on_point(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                             struct kv_err *err)
{
    (void)field;
    (void)err;
    kv_message_octets(out, "point", kv_seal_key_point(k->transport));
    return KV_OK;
}

enum kv_code keeper_on_import(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                              struct kv_err *err)
{
    struct binding b;
    struct kv_buf purpose;
    enum kv_token_rung rung;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *token = NULL;
    if (bind(field, "token", &b, err) != KV_OK) {
        return err->code;
    }
    if (!kv_bytes_equal(field[B_OWN].value, kv_seal_key_point(k->transport))) {
        return KV_REFUSE(err, KV_E_TOKEN_WRAPPED,
                         "the slot was started anew meanwhile: run the command again");
    }
    kv_buf_init(&purpose, 512);
    kv_seal_import_purpose(k->vault_name, b.name, &purpose);
    enum kv_code code =
        kv_seal_open(k->transport, field[B_OWN + 1].value, kv_buf_bytes(&purpose), &token, err);
    kv_buf_clear(&purpose);
    if (code == KV_OK) {
        code = kv_ksef_token_check(kv_secret_bytes(token), field[B_REFERENCE].value, err);
    }
    if (code == KV_OK) {
        code = store(k, &b, token, &rung, err);
    }
    if (code == KV_OK) {
        const struct kv_token_info *info = kv_token_info(k->token);
        kv_message_str(out, "custody", kv_custody_word(info->custody));
        kv_message_str(out, "rung", kv_token_rung_word(rung));
    }
    return code;
}

enum kv_code keeper_on_keep(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                            struct kv_err *err)
{
    struct binding b;
    enum kv_token_rung rung;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *secret = NULL;
    (void)out;
    if (bind(field, "end", &b, err) != KV_OK) {
        return err->code;
    }
    if (field[B_OWN].value.len == 0 || kv_secret_from(field[B_OWN].value, &secret, err) != KV_OK) {
        return KV_REFUSE(err, KV_E_PROTOCOL, "secret");
    }
    return store(k, &b, secret, &rung, err);
}

enum kv_code keeper_on_take(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                            struct kv_err *err)
{
    struct binding b;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *secret = NULL;
    if (bind(field, "end", &b, err) != KV_OK || fetch(k, &b, &secret, err) != KV_OK) {
        return err->code;
    }
    kv_message_octets(out, "secret", kv_secret_bytes(secret));
    return KV_OK;
}

enum kv_code keeper_on_drop_end(struct keeper *k, const struct kv_field *field, struct kv_buf *out,
                                struct kv_err *err)
{
    struct binding b;
    (void)out;
    return bind(field, "end", &b, err) != KV_OK ? err->code : drop(k, &b, err);
}

enum kv_code keeper_on_drop_token(struct keeper *k, const struct kv_field *field,
                                  struct kv_buf *out, struct kv_err *err)
{
    struct binding b;
    (void)out;
    return bind(field, "token", &b, err) != KV_OK ? err->code : drop(k, &b, err);
}

enum kv_code keeper_on_token_login(struct keeper *k, const struct kv_field *field,
                                   struct kv_buf *out, struct kv_err *err)
{
    struct binding b;
    struct kv_buf document;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *token = NULL;
    struct kv_token_login_params params = {.challenge = field[B_OWN].value,
                                           .context = field[B_OWN + 1].value,
                                           .timestamp_ms = (int64_t)field[B_OWN + 2].number,
                                           .certificate = field[B_OWN + 3].value,
                                           .allowed_ips = field[B_OWN + 4].value};
    if (bind(field, "token", &b, err) != KV_OK || fetch(k, &b, &token, err) != KV_OK) {
        return err->code;
    }
    kv_buf_init(&document, KV_TOKEN_LOGIN_MAX);
    enum kv_code code = kv_token_login(&params, kv_secret_bytes(token), &document, err);
    if (code == KV_OK) {
        kv_message_octets(out, "document", kv_buf_bytes(&document));
    }
    kv_buf_clear(&document);
    return code;
}
