#include "tpm/rc.h"

#include <tss2/tss2_rc.h>

/* Every response code that means more than "it failed". Those of format 1 without their parameter,
 * handle or session number (TPM 2.0 Library part 2, §6.6). */
static const struct {
    TSS2_RC rc;
    enum kv_code code;
} codes[] = {
    {TPM2_RC_AUTH_FAIL, KV_E_TOKEN_PIN},
    {TPM2_RC_BAD_AUTH, KV_E_TOKEN_PIN},
    {TPM2_RC_LOCKOUT, KV_E_TOKEN_LOCKOUT},
    {TPM2_RC_HIERARCHY, KV_E_TOKEN_OWNER},
    {TPM2_RC_INTEGRITY, KV_E_TOKEN_KEY_DAMAGED},
    {TPM2_RC_BINDING, KV_E_TOKEN_KEY_DAMAGED},
    /* what was loaded is gone: the chip was reset */
    {TPM2_RC_INITIALIZE, KV_E_TOKEN_ABSENT},
    {TPM2_RC_HANDLE, KV_E_TOKEN_ABSENT},
    {TPM2_RC_REFERENCE_H0, KV_E_TOKEN_ABSENT},
    {TPM2_RC_REFERENCE_H1, KV_E_TOKEN_ABSENT},
    {TPM2_RC_REFERENCE_S0, KV_E_TOKEN_ABSENT},
    {TPM2_RC_REFERENCE_S1, KV_E_TOKEN_ABSENT},
    {TPM2_RC_REBOOT, KV_E_TOKEN_ABSENT},
    {TPM2_RC_COMMAND_CODE, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_ASYMMETRIC, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_ATTRIBUTES, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_CURVE, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_HASH, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_KEY, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_KEY_SIZE, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_SCHEME, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_SYMMETRIC, KV_E_TOKEN_MECHANISM},
    {TPM2_RC_TYPE, KV_E_TOKEN_MECHANISM},
};

bool kv_tpm_rc_of_chip(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

enum kv_code kv_tpm_code(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    /* once the way to the chip is broken, ESAPI takes no further command */
    if (layer == TSS2_TCTI_RC_LAYER || rc == TSS2_ESYS_RC_BAD_SEQUENCE) {
        return KV_E_TOKEN_ABSENT;
    }
    if ((rc & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_MEMORY && !kv_tpm_rc_of_chip(rc)) {
        return KV_E_NO_MEMORY;
    }
    TSS2_RC plain = rc & ~TSS2_RC_LAYER_MASK;
    if ((plain & TPM2_RC_FMT1) != 0) {
        plain &= TPM2_RC_FMT1 | 0x3f;
    }
    for (size_t i = 0; kv_tpm_rc_of_chip(rc) && i < KV_COUNT(codes); i++) {
        if (codes[i].rc == plain) {
            return codes[i].code;
        }
    }
    return KV_E_TOKEN;
}

enum kv_code kv_tpm_fail(struct kv_err *err, TSS2_RC rc, const char *origin, const char *what)
{
    assert(rc != TSS2_RC_SUCCESS);
    return kv_err_set(err, kv_tpm_code(rc), ((struct kv_cause){KV_CAUSE_TSS2, rc}), origin,
                      "%s: %s", what, Tss2_RC_Decode(rc));
}
