/* OpenSSH public keys of persons (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709, OpenSSH PROTOCOL.u2f):
 * the five kinds that may sign statements. No certificates. Only the canonical encoding is
 * accepted: writing the key again gives the same bytes, so a key has one fingerprint. */
#ifndef KV_POLICY_PUBKEY_H
#define KV_POLICY_PUBKEY_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"
#include "core/name.h"

#define KV_PUBKEY_BLOB_MAX 640  /* RSA of 4096 bits takes 540 */
#define KV_PUBKEY_LINE_MAX 1000 /* `type base64`, with NUL; fits a statement's line */
#define KV_PUBKEY_APP_MAX  255  /* bytes of a security key's application, "ssh:" */

enum kv_pubkey_kind {
    KV_PUBKEY_NONE,
    KV_PUBKEY_ED25519,
    KV_PUBKEY_ECDSA_P256,
    KV_PUBKEY_RSA, /* 2048 to 4096 bits */
    KV_PUBKEY_SK_ED25519,
    KV_PUBKEY_SK_ECDSA_P256,
    KV_PUBKEY_KIND_COUNT
};
const char *kv_pubkey_kind_word(enum kv_pubkey_kind kind); /* "ssh-ed25519" */
bool kv_pubkey_kind_parse(struct kv_bytes word, enum kv_pubkey_kind *out);
/* A security key: touch and PIN are part of its signatures. */
bool kv_pubkey_kind_is_sk(enum kv_pubkey_kind kind);

struct kv_pubkey_part {
    uint16_t at, len; /* within the blob */
};
/* Plain data, may be copied. */
struct kv_pubkey {
    enum kv_pubkey_kind kind;
    uint16_t blob_len; /* bytes */
    uint8_t blob[KV_PUBKEY_BLOB_MAX];
    struct kv_pubkey_part point;       /* Ed25519: 32 bytes; P-256: 65, uncompressed; RSA: n */
    struct kv_pubkey_part exponent;    /* RSA: e */
    struct kv_pubkey_part application; /* sk-: what it was made for */
    char fingerprint[KV_KEY_LEN];      /* ssh:SHA256:…, as `ssh-keygen -l` prints it */
};

/* Errors of all three: KV_E_INPUT_VALUE with what is wrong. */
KV_MUST_USE enum kv_code kv_pubkey_parse_blob(struct kv_bytes blob, struct kv_pubkey *out,
                                              struct kv_err *err);
/* Exactly `type base64`, as in the line public-key of a statement. */
KV_MUST_USE enum kv_code kv_pubkey_parse_line(struct kv_bytes line, struct kv_pubkey *out,
                                              struct kv_err *err);
/* A .pub file: one line `type base64 [comment]`, LF or CR LF or nothing behind it. */
KV_MUST_USE enum kv_code kv_pubkey_parse_file(struct kv_bytes file, struct kv_pubkey *out,
                                              struct kv_err *err);
struct kv_bytes kv_pubkey_blob(const struct kv_pubkey *key);
struct kv_bytes kv_pubkey_part(const struct kv_pubkey *key, struct kv_pubkey_part part);
/* `type base64`, no LF. */
void kv_pubkey_print(const struct kv_pubkey *key, struct kv_buf *out);
/* A hash of the bare public key: equal for two keys that are one key in two wrappings (an sk- key
 * under another application), whose fingerprints differ. */
struct kv_hash kv_pubkey_material(const struct kv_pubkey *key);
/* One line of `allowed_signers` with its LF: person, namespace, valid-after, valid-before (the last
 * good second; left out when KV_TIME_MAX), key. Times in ms, written as seconds with Z. */
void kv_pubkey_print_signer(const struct kv_pubkey *key, const char *person, int64_t valid_after_ms,
                            int64_t valid_before_ms, struct kv_buf *out);

#endif
