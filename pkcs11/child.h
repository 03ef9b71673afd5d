/* Run foreign code in a forked child with an account, surroundings and a deadline, and get rows of
 * texts and numbers back over a pipe. Everything that comes back is untrusted: the module shares
 * the child's memory. */
#ifndef KV_PKCS11_CHILD_H
#define KV_PKCS11_CHILD_H

#include "core/buf.h"
#include "core/cursor.h"
#include "core/secret.h"
#include "pkcs11/admin.h"

#define KV_CHILD_OUTPUT_MAX (1024 * 1024) /* bytes of all rows */

/* The child's end: rows are written as they come, so that they arrive even if it dies later. */
struct kv_child_out {
    int fd;
};
/* Send one row. If nobody listens any more, the work goes on to its end: it may have to clean up.
 */
void kv_child_row(const struct kv_child_out *out, const struct kv_buf *row);

/* A text of a row, `u32 len ‖ bytes`, and its reading back: false if it does not fit or holds
 * anything but visible ASCII and spaces. */
void kv_child_add_text(struct kv_buf *row, const char *text);
bool kv_child_take_text(struct kv_cursor *row, char *out, size_t size);

struct kv_child_job {
    const struct kv_slot_account *account;
    int timeout_ms;
    /* in the child */
    enum kv_code (*work)(const void *arg, const struct kv_child_out *out, struct kv_err *err);
    const void *arg;
    /* secrets that the child needs: its memory is locked anew, since fork does not inherit that */
    const struct kv_secret *secrets[2];
    /* in the parent, for each row; false: malformed */
    bool (*row)(struct kv_cursor *row, void *arg);
    void *row_arg;
};
/* Run the job to its end. The result is that of `work`, or KV_E_TOKEN_TIMEOUT (killed at the
 * deadline), KV_E_TOKEN_MODULE (crashed, or what came back is malformed), KV_E_IO. */
KV_MUST_USE enum kv_code kv_child_run(const struct kv_child_job *job, struct kv_err *err);

#endif
