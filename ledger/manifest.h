/* MANIFEST of an export: `sha256sum` lines, `<hex>  <path>`, of every other file, sorted by path.
 */
#ifndef KV_LEDGER_MANIFEST_H
#define KV_LEDGER_MANIFEST_H

#include "core/err.h"

#define KV_MANIFEST_PLACE 320

/* Write MANIFEST over all files below `dir_fd`. Errors: KV_E_IO. */
KV_MUST_USE enum kv_code kv_manifest_write(int dir_fd, struct kv_err *err);
/* Is every file listed and every listed file there, with the right hash? On KV_E_LEDGER_RECORD,
 * place[] is the first file by path of which that is not so. Errors also: KV_E_IO. */
KV_MUST_USE enum kv_code kv_manifest_check(int dir_fd, char place[static KV_MANIFEST_PLACE],
                                           struct kv_err *err);

#endif
