/* The only place where text becomes numbers, and where UTF-8 is checked. Strict: no signs, spaces,
 * leading zeros, or anything behind the number. */
#ifndef KV_CORE_PARSE_H
#define KV_CORE_PARSE_H

#include "core/bytes.h"

#define KV_NUMBER_MAX ((UINT64_C(1) << 53) - 1) /* JSON numbers are exact up to here */

/* Decimal 0 to `max`, no leading zero. */
bool kv_parse_u64(struct kv_bytes in, uint64_t max, uint64_t *out);
/* Valid UTF-8 (RFC 3629: no surrogates, shortest form). */
bool kv_utf8_valid(struct kv_bytes in);
/* Decode one code point at *at; advances *at. False on malformed input. */
bool kv_utf8_next(struct kv_bytes in, size_t *at, uint32_t *code_point);
/* A character that changes how a line is shown, or a control character: nowhere allowed in
 * statements (APPROVALS: texts). */
bool kv_char_hides(uint32_t code_point);
/* ASCII classes, independent of the locale. */
bool kv_is_digit(uint8_t c);
bool kv_is_lower(uint8_t c);
bool kv_is_upper(uint8_t c);
bool kv_all_digits(struct kv_bytes in);

#endif
