/* Files of a TPM slot: a magic and a list of strings, written whole or not at all. Whoever can
 * write the folder can change them; what they hold is proved by the chip (tpm/key.c). */
#ifndef KV_TPM_FILE_H
#define KV_TPM_FILE_H

#include "core/buf.h"
#include "core/err.h"

#define KV_TPM_FILE_MAX 8192 /* bytes; one of an RSA key has about 700 */
#define KV_TPM_NAME_LEN 160  /* of a file, with NUL */

/* Write `count` parts as a new file `name` in the folder `dir`. Errors: `exists` if it is there
 * (KV_OK: it is replaced), KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_file_write(int dir, const char *name, const struct kv_bytes *part,
                                           size_t count, enum kv_code exists, struct kv_err *err);
/* The bytes of such a file; a buffer that is too small fails. */
void kv_tpm_file_print(const struct kv_bytes *part, size_t count, struct kv_buf *out);
/* Exactly `count` parts, borrowed from `file`. Error: KV_E_TOKEN_KEY_DAMAGED. */
KV_MUST_USE enum kv_code kv_tpm_file_parse(struct kv_bytes file, struct kv_bytes *part,
                                           size_t count, struct kv_err *err);
/* The same of an open file; `buf` is initialised by the caller. */
KV_MUST_USE enum kv_code kv_tpm_file_read_fd(int fd, struct kv_buf *buf, struct kv_bytes *part,
                                             size_t count, struct kv_err *err);
/* Read exactly `count` parts, borrowed from `buf` (cleared by the caller). Errors: `missing` if it
 * is not there, KV_E_TOKEN_KEY_DAMAGED, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_file_read(int dir, const char *name, struct kv_buf *buf,
                                          struct kv_bytes *part, size_t count, enum kv_code missing,
                                          struct kv_err *err);
/* Error: `missing` if it is not there, KV_E_IO. */
KV_MUST_USE enum kv_code kv_tpm_file_remove(int dir, const char *name, enum kv_code missing,
                                            struct kv_err *err);

#endif
