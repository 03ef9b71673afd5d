/* A slot of the configuration, as pkcs11/admin and tpm/ want it, and its PINs. */
#ifndef KV_CLI_SLOT_H
#define KV_CLI_SLOT_H

#include "cli/cli.h"
#include "pkcs11/admin.h"
#include "pkcs11/pin.h"
#include "tpm/token.h"

#include <unistd.h>

#define SLOT_ENVIRONMENT_MAX 16
#define SLOT_PATH_MAX        512

struct slot {
    struct kv_pkcs11_profile profile; /* borrows from the configuration and lock_dir */
    struct kv_tpm_profile tpm;        /* .tcti NULL: it is a PKCS#11 slot; borrows, too */
    char tpm_folder[SLOT_PATH_MAX + 80];
    struct kv_slot_account account;
    const char *environment[SLOT_ENVIRONMENT_MAX + 1];
    char lock_dir[SLOT_PATH_MAX];
    const char *pin_source;
};

/* Fill *out from the configuration; it must stay where it is. Root gets the keeper's account, and
 * its folder is made as the agent would make it. Errors: KV_E_CONFIG, KV_E_IO. */
KV_MUST_USE enum kv_code slot_take(const struct kv_config *config,
                                   const struct kv_config_slot *from, struct slot *out,
                                   struct kv_err *err);
/* The same by its name. Error: KV_E_NOT_FOUND. */
KV_MUST_USE enum kv_code slot_find(struct cli *cli, const char *name, struct slot *out,
                                   struct kv_err *err);
/* The PIN from --<option>-fd, --<option>-credential; else a new PIN is asked for twice, an existing
 * one is read from the configured source (root) or asked for. *out is owned by the caller; NULL:
 * the PIN is entered at the device. */
KV_MUST_USE enum kv_code slot_pin(const struct cli *cli, const struct slot *slot,
                                  const char *option, const char *prompt, bool new_pin,
                                  struct kv_secret **out, struct kv_err *err);

#endif
