/* The file of certificate authorities whom we trust to vouch for KSeF: PEM, as a whole, for
 * libcurl. */
#ifndef KV_AGENT_CAFILE_H
#define KV_AGENT_CAFILE_H

#include "core/buf.h"
#include "core/err.h"

#define KV_CA_FILE_MAX (2 * 1024 * 1024) /* bytes: the system's bundle has 220 KiB */

/* Read it into `out`, which was made with room for KV_CA_FILE_MAX. Errors: KV_E_CONFIG when it
 * cannot be read, is too large, or holds no certificate or one that is damaged: with such a file no
 * call to KSeF could ever succeed. */
KV_MUST_USE enum kv_code kv_ca_file_read(const char *path, struct kv_buf *out, struct kv_err *err);

#endif
