/* Ways to a TPM (TCTI), as a slot's configuration names them. */
#ifndef KV_TPM_WAY_H
#define KV_TPM_WAY_H

#include "core/base.h"

/* Whether `tcti` names a way to a TPM that this layer knows. */
bool kv_tpm_way_known(const char *tcti);

/* Whether a resource manager is behind it, so that several processes may hold objects at once. */
bool kv_tpm_way_managed(const char *tcti);

/* Whether it can only lead to a TPM in software. */
bool kv_tpm_way_software(const char *tcti);

/* What the way needs of a process that is confined after opening: a device stays open, all others
 * are connected to again for each command. False: not a way that is known. */
bool kv_tpm_way_needs(const char *tcti, bool *unix_sockets, uint16_t *port);

#endif
