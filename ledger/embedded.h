/* Files that every export ships, baked in when the program is built (ledger/export/). */
#ifndef KV_LEDGER_EMBEDDED_H
#define KV_LEDGER_EMBEDDED_H

#include "core/bytes.h"

extern const struct kv_bytes kv_embedded_readme; /* with @VAULT@, @RECORDS@, @SIZE@ to fill in */
extern const struct kv_bytes kv_embedded_verify_sh;
extern const struct kv_bytes kv_embedded_logcheck_go;

#endif
