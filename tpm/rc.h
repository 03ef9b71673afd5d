/* What a TPM and the library in front of it answer. Here, once, a TSS2_RC becomes a kv_code. */
#ifndef KV_TPM_RC_H
#define KV_TPM_RC_H

#include "core/err.h"

#include <tss2/tss2_tpm2_types.h>

/* Whether it is the chip's own answer, or that of a resource manager in its name. */
bool kv_tpm_rc_of_chip(TSS2_RC rc);
/* The code of an rc that is not TSS2_RC_SUCCESS. */
enum kv_code kv_tpm_code(TSS2_RC rc);
/* Fail with that code: "<what>: <the rc in words>". */
#define KV_TPM_FAIL(err, rc, what) kv_tpm_fail((err), (rc), KV_ORIGIN, (what))
enum kv_code kv_tpm_fail(struct kv_err *err, TSS2_RC rc, const char *origin,
                         const char *what) KV_MUST_USE;

#endif
