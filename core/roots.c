#include "core/roots.h"

#include "core/openssl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#define ROOTS_MAX      1024
#define EK_CERTIFICATE "2.23.133.8.1" /* tcg-kp-EKCertificate */

struct kv_roots {
    X509_STORE *store;
};

static void x509_freep(X509 **p)
{
    X509_free(*p);
}
static void store_ctx_freep(X509_STORE_CTX **p)
{
    X509_STORE_CTX_free(*p);
}
static void stack_freep(STACK_OF(X509) * *p)
{
    sk_X509_pop_free(*p, X509_free);
}
static void eku_freep(EXTENDED_KEY_USAGE **p)
{
    EXTENDED_KEY_USAGE_free(*p);
}

/* ---- the file ---- */

/* How many were added; 0 also if one of them is damaged. Text between them is usual. */
static size_t add_all(BIO *in, X509_STORE *store)
{
    size_t count = 0;
    X509 *certificate;
    ERR_clear_error();
    while (count < ROOTS_MAX && (certificate = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        bool added = X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
        if (!added) {
            return 0;
        }
        count++;
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return at_end ? count : 0;
}

enum kv_code kv_roots_load(const char *path, struct kv_roots **out, struct kv_err *err)
{
    KV_CLEANUP(kv_roots_freep) struct kv_roots *roots = calloc(1, sizeof *roots);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO, "tpm-roots: cannot read %.100s (%s)", path,
                       strerror(errno));
    }
    KV_CLEANUP(kv_bio_freep) BIO *in = BIO_new_fd(fd, BIO_CLOSE);
    KV_CLEANUP(kv_bio_freep) BIO *lines = BIO_new(BIO_f_buffer()); /* a descriptor has no lines */
    if (roots == NULL || in == NULL || lines == NULL || (roots->store = X509_STORE_new()) == NULL) {
        if (in == NULL) {
            kv_close_fdp(&fd);
        }
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for the certificates of %.100s", path);
    }
    (void)BIO_push(lines, in);
    size_t count = add_all(lines, roots->store);
    (void)BIO_pop(lines);
    if (count == 0) {
        return KV_REFUSE(err, KV_E_CONFIG,
                         "tpm-roots: %.100s holds no certificate, or a damaged one (PEM)", path);
    }
    *out = roots;
    roots = NULL; /* handed over */
    return KV_OK;
}

void kv_roots_free(struct kv_roots *roots)
{
    if (roots != NULL) {
        X509_STORE_free(roots->store);
        free(roots);
    }
}

void kv_roots_freep(struct kv_roots **roots)
{
    kv_roots_free(*roots);
    *roots = NULL;
}

/* ---- chains ---- */

static X509 *parse(struct kv_bytes der)
{
    const unsigned char *at = der.ptr;
    X509 *certificate = der.len == 0 ? NULL : d2i_X509(NULL, &at, (long)der.len);
    if (certificate != NULL && at != der.ptr + der.len) {
        X509_free(certificate);
        certificate = NULL;
    }
    ERR_clear_error();
    return certificate;
}

/* A maker's root may sign for other devices, too: their keys are no TPM's. */
static bool of_endorsement(X509 *certificate)
{
    KV_CLEANUP(eku_freep)
    EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    for (int i = 0; i < sk_ASN1_OBJECT_num(uses); i++) {
        char oid[32];
        int n = OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(uses, i), 1);
        if (n > 0 && strcmp(oid, EK_CERTIFICATE) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_chain(STACK_OF(X509) * chain, struct kv_buf *out)
{
    for (int i = 0; i == 0 || i < sk_X509_num(chain) - 1; i++) {
        unsigned char *der = NULL;
        int len = i2d_X509(sk_X509_value(chain, i), &der);
        bool fits = len > 0 && len <= KV_EVIDENCE_CERTIFICATE_MAX; /* or no evidence is read */
        if (fits) {
            kv_buf_add_u32(out, (uint32_t)len);
            kv_buf_add(out, der, (size_t)len);
        }
        OPENSSL_free(der);
        if (!fits) {
            return false;
        }
    }
    return !out->failed;
}

/* The subject's last part of its name, which is what people know it by. */
static void tell_name(const X509 *certificate, char out[static KV_ROOT_NAME_LEN])
{
    char text[KV_ROOT_NAME_LEN] = "";
    const X509_NAME *subject = X509_get_subject_name(certificate);
    if (X509_NAME_get_text_by_NID(subject, NID_commonName, text, sizeof text) < 0) {
        (void)X509_NAME_oneline(subject, text, sizeof text); /* cut is fine */
    }
    for (size_t i = 0; text[i] != '\0'; i++) {
        text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
    memcpy(out, text, sizeof text);
}

static enum kv_code verify(const struct kv_roots *roots, X509 *leaf, STACK_OF(X509) * others,
                           int64_t at_ms, char name[static KV_ROOT_NAME_LEN], struct kv_buf *chain,
                           struct kv_err *err)
{
    KV_CLEANUP(store_ctx_freep) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, roots->store, leaf, others) != 1) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a chain of certificates");
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)(at_ms / 1000));
    X509_VERIFY_PARAM_set_depth(param, KV_EVIDENCE_CERTIFICATES_MAX - 1);
    if (X509_verify_cert(ctx) != 1) {
        ERR_clear_error();
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "%.90s",
                         X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    STACK_OF(X509) *way = X509_STORE_CTX_get0_chain(ctx);
    if (chain != NULL && !add_chain(way, chain)) {
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "the chain of certificates is too long");
    }
    tell_name(sk_X509_value(way, sk_X509_num(way) - 1), name);
    return KV_OK;
}

enum kv_code kv_roots_check(const struct kv_roots *roots, const struct kv_bytes *certificate,
                            size_t count, int64_t at_ms, char name[static KV_ROOT_NAME_LEN],
                            struct kv_buf *chain, struct kv_err *err)
{
    KV_CLEANUP(x509_freep) X509 *leaf = count == 0 ? NULL : parse(certificate[0]);
    KV_CLEANUP(stack_freep) STACK_OF(X509) *others = sk_X509_new_null();
    for (size_t i = 1; i < count; i++) {
        X509 *other = parse(certificate[i]);
        if (other == NULL || sk_X509_push(others, other) <= 0) {
            X509_free(other);
            return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "a certificate is damaged");
        }
    }
    if (leaf == NULL || others == NULL) {
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "there is no certificate, or a damaged one");
    }
    if (!of_endorsement(leaf)) {
        return KV_REFUSE(err, KV_E_LEDGER_EVIDENCE, "the certificate is not of an endorsement key");
    }
    return verify(roots, leaf, others, at_ms, name, chain, err);
}

bool kv_roots_certifies(struct kv_bytes certificate, struct kv_bytes spki)
{
    KV_CLEANUP(x509_freep) X509 *of = parse(certificate);
    const unsigned char *at = spki.ptr, *bits = NULL;
    int len = 0;
    X509_PUBKEY *key = d2i_X509_PUBKEY(NULL, &at, (long)spki.len);
    const ASN1_BIT_STRING *in = of == NULL ? NULL : X509_get0_pubkey_bitstr(of);
    bool same = in != NULL && key != NULL &&
                X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, key) == 1 &&
                kv_bytes_equal(kv_bytes(in->data, (size_t)in->length), kv_bytes(bits, (size_t)len));
    X509_PUBKEY_free(key);
    ERR_clear_error();
    return same;
}
