#include "tpm/rc.h"

#include "tests/unit/kv_test.h"

#include <tss2/tss2_esys.h>

static void every_kind_of_failure_has_its_code(void **state)
{
    (void)state;
    static const struct {
        TSS2_RC rc;
        enum kv_code want;
    } rows[] = {
        {TPM2_RC_LOCKOUT, KV_E_TOKEN_LOCKOUT},
        {TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_LOCKOUT, KV_E_TOKEN_LOCKOUT},
        {TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_1, KV_E_TOKEN_PIN},
        {TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1, KV_E_TOKEN_PIN},
        {TPM2_RC_HIERARCHY | TPM2_RC_H | TPM2_RC_1, KV_E_TOKEN_OWNER},
        {TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1, KV_E_TOKEN_KEY_DAMAGED},
        {TPM2_RC_REFERENCE_H0, KV_E_TOKEN_ABSENT},
        {TPM2_RC_REFERENCE_S0, KV_E_TOKEN_ABSENT},
        {TPM2_RC_INITIALIZE, KV_E_TOKEN_ABSENT},
        {TPM2_RC_SCHEME | TPM2_RC_P | TPM2_RC_2, KV_E_TOKEN_MECHANISM},
        {TPM2_RC_FAILURE, KV_E_TOKEN},
        {TPM2_RC_OBJECT_MEMORY, KV_E_TOKEN},
        {TSS2_TCTI_RC_IO_ERROR, KV_E_TOKEN_ABSENT},
        {TSS2_TCTI_RC_NO_CONNECTION, KV_E_TOKEN_ABSENT},
        {TSS2_ESYS_RC_MEMORY, KV_E_NO_MEMORY},
        {TSS2_ESYS_RC_RSP_AUTH_FAILED, KV_E_TOKEN},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        assert_int_equal(kv_tpm_code(rows[i].rc), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_failure_has_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
