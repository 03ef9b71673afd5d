#include "agent/cafile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

static enum kv_code read_file(const char *path, struct kv_buf *out, struct kv_err *err)
{
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint8_t part[4096];
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, part, sizeof part)) > 0 && !out->failed) {
        kv_buf_add(out, part, (size_t)n);
    }
    if (n < 0) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO, "ksef: ca-file: cannot read %.100s (%s)", path,
                       strerror(errno));
    }
    return out->failed ? KV_REFUSE(err, KV_E_CONFIG, "ksef: ca-file: %.100s is too large", path)
                       : KV_OK;
}

/* How many certificates the text holds, 0 also if one of them is damaged. Text between them is
 * usual. */
static size_t certificates(struct kv_bytes pem)
{
    size_t count = 0;
    X509 *certificate;
    BIO *in = pem.len == 0 ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
    if (in == NULL) {
        return 0;
    }
    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
        X509_free(certificate);
        count++;
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(in);
    return at_end ? count : 0;
}

enum kv_code kv_ca_file_read(const char *path, struct kv_buf *out, struct kv_err *err)
{
    enum kv_code code = read_file(path, out, err);
    if (code == KV_OK && certificates(kv_buf_bytes(out)) == 0) {
        code =
            KV_REFUSE(err, KV_E_CONFIG,
                      "ksef: ca-file: %.100s holds no certificate, or a damaged one (PEM)", path);
    }
    return code;
}
