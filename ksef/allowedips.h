/* From which addresses KSeF takes the access tokens of a login (AuthorizationPolicy/AllowedIps,
 * KSeF API 2.0, schema 2.1): a list of IPv4 addresses, ranges (`a-b`) and networks (`a/24`),
 * separated by commas, at most ten of each. A stolen token is useless elsewhere. Pure; the keeper
 * links this. */
#ifndef KV_KSEF_ALLOWEDIPS_H
#define KV_KSEF_ALLOWEDIPS_H

#include "core/buf.h"
#include "core/err.h"

#define KV_ALLOWED_IPS_LEN 1024 /* bytes of a list, with NUL */

/* The list is well-formed; empty means that nothing is limited. Errors: KV_E_INPUT_VALUE. */
KV_MUST_USE enum kv_code kv_allowed_ips_check(struct kv_bytes list, struct kv_err *err);
/* Append `<AuthorizationPolicy>…` of a checked list, in the order of the schema; nothing for an
 * empty one. It is in exclusive canonical form. */
void kv_allowed_ips_xml(struct kv_bytes list, struct kv_buf *out);
/* Append `,"authorizationPolicy":{…}` of a checked list; nothing for an empty one. */
void kv_allowed_ips_json(struct kv_bytes list, struct kv_buf *out);

#endif
