/* Cleanups of OpenSSL's objects for KV_CLEANUP, those that more than one file wants. */
#ifndef KV_CORE_OPENSSL_H
#define KV_CORE_OPENSSL_H

#include <openssl/bio.h>
#include <openssl/evp.h>

static inline void kv_pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static inline void kv_pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static inline void kv_cipher_ctx_freep(EVP_CIPHER_CTX **ctx)
{
    EVP_CIPHER_CTX_free(*ctx);
}

/* Of memory or a file that was only read: nothing is lost with it. */
static inline void kv_bio_freep(BIO **bio)
{
    (void)BIO_free(*bio);
}

#endif
