/* Links of QR codes from hostile bytes: what is taken apart is the same when put together again. */
#include "ksef/qr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kv_qr qr;
    struct kv_buf link, front;
    if (kv_qr_parse(kv_bytes(data, size), &qr, NULL) != KV_OK) {
        return 0;
    }
    kv_buf_init(&link, KV_QR_LINK_MAX);
    kv_buf_init(&front, KV_QR_TEXT_MAX);
    if (qr.kind == KV_QR_INVOICE) {
        check(kv_qr_invoice_link(kv_bytes_str(qr.environment), kv_bytes_str(qr.seller),
                                 kv_bytes_str(qr.date), &qr.invoice, &link, NULL) == KV_OK);
    } else {
        struct kv_qr_issuer issuer = {.environment = kv_bytes_str(qr.environment),
                                      .context = kv_bytes_str(qr.context),
                                      .seller = kv_bytes_str(qr.seller),
                                      .serial = kv_bytes_str(qr.serial)};
        check(kv_qr_front(&issuer, &front, NULL) == KV_OK);
        struct kv_hash digest = kv_qr_digest(kv_buf_bytes(&front), &qr.invoice);
        check(kv_hash_equal(&digest, &qr.digest));
        kv_qr_certificate_link(kv_buf_bytes(&front), &qr.invoice,
                               kv_bytes(qr.signature, qr.signature_len), &link);
    }
    check(!link.failed && kv_bytes_equal(kv_buf_bytes(&link), kv_bytes(data, size)));
    kv_buf_clear(&front);
    kv_buf_clear(&link);
    return 0;
}
