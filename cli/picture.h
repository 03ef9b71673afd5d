/* A QR code with its label, as a PNG file (ISO/IEC 18004; KSeF API 2.0, offline QR codes: five
 * pixels a module; `OFFLINE` or the KSeF number under KOD I, `CERTYFIKAT` under KOD II). */
#ifndef KV_CLI_PICTURE_H
#define KV_CLI_PICTURE_H

#include "core/buf.h"
#include "core/err.h"

#define CLI_PICTURE_MAX       65536 /* bytes of PNG */
#define CLI_PICTURE_LABEL_MAX 40    /* characters: digits, capital letters, `-` and space */

/* Append the PNG of `link` to `out`. Errors: KV_E_INPUT_VALUE (a label that cannot be drawn, a link
 * that no QR code holds), KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code cli_picture(const char *link, const char *label, struct kv_buf *out,
                                     struct kv_err *err);

#endif
