#include "policy/pubkey.h"

#include "core/cursor.h"
#include "core/time.h"

static const char *const kind_words[KV_PUBKEY_KIND_COUNT] = {
    [KV_PUBKEY_NONE] = "",
    [KV_PUBKEY_ED25519] = "ssh-ed25519",
    [KV_PUBKEY_ECDSA_P256] = "ecdsa-sha2-nistp256",
    [KV_PUBKEY_RSA] = "ssh-rsa",
    [KV_PUBKEY_SK_ED25519] = "sk-ssh-ed25519@openssh.com",
    [KV_PUBKEY_SK_ECDSA_P256] = "sk-ecdsa-sha2-nistp256@openssh.com",
};

const char *kv_pubkey_kind_word(enum kv_pubkey_kind kind)
{
    return kind_words[kind];
}

bool kv_pubkey_kind_parse(struct kv_bytes word, enum kv_pubkey_kind *out)
{
    for (int i = KV_PUBKEY_NONE + 1; i < KV_PUBKEY_KIND_COUNT; i++) {
        if (kv_bytes_is(word, kind_words[i])) {
            *out = (enum kv_pubkey_kind)i;
            return true;
        }
    }
    return false;
}

bool kv_pubkey_kind_is_sk(enum kv_pubkey_kind kind)
{
    return kind == KV_PUBKEY_SK_ED25519 || kind == KV_PUBKEY_SK_ECDSA_P256;
}

struct kv_bytes kv_pubkey_blob(const struct kv_pubkey *key)
{
    return kv_bytes(key->blob, key->blob_len);
}

struct kv_bytes kv_pubkey_part(const struct kv_pubkey *key, struct kv_pubkey_part part)
{
    return kv_bytes(key->blob + part.at, part.len);
}

/* RFC 4251 §5, mpint: a positive number without needless leading zeros. */
static bool is_positive_mpint(struct kv_bytes n)
{
    return n.len > 0 && (n.ptr[0] & 0x80) == 0 &&
           (n.ptr[0] != 0 || (n.len > 1 && (n.ptr[1] & 0x80) != 0));
}

static size_t mpint_bits(struct kv_bytes n)
{
    if (n.ptr[0] == 0) {
        n = kv_bytes(n.ptr + 1, n.len - 1);
    }
    size_t bits = n.len * 8;
    for (uint8_t top = n.ptr[0]; (top & 0x80) == 0; top = (uint8_t)(top << 1)) {
        bits--;
    }
    return bits;
}

/* Of RSA: n odd and of an accepted size; e odd, above 1, of at most 64 bits as OpenSSL wants it. */
static const char *check_rsa(struct kv_bytes n, struct kv_bytes e)
{
    if (!is_positive_mpint(n) || !is_positive_mpint(e)) {
        return "its RSA numbers are not in the one encoding that is allowed";
    }
    size_t bits = mpint_bits(n);
    if (bits < 2048 || bits > 4096) {
        return "its RSA modulus is not of 2048 to 4096 bits";
    }
    bool small = e.len == 1 && e.ptr[0] < 3;
    if ((n.ptr[n.len - 1] & 1) == 0 || (e.ptr[e.len - 1] & 1) == 0 || small || e.len > 8) {
        return "its RSA numbers can't be those of a key";
    }
    return NULL;
}

static struct kv_pubkey_part part_of(struct kv_bytes blob, struct kv_bytes part)
{
    if (part.len == 0) {
        return (struct kv_pubkey_part){0, 0};
    }
    return (struct kv_pubkey_part){(uint16_t)(part.ptr - blob.ptr), (uint16_t)part.len};
}

/* Read the fields of `kind` and check them; NULL or what is wrong. */
static const char *read_fields(struct kv_cursor *cur, struct kv_bytes blob, struct kv_pubkey *key)
{
    bool ec = key->kind == KV_PUBKEY_ECDSA_P256 || key->kind == KV_PUBKEY_SK_ECDSA_P256;
    bool sk = kv_pubkey_kind_is_sk(key->kind);
    struct kv_bytes exponent = KV_BYTES_NULL, application = KV_BYTES_NULL, curve = KV_BYTES_NULL;
    if (key->kind == KV_PUBKEY_RSA) {
        exponent = kv_cursor_string(cur);
    }
    if (ec) {
        curve = kv_cursor_string(cur);
    }
    struct kv_bytes point = kv_cursor_string(cur);
    if (sk) {
        application = kv_cursor_string(cur);
    }
    if (!kv_cursor_done(cur)) {
        return "its fields are not those of its type";
    }
    key->point = part_of(blob, point);
    key->exponent = part_of(blob, exponent);
    key->application = part_of(blob, application);
    if (key->kind == KV_PUBKEY_RSA) {
        return check_rsa(point, exponent);
    }
    if (sk && (application.len == 0 || application.len > KV_PUBKEY_APP_MAX)) {
        return "its application is empty or too long";
    }
    if (ec) {
        return kv_bytes_is(curve, "nistp256") && point.len == 65 && point.ptr[0] == 0x04
                   ? NULL
                   : "it is not an uncompressed point of P-256";
    }
    return point.len == 32 ? NULL : "its Ed25519 point is not of 32 bytes";
}

static void print_fingerprint(struct kv_pubkey *key)
{
    struct kv_hash hash = kv_hash(kv_pubkey_blob(key));
    char text[KV_HASH_BASE64_LEN];
    kv_hash_base64(&hash, text);
    static const char prefix[] = "ssh:SHA256:";
    memcpy(key->fingerprint, prefix, sizeof prefix - 1);
    memcpy(key->fingerprint + sizeof prefix - 1, text, 43);
    key->fingerprint[sizeof prefix - 1 + 43] = '\0';
}

enum kv_code kv_pubkey_parse_blob(struct kv_bytes blob, struct kv_pubkey *out, struct kv_err *err)
{
    struct kv_pubkey key = {.kind = KV_PUBKEY_NONE};
    struct kv_cursor cur = kv_cursor(blob);
    struct kv_bytes word = kv_cursor_string(&cur);
    if (blob.len > sizeof key.blob || !kv_pubkey_kind_parse(word, &key.kind)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "the public key is of no type that is accepted (ssh-ed25519, "
                         "ecdsa-sha2-nistp256, ssh-rsa, the two sk- types; no certificates)");
    }
    const char *what = read_fields(&cur, blob, &key);
    if (what != NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the public key is not good: %s", what);
    }
    memcpy(key.blob, blob.ptr, blob.len);
    key.blob_len = (uint16_t)blob.len;
    print_fingerprint(&key);
    *out = key;
    return KV_OK;
}

enum kv_code kv_pubkey_parse_line(struct kv_bytes line, struct kv_pubkey *out, struct kv_err *err)
{
    const uint8_t *space = line.len == 0 ? NULL : memchr(line.ptr, ' ', line.len);
    if (space == NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "a public key is `type base64`");
    }
    struct kv_bytes word = kv_bytes(line.ptr, (size_t)(space - line.ptr));
    struct kv_bytes text = kv_bytes(space + 1, line.len - word.len - 1);
    uint8_t blob[KV_PUBKEY_BLOB_MAX];
    size_t len;
    if (!kv_base64_decode(text, blob, sizeof blob, &len)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the public key is not good base64");
    }
    struct kv_pubkey key;
    if (kv_pubkey_parse_blob(kv_bytes(blob, len), &key, err) != KV_OK) {
        return KV_E_INPUT_VALUE;
    }
    if (!kv_bytes_is(word, kv_pubkey_kind_word(key.kind))) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the public key is not of the type in front of it");
    }
    *out = key;
    return KV_OK;
}

enum kv_code kv_pubkey_parse_file(struct kv_bytes file, struct kv_pubkey *out, struct kv_err *err)
{
    struct kv_bytes line = file;
    if (line.len > 0 && line.ptr[line.len - 1] == '\n') {
        line.len--;
    }
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len > 0 && memchr(line.ptr, '\n', line.len) != NULL) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "the file has more than one line");
    }
    /* Cut the comment: whatever follows a second space. */
    const uint8_t *space = line.len == 0 ? NULL : memchr(line.ptr, ' ', line.len);
    if (space != NULL) {
        size_t at = (size_t)(space - line.ptr) + 1;
        const uint8_t *comment = memchr(line.ptr + at, ' ', line.len - at);
        line.len = comment == NULL ? line.len : (size_t)(comment - line.ptr);
    }
    return kv_pubkey_parse_line(line, out, err);
}

void kv_pubkey_print(const struct kv_pubkey *key, struct kv_buf *out)
{
    kv_buf_add_str(out, kv_pubkey_kind_word(key->kind));
    kv_buf_add_u8(out, ' ');
    kv_buf_add_base64(out, kv_pubkey_blob(key));
}

struct kv_hash kv_pubkey_material(const struct kv_pubkey *key)
{
    return kv_hash3(kv_pubkey_part(key, key->point), kv_pubkey_part(key, key->exponent),
                    KV_BYTES_NULL);
}

/* sshd(8), TIMESPEC: 20260105090000Z; the Z needs OpenSSH 9.1. */
static void print_timespec(int64_t ms, struct kv_buf *out)
{
    char text[KV_TIME_S_LEN];
    kv_time_format_s(ms, text);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c != '-' && *c != ':' && *c != 'T') {
            kv_buf_add_u8(out, (uint8_t)*c);
        }
    }
}

void kv_pubkey_print_signer(const struct kv_pubkey *key, const char *person, int64_t valid_after_ms,
                            int64_t valid_before_ms, struct kv_buf *out)
{
    kv_buf_add_format(out, "%s namespaces=\"ksefvault-approval-v1\",valid-after=\"", person);
    print_timespec(valid_after_ms, out);
    if (valid_before_ms != KV_TIME_MAX) {
        kv_buf_add_str(out, "\",valid-before=\"");
        print_timespec(valid_before_ms, out);
    }
    kv_buf_add_str(out, "\" ");
    kv_pubkey_print(key, out);
    kv_buf_add_u8(out, '\n');
}
