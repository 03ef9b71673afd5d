#include "core/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define HEAP_BYTES (4 * 1024 * 1024) /* half of the usual RLIMIT_MEMLOCK */
#define HEAP_MIN   32

struct kv_secret {
    size_t len;
    size_t cap; /* power of two minus header: OpenSSL's heap aborts on other sizes */
    uint8_t data[];
};

enum kv_code kv_secret_heap_init(struct kv_err *err)
{
    if (CRYPTO_secure_malloc_initialized()) {
        return KV_OK;
    }
    /* 1 = locked; 2 = usable but mlock was refused, seen with RLIMIT_MEMLOCK 0 */
    if (CRYPTO_secure_malloc_init(HEAP_BYTES, HEAP_MIN) != 1) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "cannot lock %d KiB of memory for secrets",
                         HEAP_BYTES / 1024);
    }
    return KV_OK;
}

enum kv_code kv_secret_harden_process(struct kv_err *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot switch core dumps off");
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make the process undumpable");
    }
    (void)umask(077); /* returns the old mask only */
    return KV_OK;
}

enum kv_code kv_secret_new(size_t len, struct kv_secret **out, struct kv_err *err)
{
    if (len == 0 || len > KV_SECRET_MAX) {
        return KV_REFUSE(err, KV_E_LIMIT, "a secret has 1 to %d bytes, not %zu", KV_SECRET_MAX,
                         len);
    }
    size_t size = HEAP_MIN;
    while (size < sizeof(struct kv_secret) + len) {
        size *= 2;
    }
    struct kv_secret *secret =
        CRYPTO_secure_malloc_initialized() ? OPENSSL_secure_zalloc(size) : NULL;
    if (secret == NULL || !CRYPTO_secure_allocated(secret)) {
        OPENSSL_secure_free(secret);
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no locked memory for a secret of %zu bytes", len);
    }
    secret->len = len;
    secret->cap = size;
    *out = secret;
    return KV_OK;
}

bool kv_secret_room(size_t bytes)
{
    return CRYPTO_secure_malloc_initialized() && CRYPTO_secure_used() + bytes <= HEAP_BYTES;
}

enum kv_code kv_secret_from(struct kv_bytes bytes, struct kv_secret **out, struct kv_err *err)
{
    struct kv_secret *secret = NULL;
    enum kv_code code = kv_secret_new(bytes.len, &secret, err);
    if (code == KV_OK) {
        memcpy(secret->data, bytes.ptr, bytes.len);
        *out = secret;
    }
    return code;
}

void kv_secret_free(struct kv_secret *secret)
{
    if (secret != NULL) {
        OPENSSL_secure_clear_free(secret, secret->cap);
    }
}

void kv_secret_freep(struct kv_secret **secret)
{
    kv_secret_free(*secret);
    *secret = NULL;
}

uint8_t *kv_secret_data(struct kv_secret *secret)
{
    return secret->data;
}

size_t kv_secret_len(const struct kv_secret *secret)
{
    return secret->len;
}

struct kv_bytes kv_secret_bytes(const struct kv_secret *secret)
{
    return (struct kv_bytes){secret->data, secret->len};
}

void kv_secret_shrink(struct kv_secret *secret, size_t len)
{
    assert(len <= secret->len);
    OPENSSL_cleanse(secret->data + len, secret->len - len);
    secret->len = len;
}

void kv_wipe(void *ptr, size_t len)
{
    if (len > 0) {
        OPENSSL_cleanse(ptr, len);
    }
}
