/* Errors. A function that can fail returns enum kv_code, is KV_MUST_USE, and fills the caller's
 * kv_err. The code is decided where the failure happens and never rewritten on the way up;
 * kv_wrap only adds context in front of the sentence. The message buffer is fixed, so that running
 * out of memory can be reported too. A message never holds a secret. */
#ifndef KV_CORE_ERR_H
#define KV_CORE_ERR_H

#include "core/code.h"

enum kv_cause_kind { KV_CAUSE_NONE, KV_CAUSE_ERRNO, KV_CAUSE_CK_RV, KV_CAUSE_TSS2, KV_CAUSE_CURL };

struct kv_cause {
    enum kv_cause_kind kind;
    unsigned long number;
};

struct kv_err {
    enum kv_code code;     /* stable; one table gives its dotted word, HTTP and exit status */
    struct kv_cause cause; /* for the log */
    const char *origin;    /* "file:line" of the first failure; for the log */
    char msg[192];         /* one sentence for a person; never a secret */
};

#define KV_STR2(x)   #x
#define KV_STR(x)    KV_STR2(x)
#define KV_ORIGIN    __FILE__ ":" KV_STR(__LINE__)
#define KV_NO_CAUSE  ((struct kv_cause){KV_CAUSE_NONE, 0})
#define KV_ERRNO     ((struct kv_cause){KV_CAUSE_ERRNO, (unsigned long)errno})
#define KV_CK_RV(rv) ((struct kv_cause){KV_CAUSE_CK_RV, (rv)})

/* Fill *err and return `code`. `err` may be NULL. */
#define KV_FAIL(err, code, cause, ...) kv_err_set((err), (code), (cause), KV_ORIGIN, __VA_ARGS__)
/* The usual case: nothing foreign caused it. */
#define KV_REFUSE(err, code, ...) kv_err_set((err), (code), KV_NO_CAUSE, KV_ORIGIN, __VA_ARGS__)

enum kv_code kv_err_set(struct kv_err *err, enum kv_code code, struct kv_cause cause,
                        const char *origin, const char *fmt, ...) KV_PRINTF(5, 6) KV_MUST_USE;
/* Put context in front of the message: "sign for 'erp-1': no key". Returns err->code (`err` may be
 * NULL: then KV_E_INTERNAL). */
enum kv_code kv_wrap(struct kv_err *err, const char *fmt, ...) KV_PRINTF(2, 3) KV_MUST_USE;
/* Text of the cause ("No space left on device", "CKR 0xa0"), into buf; "" if there is none. */
const char *kv_cause_text(struct kv_cause cause, char *buf, size_t len);

#endif
