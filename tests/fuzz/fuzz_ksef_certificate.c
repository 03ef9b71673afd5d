/* Certificates from hostile bytes. What is accepted keeps the promises of ksef/certificate.h, and
 * can be written into a login's document. */
#include "core/parse.h"
#include "ksef/authrequest.h"
#include "ksef/certificate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void check_info(const struct kv_certificate_info *info)
{
    enum kv_ksef_key key;
    check(kv_ksef_key_type(kv_bytes(info->spki, info->spki_len), &key, NULL, NULL) == KV_OK);
    check(key == info->key);
    size_t digits = strnlen(info->serial, sizeof info->serial);
    check(digits >= 16 && digits < sizeof info->serial);
    check(info->nip[0] == '\0' || kv_all_digits(kv_bytes_str(info->nip)));
    check(info->pesel[0] == '\0' || kv_all_digits(kv_bytes_str(info->pesel)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_certificate_info info;
    bool good = kv_certificate_inspect(kv_bytes(data, size), &info, NULL) == KV_OK;
    if (good) {
        check_info(&info);
    }
    struct kv_auth_request_params params = {
        .challenge = kv_bytes_str("20260601-CR-226FB7B000-3ACF9BE4C0-10"),
        .context = kv_bytes_str("Nip:5265877635"),
        .certificate = kv_bytes(data, size),
    };
    struct kv_auth_request *request = NULL;
    if (kv_auth_request_begin(&params, &request, NULL) == KV_OK) {
        check(good && kv_utf8_valid(kv_auth_request_signed_info(request)));
        kv_auth_request_free(request);
    }
    return 0;
}
