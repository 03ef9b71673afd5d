/* Where a slot's PIN comes from. The supervisor opens the source, the keeper reads the descriptor:
 * so the keeper's account needs no access to the file, and the supervisor never sees the PIN. */
#ifndef KV_PKCS11_PIN_H
#define KV_PKCS11_PIN_H

#include "core/secret.h"

#include <sys/types.h>

#define KV_PIN_MIN 4 /* bytes, as most tokens demand */
#define KV_PIN_MAX 255

/* Open `file:/absolute/path`, `sealed:/absolute/path` or `credential:NAME` (systemd's
 * $CREDENTIALS_DIRECTORY). The file must be regular, no link, owned by root or `owner`, and closed
 * to everybody else. *fd (close-on-exec) is owned by the caller. Errors, saying what to do:
 * KV_E_PIN_OPEN, _MISSING, _CREDENTIAL; KV_E_TOKEN_NO_PIN (no such source, no regular file). */
KV_MUST_USE enum kv_code kv_pin_open(const char *source, uid_t owner, int *fd, struct kv_err *err);
/* Open the pipe through which root hands a PIN over by hand; its own, and nobody else's. *fd as
 * above. Errors: KV_E_PIN_AWAITED (nobody does), KV_E_PIN_OPEN, KV_E_IO. */
KV_MUST_USE enum kv_code kv_pin_open_pipe(const char *path, int *fd, struct kv_err *err);
/* Read to the end; one trailing newline is dropped. *out is owned by the caller. Errors:
 * KV_E_TOKEN_NO_PIN (length, unreadable), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_pin_read_fd(int fd, struct kv_secret **out, struct kv_err *err);
/* Ask a person at /dev/tty, without echo; the terminal is as before on every way out, signals
 * included. Errors: KV_E_TOKEN_NO_PIN (no terminal, interrupted, length), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_pin_read_terminal(const char *prompt, struct kv_secret **out,
                                              struct kv_err *err);

#endif
