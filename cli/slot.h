/* A slot of the configuration, as pkcs11/admin and tpm/ want it, and its PINs. */
#ifndef KV_CLI_SLOT_H
#define KV_CLI_SLOT_H

#include "cli/cli.h"
#include "pkcs11/admin.h"
#include "pkcs11/pin.h"
#include "tpm/pin.h"
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
    const char *name;
    const char *pin_source;
    struct kv_tpm_way pin_tpm; /* that its PIN is sealed in; tcti NULL: not sealed */
    char tpm_slots[SLOT_PATH_MAX + 80];
};

/* Fill *out from the configuration; it must stay where it is. Root gets the keeper's account, and
 * its folder is made as the agent would make it. Errors: KV_E_CONFIG, KV_E_IO. */
KV_MUST_USE enum kv_code slot_take(const struct kv_config *config,
                                   const struct kv_config_slot *from, struct slot *out,
                                   struct kv_err *err);
/* The same by its name. Error: KV_E_NOT_FOUND. */
KV_MUST_USE enum kv_code slot_find(struct cli *cli, const char *name, struct slot *out,
                                   struct kv_err *err);
/* Error: KV_E_CONFIG if the configuration does not say that the slot's PIN is sealed. */
KV_MUST_USE enum kv_code slot_check_sealed(const struct slot *slot, struct kv_err *err);
/* The slot's sealed PIN, from the file that the configuration names. Errors: KV_E_CONFIG (it names
 * none), KV_E_PIN_…. */
KV_MUST_USE enum kv_code slot_sealed(const struct slot *slot, struct kv_tpm_pin *out,
                                     struct kv_err *err);
/* Where a PIN comes from if no option says it: root has the configured source, everybody else is
 * asked; or a person is asked, and for one that is yet to be tried twice. */
enum slot_asks { SLOT_CONFIGURED, SLOT_ASKED, SLOT_ASKED_TWICE };
/* The PIN from --<option>-fd, --<option>-credential, else as `asks` says. *out is owned by the
 * caller; NULL: the PIN is entered at the device. */
KV_MUST_USE enum kv_code slot_pin(const struct cli *cli, const struct slot *slot,
                                  const char *option, const char *prompt, enum slot_asks asks,
                                  struct kv_secret **out, struct kv_err *err);

#endif
